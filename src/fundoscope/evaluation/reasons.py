"""Why a statistic, or its interval, is not there: in words, for the reader of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.interval import Interval
from fundoscope.grades import CUTS, GRADE_NAMES, GRADES

Mask = Bool[np.ndarray, " photo"]


def why_missing(cases: Cases, counted: Mask) -> dict[str, str]:
    """Reasons that follow from what the table holds and which grades occur, by the name of the statistic."""
    return dict([*_of_scores(cases, counted), *_of_decisions(cases), *_of_grades(cases, counted)])


def why_no_interval(interval: Interval, resamples: int) -> str:
    """Reason that follows from the draws."""
    if math.isnan(interval.estimate):
        return "undefined on these photographs"
    if interval.undefined == resamples:
        return "no interval: fewer than two patients"
    return f"no interval: undefined on {interval.undefined} of {resamples} draws of patients"


def _of_scores(cases: Cases, counted: Mask) -> Iterator[tuple[str, str]]:
    for name, cut in CUTS.items():
        scored = counted & ~np.isnan(cases.score(name))
        reference = cases.reference[scored]
        if not scored.any():
            yield f"{name}_auroc", "the predictions hold no probability of it"
        elif (reference >= cut).all():
            yield f"{name}_auroc", f"no photograph of a grade below {cut}"
        elif (reference < cut).all():
            yield f"{name}_auroc", f"no photograph of grade {cut} or above"
    if np.isnan(cases.probabilities[counted]).all():
        yield "calibration_error", "the predictions hold no p0 to p4"


def _of_decisions(cases: Cases) -> Iterator[tuple[str, str]]:
    if not any(cases.decision):
        for name in ("decision", "decision_cannot_grade_as_refer"):
            for rate in ("sensitivity", "specificity"):
                yield f"{name}_{rate}", "the predictions hold no decision"


def _of_grades(cases: Cases, counted: Mask) -> Iterator[tuple[str, str]]:
    answered = cases.answered[counted]
    if not (answered >= 0).any():
        for name in ("quadratic_kappa", "linear_kappa", "unweighted_kappa", "accuracy"):
            yield name, "the predictions hold no grade"
        return
    for grade in range(GRADES):
        if not (cases.reference[counted & (cases.answered >= 0)] == grade).any():
            yield f"grade{grade}_sensitivity", f"no photograph of grade {grade} ({GRADE_NAMES[grade]})"
        if not (answered == grade).any():
            yield f"grade{grade}_precision", f"grade {grade} was never answered"
