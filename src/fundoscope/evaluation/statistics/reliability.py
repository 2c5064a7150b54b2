"""Whether a probability of 0.8 is right in 8 of 10 cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Int
from scipy import sparse

from fundoscope.arrays import Grades, Probabilities, Scores
from fundoscope.evaluation.statistics.agreement import Values
from fundoscope.evaluation.statistics.detection import Answers
from fundoscope.evaluation.statistics.interval import Interval, Weights
from fundoscope.evaluation.statistics.sums import Sums, Totals, by_cell, one_by_one, ratio
from fundoscope.grades import GRADES

BINS: Final = 15
"""Bins of equal width of the top probability, as in Guo et al., ICML 2017."""


BIASED: Final = (
    "calibration_error",
    "calibration_error_equal_mass",
    "calibration_error_classwise",
    "brier_reliability",
    "brier_resolution",
)
"""Statistics without an interval. Chance alone moves the shares in the bins, which raises all of them, and once more on
every resample: percentiles of the resamples lie above the truth, and none cover the 0 of a calibrated model (Roelofs et
al., AISTATS 2022; Broecker, Clim Dyn 39, 2012, 655-667)."""

Bins = Int[np.ndarray, " photo"]
"""Number of the bin of each photograph, from 0."""


def without_interval(interval: Interval) -> Interval:
    """Return a statistic of `BIASED`: the estimate alone."""
    return replace(interval, low=math.nan, high=math.nan)


def calibration_errors(
    weights: Weights, probabilities: Probabilities, grades: Grades, *, bins: int = BINS, equal_mass: bool = False
) -> Values:
    """Expected calibration error of the likeliest grade, for each draw.

    ECE = sum over bins of (photographs in it / all) * |share right - mean probability|, where bins
    part (0, 1] of the likeliest grade's probability equally and include their upper edge; with
    `equal_mass` they part the photographs equally instead (Nguyen & O'Connor, EMNLP 2015), equal
    probabilities staying together, and are those of all photographs on every draw.
    NaN where nothing was drawn.
    """
    return of_calibration(probabilities, grades, "error", bins=bins, equal_mass=equal_mass)(weights)["error"]


def of_calibration(
    probabilities: Probabilities, grades: Grades, name: str, *, bins: int = BINS, equal_mass: bool = False
) -> Sums:
    """`calibration_errors`, by this name."""
    sure = probabilities.max(axis=1)
    inside = equal_mass_bins(sure, bins) if equal_mass else equal_width_bins(sure, bins)
    excess = by_cell(inside, bins, (probabilities.argmax(axis=1) == grades) - sure)
    return Sums((excess, _drawn(grades)), lambda totals, drawn: {name: ratio(np.abs(totals).sum(axis=0), drawn[0])})


def calibration_error(probabilities: Probabilities, grades: Grades, *, bins: int = BINS) -> float:
    """Expected calibration error of all photographs; see `calibration_errors`."""
    return float(calibration_errors(np.ones((1, len(grades))), probabilities, grades, bins=bins)[0])


def of_classwise(probabilities: Probabilities, grades: Grades, name: str, *, bins: int = BINS) -> Sums:
    """Classwise calibration error, by this name: the ECE of every grade's own probability, averaged over the grades.

    Kull et al., NeurIPS 2019. Bins of equal width. NaN where nothing was drawn.
    """
    excess = [
        by_cell(equal_width_bins(probabilities[:, grade], bins), bins, (grades == grade) - probabilities[:, grade])
        for grade in range(GRADES)
    ]

    def read(drawn: Totals, *totals: Totals) -> Mapping[str, Values]:
        gaps = np.sum([np.abs(of_grade).sum(axis=0) for of_grade in totals], axis=0)
        return {name: ratio(gaps / GRADES, drawn[0])}

    return Sums((_drawn(grades), *excess), read)


def log_losses(weights: Weights, probabilities: Probabilities, grades: Grades) -> Values:
    """Mean of -ln(probability of the reference grade), for each draw; NaN where nothing was drawn.

    A probability below 2.2e-16 counts as that (as scikit-learn): one sure error must not make it infinite.
    """
    return of_proper_scores(probabilities, grades)(weights)["log_loss"]


def brier_scores(weights: Weights, probabilities: Probabilities, grades: Grades) -> Values:
    """Squared distance of the five probabilities from the reference, 0 to 2, for each draw (Brier 1950)."""
    return of_proper_scores(probabilities, grades)(weights)["brier"]


def of_proper_scores(probabilities: Probabilities, grades: Grades) -> Sums:
    """`brier` and `log_loss`; see `brier_scores` and `log_losses`."""
    chosen = probabilities[np.arange(len(grades)), grades]
    distances = ((probabilities - np.eye(GRADES)[grades]) ** 2).sum(axis=1)
    losses = -np.log(np.clip(chosen, np.finfo(np.float64).eps, 1))
    return Sums(
        (one_by_one(distances, losses), _drawn(grades)),
        lambda totals, drawn: {"brier": ratio(totals[0], drawn[0]), "log_loss": ratio(totals[1], drawn[0])},
    )


def brier_parts(weights: Weights, positive: Answers, scores: Scores, *, bins: int = BINS) -> dict[str, Values]:
    """Brier score of a yes-or-no question, 0 to 1, and what it is made of, for each draw.

    brier = reliability - resolution + uncertainty + within_bin. The first three are Murphy's (1973) with
    the scores in bins of equal width; the fourth is what the bins hide (Stephenson, Coelho & Jolliffe 2008),
    so that the sum is exact. Reliability is better small, resolution large; uncertainty is the data's.
    NaN where nothing was drawn.
    """
    return dict(of_brier_parts(positive, scores, bins=bins)(weights))


def of_brier_parts(positive: Answers, scores: Scores, *, bins: int = BINS, prefix: str = "") -> Sums:
    """`brier_parts`, each name after the prefix."""
    yes = positive.astype(np.float64)
    inside = equal_width_bins(scores, bins)

    def read(drawn: Totals, hits: Totals, sums: Totals, single: Totals) -> Mapping[str, Values]:
        every = drawn.sum(axis=0)
        share, mean = np.divide([hits, sums], drawn, out=np.zeros((2, *drawn.shape)), where=drawn > 0)
        rate = ratio(hits.sum(axis=0), every)
        # Sums of squares and of products about each bin's means.
        spread, together = single[0] - (sums * mean).sum(axis=0), single[1] - (sums * share).sum(axis=0)
        parts = {
            "brier": ratio(single[2], every),
            "brier_reliability": ratio((drawn * (mean - share) ** 2).sum(axis=0), every),
            "brier_resolution": ratio((drawn * (share - rate) ** 2).sum(axis=0), every),
            "brier_uncertainty": rate * (1 - rate),
            "brier_within_bin": ratio(spread - 2 * together, every),
        }
        return {prefix + name: values for name, values in parts.items()}

    binned = [by_cell(inside, bins, values) for values in (None, yes, scores)]
    return Sums((*binned, one_by_one(scores**2, scores * yes, (scores - yes) ** 2)), read)


def equal_width_bins(scores: Scores, bins: int) -> Bins:
    """Bins that part (0, 1] equally and include their upper edge; 0 is in the first."""
    return np.asarray(np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1))


def equal_mass_bins(scores: Scores, bins: int) -> Bins:
    """Bins of equally many photographs as far as equal scores allow; a photograph counted twice moves no edge."""
    if not len(scores):
        return np.zeros(0, np.int64)
    edges = np.quantile(scores, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.searchsorted(edges, scores, side="left").astype(np.int64)


def _drawn(grades: Grades) -> sparse.csr_array:
    """How many photographs were drawn."""
    return one_by_one(np.ones(len(grades)))
