"""Calibrated probabilities: what stays as it was, what comes true."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.decide.calibrators import Isotonic, Platt, VectorScaling, calibrator_from_dict
from fundoscope.decide.heads import exceedance, probabilities
from fundoscope.decide.rescale import METHODS, calibrated, cut_log_odds, fit_calibrator


@pytest.fixture
def told(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of 400 photographs that are far too sure, and the grades."""
    logits = rng.normal(size=(400, 5))
    true = probabilities("softmax", logits)
    grades = np.array([rng.choice(5, p=row) for row in true])
    return probabilities("softmax", 4 * logits), grades


def test_the_method_none_changes_nothing(told):
    given, grades = told

    assert fit_calibrator("none", given, grades) is None


@pytest.mark.parametrize("method", [method for method in METHODS if method != "none"])
def test_every_method_gives_probabilities_and_comes_back_from_its_file(told, method):
    given, grades = told
    fitted = fit_calibrator(method, given, grades)

    after = calibrated(given, calibrator_from_dict(fitted.to_dict()))

    assert np.allclose(after.sum(axis=1), 1, atol=1e-12)
    assert after.min() >= 0
    np.testing.assert_array_equal(after, calibrated(given, fitted))


@pytest.mark.parametrize("method", ["temperature", "vector", "platt", "cuts"])
def test_what_was_too_sure_comes_true_more_often(told, method):
    given, grades = told
    after = calibrated(given, fit_calibrator(method, given, grades))

    def loss(shares: np.ndarray) -> float:
        return -float(np.log(np.maximum(shares[np.arange(400), grades], 1e-12)).mean())

    assert loss(after) < loss(given) - 0.1


def test_equal_factors_are_the_temperature_of_a_softmax_head(told):
    given, grades = told
    raw = np.log(given) + 7.5
    fitted = fit_calibrator("temperature", given, grades)

    assert isinstance(fitted, VectorScaling)
    expected = probabilities("softmax", raw, temperature=1 / fitted.factors[0])
    np.testing.assert_allclose(calibrated(given, fitted), expected, atol=1e-12)
    assert 1 / fitted.factors[0] == pytest.approx(4, rel=0.2)


def test_cut_logits_are_those_of_a_head_with_cuts(rng):
    raw = np.sort(rng.normal(size=(20, 4)), axis=1)[:, ::-1] + [0.3, 0.2, 0.1, 0.0]  # no two cuts touch

    np.testing.assert_allclose(cut_log_odds(probabilities("coral", raw)), raw, atol=1e-9)


def test_a_curve_of_referable_moves_only_how_referable_a_photograph_is(told):
    given, _ = told
    after = calibrated(given, Platt(slope=0.5, intercept=0.3))

    wanted = 1 / (1 + np.exp(-(0.5 * np.log(exceedance(given, 2) / (1 - exceedance(given, 2))) + 0.3)))
    np.testing.assert_allclose(exceedance(after, 2), wanted, atol=1e-9)
    np.testing.assert_allclose(after[:, 4] * given[:, 2], after[:, 2] * given[:, 4], atol=1e-12)
    np.testing.assert_allclose(after[:, 1] * given[:, 0], after[:, 0] * given[:, 1], atol=1e-12)


def test_a_side_that_had_nothing_gives_its_share_to_the_grade_beside_the_cut():
    sure = np.array([[0.25, 0.75, 0, 0, 0], [0, 0, 0, 0.5, 0.5]])

    after = calibrated(sure, Isotonic(scores=(0.0,), shares=(0.4,)))

    np.testing.assert_allclose(after, [[0.15, 0.45, 0.4, 0, 0], [0, 0.6, 0, 0.2, 0.2]], atol=1e-12)


def test_without_a_calibrator_nothing_is_touched(told):
    assert calibrated(told[0], None) is told[0]


def test_a_method_that_is_not_known_is_refused(told):
    with pytest.raises(ValueError, match="method must be one of none, temperature, vector"):
        fit_calibrator("magic", *told)
