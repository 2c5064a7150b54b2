"""What is measured on which photographs: statistics by name, each of many draws at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool

from fundoscope.evaluation.agreement import (
    Values,
    agreement_statistics,
    class_statistics,
    confusions,
    cut_statistics,
    grade_statistics,
)
from fundoscope.evaluation.cases import UNREADABLE, Cases
from fundoscope.evaluation.detection import (
    aurocs,
    average_precisions,
    curves,
    hit_rates,
    one_vs_one,
    one_vs_rest,
    predictive_values,
    sensitivities_at,
    specificities_at,
)
from fundoscope.evaluation.interval import Statistics, Weights
from fundoscope.evaluation.reliability import (
    brier_parts,
    brier_scores,
    calibration_errors,
    classwise_errors,
    log_losses,
)
from fundoscope.grades import CUTS, GRADES, REFERABLE

DECISION: Final = "decision"
INCLUDING: Final = "decision_cannot_grade_as_refer"

RATES_WANTED: Final = (80, 90, 95)
"""Per cent of one rate at which the other is told."""

Mask = Bool[np.ndarray, " photo"]

Measure = tuple[Mask, Statistics]
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
    found: list[Measure] = [(graded, _of_grades(cases, graded, prevalence))]
    for name, cut in CUTS.items():
        scored = counted & ~np.isnan(cases.score(name))
        found.append((scored, _of_scores(cases, scored, name, cut)))
    sure = counted & ~np.isnan(cases.probabilities[:, 0])
    found.append((sure, of_probabilities(cases, sure)))
    decision = np.array(cases.decision, dtype=object)
    decided = np.isin(decision, ["refer", "rescreen"])
    found.append((decided, _of_decisions(cases, decided, DECISION, prevalence)))
    answered = (decision != "") & (np.array(cases.status, dtype=object) != UNREADABLE)
    found.append((answered, _of_decisions(cases, answered, INCLUDING, None)))
    return _together(found)


def of_probabilities(cases: Cases, mask: Mask) -> Statistics:
    """Statistics of p0 to p4 as a whole: calibration, proper scores, and AUROC of each grade and of all."""
    given, reference = cases.probabilities[mask], cases.reference[mask]
    occurring = np.unique(reference)

    def statistics(weights: Weights) -> Mapping[str, Values]:
        each = one_vs_rest(weights, reference, given)
        own = {f"grade{grade}_auroc": each[:, grade] for grade in range(GRADES)}
        return own | {
            "auroc_one_vs_rest": each[:, occurring].mean(axis=1) if len(occurring) else np.full(len(weights), np.nan),
            "auroc_one_vs_one": one_vs_one(weights, reference, given),
            "calibration_error": calibration_errors(weights, given, reference),
            "calibration_error_equal_mass": calibration_errors(weights, given, reference, equal_mass=True),
            "calibration_error_classwise": classwise_errors(weights, given, reference),
            "brier": brier_scores(weights, given, reference),
            "log_loss": log_losses(weights, given, reference),
        }

    return statistics


def _together(found: list[Measure]) -> list[Measure]:
    groups: dict[bytes, list[Measure]] = {}
    for measure in found:
        groups.setdefault(measure[0].tobytes(), []).append(measure)
    return [(group[0][0], _all_of([statistics for _, statistics in group])) for group in groups.values()]


def _all_of(several: list[Statistics]) -> Statistics:
    return lambda weights: {name: values for each in several for name, values in each(weights).items()}


def _of_grades(cases: Cases, mask: Mask, prevalence: float | None) -> Statistics:
    reference, answered = cases.reference[mask], cases.answered[mask]

    def statistics(weights: Weights) -> Mapping[str, Values]:
        counts = confusions(weights, reference, answered)
        values = agreement_statistics(counts) | class_statistics(counts) | cut_statistics(counts)
        for grade in range(GRADES):
            values |= {f"grade{grade}_{name}": each for name, each in grade_statistics(counts, grade).items()}
        return values | _predictive(values, "referable", prevalence)

    return statistics


def _of_scores(cases: Cases, mask: Mask, name: str, cut: int) -> Statistics:
    positive, scores = cases.reference[mask] >= cut, cases.score(name)[mask]

    def statistics(weights: Weights) -> Mapping[str, Values]:
        of = curves(weights, positive, scores)
        values = {"auroc": aurocs(weights, positive, scores), "average_precision": average_precisions(of)}
        for wanted in RATES_WANTED:
            values[f"sensitivity_at_specificity_{wanted}"] = sensitivities_at(of, wanted / 100)
            values[f"specificity_at_sensitivity_{wanted}"] = specificities_at(of, wanted / 100)
        values |= brier_parts(weights, positive, scores) if cut == REFERABLE else {}
        return {f"{name}_{each}": found for each, found in values.items()}

    return statistics


def _of_decisions(cases: Cases, mask: Mask, name: str, prevalence: float | None) -> Statistics:
    positive = cases.reference[mask] >= REFERABLE
    said = np.array(cases.decision, dtype=object)[mask] != "rescreen"

    def statistics(weights: Weights) -> Mapping[str, Values]:
        sensitivity, specificity = hit_rates(weights, positive, said)
        values = {f"{name}_sensitivity": sensitivity, f"{name}_specificity": specificity}
        return values | _predictive(values, name, prevalence)

    return statistics


def _predictive(values: Mapping[str, Values], name: str, prevalence: float | None) -> dict[str, Values]:
    if prevalence is None:
        return {}
    ppv, npv = predictive_values(values[f"{name}_sensitivity"], values[f"{name}_specificity"], prevalence)
    return {f"{name}_ppv_at_prevalence": ppv, f"{name}_npv_at_prevalence": npv}
