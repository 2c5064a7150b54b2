"""Signs and classes: probabilities that come true, and thresholds that find what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from fundoscope.decide.binary import (
    class_probabilities,
    fit_class_temperature,
    fit_sign,
    fit_sign_temperature,
    sign_probabilities,
)
from fundoscope.decide.referral import SCORE_TOLERANCE


def test_each_sign_has_its_own_sigmoid(rng):
    raw, temperatures = rng.normal(size=(20, 3)) * 4, (0.5, 1.0, 3.0)

    shares = sign_probabilities(raw, temperatures)

    for row in range(20):
        for sign, temperature in enumerate(temperatures):
            assert shares[row, sign] == pytest.approx(1 / (1 + np.exp(-raw[row, sign] / temperature)))


def test_classes_share_one_and_a_higher_temperature_makes_them_more_alike(rng):
    raw = rng.normal(size=(20, 4)) * 3

    sure, unsure = class_probabilities(raw, 1.0), class_probabilities(raw, 5.0)

    assert sure.sum(axis=1) == pytest.approx(np.ones(20))
    assert (sure.argmax(axis=1) == unsure.argmax(axis=1)).all()
    assert (sure.max(axis=1) > unsure.max(axis=1)).all()


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_signs_is_found(rng, true):
    logits = rng.normal(size=6000) * 2
    present = rng.random(6000) < 1 / (1 + np.exp(-logits))

    temperature = fit_sign_temperature(logits * true, present)

    assert temperature == pytest.approx(true, rel=0.1)

    def loss(value: float) -> float:
        shares = 1 / (1 + np.exp(-logits * true / value))
        return -float(np.log(np.where(present, shares, 1 - shares)).mean())

    assert temperature == pytest.approx(minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x, rel=1e-3)


def test_the_temperature_that_made_the_classes_is_found(rng):
    logits = rng.normal(size=(4000, 3)) * 2
    shares = class_probabilities(logits, 1.0)
    classes = (shares.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)

    assert fit_class_temperature(3 * logits, classes) == pytest.approx(3, rel=0.1)


def test_a_sign_s_threshold_finds_the_wanted_share_of_what_is_known(rng):
    reference = rng.integers(0, 2, 200).astype(float)
    logits = 2 * reference + rng.normal(size=200)
    reference[::3] = np.nan

    temperature, threshold = fit_sign(logits, reference, sensitivity=0.8)

    shares = sign_probabilities(logits[:, None], (temperature,))[:, 0]
    positive = shares[reference == 1]
    assert (positive >= threshold).mean() >= 0.8
    assert (positive > threshold + 2 * SCORE_TOLERANCE).mean() < 0.8
    changed = np.where(np.isnan(reference), 50.0, logits)
    assert fit_sign(changed, reference, sensitivity=0.8) == (temperature, threshold)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_sign_that_is_everywhere_or_nowhere_has_no_threshold(value):
    with pytest.raises(ValueError, match=r"photographs with and without the sign are needed, got \d of 4"):
        fit_sign(np.zeros(4), np.full(4, value), sensitivity=0.9)


def test_outputs_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="held-out outputs must be finite, got 1 that are not"):
        fit_sign_temperature(np.array([np.nan, 1.0]), np.array([True, False]))
    with pytest.raises(ValueError, match="held-out photographs are needed, got none"):
        fit_class_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64))
