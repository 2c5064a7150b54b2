from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

import fundoscope.training.torchvision_shim

from PIL import Image
from timm.data import auto_augment as timms  # (needs an importable torchvision)

from fundoscope.training.augmentation.rand_augment import (
    LEVELS,
    MOVES,
    RECOLOURS,
    Operation,
    apply_operation,
    draw_operations,
)
from fundoscope.training.experiment.ranges import Augment

TIMMS_NAME = {
    "auto_contrast": "AutoContrast", "equalise": "Equalize", "invert": "Invert", "turn": "Rotate",
    "posterise": "PosterizeIncreasing", "solarise": "SolarizeIncreasing", "solarise_add": "SolarizeAdd",
    "colour": "ColorIncreasing", "contrast": "ContrastIncreasing", "brightness": "BrightnessIncreasing",
    "sharpness": "SharpnessIncreasing", "shear_right": "ShearX", "shear_down": "ShearY",
    "shift_right": "TranslateXRel", "shift_down": "TranslateYRel",
}  # fmt: skip

RETFOUND = dataclasses.replace(Augment.plain(), rand_augment=2)


def field(rng: np.random.Generator) -> np.ndarray:
    """A smooth coloured disc on black."""
    canvas = cv2.resize(rng.integers(20, 230, (6, 6, 3)).astype(np.uint8), (64, 64), interpolation=cv2.INTER_CUBIC)
    within = np.zeros((64, 64), np.uint8)
    cv2.circle(within, (32, 32), 28, 1, -1)
    return np.asarray(np.maximum(canvas, 1) * within[..., None])


def timms_picture(canvas: np.ndarray, name: str, value: float) -> np.ndarray:
    """timm's own operation, without interpolation's choice and with black beyond the frame."""
    beside = {"fillcolor": (0, 0, 0), "resample": Image.Resampling.BILINEAR}
    value = int(value) if name in ("posterise", "solarise", "solarise_add") else value
    arguments = () if name in ("auto_contrast", "equalise", "invert") else (value,)
    return np.asarray(timms.NAME_TO_OP[TIMMS_NAME[name]](Image.fromarray(canvas), *arguments, **beside))


def test_the_operations_are_the_fifteen_of_the_policy():
    assert sorted(TIMMS_NAME[name] for name in LEVELS) == sorted(timms._RAND_INCREASING_TRANSFORMS)
    assert set(MOVES) | set(RECOLOURS) == set(LEVELS)


@pytest.mark.parametrize("name", LEVELS)
def test_magnitudes_mean_what_they_mean_to_timm(name, monkeypatch):
    level_of = timms.LEVEL_TO_ARG[TIMMS_NAME[name]]
    for magnitude in np.linspace(0, 9.9, 34):
        for sign in (-1.0, 1.0):
            # timm negates in half of the draws.
            monkeypatch.setattr(timms, "_randomly_negate", lambda value, sign=sign: sign * value)
            try:
                expected = level_of(magnitude, {})[0] if level_of else 0.0
            except TypeError:  # timm's posterise-increasing indexes a number on some versions
                expected = 4 - int(magnitude / 10 * 4)

            assert LEVELS[name](magnitude / 10, sign) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", RECOLOURS)
@pytest.mark.parametrize("level", [0.0, 0.45, 0.9])
def test_changes_of_colour_are_timms_within_the_field(rng, name, level):
    canvas, value = field(rng), LEVELS[name](level, 1.0)
    within = canvas.max(axis=2) > 0

    changed = apply_operation(canvas, Operation(name, value))

    assert np.array_equal(changed[within], timms_picture(canvas, name, value)[within])
    assert not changed[~within].any()


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_movements_are_timms(rng, name, sign):
    """Away from the field's rim, where one interpolation's half pixel is another's."""
    canvas, value = field(rng), LEVELS[name](0.9, sign)

    ours, theirs = apply_operation(canvas, Operation(name, value)), timms_picture(canvas, name, value)

    inner = cv2.erode((theirs.max(axis=2) > 0).astype(np.uint8), np.ones((9, 9))) > 0
    assert inner.sum() > 500
    assert np.abs(ours.astype(int) - theirs)[inner].mean() < 1.0


def test_a_tenth_magnitude_of_posterising_leaves_something_to_see():
    """timm keeps no bit there: a black picture with the grade of the patient."""
    assert LEVELS["posterise"](1.0, 1.0) == 1.0


def test_operations_are_drawn_as_often_as_the_policy_says(rng):
    drawn = [draw_operations(rng, RETFOUND) for _ in range(1500)]
    names = [operation.name for operations in drawn for operation in operations]
    lengths = np.bincount([len(operations) for operations in drawn], minlength=3) / 1500

    assert lengths == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    counts = np.array([names.count(name) for name in LEVELS])
    expected = len(names) / 15
    assert ((counts - expected) ** 2 / expected).sum() < 29.1  # chi-square, 14 degrees of freedom, 1 %


def test_magnitudes_are_normal_about_nine_and_never_above_ten(rng):
    turns = [
        abs(operation.value) / 3
        for _ in range(2500)
        for operation in draw_operations(rng, RETFOUND)
        if operation.name == "turn"
    ]

    assert max(turns) <= 10
    assert np.mean(turns) == pytest.approx(9.0, abs=0.15)
    assert np.std(turns) == pytest.approx(0.5, abs=0.09)


def test_no_operations_are_drawn_where_none_are_asked_for(rng):
    assert draw_operations(rng, Augment.plain()) == ()
