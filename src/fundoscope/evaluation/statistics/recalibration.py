"""Whether the probability of a yes-or-no question is calibrated: on the whole, in its spread, and bin by bin.

The slope is that of a logistic regression of the answers on the log odds of the probabilities (Cox, Biometrika 45,
1958, 562-565): below 1 the probabilities are too extreme, above 1 too timid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from fundoscope.arrays import Scores
from fundoscope.evaluation.statistics.agreement import Values
from fundoscope.evaluation.statistics.detection import Answers
from fundoscope.evaluation.statistics.reliability import BINS, equal_mass_bins, equal_width_bins
from fundoscope.evaluation.statistics.sums import Sums, Totals, by_cell, one_by_one, ratio

SLOPE_BINS: Final = 200
"""Bins of equally many photographs that stand for their mean log odds, where there are more different scores."""

LEAST: Final = 1e-6
"""Probability below which, and above 1 minus which, it counts as that: log odds must be finite."""

STEPS: Final = 40
CONVERGED: Final = 1e-7
STEEPEST: Final = 50.0
"""Steps of Newton's method, the step at which it ends, and the slope beyond which the answers are separated."""


def of_binary_calibration(positive: Answers, scores: Scores, prefix: str = "", *, bins: int = BINS) -> Sums:
    """Build the statistics of a probability's calibration, each name after the prefix.

    `calibration_error`: mean distance of probability and observed share, in bins of equal width.
    `calibration_in_the_large`: mean probability less the observed share, 0 where it is right on the whole.
    `calibration_slope`: 1 where its spread is right; NaN unless both answers were drawn, and where they are separated.
    """
    yes = positive.astype(np.float64)
    cells, odds = _odds_bins(scores)
    width = equal_width_bins(scores, bins)

    def read(gaps: Totals, sums: Totals, drawn: Totals, hits: Totals) -> Mapping[str, Values]:
        values = {
            "calibration_error": ratio(np.abs(gaps).sum(axis=0), sums[2]),
            "calibration_in_the_large": ratio(sums[0], sums[2]) - ratio(sums[1], sums[2]),
            "calibration_slope": _slopes(drawn, hits, odds),
        }
        return {prefix + name: value for name, value in values.items()}

    return Sums(
        (
            by_cell(width, bins, scores - yes),
            one_by_one(scores, yes, np.ones(len(yes))),
            by_cell(cells, len(odds)),
            by_cell(cells, len(odds), yes),
        ),
        read,
    )


def _odds_bins(scores: Scores) -> tuple[np.ndarray, Float[np.ndarray, " bin"]]:
    """Return each photograph's bin, and the mean log odds in each."""
    clipped = np.clip(scores, LEAST, 1 - LEAST)
    distinct, cells = np.unique(clipped, return_inverse=True)
    if len(distinct) > SLOPE_BINS:
        cells = np.unique(equal_mass_bins(clipped, SLOPE_BINS), return_inverse=True)[1]
    counts = np.bincount(cells) if len(cells) else np.zeros(0)
    sums = np.bincount(cells, weights=logit(clipped)) if len(cells) else np.zeros(0)
    return cells, np.asarray(sums / np.maximum(counts, 1), np.float64)


def _slopes(drawn: Totals, hits: Totals, odds: Float[np.ndarray, " bin"]) -> Values:
    """Fit the regression on each draw by Newton's method; totals are (bin, draw)."""
    at = odds[:, None]
    intercept, slope = np.zeros(drawn.shape[1]), np.ones(drawn.shape[1])
    step = np.full(drawn.shape[1], np.inf)
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            expected = expit(intercept + slope * at)
            weight, rest = drawn * expected * (1 - expected), hits - drawn * expected
            first, second, third = weight.sum(axis=0), (weight * at).sum(axis=0), (weight * at * at).sum(axis=0)
            gradient, along = rest.sum(axis=0), (rest * at).sum(axis=0)
            determinant = first * third - second * second
            up, turn = (
                (third * gradient - second * along) / determinant,
                (first * along - second * gradient) / determinant,
            )
            intercept, slope = intercept + np.clip(up, -4, 4), slope + np.clip(turn, -1, 1)
            step = np.abs(up) + np.abs(turn)
            if not (step > CONVERGED).any():
                break
        sound = (step < 1e-4) & (np.abs(slope) < STEEPEST)
    return np.where(sound, slope, np.nan)
