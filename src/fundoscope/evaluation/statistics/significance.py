"""Tests that two systems differ, their correction when there are several, and the verdict "not worse".

None of them is computed from bootstrap resamples: their number is arbitrary, and with it any p-value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import stats

from fundoscope.evaluation.statistics.interval import Interval


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two systems' right and wrong answers on the same independent cases."""

    only_first: int
    """Cases that only the first had right."""
    only_second: int
    p_exact: float
    """Two-sided exact (binomial) p-value; never too small."""
    p_mid: float
    """Mid-p value: not guaranteed, and less timid (Fagerland, Lydersen & Laake, BMC Med Res Methodol 13:91, 2013)."""


def mcnemar(first_right: Bool[np.ndarray, " case"], second_right: Bool[np.ndarray, " case"]) -> McNemar:
    """Exact and mid-p McNemar test; p is 1 where the systems are right and wrong together.

    Args:
        first_right: Whether the first answered each case rightly. Cases must be independent: patients.
        second_right: The same of the second.
    """
    ours, theirs = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    total, fewer = ours + theirs, min(ours, theirs)
    if total == 0:
        return McNemar(0, 0, 1.0, 1.0)
    exact = min(1.0, 2 * float(stats.binom.cdf(fewer, total, 0.5)))
    at = float(stats.binom.pmf(fewer, total, 0.5))
    return McNemar(ours, theirs, exact, 1 - at / 2 if ours == theirs else exact - at)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down p-values of one family, in the order given; NaN stays and is not of the family."""
    ascending = sorted((p, at) for at, p in enumerate(p_values) if not math.isnan(p))
    corrected, least = [math.nan] * len(p_values), 0.0
    for rank, (p, at) in enumerate(ascending):
        least = max(least, min(1.0, p * (len(ascending) - rank)))
        corrected[at] = least
    return corrected


@dataclass(frozen=True, slots=True)
class NotWorse:
    """Whether each of two systems is worse than the other by less than a margin; None where nothing can be said."""

    margin: float
    first: bool | None
    second: bool | None


def not_worse(
    difference: Interval, margin: float, *, lower_is_better: bool = False, identical: bool = False
) -> NotWorse:
    """Non-inferiority of either system, from the bounds of the interval of first minus second.

    With a two-sided 95 % interval each verdict has a one-sided error of 2.5 %. False is "not shown", not "worse".
    Systems that are `identical`, answering every photograph alike, are not worse than one another by any margin,
    although no interval can be read off differences that are all 0.

    Raises:
        ValueError: If the margin is not positive.
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"margin must be a positive number, got {margin}")
    if identical:
        return NotWorse(margin, True, True)
    if math.isnan(difference.low):
        return NotWorse(margin, None, None)
    not_far_below, not_far_above = difference.low > -margin, difference.high < margin
    return NotWorse(margin, *((not_far_above, not_far_below) if lower_is_better else (not_far_below, not_far_above)))
