"""Whether a site's patients still are as they were when its operating point was commissioned.

Three questions to patients in the order in which they came: are as many referred (a Bernoulli CUSUM, both ways), can
as many be graded (exact test), and are the scores spread as they were (Kolmogorov-Smirnov)? One number a patient, never
a photograph: two eyes are not two cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse, stats
from scipy.sparse.linalg import spsolve

STEPS: Final = 50
"""Parts of one referral in which the CUSUM counts: its weight is rounded to them, so that it walks on a lattice."""

HIGHEST: Final = 40
"""Referrals beyond which no limit is sought."""


@dataclass(frozen=True, slots=True)
class Cusum:
    """A one-sided Bernoulli CUSUM (Reynolds and Stoumbos, Journal of Quality Technology 31, 1999, 87-108).

    After each patient `max(0, sum) + weight` (yes: `STEPS` - allowance, no: - allowance); an alarm at `limit`.
    """

    allowance: int
    """Steps taken off for each patient."""
    limit: int
    """Steps at which it sounds."""
    run_length: float
    """Patients until a false alarm, on average, exactly: from the chain of all its states (Brook and Evans 1972)."""

    def alarm(self, events: Bool[np.ndarray, " patient"]) -> int | None:
        """Return the number, from 0, of the patient at the first alarm; None: no alarm."""
        total = 0
        for at, event in enumerate(events):
            total = max(0, total + (STEPS if event else 0) - self.allowance)
            if total >= self.limit:
                return at
        return None


@dataclass(frozen=True, slots=True)
class Change:
    """How a window of patients differs from those of the commissioning."""

    name: str
    before: float
    now: float
    p_value: float


def run_length(rate: float, allowance: int, limit: int) -> float:
    """Compute the average run length of a CUSUM that starts at 0: patients until an alarm at event rate `rate`.

    Raises:
        ValueError: If the rate is no proportion or the CUSUM could never sound.
    """
    if not 0 < rate < 1 or not 0 < allowance < STEPS or limit < 1:
        raise ValueError(
            f"rate must lie between 0 and 1, allowance between 0 and {STEPS}, limit be above 0, "
            f"got {rate}, {allowance}, {limit}"
        )
    stay = sparse.csr_array(sparse.identity(limit))
    left = stay - _chain(rate, allowance, limit)
    return float(np.atleast_1d(spsolve(left.tocsc(), np.ones(limit)))[0])


def alarm_chance(rate: float, allowance: int, limit: int, patients: int) -> float:
    """Compute the probability of an alarm among so many patients, for a CUSUM that starts at 0."""
    onward = _chain(rate, allowance, limit).T.tocsr()
    silent = np.zeros(limit)
    silent[0] = 1
    for _ in range(patients):
        silent = np.asarray(onward @ silent).reshape(limit)
    return max(0.0, 1 - float(silent.sum()))


def _chain(rate: float, allowance: int, limit: int) -> sparse.csr_array:
    """Return the transition matrix of the sums at which there is no alarm."""
    here = np.arange(limit)
    up, down = here + STEPS - allowance, np.maximum(0, here - allowance)
    stays = up < limit
    columns = np.concatenate([down, up[stays]])
    weights = np.concatenate([np.full(limit, 1 - rate), np.full(int(stays.sum()), rate)])
    return sparse.csr_array((weights, (np.concatenate([here, here[stays]]), columns)), shape=(limit, limit))


@cache
def design_cusum(rate: float, shifted: float, *, false_alarm_after: int) -> Cusum:
    """Design the CUSUM that detects a rise from `rate` to `shifted` soonest at the allowed false-alarm rate.

    Args:
        rate: Share of events when all is well, in (0, 1).
        shifted: A higher share that is to be noticed.
        false_alarm_after: Patients until a false alarm, on average, at least.

    Raises:
        ValueError: If `shifted` is not above `rate`, or the two are too alike to be told apart.
    """
    if not 0 < rate < shifted < 1:
        raise ValueError(f"shifted must lie above rate, both between 0 and 1, got {shifted} and {rate}")
    odds = np.log(shifted * (1 - rate) / (rate * (1 - shifted)))
    allowance = round(float(STEPS * np.log((1 - rate) / (1 - shifted)) / odds))
    low, high = 0, STEPS
    # Upwards: run lengths of high limits are slow to compute, and soon beyond what can be computed.
    while 0 < allowance < STEPS and run_length(rate, allowance, high) < false_alarm_after and high < HIGHEST * STEPS:
        low, high = high, min(2 * high, HIGHEST * STEPS)
    if not 0 < allowance < STEPS or run_length(rate, allowance, high) < false_alarm_after:
        raise ValueError(
            f"rate and shifted must be further apart for a false alarm in {false_alarm_after} patients, "
            f"got {rate} and {shifted}"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if run_length(rate, allowance, middle) >= false_alarm_after else (middle, high)
    return Cusum(allowance, high, run_length(rate, allowance, high))


def changed_share(name: str, before: Bool[np.ndarray, " patient"], now: Bool[np.ndarray, " later_patient"]) -> Change:
    """Test whether a proportion (such as ungradable patients) has changed: Fisher's exact test, two-sided."""
    table = np.array([[events.sum(), (~events).sum()] for events in (before, now)])
    return Change(name, float(before.mean()), float(now.mean()), float(stats.fisher_exact(table)[1]))


def changed_spread(
    name: str, before: Float[np.ndarray, " patient"], now: Float[np.ndarray, " later_patient"]
) -> Change:
    """Test whether a distribution has changed: two-sample Kolmogorov-Smirnov, two-sided; medians are reported."""
    result = stats.ks_2samp(before, now)
    return Change(name, float(np.median(before)), float(np.median(now)), float(result.pvalue))
