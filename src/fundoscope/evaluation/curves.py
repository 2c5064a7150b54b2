"""Curves with bootstrapped bands: ROC, precision-recall, reliability and net benefit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int

from fundoscope.arrays import Grades, Scores
from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.measures import SUFFIX, Mask
from fundoscope.evaluation.statistics.agreement import Values
from fundoscope.evaluation.statistics.detection import ROUNDING, Answers, curves, hit_rates
from fundoscope.evaluation.statistics.interval import Interval, Weights, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, rate_interval
from fundoscope.evaluation.statistics.reliability import equal_mass_bins
from fundoscope.evaluation.statistics.sums import ratio
from fundoscope.grades import CUTS, GRADED_DECISIONS, OR_DME, REFERABLE
from fundoscope.records import null_if_nan, without_nan

GRID: Final = tuple(round(step / 50, 2) for step in range(51))
"""Places at which a curve is read: shares of false alarms, and sensitivities."""

THRESHOLDS: Final = tuple(round(step / 100, 2) for step in range(1, 100))
"""Of a decision curve: probabilities from which on one would refer."""

RELIABILITY_BINS: Final = 10
"""Bins of equally many photographs."""


Places = Float[np.ndarray, "draw place"]
"""Values of each draw at each place."""

Read = Callable[[Weights], Places]
"""Computes a curve for each row of weights."""

Referrals = tuple[Int[np.ndarray, " chosen"], Bool[np.ndarray, " chosen"]]
"""Photographs that were decided on, and whether each was referred."""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve over `at`, with its band."""

    at: tuple[float, ...]
    values: tuple[float, ...]
    """NaN where undefined."""
    low: tuple[float, ...]
    """NaN, as `high`, where there is no interval."""
    high: tuple[float, ...]

    def to_dict(self) -> dict[str, list[float | None]]:
        """As JSON can hold it: no NaN."""
        return {key: [null_if_nan(value) for value in getattr(self, key)] for key in ("at", "values", "low", "high")}


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveSet:
    """All lines; by the names of `grades.CUTS` where a cut has photographs on both sides and a score.

    ROC and precision-recall also by those of `grades.OR_DME`, where `dme` is known.
    """

    roc: dict[str, Line]
    """Sensitivity at each share of false alarms (1 - specificity)."""
    precision_recall: dict[str, Line]
    """Precision at each sensitivity."""
    operating: dict[str, float]
    """Of the decision, else the grade, for referable disease: sensitivity, specificity, precision; empty for none."""
    prevalence: dict[str, float]
    """Share of positive photographs of each cut."""
    reliability: dict[str, Line]
    """Observed share at the mean score of bins of equally many photographs."""
    net_benefit: dict[str, Line]
    """For referable disease: `model`, `refer_all`, `refer_none`, and `decision` (as answered, whatever the score)."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN."""
        lines = ("roc", "precision_recall", "reliability", "net_benefit")
        return {name: {key: line.to_dict() for key, line in getattr(self, name).items()} for name in lines} | {
            "operating": without_nan(self.operating),
            "prevalence": dict(self.prevalence),
        }


def compute_curves(
    cases: Cases, counted: Mask, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> CurveSet:
    """Compute every curve with its band: pointwise percentile intervals, bootstrapped by patient.

    Args:
        cases: Photographs with a reference grade.
        counted: Those that count.
        resamples: Bootstrap resamples of patients.
        seed: Seed of the resamples.
        level: Confidence level of a band, pointwise.
    """
    roc, precision, reliability, benefit, prevalence = {}, {}, {}, {}, {}
    referrals = _referrals(cases, counted)
    for name, (cut, known, reference) in _questions(cases).items():
        scored = np.flatnonzero(counted & known & ~np.isnan(cases.score(cut)))
        positive, score = reference[scored], cases.score(cut)[scored]
        if not positive.any() or positive.all():
            continue
        band = _Band(cases.patients[scored], resamples, seed, level)
        prevalence[name] = float(positive.mean())
        roc[name] = band.line(GRID, _roc(positive, score))
        precision[name] = band.line(GRID[1:], _precision(positive, score))
        if name in OR_DME:
            continue  # the score is the probability of a grade: neither its reliability nor its benefit is in question
        reliability[name] = band.reliability(positive, score)
        if CUTS[name] == REFERABLE:
            benefit = {
                "model": band.line(THRESHOLDS, net_benefits(positive, score[:, None] >= np.array(THRESHOLDS))),
                "refer_all": band.line(THRESHOLDS, net_benefits(positive, np.ones((len(score), 1), bool))),
                "refer_none": Line(THRESHOLDS, *([(0.0,) * len(THRESHOLDS)] * 3)),
            }
    if benefit and referrals is not None:
        inside, refer = referrals
        band = _Band(cases.patients[inside], resamples, seed, level)
        ill = cases.reference[inside] >= REFERABLE
        benefit["decision"] = band.line(THRESHOLDS, net_benefits(ill, refer[:, None]))
    return CurveSet(
        roc=roc,
        precision_recall=precision,
        operating=_operating(cases.reference, referrals),
        prevalence=prevalence,
        reliability=reliability,
        net_benefit=benefit,
    )


def _questions(cases: Cases) -> dict[str, tuple[str, Mask, Answers]]:
    """By the name of the question: the cut whose score answers it, where its answer is known, and the answer."""
    everywhere = np.ones(len(cases.reference), dtype=bool)
    questions = {name: (name, everywhere, cases.reference >= cut) for name, cut in CUTS.items()}
    for name in OR_DME if cases.dme is not None else ():
        reference = cases.or_dme(name)
        questions[name] = (name.removesuffix(SUFFIX), reference.known, reference.positive)
    return questions


def net_benefits(positive: Answers, referred: np.ndarray) -> Read:
    """Net benefit at each of `THRESHOLDS`: hits / all - false alarms / all * threshold / (1 - threshold).

    Vickers & Elkin, Medical Decision Making 26 (2006) 565-574: what a false alarm costs against a hit is what the
    threshold at which one would refer says.

    Args:
        positive: Of each photograph.
        referred: Of each photograph, for each threshold (one column: the same for all).
    """
    hits, alarms = (positive[:, None] & referred).astype(float), (~positive[:, None] & referred).astype(float)
    odds = np.array(THRESHOLDS) / (1 - np.array(THRESHOLDS))

    def benefit(weights: Weights) -> Places:
        return ratio(weights @ hits - (weights @ alarms) * odds, weights.sum(axis=1)[:, None])

    return benefit


class _Band:
    """Lines with bands of one set of photographs."""

    def __init__(self, patients: np.ndarray, resamples: int, seed: int, level: float) -> None:
        self.patients, self.resamples, self.seed, self.level = patients, resamples, seed, level

    def line(self, at: Sequence[float], values: Read) -> Line:
        """Of values of each draw, one column for each place."""

        def statistics(weights: Weights) -> Mapping[str, Values]:
            return {str(place): column for place, column in enumerate(values(weights).T)}

        return _line(at, self.intervals(statistics))

    def intervals(self, statistics: Callable[[Weights], Mapping[str, Values]]) -> list[Interval]:
        rng = np.random.default_rng(self.seed)
        intervals = patient_intervals(
            statistics, self.patients, rng=rng, level=self.level, resamples=self.resamples, method="percentile"
        )
        return [intervals[str(place)] for place in range(len(intervals))]

    def reliability(self, positive: Answers, score: Scores) -> Line:
        """Observed share in each bin that is not empty; bins are those of all photographs on every draw.

        The interval is that of a rate (`rates.rate_interval`).
        """
        bins = np.unique(equal_mass_bins(score, RELIABILITY_BINS), return_inverse=True)[1]
        inside = np.eye(int(bins.max()) + 1)[bins]
        means = (inside * score[:, None]).sum(axis=0) / inside.sum(axis=0)
        yes = inside * positive[:, None]

        def shares(weights: Weights) -> Mapping[str, Values]:
            return {str(place): share for place, share in enumerate(ratio(weights @ yes, weights @ inside).T)}

        intervals = [
            rate_interval(interval, Rate(positive, bins == place), self.patients)
            for place, interval in enumerate(self.intervals(shares))
        ]
        return _line(means.tolist(), intervals)


def _line(at: Sequence[float], intervals: Sequence[Interval]) -> Line:
    return Line(
        at=tuple(at),
        values=tuple(interval.estimate for interval in intervals),
        low=tuple(interval.low for interval in intervals),
        high=tuple(interval.high for interval in intervals),
    )


def _roc(positive: Answers, score: Scores) -> Read:
    """The highest sensitivity of a threshold with at most the share of false alarms of each place of `GRID`."""
    undefined = np.full(len(GRID), np.nan)

    def read(weights: Weights) -> Places:
        of, rows = curves(weights, positive, score), []
        for hits, alarms in zip(of.true_positives, of.false_positives, strict=True):
            allowed = np.array(GRID) * alarms[-1] * (1 + ROUNDING)
            best = hits[np.searchsorted(alarms, allowed, side="right") - 1]
            rows.append(best / hits[-1] if hits[-1] and alarms[-1] else undefined)
        return np.stack(rows)

    return read


def _precision(positive: Answers, score: Scores) -> Read:
    """The precision at the highest threshold with at least the sensitivity of each place of `GRID` but 0."""
    undefined = np.full(len(GRID) - 1, np.nan)

    def read(weights: Weights) -> Places:
        of, rows = curves(weights, positive, score), []
        for hits, alarms in zip(of.true_positives, of.false_positives, strict=True):
            at = np.searchsorted(hits, np.array(GRID[1:]) * hits[-1] * (1 - ROUNDING), side="left")
            rows.append(hits[at] / (hits[at] + alarms[at]) if hits[-1] else undefined)
        return np.stack(rows)

    return read


def _referrals(cases: Cases, counted: Mask) -> Referrals | None:
    """Photographs decided on (else graded), and whether they were referred; None for none."""
    decision = np.array(cases.decision, dtype=object)
    if any(cases.decision):
        inside = np.flatnonzero(counted & np.isin(decision, GRADED_DECISIONS))
        return (inside, np.asarray(decision[inside] == "refer", dtype=bool)) if len(inside) else None
    inside = np.flatnonzero(counted & (cases.answered >= 0))
    return (inside, cases.answered[inside] >= REFERABLE) if len(inside) else None


def _operating(reference: Grades, referrals: Referrals | None) -> dict[str, float]:
    if referrals is None:
        return {}
    inside, refer = referrals
    positive = reference[inside] >= REFERABLE
    sensitivity, specificity = hit_rates(np.ones((1, len(inside))), positive, refer)
    precision = float(positive[refer].mean()) if refer.any() else math.nan
    return {"sensitivity": float(sensitivity[0]), "specificity": float(specificity[0]), "precision": precision}
