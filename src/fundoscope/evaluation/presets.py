"""The tables of five papers, computed from any predictions: their statistics, their words, our intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.statistics.agreement import Confusions, Values, of_confusions
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, rate_interval
from fundoscope.evaluation.statistics.sums import ratio
from fundoscope.evaluation.summary import Summary
from fundoscope.grades import REFERABLE

ACCURACY: Final = "referable_accuracy"
"""The one statistic that only a preset has: photographs put on the right side of referable, of all graded."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One paper's table."""

    title: str
    rows: dict[str, str]
    """Names of `Summary.intervals` (or `ACCURACY`), and what the paper calls them, in its order."""
    note: str
    """How the paper's way and ours agree."""


PRESETS: Final = {
    "gdrbench": Preset(
        "GDRBench (Che et al., MICCAI 2023)",
        {"auroc_one_vs_one": "AUC", "accuracy": "ACC", "macro_f1": "F1"},
        "AUC: one grade against another, averaged evenly; F1: averaged evenly over the grades.",
    ),
    "drstagenet": Preset(
        "DRStageNet",
        {
            "linear_kappa": "linear weighted kappa",
            "accuracy": "accuracy",
            "mean_squared_error": "MSE",
            "mean_absolute_error": "MAE",
            "referable_auroc": "AUROC, referable",
            "referable_f1": "F1, referable",
        },
        "Kappa is weighted linearly, so that it is lower than a quadratic one. F1 is of the answered grade >= 2.",
    ),
    "retinascan": Preset(
        "RetinaScan",
        {
            "accuracy": "accuracy",
            "quadratic_kappa": "quadratic weighted kappa",
            "macro_f1": "macro F1",
            "weighted_f1": "weighted F1",
            "mean_absolute_error": "MAE",
            "within_one": "off-by-1 accuracy",
        },
        "What it calls off-by-1 is the share at most one grade off; the exactly right ones are counted in.",
    ),
    "densenet-study": Preset(
        "DenseNet study",
        {
            "referable_sensitivity": "sensitivity = TP / (TP + FN)",
            "referable_specificity": "specificity = TN / (TN + FP)",
            ACCURACY: "accuracy = (TP + TN) / (TP + TN + FP + FN)",
        },
        "Positive is an answered grade >= 2. The study prints TP / (TP + TF) for sensitivity; FN is meant.",
    ),
    "retfound": Preset(
        "RETFound (Zhou et al., Nature 2023; its code's metrics of 2025)",
        {
            "auroc_one_vs_rest": "AUROC, macro",
            "unweighted_kappa": "kappa",
            "macro_f1": "F1, macro",
            "accuracy": "accuracy",
        },
        "Kappa is not weighted: every disagreement counts alike. Its own intervals are of seeds, these of patients.",
    ),
}
"""By the word on the command line."""


@dataclass(frozen=True, slots=True)
class Paper:
    """One paper's table, filled in."""

    name: str
    """In `PRESETS`."""
    values: dict[str, Interval]
    """By what the paper calls them."""

    @property
    def preset(self) -> Preset:
        """What the paper is."""
        return PRESETS[self.name]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN."""
        rows = {words: interval.to_dict() for words, interval in self.values.items()}
        return {"name": self.name, "title": self.preset.title, "note": self.preset.note, "rows": rows}


def preset_table(name: str, summary: Summary, cases: Cases) -> Paper:
    """Fill in a paper's table: what it calls each statistic, and its value with an interval bootstrapped by patient.

    Args:
        name: A name in `PRESETS`.
        summary: Of `cases`.
        cases: Photographs with predictions and reference grades.

    Raises:
        ValueError: If there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"name must be one of {', '.join(PRESETS)}, got {name!r}")
    intervals = dict(summary.intervals)
    if ACCURACY in PRESETS[name].rows:
        intervals[ACCURACY] = referable_accuracy(summary, cases)
    return Paper(name, {words: intervals[statistic] for statistic, words in PRESETS[name].rows.items()})


def referable_accuracy(summary: Summary, cases: Cases) -> Interval:
    """Share of the graded photographs whose grade is on the reference's side of referable."""
    graded = cases.counted(include_ungradable=summary.include_ungradable) & (cases.answered >= 0)
    reference, answered = cases.reference[graded], cases.answered[graded]

    def read(counts: Confusions) -> Mapping[str, Values]:
        right = counts[:, :REFERABLE, :REFERABLE].sum(axis=(1, 2)) + counts[:, REFERABLE:, REFERABLE:].sum(axis=(1, 2))
        return {ACCURACY: ratio(right, counts.sum(axis=(1, 2)))}

    options: dict[str, Any] = {"level": summary.level, "resamples": summary.resamples, "method": summary.method}
    rng = np.random.default_rng(summary.seed)
    intervals = patient_intervals(of_confusions(reference, answered, read), cases.patients[graded], rng=rng, **options)
    right = Rate((reference >= REFERABLE) == (answered >= REFERABLE), np.ones(len(reference), dtype=bool))
    return rate_interval(intervals[ACCURACY], right, cases.patients[graded])
