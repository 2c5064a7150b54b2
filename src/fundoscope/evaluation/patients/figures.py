"""Figures of patients: what a screening programme counts, beside those of photographs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from fundoscope.evaluation.patients.outcomes import UNKNOWN, Outcomes, outcomes_of, were_graded
from fundoscope.evaluation.statistics.agreement import agreement_statistics, of_confusions
from fundoscope.evaluation.statistics.detection import of_auroc, of_hits
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, widened
from fundoscope.grades import DECISIONS, REFERABLE, RESCREEN

Mask = Bool[np.ndarray, " patient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFigures:
    """What came out for patients, each by the worst eye."""

    counts: dict[str, int]
    """Patients, and how many of them lack what."""
    decisions: dict[str, dict[str, int]]
    """Decisions among the referable and the not referable patients, and among those of whom it is not known; empty of a
    system that neither decides nor grades."""
    intervals: dict[str, Interval]
    """Statistics by name. `sensitivity` and `specificity` count a patient who cannot be graded as referred, those
    `_graded` leave such patients out; `_or_dme` are against grade or macular oedema. `referable_auroc` and
    `quadratic_kappa` are of patients each of whose eyes was graded."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        return {
            "counts": dict(self.counts),
            "decisions": {side: dict(counts) for side, counts in self.decisions.items()},
            "statistics": {name: interval.to_dict() for name, interval in self.intervals.items()},
        }


def patient_figures(
    matched: pd.DataFrame, *, resamples: int = 2000, seed: int = 0, level: float = 0.95, method: str = "auto"
) -> PatientFigures | None:
    """Measure decisions, grades and scores by patient; None where no photograph names its patient.

    Args:
        matched: Photographs with a prediction, reference grade or not, and the others of their patients
            (`outcomes.with_unanswered`).
        resamples: Bootstrap resamples of patients.
        seed: Seed of the resamples.
        level: Confidence level of the intervals.
        method: A name in `interval.INTERVALS`.
    """
    outcomes = outcomes_of(matched)
    if outcomes is None:
        return None
    has_reference, positive = outcomes.reference != UNKNOWN, outcomes.reference >= REFERABLE
    sent = np.array([decision != RESCREEN for decision in outcomes.decision], dtype=bool)
    graded = were_graded(outcomes.decision)
    oedema = outcomes.referable_or_dme
    questions = {
        "": (positive, has_reference),
        "_graded": (positive, has_reference & graded),
        "_or_dme": (oedema == 1, oedema != UNKNOWN),
    }
    options: dict[str, Any] = {"resamples": resamples, "level": level, "method": method}
    intervals: dict[str, Interval] = {}
    rates: dict[str, Rate] = {}
    numbers = np.arange(len(positive))
    for suffix, (ill, inside) in questions.items():
        if not inside.any() or not outcomes.decides:
            continue
        measured = patient_intervals(
            of_hits(ill[inside], sent[inside]), numbers[inside], rng=np.random.default_rng(seed), **options
        )
        intervals |= {f"{name}{suffix}": interval for name, interval in measured.items()}
        rates[f"sensitivity{suffix}"] = Rate(sent, inside & ill)
        rates[f"specificity{suffix}"] = Rate(~sent, inside & ~ill)
    intervals = widened(intervals, rates, numbers)
    intervals |= _of_grades_and_scores(outcomes, has_reference, options, seed)
    return PatientFigures(
        counts=_counts(outcomes), decisions=_decisions(outcomes) if outcomes.decides else {}, intervals=intervals
    )


def _of_grades_and_scores(
    outcomes: Outcomes, has_reference: Mask, options: dict[str, Any], seed: int
) -> dict[str, Interval]:
    """AUROC of the highest score and kappa of the worst grade, of patients all of whose eyes have them."""
    numbers = np.arange(len(has_reference))
    intervals: dict[str, Interval] = {}
    scored = has_reference & ~np.isnan(outcomes.scores)
    if scored.any():
        of_scores = of_auroc(outcomes.reference[scored] >= REFERABLE, outcomes.scores[scored], "referable_auroc")
        intervals |= patient_intervals(of_scores, numbers[scored], rng=np.random.default_rng(seed), **options)
    graded = has_reference & (outcomes.answered >= 0) & ~outcomes.unknown_eye
    if graded.any():
        of_grades = of_confusions(
            outcomes.reference[graded],
            outcomes.answered[graded].astype(np.int64),
            lambda counts: {"quadratic_kappa": agreement_statistics(counts)["quadratic_kappa"]},
        )
        intervals |= patient_intervals(of_grades, numbers[graded], rng=np.random.default_rng(seed), **options)
    return intervals


def _counts(outcomes: Outcomes) -> dict[str, int]:
    has_reference = outcomes.reference != UNKNOWN
    return {
        "patients": len(has_reference),
        "without_reference": int((~has_reference).sum()),
        "referable": int((outcomes.reference >= REFERABLE).sum()),
        "ungraded_eye": int(outcomes.ungraded_eye.sum()),
        "one_eye": int(outcomes.one_eye.sum()),
    }


def _decisions(outcomes: Outcomes) -> dict[str, dict[str, int]]:
    sides = {"referable": outcomes.reference >= REFERABLE, "without_reference": outcomes.reference == UNKNOWN}
    sides["not_referable"] = ~sides["referable"] & ~sides["without_reference"]
    counted = {
        side: Counter(decision for decision, inside in zip(outcomes.decision, mask.tolist(), strict=True) if inside)
        for side, mask in sides.items()
    }
    return {side: {name: counts[name] for name in DECISIONS} for side, counts in counted.items()}
