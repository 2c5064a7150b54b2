"""The difference of two systems on the same patients."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.evaluation.agreement import quadratic_kappa
from fundoscope.evaluation.compare import paired_interval
from fundoscope.evaluation.interval import patient_interval


@pytest.fixture
def clinic(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reference, a good answer, a worse one of the same photographs, and patients with two photographs."""
    grades = rng.integers(0, 5, 200)
    good = np.clip(grades + rng.integers(-1, 2, 200), 0, 4)
    worse = np.where(rng.uniform(size=200) < 0.25, rng.integers(0, 5, 200), good)
    return grades, good, worse, np.arange(200) // 2


def test_finds_the_better_one_where_the_two_intervals_overlap(clinic):
    grades, good, worse, patients = clinic

    def alone(answered):
        return patient_interval(
            quadratic_kappa, grades, answered, patients, rng=np.random.default_rng(0), resamples=300
        )

    ours = paired_interval(
        quadratic_kappa, grades, (good, worse), patients, rng=np.random.default_rng(0), resamples=300
    )

    assert ours.low > 0
    assert ours.estimate == pytest.approx(alone(good).estimate - alone(worse).estimate)
    assert ours.high - ours.low < (alone(good).high - alone(good).low) + (alone(worse).high - alone(worse).low)


def test_a_system_does_not_differ_from_itself(clinic, rng):
    grades, good, _, patients = clinic

    ours = paired_interval(quadratic_kappa, grades, (good, good), patients, rng=rng, resamples=50)

    assert (ours.estimate, ours.low, ours.high) == (0, 0, 0)


def test_changing_sides_changes_the_sign(clinic):
    grades, good, worse, patients = clinic

    def compared(first, second):
        return paired_interval(
            quadratic_kappa, grades, (first, second), patients, rng=np.random.default_rng(5), resamples=100
        )

    ours, turned = compared(good, worse), compared(worse, good)

    assert (turned.estimate, turned.low, turned.high) == pytest.approx((-ours.estimate, -ours.high, -ours.low))
