"""Whether a probability of 0.8 is right in 8 of 10 cases."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Int

from fundoscope.arrays import Grades, Probabilities, Scores
from fundoscope.evaluation.agreement import Values
from fundoscope.evaluation.detection import Answers
from fundoscope.evaluation.interval import Weights
from fundoscope.evaluation.rates import ratio
from fundoscope.grades import GRADES

BINS: Final = 15
"""Bins of equal width of the top probability, as in Guo et al., ICML 2017."""


Bins = Int[np.ndarray, " photo"]
"""Number of the bin of each photograph, from 0."""


def calibration_errors(
    weights: Weights, given: Probabilities, grades: Grades, *, bins: int = BINS, equal_mass: bool = False
) -> Values:
    """Expected calibration error of the likeliest grade, for each draw.

    ECE = sum over bins of (photographs in it / all) * |share right - mean probability|, where bins
    part (0, 1] of the likeliest grade's probability equally and include their upper edge; with
    `equal_mass` they part the photographs equally instead (Nguyen & O'Connor, EMNLP 2015), equal
    probabilities staying together, and are those of all photographs on every draw.
    NaN where nothing was drawn.
    """
    sure = given.max(axis=1)
    right = given.argmax(axis=1) == grades
    inside = equal_mass_bins(sure, bins) if equal_mass else equal_width_bins(sure, bins)
    excess = np.zeros((len(grades), bins))
    excess[np.arange(len(grades)), inside] = right - sure
    return _mean(np.abs(weights @ excess).sum(axis=1), weights)


def calibration_error(given: Probabilities, grades: Grades, *, bins: int = BINS) -> float:
    """Expected calibration error of all photographs; see `calibration_errors`."""
    return float(calibration_errors(np.ones((1, len(grades))), given, grades, bins=bins)[0])


def classwise_errors(weights: Weights, given: Probabilities, grades: Grades, *, bins: int = BINS) -> Values:
    """Classwise calibration error of each draw: the ECE of every grade's own probability, averaged over the grades.

    Kull et al., NeurIPS 2019. Bins of equal width. NaN where nothing was drawn.
    """
    total = np.zeros(len(weights))
    for grade in range(GRADES):
        excess = np.zeros((len(grades), bins))
        inside = equal_width_bins(given[:, grade], bins)
        excess[np.arange(len(grades)), inside] = (grades == grade) - given[:, grade]
        total += np.abs(weights @ excess).sum(axis=1)
    return _mean(total / GRADES, weights)


def log_losses(weights: Weights, given: Probabilities, grades: Grades) -> Values:
    """Mean of -ln(probability of the reference grade), for each draw; NaN where nothing was drawn.

    A probability below 2.2e-16 counts as that (as scikit-learn): one sure error must not make it infinite.
    """
    chosen = given[np.arange(len(grades)), grades]
    return _mean(weights @ -np.log(np.clip(chosen, np.finfo(np.float64).eps, 1)), weights)


def brier_scores(weights: Weights, given: Probabilities, grades: Grades) -> Values:
    """Squared distance of the five probabilities from the reference, 0 to 2, for each draw (Brier 1950)."""
    return _mean(weights @ ((given - np.eye(GRADES)[grades]) ** 2).sum(axis=1), weights)


def brier_parts(weights: Weights, positive: Answers, scores: Scores, *, bins: int = BINS) -> dict[str, Values]:
    """Brier score of a yes-or-no question, 0 to 1, and what it is made of, for each draw.

    brier = reliability - resolution + uncertainty + within_bin. The first three are Murphy's (1973) with
    the scores in bins of equal width; the fourth is what the bins hide (Stephenson, Coelho & Jolliffe 2008),
    so that the sum is exact. Reliability is better small, resolution large; uncertainty is the data's.
    NaN where nothing was drawn.
    """
    inside = np.eye(bins)[equal_width_bins(scores, bins)]
    yes = positive.astype(np.float64)
    drawn, hits, sums = weights @ inside, weights @ (inside * yes[:, None]), weights @ (inside * scores[:, None])
    share, mean = np.divide([hits, sums], drawn, out=np.zeros((2, *drawn.shape)), where=drawn > 0)
    rate = _mean(weights @ yes, weights)
    # Sum of squares and of products about each bin's means.
    spread = weights @ scores**2 - (sums * mean).sum(axis=1)
    together = weights @ (scores * yes) - (sums * share).sum(axis=1)
    return {
        "brier": _mean(weights @ (scores - yes) ** 2, weights),
        "brier_reliability": _mean((drawn * (mean - share) ** 2).sum(axis=1), weights),
        "brier_resolution": _mean((drawn * (share - rate[:, None]) ** 2).sum(axis=1), weights),
        "brier_uncertainty": rate * (1 - rate),
        "brier_within_bin": _mean(spread - 2 * together, weights),
    }


def equal_width_bins(scores: Scores, bins: int) -> Bins:
    """Bins that part (0, 1] equally and include their upper edge; 0 is in the first."""
    return np.asarray(np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1))


def equal_mass_bins(scores: Scores, bins: int) -> Bins:
    """Bins of equally many photographs as far as equal scores allow; a photograph counted twice moves no edge."""
    if not len(scores):
        return np.zeros(0, np.int64)
    edges = np.quantile(scores, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.searchsorted(edges, scores, side="left").astype(np.int64)


def _mean(sums: Values, weights: Weights) -> Values:
    return ratio(sums, weights.sum(axis=1))
