"""A method of calibration is chosen by what it is worth on other patients, and what it makes worse is said."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.clinic.calibration.choice import AUTO, calibrate_by_choice
from fundoscope.clinic.calibration.source import Settings, Source
from fundoscope.decide.calibrate import answered_grades
from fundoscope.decide.heads import probabilities
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.rescale import METHODS


def photographs(rng: np.random.Generator, patients: int = 150, *, sharpened: float = 1.0, folds: int = 0) -> HeldOut:
    """Two photographs of each patient; logits are right before they are sharpened."""
    logits = 1.5 * rng.normal(size=(2 * patients, 5))
    grades = np.array([rng.choice(5, p=row) for row in probabilities("softmax", logits)])
    shares = probabilities("softmax", sharpened * logits)
    owner = np.repeat(np.arange(patients), 2)
    return HeldOut(shares, grades, owner, answers=answered_grades(shares, ()), folds=owner % folds if folds else None)


def chosen(held: HeldOut, rng: np.random.Generator, **settings: object):
    source = Source(held.probabilities, held.probabilities, cuts=())
    wanted = Settings(**({"method": AUTO, "cutter": "median"} | settings))
    return calibrate_by_choice(held, lambda method: source, wanted, rng=rng, resamples=100)


def test_right_probabilities_are_left_alone(rng):
    calibration = chosen(photographs(rng, 400), rng)

    assert calibration.settings.method == "none"
    assert calibration.fit.calibrator is None
    assert calibration.fit.readout is None
    assert calibration.figures["log_loss"]["change"].estimate == 0
    assert calibration.warnings() == calibration.conformal.warnings()


def test_probabilities_that_are_too_sure_are_not(rng):
    calibration = chosen(photographs(rng, sharpened=4.0), rng)

    assert calibration.settings.method in ("temperature", "vector")
    assert set(calibration.losses) == set(METHODS)
    assert calibration.losses[calibration.settings.method] == min(calibration.losses.values())
    assert calibration.figures["log_loss"]["after"].estimate == pytest.approx(min(calibration.losses.values()))


def test_a_method_that_there_are_too_few_photographs_for_is_passed_over(rng):
    held = photographs(rng, 40)
    few = HeldOut(held.probabilities, np.minimum(held.grades, 2), held.patients, answers=held.answers)

    calibration = chosen(few, rng)

    assert "cuts" not in calibration.losses  # no photograph lies above the last two cuts
    assert calibration.settings.method in calibration.losses


def test_folds_of_the_predictions_are_used_and_those_made_here_are_not_taken_for_networks(rng):
    assert chosen(photographs(rng, folds=4), rng).own_folds

    made = chosen(photographs(rng), rng)
    assert not made.own_folds
    assert not any("networks of folds" in warning for warning in made.warnings())


def test_the_cutter_is_chosen_by_accuracy_and_kappa_on_other_patients(rng):
    held = photographs(rng)
    values = {}
    for cutter in ("median", "rounded", "kappa"):
        of = chosen(held, np.random.default_rng(3), method="vector", cutter=cutter).figures
        values[cutter] = of["accuracy"]["after"].estimate + of["quadratic_kappa"]["after"].estimate

    best = chosen(held, np.random.default_rng(3), method="vector", cutter=AUTO)

    assert values[best.settings.cutter] == max(values.values())


def test_a_figure_that_a_calibration_makes_worse_is_named_with_both_values(rng):
    held = photographs(rng)
    perfect = HeldOut(held.probabilities, held.grades, held.patients, answers=held.grades)

    calibration = chosen(perfect, rng, method="vector", cutter="kappa")

    accuracy = calibration.figures["accuracy"]
    assert accuracy["before"].estimate == 1
    assert set(calibration.lowered) >= {"accuracy", "quadratic_kappa"}
    (words,) = (warning for warning in calibration.warnings() if "makes worse" in warning)
    assert f"accuracy of the grade answered from 1.000 to {accuracy['after'].estimate:.3f}" in words


def test_answers_that_are_not_known_are_not_compared(rng):
    held = photographs(rng)
    unknown = HeldOut(held.probabilities, held.grades, held.patients)

    assert "accuracy" not in chosen(unknown, rng).figures
