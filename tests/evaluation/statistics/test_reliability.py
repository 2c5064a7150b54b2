"""The calibration error, against its definition in a loop."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.evaluation.statistics.reliability import (
    brier_parts,
    brier_scores,
    calibration_error,
    calibration_errors,
    equal_mass_bins,
    log_losses,
    of_classwise,
)


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


@pytest.fixture
def graded(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, grades, and how often each photograph counts in two draws."""
    given, grades = rng.dirichlet(np.ones(5), 80), rng.integers(0, 5, 80)
    return given, grades, np.vstack([np.ones(80), rng.integers(0, 3, 80)])


def test_log_loss_and_brier_equal_scikit_learn_on_every_draw(graded):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    given, grades, weights = graded
    positive, score = grades >= 2, given[:, 2:].sum(axis=1)

    for draw, each in enumerate(weights):
        log_loss = metrics.log_loss(grades, given, sample_weight=each, labels=range(5))
        assert log_losses(weights, given, grades)[draw] == pytest.approx(log_loss, abs=1e-10)
        brier = metrics.brier_score_loss(grades, given, sample_weight=each, labels=range(5), scale_by_half=False)
        assert brier_scores(weights, given, grades)[draw] == pytest.approx(brier, abs=1e-10)
        two_sided = metrics.brier_score_loss(positive, score, sample_weight=each)
        assert brier_parts(weights, positive, score)["brier"][draw] == pytest.approx(two_sided, abs=1e-10)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_parts_of_the_brier_score_make_the_whole(graded, bins):
    given, grades, weights = graded

    parts = brier_parts(weights, grades >= 2, given[:, 2:].sum(axis=1), bins=bins)

    whole = parts["brier_reliability"] - parts["brier_resolution"] + parts["brier_uncertainty"]
    assert whole + parts["brier_within_bin"] == pytest.approx(parts["brier"], abs=1e-12)


def test_scores_that_are_alike_within_each_bin_hide_nothing():
    """Murphy's own three parts: said 0.2 and 0.8, right as often as said."""
    scores = np.repeat([0.2, 0.8], 10)
    positive = np.tile(np.arange(10), 2) < np.repeat([2, 8], 10)

    parts = {name: float(each[0]) for name, each in brier_parts(np.ones((1, 20)), positive, scores, bins=10).items()}

    assert parts == pytest.approx(
        {
            "brier": 0.16,
            "brier_reliability": 0,
            "brier_resolution": 0.09,
            "brier_uncertainty": 0.25,
            "brier_within_bin": 0,
        },
        abs=1e-12,
    )


def test_a_sure_error_is_costly_and_not_infinite():
    assert 30 < log_losses(np.ones((1, 1)), np.eye(5)[[0]], np.array([1]))[0] < 40


def test_bins_of_equal_mass_hold_equally_many_and_keep_equal_scores_together(rng):
    scores = rng.permutation(np.arange(30) / 30)

    assert np.bincount(equal_mass_bins(scores, 10)).tolist() == [3] * 10
    assert len(set(equal_mass_bins(np.full(8, 0.5), 4).tolist())) == 1
    assert (equal_mass_bins(np.tile(scores, 3), 7) == np.tile(equal_mass_bins(scores, 7), 3)).all()


def test_the_error_over_bins_of_equal_mass_equals_the_definition(graded):
    given, grades, weights = graded
    sure, right = given.max(axis=1), given.argmax(axis=1) == grades

    ours = calibration_errors(weights, given, grades, bins=8, equal_mass=True)[0]

    parts = np.array_split(np.argsort(sure), 8)
    assert ours == pytest.approx(sum(len(part) / 80 * abs((right[part] - sure[part]).mean()) for part in parts))


def test_the_classwise_error_is_the_mean_over_grades_of_their_own_errors(graded):
    given, grades, weights = graded
    expected = []
    for grade in range(5):
        own, is_it, error = given[:, grade], grades == grade, 0.0
        for k in range(15):
            inside = (own > k / 15) & (own <= (k + 1) / 15)
            error += abs((is_it[inside] - own[inside]).sum()) / 80
        expected.append(error)

    assert of_classwise(given, grades, "error")(weights)["error"][0] == pytest.approx(np.mean(expected))
