"""Variance of AUROCs and of their differences without drawing: DeLong's, also where patients repeat.

DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988) 837-845; by midranks as Sun & Xu, IEEE Signal
Processing Letters 21 (2014) 1389-1393; for several photographs of one patient Obuchowski, Biometrics 53
(1997) 567-578, which is DeLong's where nobody repeats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

from fundoscope.evaluation.statistics.detection import Answers

DELONG: Final = "DeLong 1988, each photograph of its own patient"
OBUCHOWSKI: Final = "Obuchowski 1997, photographs clustered in patients"

NOTHING: Final = 1e-12
"""A variance below this share of what it is made of is rounding."""

SystemScores = Float[np.ndarray, "system photo"]


@dataclass(frozen=True, slots=True)
class Aurocs:
    """AUROCs of several systems on the same photographs, and how they vary together."""

    values: Float[np.ndarray, " system"]
    covariance: Float[np.ndarray, "system system"]
    """NaN where fewer than two patients have a positive, or a negative, photograph."""
    method: str
    """`DELONG` or `OBUCHOWSKI`."""

    def interval(self, system: int, level: float = 0.95) -> tuple[float, float]:
        """Normal interval of one AUROC, cut to [0, 1]; NaN without variance (a perfect ranking tells none)."""
        variance = float(self.covariance[system, system])
        if not variance > NOTHING:
            return math.nan, math.nan
        reach = _reach(variance, level)
        return max(0.0, float(self.values[system]) - reach), min(1.0, float(self.values[system]) + reach)


@dataclass(frozen=True, slots=True)
class Difference:
    """One AUROC minus another on the same photographs, and the two-sided test that they are equal."""

    estimate: float
    low: float
    high: float
    z: float
    p: float


def delong(positive: Answers, scores: SystemScores, patients: Shaped[np.ndarray, " photo"]) -> Aurocs:
    """AUROC of each system's scores with their covariance; NaN unless there are positives and negatives.

    Args:
        positive: Which photographs are positive.
        scores: One row for each system, higher for positive.
        patients: Patient of each photograph; where one repeats, photographs are taken as clustered.
    """
    owner = np.unique(patients, return_inverse=True)[1]
    several = len(owner) > 0 and int(np.bincount(owner).max()) > 1
    method = OBUCHOWSKI if several else DELONG
    sides = owner[positive], owner[~positive]
    if not all(len(side) for side in sides):
        hollow = np.full(len(scores), np.nan)
        return Aurocs(hollow, np.full((len(scores), len(scores)), np.nan), method)
    above, below = placements(positive, scores)
    values = above.mean(axis=1)
    clusters = int(owner.max()) + 1
    # Of each patient, what her photographs add to the AUROC beyond the mean; in units of the AUROC.
    of_positive, of_negative = (
        np.stack([np.bincount(side, weights=row, minlength=clusters) for row in rows - values[:, None]]) / len(side)
        for side, rows in zip(sides, (above, below), strict=True)
    )
    between = of_positive @ of_negative.T
    covariance = (
        _small_sample(len(np.unique(sides[0]))) * (of_positive @ of_positive.T)
        + _small_sample(len(np.unique(sides[1]))) * (of_negative @ of_negative.T)
        + _small_sample(clusters) * (between + between.T)
    )
    return Aurocs(values, covariance, method)


def placements(
    positive: Answers, scores: SystemScores
) -> tuple[Float[np.ndarray, "system positive"], Float[np.ndarray, "system negative"]]:
    """Share of negatives each positive scores above, and of positives each negative scores below; ties half."""
    count, others = int(positive.sum()), int((~positive).sum())
    every = stats.rankdata(scores, axis=1)
    above = (every[:, positive] - stats.rankdata(scores[:, positive], axis=1)) / others
    below = 1 - (every[:, ~positive] - stats.rankdata(scores[:, ~positive], axis=1)) / count
    return np.asarray(above), np.asarray(below)


def auroc_difference(of: Aurocs, first: int, second: int, *, level: float = 0.95) -> Difference:
    """The first system's AUROC minus the second's, with normal interval and test.

    Where both rank every photograph alike the difference is 0, sure, and p is 1; NaN where a
    difference has no variance to test it by.
    """
    estimate = float(of.values[first] - of.values[second])
    own = float(of.covariance[first, first] + of.covariance[second, second])
    variance = own - 2 * float(of.covariance[first, second])
    if not variance > max(own, NOTHING) * NOTHING:
        alike = abs(estimate) < NOTHING and not math.isnan(variance)
        return Difference(0.0, 0.0, 0.0, 0.0, 1.0) if alike else Difference(estimate, *([math.nan] * 4))
    z, reach = estimate / math.sqrt(variance), _reach(variance, level)
    return Difference(estimate, estimate - reach, estimate + reach, z, float(2 * stats.norm.sf(abs(z))))


def _reach(variance: float, level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(variance)


def _small_sample(patients: int) -> float:
    return patients / (patients - 1) if patients > 1 else math.nan
