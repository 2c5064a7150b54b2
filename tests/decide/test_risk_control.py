"""No more of the diseased are missed than was said, on average; and the threshold is the largest that promises it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.referral import OperatingPoint, threshold_at
from fundoscope.decide.risk_control import RiskControl, fit_risk_control


def held_out(scores, grades, patients=None, **more):
    """Probabilities with the given one of referable disease."""
    shares = np.zeros((len(scores), 5))
    shares[:, 0], shares[:, 2] = 1 - scores, scores
    return HeldOut(shares, grades, np.arange(len(grades)) if patients is None else patients, **more)


def slow_threshold(scores, patients, positive, alpha, unit):
    """The paper's infimum, tried at every score: n/(n + 1) * mean loss + 1/(n + 1) <= alpha."""
    ill = sorted(set(patients[positive]))
    for threshold in sorted({0.0, *scores}, reverse=True):
        losses = []
        for patient in ill:
            mine = patients == patient
            missed = scores[mine] < threshold if unit == "patient" else scores[mine & positive] < threshold
            losses.append(float(missed.all() if unit == "patient" else missed.mean()))
        count = len(ill)
        if count / (count + 1) * np.mean(losses) + 1 / (count + 1) <= alpha + 1e-12:
            return threshold
    return 0.0


@pytest.mark.parametrize("unit", ["patient", "photograph"])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_it_is_the_papers_threshold(unit, alpha, rng):
    for count in (10, 45, 90):
        scores, grades = rng.random(count), rng.integers(0, 5, count)
        patients = rng.integers(0, count // 2, count)

        fitted = fit_risk_control(held_out(scores, grades, patients), alpha=alpha, unit=unit)

        slow = slow_threshold(scores, patients, grades >= 2, alpha, unit)
        assert fitted.threshold == pytest.approx(max(0, threshold_at(slow)), abs=1e-12)
        assert fitted.missed <= alpha


@pytest.mark.parametrize("unit", ["patient", "photograph"])
def test_no_more_are_missed_than_was_said(unit, rng):
    """600 times 40 diseased patients with 1 to 3 photographs, and one new."""
    alpha, missed = 0.15, []
    for _ in range(600):
        owner = np.repeat(np.arange(41), rng.integers(1, 4, 41))
        scores = 1 / (1 + np.exp(-rng.normal(size=41)[owner] - rng.normal(size=len(owner))))
        grades = np.where(rng.random(len(owner)) < 0.7, 3, 0)
        grades[np.unique(owner, return_index=True)[1]] = 2
        new = owner == 40
        fitted = fit_risk_control(held_out(scores[~new], grades[~new], owner[~new]), alpha=alpha, unit=unit)
        loss = scores[new] < fitted.threshold
        missed.append(loss.all() if unit == "patient" else loss[grades[new] >= 2].mean())

    error = 4 * math.sqrt(alpha * (1 - alpha) / 600)
    assert np.mean(missed) <= alpha + error
    assert np.mean(missed) >= alpha - 2 / 41 - error


def test_the_healthy_do_not_move_it(rng):
    scores, grades = rng.random(60), rng.integers(0, 5, 60)
    other = np.where(grades >= 2, scores, rng.random(60))

    assert fit_risk_control(held_out(scores, grades)).threshold == fit_risk_control(held_out(other, grades)).threshold


def test_with_too_few_diseased_everybody_is_referred_and_it_is_said(rng):
    fitted = fit_risk_control(held_out(rng.random(20), np.arange(20) % 4), alpha=0.05)

    assert not fitted.possible
    assert fitted.threshold == 0
    assert fitted.warnings() == (
        "10 diseased patients are too few to promise that at most 5.0% are missed (19 are needed): "
        "the threshold refers everybody.",
    )


def test_nine_diseased_are_just_enough_for_a_tenth(rng):
    scores, grades = rng.random(9), np.full(9, 2)

    fitted = fit_risk_control(held_out(scores, grades), alpha=0.1)

    assert fitted.possible
    assert fitted.threshold == pytest.approx(threshold_at(scores.min()), abs=1e-12)
    assert fitted.missed == 0


def test_a_release_takes_it_as_an_operating_point(rng):
    fitted = fit_risk_control(held_out(rng.random(60), np.arange(60) % 5, folds=np.arange(60) % 2))

    assert RiskControl.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted
    assert "networks of folds" in fitted.warnings()[0]
    assert fitted.operating_point() == OperatingPoint(
        name="at most 10.0% of referable patients missed on average",
        cut="referable",
        threshold=fitted.threshold,
        sensitivity=0.9,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie between 0 and 1"),
        ({"cut": "blind"}, "cut must be one of any, referable, sight_threatening, got 'blind'"),
        ({"unit": "eye"}, "unit must be one of patient, photograph, got 'eye'"),
        ({"threshold": 2.0}, "threshold must lie between 0 and 1, got 2.0"),
        ({"threshold": "all"}, "threshold of a risk control must be a number, got 'all'"),
        ({"missed": float("nan")}, "missed must lie between 0 and 1, got nan"),
        ({"patients": 1.5}, "patients must be a whole number, at least 0, got 1.5"),
        ({"more": 1}, "expected the keys .*, got .*more"),
    ],
)
def test_a_damaged_one_is_refused(change, message, rng):
    whole = fit_risk_control(held_out(rng.random(60), np.arange(60) % 5)).to_dict()

    with pytest.raises(ValueError, match=message):
        RiskControl.from_dict(whole | change)


def test_without_disease_or_with_another_question_nothing_is_fitted(rng):
    with pytest.raises(ValueError, match="photographs of grade 2 or above are needed, got none"):
        fit_risk_control(held_out(rng.random(5), np.zeros(5, int)))
    with pytest.raises(ValueError, match="got blind, patient"):
        fit_risk_control(held_out(rng.random(5), np.full(5, 3)), cut="blind")
