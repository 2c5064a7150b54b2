"""Whether a probability of 0.8 is right in 8 of 10 cases."""

from __future__ import annotations

from typing import Final

import numpy as np

from fundoscope.arrays import Grades, Probabilities
from fundoscope.evaluation.agreement import Values
from fundoscope.evaluation.interval import Weights

BINS: Final = 15
"""Bins of equal width of the top probability, as in Guo et al., ICML 2017."""


def calibration_errors(weights: Weights, given: Probabilities, grades: Grades, *, bins: int = BINS) -> Values:
    """Expected calibration error of the likeliest grade, for each draw.

    ECE = sum over bins of (photographs in it / all) * |share right - mean probability|, where bins
    part (0, 1] of the likeliest grade's probability equally and include their upper edge.
    NaN where nothing was drawn.
    """
    sure = given.max(axis=1)
    right = given.argmax(axis=1) == grades
    bin_of = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    excess = np.zeros((len(grades), bins))
    excess[np.arange(len(grades)), bin_of] = right - sure
    total = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, np.abs(weights @ excess).sum(axis=1) / total, np.nan))


def calibration_error(given: Probabilities, grades: Grades, *, bins: int = BINS) -> float:
    """Expected calibration error of all photographs; see `calibration_errors`."""
    return float(calibration_errors(np.ones((1, len(grades))), given, grades, bins=bins)[0])
