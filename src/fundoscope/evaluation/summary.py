"""Everything `fundoscope evaluate` says about a predictions table, as one record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from fundoscope.evaluation.cases import UNGRADABLE, UNREADABLE, Cases
from fundoscope.evaluation.measures import DECISION, SUFFIX, measures, rates
from fundoscope.evaluation.reasons import UPWARD_BIAS, why_missing, why_no_interval
from fundoscope.evaluation.signs import Sign, evaluate_signs
from fundoscope.evaluation.statistics.agreement import confusions, row_shares
from fundoscope.evaluation.statistics.delong import DELONG, OBUCHOWSKI, delong
from fundoscope.evaluation.statistics.detection import predictive_values
from fundoscope.evaluation.statistics.interval import INTERVALS, Interval, patient_intervals, proportion_interval
from fundoscope.evaluation.statistics.rates import widened
from fundoscope.evaluation.statistics.reliability import BIASED, BINS, without_interval
from fundoscope.grades import CUTS, DECISIONS, OR_DME, REFERABLE
from fundoscope.records import null_if_nan

SCHEMA: Final = 1
"""Version of `Summary.to_dict`; it rises when a key changes its meaning or goes."""

HUMAN: Final = {
    "what": "two human graders on the same 1,593 photographs (RLDR's experts, Kaggle EyePACS)",
    "photographs": 1593,
    "quadratic_kappa": 0.554,
    "linear_kappa": 0.438,
    "unweighted_kappa": 0.332,
    "accuracy": 0.598,
    "within_one": 0.902,
}
"""What people reach on a lesion-rich selection with the same five grades: no ceiling, but a measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came out. A statistic that cannot be computed is in `missing`, with the reason."""

    counts: dict[str, int]
    """Photographs and patients, and what became of them."""
    support: tuple[int, ...]
    """Photographs of each reference grade among those whose grade is compared."""
    confusion: tuple[tuple[int, ...], ...]
    """Photographs by reference grade (rows) and answered grade (columns)."""
    decisions: dict[str, dict[str, int]]
    """Decisions among the referable and the not referable photographs; also by each of `or_dme`."""
    or_dme: dict[str, dict[str, int]]
    """Photographs by each question of `grades.OR_DME`: positive, negative, unknown and left out, and of the negative
    those with oedema not known to be referable; empty where no photograph's `dme` is known."""
    intervals: dict[str, Interval]
    """Statistics by name: `quadratic_kappa`, `grade2_sensitivity`, `referable_auroc`, ...; those of shares of
    photographs by `rates.rate_interval`."""
    exact: dict[str, tuple[float, float]]
    """Clopper-Pearson bounds of the decision's sensitivity and specificity, as if photographs were independent."""
    wilson: dict[str, tuple[float, float]]
    """Wilson's of the same."""
    delong: dict[str, tuple[float, float]]
    """DeLong's bounds of the AUROCs, as `delong_method` says; NaN where the ranking is perfect."""
    delong_method: str
    """Which variance: whether photographs were clustered in patients."""
    signs: dict[str, Sign]
    """By name, where the manifest has `sign_` columns that the predictions answer."""
    missing: dict[str, str]
    """Why a statistic, or its interval, is not there."""
    level: float
    resamples: int
    seed: int
    include_ungradable: bool
    method: str
    """A name in `INTERVALS`."""
    prevalence: float | None
    """Share of referable photographs that the predictive values are for; None: there are none."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN; keys only ever added while `schema` stays."""
        return {
            "schema": SCHEMA,
            "interval": INTERVALS[self.method],
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "include_ungradable": self.include_ungradable,
            "ece_bins": BINS,
            "counts": dict(self.counts),
            "support": list(self.support),
            "confusion": [list(row) for row in self.confusion],
            "decisions": {side: dict(counts) for side, counts in self.decisions.items()},
            "statistics": {name: self._entry(name) for name in sorted({*self.intervals, *self.missing})},
            "human": dict(HUMAN),
            "confusion_shares": [[null_if_nan(share) for share in row] for row in self.confusion_shares],
            "prevalence": self.prevalence,
            "delong": self.delong_method,
            "signs": {name: _of_sign(sign) for name, sign in self.signs.items()},
            "or_dme": {name: dict(counts) for name, counts in self.or_dme.items()},
        }

    @property
    def confusion_shares(self) -> tuple[tuple[float, ...], ...]:
        """Each row of the confusion matrix as shares; NaN in the row of a grade that does not occur."""
        shares = row_shares(np.array([self.confusion], dtype=np.float64))[0]
        return tuple(tuple(float(share) for share in row) for row in shares)

    def _entry(self, name: str) -> dict[str, Any]:
        interval = self.intervals.get(name, Interval(math.nan, math.nan, math.nan, self.level, self.resamples))
        entry: dict[str, Any] = {**interval.to_dict()}
        for kind, bounds in (("exact", self.exact), ("wilson", self.wilson), ("delong", self.delong)):
            if name in bounds:
                entry[f"{kind}_low"], entry[f"{kind}_high"] = map(null_if_nan, bounds[name])
        if name in self.missing:
            entry["reason"] = self.missing[name]
        return entry


def summarise(
    cases: Cases,
    *,
    include_ungradable: bool = False,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    method: str = "auto",
    prevalence: float | None = None,
) -> Summary:
    """Measure predictions against the reference grades beside them.

    Grades and scores are measured on the photographs that were graded; with `include_ungradable`
    also on those refused for their quality that have probabilities all the same. The decision is
    measured on all that were not unreadable: once without those that could not be graded, once
    counting them as referred.

    Args:
        cases: Photographs with predictions and reference grades.
        include_ungradable: Count photographs refused for their quality, where they have probabilities.
        resamples: Bootstrap resamples of patients.
        seed: Seed of the resamples; the same seed gives the same intervals.
        level: Confidence level of the intervals.
        method: Of the intervals, a name in `interval.INTERVALS`.
        prevalence: Prevalence of referable disease at which predictive values are computed; None: they are not.

    Raises:
        ValueError: If `level` or `prevalence` is not a proportion, or `method` is not known.
    """
    counted = cases.counted(include_ungradable=include_ungradable)
    graded = counted & (cases.answered >= 0)
    missing = why_missing(cases, counted)
    intervals: dict[str, Interval] = {}
    for mask, statistics in measures(cases, counted, graded, prevalence=prevalence):
        intervals |= patient_intervals(
            statistics,
            cases.patients[mask],
            rng=np.random.default_rng(seed),
            level=level,
            resamples=resamples,
            method=method,
        )
    intervals = widened(intervals, rates(cases, counted, graded), cases.patients)
    intervals |= dict(_predictive_values(intervals, prevalence))
    for name, interval in intervals.items():
        if name.removeprefix("referable_") in BIASED:
            intervals[name] = without_interval(interval)
            missing.setdefault(name, UPWARD_BIAS)
        elif math.isnan(interval.low) and name not in missing:
            missing[name] = why_no_interval(interval, resamples)
    delong_bounds, delong_method = _delong(cases, counted, level)
    table = confusions(np.ones((1, int(graded.sum()))), cases.reference[graded], cases.answered[graded])[0]
    return Summary(
        counts=_counts(cases, counted, graded),
        support=tuple(int(count) for count in table.sum(axis=1)),
        confusion=tuple(tuple(int(count) for count in row) for row in table),
        decisions=_decisions(cases),
        or_dme=_or_dme(cases),
        intervals=intervals,
        exact=_proportions(cases, level, "clopper-pearson"),
        wilson=_proportions(cases, level, "wilson"),
        delong=delong_bounds,
        delong_method=delong_method,
        signs=evaluate_signs(cases.matched, seed=seed, resamples=resamples, level=level, method=method),
        missing=missing,
        level=level,
        resamples=resamples,
        seed=seed,
        include_ungradable=include_ungradable,
        method=method,
        prevalence=prevalence,
    )


def _predictive_values(intervals: Mapping[str, Interval], prevalence: float | None) -> Iterator[tuple[str, Interval]]:
    """Yield predictive values with the interval that follows from those of sensitivity and specificity.

    Both errors added in squares (MOVER: Zou & Donner, Stat Med 27, 2008, 1693-1702), where the bootstrap has none or a
    narrower one: it has no width where no photograph was called wrongly.
    """
    for name in ("referable", DECISION) if prevalence is not None else ():
        rates = tuple(intervals[f"{name}_{rate}"] for rate in ("sensitivity", "specificity"))
        for at, value in enumerate(("ppv", "npv")):
            own = intervals[f"{name}_{value}_at_prevalence"]
            if not any(math.isnan(bound) for bound in (own.estimate, *(rate.low for rate in rates))):
                low, high = _mover(own.estimate, rates, at, prevalence or 0.0)
                yield (
                    f"{name}_{value}_at_prevalence",
                    replace(own, low=float(np.fmin(low, own.low)), high=float(np.fmax(high, own.high))),
                )


def _mover(estimate: float, rates: tuple[Interval, ...], at: int, prevalence: float) -> tuple[float, float]:
    """Return the bounds of a predictive value, number `at` of `predictive_values`, which rises with both rates."""
    errors = {"low": 0.0, "high": 0.0}
    for side in errors:
        for moved in range(2):
            ends = [getattr(rate, side if at_rate == moved else "estimate") for at_rate, rate in enumerate(rates)]
            value = predictive_values(np.array([ends[0]]), np.array([ends[1]]), prevalence)[at][0]
            errors[side] += float(np.nan_to_num(value - estimate)) ** 2
    return max(0.0, estimate - math.sqrt(errors["low"])), min(1.0, estimate + math.sqrt(errors["high"]))


def _counts(cases: Cases, counted: Bool[np.ndarray, " photo"], graded: Bool[np.ndarray, " photo"]) -> dict[str, int]:
    status = Counter(cases.status)
    return {
        "matched": len(cases.matched),
        "without_reference_grade": len(cases.matched) - len(cases.reference),
        "photographs": len(cases.reference),
        "patients": len(np.unique(cases.patients)),
        "without_patient": cases.without_patient,
        "ungradable": status[UNGRADABLE],
        "unreadable": status[UNREADABLE],
        "measured": int(counted.sum()),
        "measured_patients": len(np.unique(cases.patients[counted])),
        "with_grade": int(graded.sum()),
        "with_probabilities": int((counted & ~np.isnan(cases.probabilities[:, 0])).sum()),
    }


def _questions(cases: Cases) -> Iterator[tuple[str, Bool[np.ndarray, " photo"], Bool[np.ndarray, " photo"]]]:
    """What decisions are measured against: the name, the positive photographs and the negative ones."""
    yield "referable", cases.reference >= REFERABLE, cases.reference < REFERABLE
    for name in OR_DME if cases.dme is not None else ():
        reference = cases.or_dme(name)
        yield name, reference.positive, reference.known & ~reference.positive


def _decisions(cases: Cases) -> dict[str, dict[str, int]]:
    decision = np.array([text or "none" for text in cases.decision], dtype=object)
    return {
        side: {name: int((decision[mask] == name).sum()) for name in (*DECISIONS, "none")}
        for question, positive, negative in _questions(cases)
        for side, mask in ((question, positive), (f"not_{question}", negative))
    }


def _or_dme(cases: Cases) -> dict[str, dict[str, int]]:
    references = {name: cases.or_dme(name) for name in OR_DME if cases.dme is not None}
    return {
        name: {
            "positive": int(reference.positive.sum()),
            "negative": int((reference.known & ~reference.positive).sum()),
            "unknown": int((~reference.known).sum()),
            "negative_with_dme_present": int(reference.present.sum()),
        }
        for name, reference in references.items()
    }


def _delong(
    cases: Cases, counted: Bool[np.ndarray, " photo"], level: float
) -> tuple[dict[str, tuple[float, float]], str]:
    """DeLong's bounds of the AUROC of each question, and which variance was taken on all photographs counted."""
    questions = {name: (name, counted, cases.reference >= cut) for name, cut in CUTS.items()}
    for name in OR_DME if cases.dme is not None else ():
        reference = cases.or_dme(name)
        questions[name] = (name.removesuffix(SUFFIX), counted & reference.known, reference.positive)
    bounds_of = {}
    for name, (cut, mask, positive) in questions.items():
        scored = mask & ~np.isnan(cases.score(cut))
        areas = delong(positive[scored], cases.score(cut)[scored][None], cases.patients[scored])
        bounds_of[f"{name}_auroc"] = areas.interval(0, level)
    patients = cases.patients[counted]
    return bounds_of, OBUCHOWSKI if len(set(patients.tolist())) < len(patients) else DELONG


def _proportions(cases: Cases, level: float, method: str) -> dict[str, tuple[float, float]]:
    """Intervals beside the bootstrap, which has no width where nothing was missed."""
    bounds_of = {}
    counts = _decisions(cases)
    for question, _, _ in _questions(cases):
        prefix = DECISION if question == "referable" else f"{DECISION}_{question}"
        for side, rate, hit, miss in (
            (question, "sensitivity", "refer", "rescreen"),
            (f"not_{question}", "specificity", "rescreen", "refer"),
        ):
            total = counts[side][hit] + counts[side][miss]
            if total:
                bounds_of[f"{prefix}_{rate}"] = proportion_interval(
                    counts[side][hit], total, level=level, method=method
                )
    return bounds_of


def _of_sign(sign: Sign) -> dict[str, Any]:
    statistics = {name: interval.to_dict() for name, interval in sign.intervals.items()}
    return {"photographs": sign.photographs, "positives": sign.positives, "statistics": statistics}
