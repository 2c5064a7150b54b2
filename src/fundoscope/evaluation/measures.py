"""What is measured on which photographs: statistics by name, each of many draws at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool

from fundoscope.evaluation.cases import UNREADABLE, Cases
from fundoscope.evaluation.statistics.agreement import (
    Confusions,
    Values,
    agreement_statistics,
    class_statistics,
    cut_statistics,
    grade_statistics,
    of_confusions,
)
from fundoscope.evaluation.statistics.detection import (
    Curves,
    average_precisions,
    of_auroc,
    of_curves,
    of_hits,
    of_pairs,
    predictive_values,
    sensitivities_at,
    specificities_at,
)
from fundoscope.evaluation.statistics.reliability import of_brier_parts, of_calibration, of_classwise, of_proper_scores
from fundoscope.evaluation.statistics.sums import Sums, Together
from fundoscope.grades import CUTS, GRADES, REFERABLE

DECISION: Final = "decision"
INCLUDING: Final = "decision_cannot_grade_as_refer"

RATES_WANTED: Final = (80, 90, 95)
"""Per cent of one rate at which the other is told."""

Mask = Bool[np.ndarray, " photo"]

Measure = tuple[Mask, Together]
"""Which photographs, and what is computed on them."""


def measures(cases: Cases, counted: Mask, graded: Mask, *, prevalence: float | None = None) -> list[Measure]:
    """Everything measured, each with its photographs; those on the same photographs are one measure.

    They share the draws, which are most of the work.

    Args:
        cases: Photographs with a reference grade.
        counted: Those whose scores are measured.
        graded: Those whose answered grade is measured.
        prevalence: Share of referable photographs for which predictive values are told; None: they are not.
    """
    found: list[tuple[Mask, Sums | Together]] = [(graded, _of_grades(cases, graded, prevalence))]
    for name, cut in CUTS.items():
        scored = counted & ~np.isnan(cases.score(name))
        found.append((scored, of_scores(cases, scored, name, cut)))
    sure = counted & ~np.isnan(cases.probabilities[:, 0])
    found.append((sure, of_probabilities(cases, sure)))
    decision = np.array(cases.decision, dtype=object)
    decided = np.isin(decision, ["refer", "rescreen"])
    found.append((decided, _of_decisions(cases, decided, DECISION, prevalence)))
    answered = (decision != "") & (np.array(cases.status, dtype=object) != UNREADABLE)
    found.append((answered, _of_decisions(cases, answered, INCLUDING, None)))
    return _together(found)


def of_probabilities(cases: Cases, mask: Mask) -> Together:
    """Statistics of p0 to p4 as a whole: calibration, proper scores, and AUROC of each grade and of all."""
    given, reference = cases.probabilities[mask], cases.reference[mask]
    return Together(
        (
            of_pairs(reference, given),
            of_calibration(given, reference, "calibration_error"),
            of_calibration(given, reference, "calibration_error_equal_mass", equal_mass=True),
            of_classwise(given, reference, "calibration_error_classwise"),
            of_proper_scores(given, reference),
        )
    )


def _together(found: list[tuple[Mask, Sums | Together]]) -> list[Measure]:
    groups: dict[bytes, list[tuple[Mask, Sums | Together]]] = {}
    for measure in found:
        groups.setdefault(measure[0].tobytes(), []).append(measure)
    return [(group[0][0], Together(tuple(statistics for _, statistics in group))) for group in groups.values()]


def _of_grades(cases: Cases, mask: Mask, prevalence: float | None) -> Sums:
    def read(counts: Confusions) -> Mapping[str, Values]:
        values = agreement_statistics(counts) | class_statistics(counts) | cut_statistics(counts)
        for grade in range(GRADES):
            values |= {f"grade{grade}_{name}": each for name, each in grade_statistics(counts, grade).items()}
        return values | _predictive(values, "referable", prevalence)

    return of_confusions(cases.reference[mask], cases.answered[mask], read)


def of_scores(cases: Cases, mask: Mask, name: str, cut: int) -> Together:
    """Statistics of one cut's score, after its name in `grades.CUTS`: AUROC, precision, rates, Brier of referable."""
    positive, scores = cases.reference[mask] >= cut, cases.score(name)[mask]

    def read(of: Curves) -> Mapping[str, Values]:
        values = {"average_precision": average_precisions(of)}
        for wanted in RATES_WANTED:
            values[f"sensitivity_at_specificity_{wanted}"] = sensitivities_at(of, wanted / 100)
            values[f"specificity_at_sensitivity_{wanted}"] = specificities_at(of, wanted / 100)
        return {f"{name}_{each}": found for each, found in values.items()}

    parts = [of_auroc(positive, scores, f"{name}_auroc"), of_curves(positive, scores, read)]
    return Together((*parts, of_brier_parts(positive, scores, prefix=f"{name}_")) if cut == REFERABLE else tuple(parts))


def _of_decisions(cases: Cases, mask: Mask, name: str, prevalence: float | None) -> Together:
    said = np.array(cases.decision, dtype=object)[mask] != "rescreen"

    def named(found: Mapping[str, Values]) -> Mapping[str, Values]:
        values = {f"{name}_{each}": rates for each, rates in found.items()}
        return values | _predictive(values, name, prevalence)

    return Together((of_hits(cases.reference[mask] >= REFERABLE, said),), named)


def _predictive(values: Mapping[str, Values], name: str, prevalence: float | None) -> dict[str, Values]:
    if prevalence is None:
        return {}
    ppv, npv = predictive_values(values[f"{name}_sensitivity"], values[f"{name}_specificity"], prevalence)
    return {f"{name}_ppv_at_prevalence": ppv, f"{name}_npv_at_prevalence": npv}
