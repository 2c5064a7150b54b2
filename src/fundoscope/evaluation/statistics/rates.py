"""Intervals of rates: shares of photographs, some of the same patient, that keep their level also near 0 and 1.

The bootstrap has no width where nothing was missed: of 37 found of 37, every resample finds all. Wilson's interval
(JASA 22, 1927, 209-212) has one, and its number of cases is reduced here to the effective one: photographs divided by
the design effect of their clustering in patients (Kish 1965; Korn & Graubard, Survey Methodology 24, 1998, 193-201).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Shaped
from scipy import stats

from fundoscope.evaluation.statistics.interval import Interval

Flags = Bool[np.ndarray, " photo"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share: how many of the photographs in `among` are in `hits`."""

    hits: Flags
    among: Flags


def widened(
    intervals: Mapping[str, Interval], rates: Mapping[str, Rate], patients: Shaped[np.ndarray, " photo"]
) -> dict[str, Interval]:
    """Return the intervals of rates as `rate_interval` has them, those of all else as they are."""
    return {
        name: rate_interval(interval, rates[name], patients) if name in rates else interval
        for name, interval in intervals.items()
    }


def rate_interval(bootstrapped: Interval, rate: Rate, patients: Shaped[np.ndarray, " photo"]) -> Interval:
    """Return the wider of a rate's bootstrap interval and Wilson's at the effective number of cases.

    Also where the bootstrap has no interval, as of a single patient; none of no photograph.
    """
    if not rate.among.any():
        return bootstrapped
    hits = rate.hits[rate.among]
    low, high = wilson(float(hits.mean()), effective_cases(hits, patients[rate.among]), level=bootstrapped.level)
    low, high = (float(bound) for bound in (np.fmin(low, bootstrapped.low), np.fmax(high, bootstrapped.high)))
    return replace(bootstrapped, low=low, high=high)


def effective_cases(hits: Flags, patients: Shaped[np.ndarray, " photo"]) -> float:
    """Compute how many independent cases carry as much information on a share as these photographs.

    p(1 - p) / v, with v the variance of the share by linearisation, patients as clusters; at most the photographs.
    Where all or none hit, v cannot be estimated: each patient counts as one case.

    Args:
        hits: Of each photograph; at least one.
        patients: Whose photographs they are.

    Example:
        >>> effective_cases(np.array([True, True, False, False]), np.array([1, 1, 2, 2]))
        1.0
    """
    owner = np.unique(patients, return_inverse=True)[1]
    count, share = int(owner.max()) + 1, float(hits.mean())
    if count == 1 or share in (0.0, 1.0):
        return float(count)
    variance = float((np.bincount(owner, weights=hits - share) ** 2).sum()) / len(hits) ** 2
    # Photographs of a patient that differ more than those of strangers are still not more cases than photographs.
    return float(np.clip(share * (1 - share) / variance, 1.0, len(hits))) if variance else float(len(hits))


def wilson(share: float, cases: float, *, level: float) -> tuple[float, float]:
    """Compute Wilson's interval of a share of so many cases, which need not be a whole number."""
    z = float(stats.norm.ppf((1 + level) / 2))
    centre = (share + z * z / (2 * cases)) / (1 + z * z / cases)
    half = z * math.sqrt(share * (1 - share) / cases + z * z / (4 * cases * cases)) / (1 + z * z / cases)
    # At 0 and 1 rounding must not leave the estimate outside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
