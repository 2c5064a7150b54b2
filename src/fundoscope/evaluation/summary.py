"""Everything `fundoscope evaluate` says about a predictions table, as one record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from fundoscope.evaluation.agreement import agreement_statistics, confusions, cut_statistics, grade_statistics
from fundoscope.evaluation.cases import UNGRADABLE, UNREADABLE, Cases, cases_of
from fundoscope.evaluation.detection import aurocs, hit_rates
from fundoscope.evaluation.interval import Interval, Statistics, Weights, patient_intervals, proportion_interval
from fundoscope.evaluation.reasons import why_missing, why_no_interval
from fundoscope.evaluation.reliability import BINS, calibration_errors
from fundoscope.grades import CUTS, GRADES, REFERABLE

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

DECISION: Final = "decision"
INCLUDING: Final = "decision_cannot_grade_as_refer"

Values = Float[np.ndarray, " draw"]


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
    """Decisions among the referable and the not referable photographs."""
    intervals: dict[str, Interval]
    """Statistics by name: `quadratic_kappa`, `grade2_sensitivity`, `referable_auroc`, ..."""
    exact: dict[str, tuple[float, float]]
    """Clopper-Pearson bounds of the decision's sensitivity and specificity, as if photographs were independent."""
    missing: dict[str, str]
    """Why a statistic, or its interval, is not there."""
    level: float
    resamples: int
    seed: int
    include_ungradable: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN; keys only ever added while `schema` stays."""
        return {
            "schema": SCHEMA,
            "interval": "percentile bootstrap, patients drawn with replacement",
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
        }

    def _entry(self, name: str) -> dict[str, Any]:
        interval = self.intervals.get(name, Interval(math.nan, math.nan, math.nan, self.level, self.resamples))
        entry: dict[str, Any] = {key: _plain(getattr(interval, key)) for key in ("estimate", "low", "high")}
        entry["undefined"] = interval.undefined
        if name in self.exact:
            entry["exact_low"], entry["exact_high"] = self.exact[name]
        if name in self.missing:
            entry["reason"] = self.missing[name]
        return entry


def evaluate(
    rows: pd.DataFrame,
    *,
    include_ungradable: bool = False,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Summary:
    """Measure predictions against the reference grades beside them.

    Grades and scores are measured on the photographs that were graded; with `include_ungradable`
    also on those refused for their quality that have probabilities all the same. The decision is
    measured on all that were not unreadable: once without those that could not be graded, once
    counting them as referred.

    Args:
        rows: `Joined.rows` of a checked manifest and checked predictions.
        include_ungradable: Count photographs refused for their quality, where they have probabilities.
        resamples: Draws of patients.
        seed: Of the draws; the same seed gives the same intervals.
        level: Share of draws inside an interval.

    Raises:
        ValueError: If `level` is not a proportion.
    """
    cases = cases_of(rows)
    counted = cases.counted(include_ungradable=include_ungradable)
    graded = counted & (cases.answered >= 0)
    missing = why_missing(cases, counted)
    intervals: dict[str, Interval] = {}
    for mask, statistics in _together(_measures(cases, counted, graded)):
        rng = np.random.default_rng(seed)
        intervals |= patient_intervals(statistics, cases.patients[mask], rng=rng, level=level, resamples=resamples)
    for name, interval in intervals.items():
        if math.isnan(interval.low) and name not in missing:
            missing[name] = why_no_interval(interval, resamples)
    table = confusions(np.ones((1, int(graded.sum()))), cases.reference[graded], cases.answered[graded])[0]
    return Summary(
        counts=_counts(rows, cases, counted, graded),
        support=tuple(int(count) for count in table.sum(axis=1)),
        confusion=tuple(tuple(int(count) for count in row) for row in table),
        decisions=_decisions(cases),
        intervals=intervals,
        exact=_exact(cases, level),
        missing=missing,
        level=level,
        resamples=resamples,
        seed=seed,
        include_ungradable=include_ungradable,
    )


Measure = tuple[Bool[np.ndarray, " photo"], Statistics]
"""Which photographs, and what is computed on them."""


def _measures(cases: Cases, counted: Bool[np.ndarray, " photo"], graded: Bool[np.ndarray, " photo"]) -> list[Measure]:
    measures: list[Measure] = [(graded, _of_grades(cases, graded))]
    for name, cut in CUTS.items():
        scored = counted & ~np.isnan(cases.score(name))
        measures.append((scored, _of_scores(cases, scored, name, cut)))
    sure = counted & ~np.isnan(cases.probabilities[:, 0])
    measures.append((sure, _of_probabilities(cases, sure)))
    decision = np.array(cases.decision, dtype=object)
    decided = np.isin(decision, ["refer", "rescreen"])
    measures.append((decided, _of_decisions(cases, decided, DECISION)))
    answered = (decision != "") & (np.array(cases.status, dtype=object) != UNREADABLE)
    measures.append((answered, _of_decisions(cases, answered, INCLUDING)))
    return measures


def _together(measures: list[Measure]) -> list[Measure]:
    """Measures on the same photographs as one: they share the draws, which are most of the work."""
    groups: dict[bytes, list[Measure]] = {}
    for measure in measures:
        groups.setdefault(measure[0].tobytes(), []).append(measure)
    return [(group[0][0], _all_of([statistics for _, statistics in group])) for group in groups.values()]


def _all_of(several: list[Statistics]) -> Statistics:
    return lambda weights: {name: values for each in several for name, values in each(weights).items()}


def _of_grades(cases: Cases, mask: Bool[np.ndarray, " photo"]) -> Statistics:
    reference, answered = cases.reference[mask], cases.answered[mask]

    def statistics(weights: Weights) -> Mapping[str, Values]:
        counts = confusions(weights, reference, answered)
        values = agreement_statistics(counts) | cut_statistics(counts)
        for grade in range(GRADES):
            values |= {f"grade{grade}_{name}": each for name, each in grade_statistics(counts, grade).items()}
        return values

    return statistics


def _of_scores(cases: Cases, mask: Bool[np.ndarray, " photo"], name: str, cut: int) -> Statistics:
    positive, scores = cases.reference[mask] >= cut, cases.score(name)[mask]
    return lambda weights: {f"{name}_auroc": aurocs(weights, positive, scores)}


def _of_probabilities(cases: Cases, mask: Bool[np.ndarray, " photo"]) -> Statistics:
    given, reference = cases.probabilities[mask], cases.reference[mask]
    return lambda weights: {"calibration_error": calibration_errors(weights, given, reference)}


def _of_decisions(cases: Cases, mask: Bool[np.ndarray, " photo"], name: str) -> Statistics:
    positive = cases.reference[mask] >= REFERABLE
    said = np.array(cases.decision, dtype=object)[mask] != "rescreen"

    def statistics(weights: Weights) -> Mapping[str, Values]:
        sensitivity, specificity = hit_rates(weights, positive, said)
        return {f"{name}_sensitivity": sensitivity, f"{name}_specificity": specificity}

    return statistics


def _counts(
    rows: pd.DataFrame, cases: Cases, counted: Bool[np.ndarray, " photo"], graded: Bool[np.ndarray, " photo"]
) -> dict[str, int]:
    status = Counter(cases.status)
    return {
        "matched": len(rows),
        "without_reference_grade": len(rows) - len(cases.reference),
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


def _decisions(cases: Cases) -> dict[str, dict[str, int]]:
    sides = {"referable": cases.reference >= REFERABLE, "not_referable": cases.reference < REFERABLE}
    decision = np.array([each or "none" for each in cases.decision], dtype=object)
    return {
        side: {name: int((decision[mask] == name).sum()) for name in ("refer", "rescreen", "cannot grade", "none")}
        for side, mask in sides.items()
    }


def _exact(cases: Cases, level: float) -> dict[str, tuple[float, float]]:
    """Clopper-Pearson, beside the bootstrap: where nothing was missed, drawing finds no spread."""
    found = {}
    sides = _decisions(cases)
    for side, rate, hit, miss in (
        ("referable", "sensitivity", "refer", "rescreen"),
        ("not_referable", "specificity", "rescreen", "refer"),
    ):
        total = sides[side][hit] + sides[side][miss]
        if total:
            found[f"{DECISION}_{rate}"] = proportion_interval(sides[side][hit], total, level=level)
    return found


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
