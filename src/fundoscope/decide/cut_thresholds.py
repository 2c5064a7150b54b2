"""From cut logits to a grade by counting the cuts that are passed, each with a threshold of its own.

RetinaScan grades so, and tunes the thresholds. A temperature in front of the count does nothing: it scales logits and
leaves their signs, so a threshold of 0 is passed by the same photographs whatever it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.grades import GRADES

Thresholds = Float[np.ndarray, "cuts"]

GRID: Final = np.round(np.arange(-10, 10.05, 0.1), 1)
"""Logits that are tried as thresholds."""

KERNEL: Final = (0.05, 0.25, 0.40, 0.25, 0.05)
"""RetinaScan's smoothing over neighbouring grades."""


def count_passed(logits: RawOutput, thresholds: Thresholds) -> Grades:
    """Grade of each photograph: how many of its cut logits lie above their thresholds."""
    return np.asarray((logits > thresholds).sum(axis=1), dtype=np.int64)


def fit_cut_thresholds(logits: RawOutput, grades: Grades) -> Thresholds:
    """Fit, for each cut, the threshold with the best F1 of `grade > cut`, from -10 to 10 in steps of 0.1.

    Of equally good ones the middle of the first run of neighbours is taken; 0 where a cut has nothing on one side.

    Args:
        logits: Cut logits (photo, 4): column k is the logit of `grade > k`.
        grades: Reference grades, 0 to 4.
    """
    thresholds = np.zeros(GRADES - 1)
    for cut in range(GRADES - 1):
        above = grades > cut
        if above.any() and not above.all():
            passed = logits[:, cut, None] > GRID
            hits = (passed & above[:, None]).sum(axis=0)
            thresholds[cut] = _middle_of_first_plateau(2 * hits / (passed.sum(axis=0) + above.sum()))
    return thresholds


def smooth(probabilities: Probabilities) -> Probabilities:
    """Smooth probabilities over neighbouring grades by `KERNEL`, renormalised at the ends of the scale."""
    places = np.arange(GRADES)
    apart = places[:, None] - places
    reach = len(KERNEL) // 2
    spread = np.where(abs(apart) <= reach, np.take(KERNEL, np.clip(apart + reach, 0, len(KERNEL) - 1)), 0.0)
    return np.asarray(probabilities @ (spread / spread.sum(axis=1, keepdims=True)))


def _middle_of_first_plateau(scores: Float[np.ndarray, " place"]) -> float:
    first = int(scores.argmax())
    worse = np.flatnonzero(scores[first:] < scores[first])
    last = first + int(worse[0]) - 1 if len(worse) else len(scores) - 1
    return float(GRID[(first + last) // 2])
