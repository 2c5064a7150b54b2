"""Exact bounds of a proportion of independent patients, and how many patients it takes to reach one."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from scipy import stats

RUN: Final = 4
"""Sizes in a row at which a planned study must have its power: adding a few patients may lower it (the exact test's
power is a saw: Chernick and Liu, American Statistician 56, 2002, 149-155)."""

LARGEST_STUDY: Final = 32_000
"""Patients beyond which no study is planned."""


def lower_bound(hits: int, total: int, *, confidence: float) -> float:
    """Compute the exact one-sided lower bound of a proportion (Clopper and Pearson, Biometrika 26, 1934).

    Raises:
        ValueError: If `hits` are not within `total` or `total` is none.

    Example:
        >>> round(lower_bound(48, 50, confidence=0.975), 3)
        0.863
    """
    if total < 1 or not 0 <= hits <= total:
        raise ValueError(f"hits must lie between 0 and total, and total be at least 1, got {hits} of {total}")
    return float(stats.beta.ppf(1 - confidence, hits, total - hits + 1)) if hits else 0.0


@cache
def hits_needed(total: int, *, sensitivity: float, confidence: float) -> int | None:
    """Compute the fewest hits whose exact lower bound is at least `sensitivity`; None if not even all are enough.

    Example:
        >>> hits_needed(100, sensitivity=0.85, confidence=0.975)
        93
    """
    least = int(stats.binom.isf(1 - confidence, total, sensitivity)) + 1
    return least if least <= total else None


def positives_needed(*, sensitivity: float, confidence: float) -> int:
    """Compute the number of referable patients below which no threshold can be guaranteed.

    Example:
        >>> positives_needed(sensitivity=0.85, confidence=0.975)
        23
    """
    total = max(1, int(np.log(1 - confidence) / np.log(sensitivity)) - 1)
    while hits_needed(total, sensitivity=sensitivity, confidence=confidence) is None:
        total += 1
    return total


@cache
def sample_size(
    true: float, *, wanted: float, confidence: float = 0.975, power: float = 0.8, run: int = RUN
) -> int | None:
    """Compute the sample size that shows a proportion `true` to exceed `wanted`, at a threshold fixed beforehand.

    Args:
        true: The true sensitivity (or specificity), above `wanted`.
        wanted: What the exact lower bound is to exceed.
        confidence: Of the bound, one-sided.
        power: Probability with which the study is to succeed.
        run: The smallest size is returned at which, and at each of the `run` - 1 next, it has that power.

    Returns:
        Referable patients (for a specificity: the others); None if more than `LARGEST_STUDY`.

    Raises:
        ValueError: If `true` is not above `wanted`.

    Example:
        >>> sample_size(0.92, wanted=0.85)
        177
    """
    if not 0 < wanted < true <= 1:
        raise ValueError(f"true must lie above wanted and at most at 1, got {true} and {wanted}")
    largest = 500
    while largest <= LARGEST_STUDY:
        sizes = np.arange(1, largest + 1)
        enough = stats.binom.sf(stats.binom.isf(1 - confidence, sizes, wanted), sizes, true) >= power
        runs = np.lib.stride_tricks.sliding_window_view(enough, run).all(axis=1)
        if runs.any():
            return int(sizes[runs.argmax()])
        largest *= 4
    return None
