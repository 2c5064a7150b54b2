"""Which statistics are computed on which photographs: by name, each for many resamples at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Bool

from fundoscope.arrays import Scores
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
    Answers,
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
from fundoscope.evaluation.statistics.rates import Rate
from fundoscope.evaluation.statistics.recalibration import of_binary_calibration
from fundoscope.evaluation.statistics.reliability import of_brier_parts, of_calibration, of_classwise, of_proper_scores
from fundoscope.evaluation.statistics.sums import Sums, Together, one_by_one, ratio
from fundoscope.grades import CUTS, GRADED_DECISIONS, GRADES, OR_DME, REFERABLE

DECISION: Final = "decision"
INCLUDING: Final = "decision_cannot_grade_as_refer"

RATES_WANTED: Final = (80, 90, 95)
"""Per cent of one rate at which the other is computed."""

SUFFIX: Final = "_or_dme"
"""What the names in `grades.OR_DME` have beside those in `grades.CUTS`, whose scores they are measured by."""

Mask = Bool[np.ndarray, " photo"]

Measure = tuple[Mask, Together]
"""Which photographs, and what is computed on them."""


def measures(cases: Cases, counted: Mask, graded: Mask, *, prevalence: float | None = None) -> list[Measure]:
    """List all statistics, each with its photographs; those of the same photographs are one measure.

    They share the resamples, which are most of the work.

    Args:
        cases: Photographs with a reference grade.
        counted: Those whose scores are measured.
        graded: Those whose answered grade is measured.
        prevalence: Prevalence of referable disease at which predictive values are computed; None: they are not.
    """
    measured: list[tuple[Mask, Sums | Together]] = [(graded, _of_grades(cases, graded, prevalence))]
    for name, cut in CUTS.items():
        scored = counted & ~np.isnan(cases.score(name))
        measured.append((scored, of_scores(cases, scored, name, cut)))
        if cut == REFERABLE:
            positive, score = cases.reference[scored] >= cut, cases.score(name)[scored]
            measured.append((scored, of_binary_calibration(positive, score, prefix=f"{name}_")))
    sure = counted & ~np.isnan(cases.probabilities[:, 0])
    measured.append((sure, of_probabilities(cases, sure)))
    deciding = _deciding(cases)
    for prefix, inside in deciding.items():
        measured.append((inside, _of_decisions(cases, inside, prefix, prevalence if prefix == DECISION else None)))
    measured += _with_dme(cases, counted, graded, *deciding.values())
    with_set = counted & cases.sets.any(axis=1)
    if with_set.any():
        measured.append((with_set, _of_sets(cases, with_set)))
    return _together(measured)


def _of_sets(cases: Cases, mask: Mask) -> Sums:
    """Statistics of prediction sets: how often they hold the reference grade, and how many grades they hold."""
    sets, grades = cases.sets[mask], cases.reference[mask]
    terms = one_by_one(sets[np.arange(len(grades)), grades], sets.sum(axis=1), np.ones(len(grades)))
    return Sums((terms,), lambda t: {"set_coverage": ratio(t[0], t[2]), "set_size": ratio(t[1], t[2])})


def _deciding(cases: Cases) -> dict[str, Mask]:
    """Return the photographs on which the decision is measured: those decided on, and all that could be read."""
    decision = np.array(cases.decision, dtype=object)
    return {
        DECISION: np.isin(decision, GRADED_DECISIONS),
        INCLUDING: np.asarray((decision != "") & (np.array(cases.status, dtype=object) != UNREADABLE), dtype=bool),
    }


def rates(cases: Cases, counted: Mask, graded: Mask) -> dict[str, Rate]:
    """List those statistics of `measures` that are shares of photographs, by name: their intervals are of rates.

    Args:
        cases: As of `measures`.
        counted: As of `measures`.
        graded: As of `measures`.
    """
    reference, answered, sets = cases.reference, cases.answered, cases.sets
    apart = np.abs(reference - answered)
    of_grades = {
        "accuracy": Rate(apart == 0, graded),
        "off_by_one": Rate(apart == 1, graded),
        "within_one": Rate(apart <= 1, graded),
        "set_coverage": Rate(sets[np.arange(len(reference)), reference], counted & sets.any(axis=1)),
    }
    for grade in range(GRADES):
        is_it, said_it = reference == grade, answered == grade
        of_grades |= _prefixed_rates(f"grade{grade}", is_it, said_it, graded)
        of_grades[f"grade{grade}_precision"] = Rate(is_it, graded & said_it)
    for name, cut in CUTS.items():
        of_grades |= _prefixed_rates(name, reference >= cut, answered >= cut, graded)
    referred = np.array(cases.decision, dtype=object) != "rescreen"
    for prefix, inside in _deciding(cases).items():
        of_grades |= _prefixed_rates(prefix, reference >= REFERABLE, referred, inside)
    for name, cut in OR_DME.items() if cases.dme is not None else ():
        known = cases.or_dme(name)
        of_grades |= _prefixed_rates(name, known.positive, answered >= cut, graded & known.known)
        for prefix, inside in _deciding(cases).items():
            of_grades |= _prefixed_rates(f"{prefix}_{name}", known.positive, referred, inside & known.known)
    return of_grades


def _prefixed_rates(prefix: str, positive: Mask, said: Mask, inside: Mask) -> dict[str, Rate]:
    return {
        f"{prefix}_sensitivity": Rate(said, inside & positive),
        f"{prefix}_specificity": Rate(~said, inside & ~positive),
    }


def of_probabilities(cases: Cases, mask: Mask) -> Together:
    """Statistics of p0 to p4 as a whole: calibration, proper scores, and AUROC of each grade and of all."""
    probabilities, reference = cases.probabilities[mask], cases.reference[mask]
    return Together(
        (
            of_pairs(reference, probabilities),
            of_calibration(probabilities, reference, "calibration_error"),
            of_calibration(probabilities, reference, "calibration_error_equal_mass", equal_mass=True),
            of_classwise(probabilities, reference, "calibration_error_classwise"),
            of_proper_scores(probabilities, reference),
        )
    )


def _together(measured: list[tuple[Mask, Sums | Together]]) -> list[Measure]:
    groups: dict[bytes, list[tuple[Mask, Sums | Together]]] = {}
    for measure in measured:
        groups.setdefault(measure[0].tobytes(), []).append(measure)
    return [(group[0][0], Together(tuple(statistics for _, statistics in group))) for group in groups.values()]


def _of_grades(cases: Cases, mask: Mask, prevalence: float | None) -> Sums:
    def read(counts: Confusions) -> Mapping[str, Values]:
        values = agreement_statistics(counts) | class_statistics(counts) | cut_statistics(counts)
        for grade in range(GRADES):
            values |= _prefixed(f"grade{grade}", grade_statistics(counts, grade))
        return values | _predictive(values, "referable", prevalence)

    return of_confusions(cases.reference[mask], cases.answered[mask], read)


def of_scores(cases: Cases, mask: Mask, name: str, cut: int) -> Together:
    """Statistics of one cut's score, after its name in `grades.CUTS`: AUROC, precision, rates.

    Of referable disease, whose score decides, also the Brier score.
    """
    positive, scores = cases.reference[mask] >= cut, cases.score(name)[mask]
    ranking = of_ranking(positive, scores, name)
    if cut != REFERABLE:
        return ranking
    return Together((ranking, of_brier_parts(positive, scores, prefix=f"{name}_")))


def of_ranking(positive: Answers, scores: Scores, name: str) -> Together:
    """Statistics of a score by its order alone, after the name of the question: AUROC, average precision, rates."""

    def read(of: Curves) -> Mapping[str, Values]:
        values = {"average_precision": average_precisions(of)}
        for per_cent in RATES_WANTED:
            values[f"sensitivity_at_specificity_{per_cent}"] = sensitivities_at(of, per_cent / 100)
            values[f"specificity_at_sensitivity_{per_cent}"] = specificities_at(of, per_cent / 100)
        return {f"{name}_{statistic}": rates for statistic, rates in values.items()}

    return Together((of_auroc(positive, scores, f"{name}_auroc"), of_curves(positive, scores, read)))


def _with_dme(cases: Cases, counted: Mask, graded: Mask, decided: Mask, answered: Mask) -> list[tuple[Mask, Together]]:
    """Statistics of score, grade and decision against the questions of `grades.OR_DME`, where `dme` is known.

    Neither Brier scores nor predictive values: p_referable is the probability of a grade, and the prevalence that of
    a grade.
    """
    if cases.dme is None:
        return []
    referred = np.array(cases.decision, dtype=object) != "rescreen"
    measured = []
    for name, cut in OR_DME.items():
        reference, score = cases.or_dme(name), cases.score(name.removesuffix(SUFFIX))
        scored = counted & reference.known & ~np.isnan(score)
        measured.append((scored, of_ranking(reference.positive[scored], score[scored], name)))
        for prefix, mask, said, f1 in (
            (name, graded, cases.answered >= cut, True),
            (f"{DECISION}_{name}", decided, referred, False),
            (f"{INCLUDING}_{name}", answered, referred, False),
        ):
            inside = mask & reference.known
            hits = of_hits(reference.positive[inside], said[inside], f1=f1)
            measured.append((inside, Together((hits,), partial(_prefixed, prefix))))
    return measured


def _prefixed(prefix: str, values: Mapping[str, Values]) -> dict[str, Values]:
    return {f"{prefix}_{name}": rates for name, rates in values.items()}


def _of_decisions(cases: Cases, mask: Mask, name: str, prevalence: float | None) -> Together:
    referred = np.array(cases.decision, dtype=object)[mask] != "rescreen"

    def named(rates: Mapping[str, Values]) -> Mapping[str, Values]:
        values = _prefixed(name, rates)
        return values | _predictive(values, name, prevalence)

    return Together((of_hits(cases.reference[mask] >= REFERABLE, referred),), named)


def _predictive(values: Mapping[str, Values], name: str, prevalence: float | None) -> dict[str, Values]:
    if prevalence is None:
        return {}
    ppv, npv = predictive_values(values[f"{name}_sensitivity"], values[f"{name}_specificity"], prevalence)
    return {f"{name}_ppv_at_prevalence": ppv, f"{name}_npv_at_prevalence": npv}
