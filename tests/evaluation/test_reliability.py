"""The calibration error, against its definition in a loop."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.evaluation.reliability import calibration_error, calibration_errors


def slow_error(given: np.ndarray, grades: np.ndarray, bins: int) -> float:
    sure, right = given.max(axis=1), given.argmax(axis=1) == grades
    total = 0.0
    for k in range(bins):
        inside = (sure > k / bins) & (sure <= (k + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_equals_the_definition(bins, rng):
    given, grades = rng.dirichlet(np.ones(5) / 2, 200), rng.integers(0, 5, 200)

    assert calibration_error(given, grades, bins=bins) == pytest.approx(slow_error(given, grades, bins))


def test_a_weight_of_two_is_the_photograph_twice(rng):
    given, grades = rng.dirichlet(np.ones(5), 30), rng.integers(0, 5, 30)
    weights = rng.integers(0, 3, 30)

    ours = calibration_errors(weights[None].astype(float), given, grades)

    assert ours[0] == pytest.approx(slow_error(given.repeat(weights, axis=0), grades.repeat(weights), 15))


def test_the_sure_and_right_have_none_and_the_sure_and_wrong_all():
    sure = np.eye(5)[[0, 1, 2]]

    assert calibration_error(sure, np.array([0, 1, 2])) == 0
    assert calibration_error(sure, np.array([1, 2, 3])) == 1
    assert np.isnan(calibration_error(np.zeros((0, 5)), np.zeros(0, int)))
