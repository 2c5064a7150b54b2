"""Curves and factors agree with scikit-learn's, and never put one patient before another."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from fundoscope.decide.calibrate import fit_temperature
from fundoscope.decide.calibrators import (
    CURVES,
    CutCalibration,
    Isotonic,
    Platt,
    VectorScaling,
    calibrator_from_dict,
    cross_fit_predict,
    fit_cut_calibration,
    fit_isotonic,
    fit_platt,
    fit_vector_scaling,
    log_odds,
)
from fundoscope.decide.heads import cut_probabilities, softmax_probabilities

SEEDS = st.integers(0, 2**32 - 1)


def yes_or_no(rng, count=300):
    scores = rng.normal(size=count).round(1)
    return scores, rng.random(count) < expit(2 * scores - 0.5)


def drawn_grades(shares, rng):
    return (shares.cumsum(axis=1) < rng.random(len(shares))[:, None]).sum(axis=1).clip(0, 4)


def test_platt_without_smoothing_is_logistic_regression_without_penalty(rng):
    scores, positive = yes_or_no(rng)
    reference = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky").fit(scores[:, None], positive)

    ours = fit_platt(scores, positive, smoothed=False)

    assert (ours.slope, ours.intercept) == pytest.approx(
        (reference.coef_.item(), reference.intercept_.item()), abs=1e-8
    )


def test_platt_with_smoothing_is_that_of_scikit_learn(rng):
    scores, positive = yes_or_no(rng)
    reference = _SigmoidCalibration().fit(scores, positive)

    ours = fit_platt(scores, positive)

    assert ours.apply(scores) == pytest.approx(reference.predict(scores), abs=1e-4)


def test_isotonic_is_that_of_scikit_learn(rng):
    scores, positive = yes_or_no(rng)
    reference = IsotonicRegression(out_of_bounds="clip").fit(scores, positive)
    places = np.linspace(-5, 5, 1001)

    assert fit_isotonic(scores, positive).apply(places) == pytest.approx(reference.predict(places), abs=1e-10)


def test_vector_scaling_is_what_a_slow_search_finds(rng):
    logits, grades = rng.normal(size=(150, 5)) * 3, rng.integers(0, 5, 150)

    def loss(point):
        logs = log_softmax(logits * point[:5] + point[5:], axis=1)[np.arange(150), grades]
        return -logs.mean() + 0.01 / 2 * (((point[:5] - 1) ** 2).sum() + (point[5:] ** 2).sum())

    slow = minimize(loss, np.repeat([1.0, 0.0], 5), method="BFGS", options={"gtol": 1e-6}).x

    ours = fit_vector_scaling(logits, grades, penalty=0.01)

    assert [*ours.factors, *ours.offsets] == pytest.approx(slow, abs=1e-4)
    assert sum(ours.offsets) == pytest.approx(0, abs=1e-9)


def test_vector_scaling_finds_the_factors_and_offsets_that_were_hidden(rng):
    hidden = VectorScaling((0.5, 0.6, 0.4, 0.7, 0.5), (0.4, -0.6, 0.5, -0.2, -0.1))
    logits = rng.normal(size=(20_000, 5)) * 3

    found = fit_vector_scaling(logits, drawn_grades(hidden.apply(logits), rng))

    assert found.factors == pytest.approx(hidden.factors, abs=0.05)
    assert found.offsets == pytest.approx(hidden.offsets, abs=0.12)


def test_vector_scaling_is_never_less_likely_than_a_temperature_on_what_it_saw(rng):
    logits, grades = rng.normal(size=(200, 5)) * 4, rng.integers(0, 5, 200)
    temperature = fit_temperature("softmax", logits, grades)

    def loss(shares):
        return -np.log(shares[np.arange(200), grades]).mean()

    scaled = fit_vector_scaling(logits, grades, penalty=1e-9).apply(logits)

    assert loss(scaled) <= loss(softmax_probabilities(logits, temperature))


def test_logits_that_separate_the_grades_still_give_finite_factors():
    grades = np.repeat(np.arange(5), 4)

    found = fit_vector_scaling(np.eye(5)[grades] * 8, grades)

    assert max(map(abs, found.factors)) < 50


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, curve=st.sampled_from(sorted(CURVES)), slope=st.floats(-3, 3))
def test_no_curve_puts_a_patient_before_one_of_higher_score(seed, curve, slope):
    """Not even where the scores rank worse than chance."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=60)
    positive = rng.random(60) < expit(slope * scores)
    positive[:2] = True, False

    shares = CURVES[curve](scores, positive).apply(np.sort(np.append(scores, [-9, 9])))

    assert (np.diff(shares) >= 0).all()
    assert shares.min() >= 0
    assert shares.max() <= 1


def test_scores_that_rank_worse_than_chance_are_answered_with_how_often_it_is_yes():
    scores, positive = np.arange(10.0), np.arange(10) < 5

    found = fit_platt(scores, positive)

    assert found.apply(scores) == pytest.approx(np.full(10, 0.5))


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, curve=st.sampled_from(sorted(CURVES)))
def test_cut_by_cut_no_probability_is_negative_and_they_sum_to_one(seed, curve):
    rng = np.random.default_rng(seed)
    logits, grades = rng.normal(size=(80, 4)) * 3, np.concatenate([np.arange(5), rng.integers(0, 5, 75)])

    shares = fit_cut_calibration(logits, grades, curve=curve).apply(logits)

    assert shares.min() >= 0
    assert shares.sum(axis=1) == pytest.approx(np.ones(80))


def test_cut_by_cut_finds_how_each_cut_was_bent(rng):
    severity = rng.normal(size=20_000) * 3
    logits = severity[:, None] + np.array([2.0, 0.5, -1, -2.5])
    bent = 0.5 * logits + np.array([0.4, 0.2, 0.1, -0.3])
    grades = drawn_grades(cut_probabilities(bent, 1.0), rng)

    found = fit_cut_calibration(logits, grades)

    assert [cut.slope for cut in found.cuts] == pytest.approx([0.5] * 4, abs=0.05)
    assert [cut.intercept for cut in found.cuts] == pytest.approx([0.4, 0.2, 0.1, -0.3], abs=0.12)


def test_cuts_left_as_they_are_give_the_heads_own_probabilities(rng):
    logits = -np.sort(-rng.normal(size=(50, 4)), axis=1)

    assert CutCalibration((Platt(1.0, 0.0),) * 4).apply(logits) == pytest.approx(cut_probabilities(logits, 1.0))


def test_each_fold_is_calibrated_by_the_others(rng):
    scores, positive = yes_or_no(rng)
    folds = np.arange(300) % 3

    crossed = cross_fit_predict(fit_platt, Platt.apply, scores, positive, folds)

    for fold in range(3):
        others = fit_platt(scores[folds != fold], positive[folds != fold])
        assert (crossed[folds == fold] == others.apply(scores[folds == fold])).all()


def test_nobodys_own_label_moves_his_cross_fitted_probability(rng):
    scores, positive = yes_or_no(rng)
    folds = np.arange(300) % 5
    turned = np.where(folds == 2, ~positive, positive)

    before, after = (cross_fit_predict(fit_platt, Platt.apply, scores, each, folds) for each in (positive, turned))

    assert (before[folds == 2] == after[folds == 2]).all()
    assert (before[folds != 2] != after[folds != 2]).any()


def test_grades_can_be_cross_fitted_too(rng):
    logits, grades = rng.normal(size=(60, 5)), rng.integers(0, 5, 60)

    shares = cross_fit_predict(fit_vector_scaling, VectorScaling.apply, logits, grades, np.arange(60) % 2)

    assert shares.shape == (60, 5)
    assert shares.sum(axis=1) == pytest.approx(np.ones(60))


def test_one_fold_has_no_others():
    with pytest.raises(ValueError, match="at least 2 folds are needed, got 1"):
        cross_fit_predict(fit_platt, Platt.apply, np.arange(4.0), np.arange(4) > 1, np.zeros(4, int))


def test_a_release_carries_every_calibrator_through_json(rng):
    scores, positive = yes_or_no(rng)
    logits, grades = rng.normal(size=(60, 5)), np.arange(60) % 5
    cuts = [fit_cut_calibration(logits[:, :4], grades, curve=curve) for curve in CURVES]

    for each in (
        fit_vector_scaling(logits, grades),
        fit_platt(scores, positive),
        fit_isotonic(scores, positive),
        *cuts,
    ):
        assert calibrator_from_dict(json.loads(json.dumps(each.to_dict()))) == each


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "beta"}, "kind of a calibrator must be one of .*, got 'beta'"),
        ({"kind": "platt", "slope": 1.0}, "needs the keys kind, slope, intercept, got kind, slope"),
        ({"kind": "platt", "slope": "1", "intercept": 0}, "must be a list of numbers"),
        ({"kind": "platt", "slope": -1, "intercept": 0}, "slope must not be below 0, got -1"),
        ({"kind": "isotonic", "scores": [0, 1], "shares": [0.5, 0.4]}, "must lie between 0 and 1 and never fall"),
        ({"kind": "isotonic", "scores": [1, 1], "shares": [0.5, 0.6]}, "scores of knots must rise"),
        ({"kind": "vector scaling", "factors": [1], "offsets": [0]}, "factors must be 5 numbers up to"),
        ({"kind": "platt", "slope": float("inf"), "intercept": 0}, "slope and intercept must be 2 numbers up to"),
        ({"kind": "platt", "slope": 1, "intercept": float("nan")}, "slope and intercept must be 2 numbers up to"),
        ({"kind": "platt", "slope": 1e13, "intercept": 0}, "slope and intercept must be 2 numbers up to"),
        ({"kind": "isotonic", "scores": [0, 1e300], "shares": [0.5, 0.6]}, "scores of knots must be 2 numbers up to"),
        ({"kind": "vector scaling", "factors": [1] * 5, "offsets": [0] * 4 + [float("-inf")]}, "offsets must be 5 num"),
        ({"kind": "cut by cut", "cuts": []}, "4 cuts are needed, got 0"),
    ],
)
def test_a_damaged_calibrator_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        calibrator_from_dict(values)


@pytest.mark.parametrize(
    ("scores", "positive", "message"),
    [
        (np.zeros(0), np.zeros(0, bool), "held-out photographs are needed, got none"),
        (np.zeros(3), np.ones(3, bool), "photographs of yes and of no are needed, got 3 yes of 3"),
        (np.array([0, np.nan]), np.array([True, False]), "must be finite, got 1 that are not"),
    ],
)
def test_refuses_what_no_curve_can_be_fitted_on(scores, positive, message):
    for fit in CURVES.values():
        with pytest.raises(ValueError, match=message):
            fit(scores, positive)


def test_plain_logistic_regression_is_refused_where_it_would_run_away():
    with pytest.raises(ValueError, match="separate yes from no"):
        fit_platt(np.arange(6.0), np.arange(6) > 2, smoothed=False)


def test_log_odds_of_certainty_are_finite():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    assert Isotonic((0.0,), (0.5,)).apply(np.array([-1.0, 1.0])).tolist() == [0.5, 0.5]
