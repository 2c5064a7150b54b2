"""What is said of the calibration of a yes-or-no probability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from fundoscope.evaluation.statistics.recalibration import of_binary_calibration


def drawn(rng, count, *, slope=1.0, shift=0.0):
    """Probabilities whose log odds are `slope` times, and `shift` above, those that the answers are drawn by."""
    true = rng.normal(0, 1.5, count)
    return rng.uniform(size=count) < expit(true), expit(slope * true + shift)


def measured(positive, scores, weights=None):
    weights = np.ones((1, len(scores))) if weights is None else weights
    return of_binary_calibration(positive, scores)(weights)


def test_a_calibrated_probability_has_slope_1_and_is_right_on_the_whole(rng):
    values = measured(*drawn(rng, 40_000))

    assert values["calibration_slope"][0] == pytest.approx(1, abs=0.04)
    assert values["calibration_in_the_large"][0] == pytest.approx(0, abs=0.01)
    assert values["calibration_error"][0] < 0.02


@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_the_slope_undoes_what_made_probabilities_timid_or_extreme(rng, slope):
    assert measured(*drawn(rng, 40_000, slope=slope))["calibration_slope"][0] == pytest.approx(1 / slope, rel=0.05)


def test_in_the_large_is_the_mean_probability_less_the_observed_share(rng):
    positive, scores = drawn(rng, 500, shift=0.7)

    assert measured(positive, scores)["calibration_in_the_large"][0] == pytest.approx(scores.mean() - positive.mean())


def test_the_slope_equals_statsmodels_where_scores_are_few(rng):
    models = pytest.importorskip("statsmodels.api", reason="needs statsmodels")
    positive, scores = drawn(rng, 150)
    design = models.add_constant(logit(np.clip(scores, 1e-6, 1 - 1e-6)))

    fitted = models.Logit(positive.astype(float), design).fit(disp=0)

    assert measured(positive, scores)["calibration_slope"][0] == pytest.approx(fitted.params[1], rel=1e-6)


def test_a_photograph_drawn_twice_counts_as_two_photographs(rng):
    positive, scores = drawn(rng, 120)
    weights = rng.integers(0, 3, (3, 120)).astype(float)

    together = measured(positive, scores, weights)

    for at, times in enumerate(weights.astype(int)):
        alone = measured(np.repeat(positive, times), np.repeat(scores, times))
        for name, value in alone.items():
            assert together[name][at] == pytest.approx(value[0]), name


def test_there_is_no_slope_where_one_answer_is_missing_or_a_score_separates_them():
    scores = np.linspace(0.05, 0.95, 30)

    assert np.isnan(measured(np.ones(30, bool), scores)["calibration_slope"][0])
    assert np.isnan(measured(scores > 0.5, scores)["calibration_slope"][0])
    assert np.isnan(measured(np.zeros(0, bool), np.zeros(0))["calibration_slope"][0])
