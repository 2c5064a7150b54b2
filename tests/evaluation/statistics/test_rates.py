"""Intervals of rates: right where all were found, and where patients have several photographs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.evaluation.statistics.interval import Interval, proportion_interval
from fundoscope.evaluation.statistics.rates import Rate, effective_cases, rate_interval, widened, wilson


def bootstrapped(share: float, low: float, high: float) -> Interval:
    return Interval(share, low, high, 0.95, 0)


def everyone(hits: np.ndarray) -> Rate:
    return Rate(hits, np.ones(len(hits), dtype=bool))


def test_of_37_found_of_37_the_interval_is_wilsons_and_not_a_point():
    found = rate_interval(bootstrapped(1.0, math.nan, math.nan), everyone(np.ones(37, dtype=bool)), np.arange(37))

    assert (found.low, found.high) == pytest.approx(proportion_interval(37, 37, method="wilson"))
    assert found.low == pytest.approx(0.906, abs=5e-4)


def test_a_wider_bootstrap_is_kept():
    hits = np.arange(50) < 40

    found = rate_interval(bootstrapped(0.8, 0.5, 0.81), everyone(hits), np.arange(50))

    assert found.low == 0.5
    assert found.high == pytest.approx(proportion_interval(40, 50, method="wilson")[1])


def test_of_no_photograph_there_is_no_interval():
    nothing = Rate(np.zeros(4, dtype=bool), np.zeros(4, dtype=bool))

    assert math.isnan(rate_interval(bootstrapped(math.nan, math.nan, math.nan), nothing, np.arange(4)).low)


def test_only_rates_are_widened():
    intervals = {"accuracy": bootstrapped(1.0, 1.0, 1.0), "quadratic_kappa": bootstrapped(1.0, 1.0, 1.0)}

    found = widened(intervals, {"accuracy": everyone(np.ones(10, dtype=bool))}, np.arange(10))

    assert found["accuracy"].low < 0.75
    assert found["quadratic_kappa"] == intervals["quadratic_kappa"]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_independent_photographs_are_as_many_cases(hits):
    assert effective_cases(np.array(hits), np.arange(len(hits))) == pytest.approx(len(hits))


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(2, 4))
def test_copies_of_a_photograph_add_no_case(hits, copies):
    again = np.repeat(np.array(hits), copies)

    assert effective_cases(again, np.repeat(np.arange(len(hits)), copies)) == pytest.approx(len(hits))


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilsons_formula_is_scipys(hits, more, level):
    total = hits + more - 1 or 1

    assert wilson(min(hits, total) / total, float(total), level=level) == pytest.approx(
        proportion_interval(min(hits, total), total, level=level, method="wilson"), abs=1e-9
    )


@pytest.mark.parametrize("share", [0.9, 0.97])
def test_the_interval_covers_a_rate_near_one_of_patients_with_two_photographs_that_err_alike(share):
    """37 patients, correlation one half: 2,000 clinics, Monte-Carlo error below 0.006."""
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(37), 2)
    covered = 0
    for _ in range(2000):
        chance = rng.beta(share, 1 - share, 37)  # of each patient: the correlation of a beta-binomial with a + b = 1
        hits = rng.random(74) < chance[patients]
        low, high = wilson(float(hits.mean()), effective_cases(hits, patients), level=0.95)
        covered += low <= share <= high

    assert 0.92 < covered / 2000 < 0.99
