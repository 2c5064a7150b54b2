"""Why a statistic, or its interval, is not there: in words, for the reader of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from fundoscope.arrays import Grades
from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.measures import SUFFIX, Mask
from fundoscope.evaluation.statistics.interval import UNDEFINED_SHARE, Interval
from fundoscope.grades import CUTS, GRADE_NAMES, GRADES, OR_DME

OF_PROBABILITIES: Final = (
    "calibration_error",
    "calibration_error_equal_mass",
    "calibration_error_classwise",
    "brier",
    "log_loss",
    "auroc_one_vs_rest",
    "auroc_one_vs_one",
    *(f"grade{grade}_auroc" for grade in range(GRADES)),
)
"""Statistics that need all five probabilities."""


def why_missing(cases: Cases, counted: Mask) -> dict[str, str]:
    """Return reasons that follow from the table's columns and the grades that occur, by the name of the statistic."""
    parts = (_of_scores(cases, counted), _of_scores_or_dme(cases, counted), _of_decisions(cases))
    return dict([reason for part in (*parts, _of_grades(cases, counted)) for reason in part])


UPWARD_BIAS: Final = "no interval: chance raises it"
"""Of the statistics in `reliability.BIASED`: every resample raises them once more, so that no interval would cover."""


def why_no_interval(interval: Interval, resamples: int) -> str:
    """Return the reason that follows from the resamples.

    They hardly vary where nobody was missed, where all lie on one side of the estimate, and where all depends on one
    patient, whom BCa cannot leave out.
    """
    if math.isnan(interval.estimate):
        return "undefined on these photographs"
    if interval.undefined == resamples:
        return "no interval: fewer than two patients"
    if interval.undefined <= UNDEFINED_SHARE * resamples:
        return "no interval: resamples hardly vary"
    return f"no interval: undefined on {interval.undefined} of {resamples} resamples of patients"


def _of_scores(cases: Cases, counted: Mask) -> Iterator[tuple[str, str]]:
    for name, cut in CUTS.items():
        reference = cases.reference[counted & ~np.isnan(cases.score(name))]
        why = _of_cut(reference, cut)
        if why:
            yield f"{name}_auroc", why
        if why and not (reference >= cut).any():
            yield f"{name}_average_precision", why
    if np.isnan(cases.probabilities[counted]).all():
        for name in OF_PROBABILITIES:
            yield name, "the predictions have no p0 to p4"
        return
    for grade in range(GRADES):
        if not (cases.reference[counted & ~np.isnan(cases.probabilities[:, 0])] == grade).any():
            yield f"grade{grade}_auroc", f"no photograph of grade {grade} ({GRADE_NAMES[grade]})"


def _of_cut(reference: Grades, cut: int) -> str:
    if not len(reference):
        return "the predictions have no probability of it"
    if (reference >= cut).all():
        return f"no photograph of a grade below {cut}"
    return "" if (reference >= cut).any() else f"no photograph of grade {cut} or above"


def _of_decisions(cases: Cases) -> Iterator[tuple[str, str]]:
    questions = ["", *(f"_{name}" for name in OR_DME if cases.dme is not None)]
    if not any(cases.decision):
        for name in ("decision", "decision_cannot_grade_as_refer"):
            for question in questions:
                for rate in ("sensitivity", "specificity"):
                    yield f"{name}{question}_{rate}", "the predictions have no decision"


def _of_scores_or_dme(cases: Cases, counted: Mask) -> Iterator[tuple[str, str]]:
    for name in OR_DME if cases.dme is not None else ():
        reference = cases.or_dme(name)
        scored = counted & reference.known & ~np.isnan(cases.score(name.removesuffix(SUFFIX)))
        positive = reference.positive[scored]
        if not scored.any():
            yield f"{name}_auroc", "the predictions have no probability of the grade"
        elif positive.all() or not positive.any():
            yield f"{name}_auroc", f"no {'negative' if positive.all() else 'positive'} photograph"


def _of_grades(cases: Cases, counted: Mask) -> Iterator[tuple[str, str]]:
    answered = cases.answered[counted]
    if not (answered >= 0).any():
        for name in ("quadratic_kappa", "linear_kappa", "unweighted_kappa", "accuracy"):
            yield name, "the predictions have no grade"
        return
    for grade in range(GRADES):
        if not (cases.reference[counted & (cases.answered >= 0)] == grade).any():
            yield f"grade{grade}_sensitivity", f"no photograph of grade {grade} ({GRADE_NAMES[grade]})"
        if not (answered == grade).any():
            yield f"grade{grade}_precision", f"grade {grade} was never answered"
