from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.training.augment import Tweak, apply_tweak, draw_tweak, move_mask, plane
from fundoscope.training.config import Augment

NOTHING = Augment(
    turn_degrees=0.0, flip=False, scale=0.0, shift=0.0, brightness=0.0, contrast=0.0, saturation=0.0, tint=0.0
)


def picture(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 255, (33, 33, 3)).astype(np.uint8)


def test_a_stored_tweak_does_the_same_again(rng):
    canvas, tweak = picture(rng), draw_tweak(rng, Augment())

    assert np.array_equal(apply_tweak(canvas, tweak), apply_tweak(canvas, Tweak.from_json(tweak.to_json())))


def test_ranges_of_nought_draw_the_tweak_that_changes_nothing(rng):
    canvas = picture(rng)

    tweak = draw_tweak(rng, NOTHING)

    assert tweak == Tweak()
    assert np.array_equal(apply_tweak(canvas, tweak), canvas)


def test_the_same_generator_state_draws_the_same_tweak():
    draws = [draw_tweak(np.random.default_rng([1, 2, 3]), Augment()) for _ in range(2)]

    assert draws[0] == draws[1] != draw_tweak(np.random.default_rng([1, 2, 4]), Augment())


def test_flip_alone_mirrors_left_to_right(rng):
    canvas = picture(rng)

    assert np.array_equal(apply_tweak(canvas, Tweak(flip=True)), canvas[:, ::-1])


def test_a_quarter_turn_is_numpys_quarter_turn(rng):
    """numpy.rot90 turns counter-clockwise, as `turn_degrees` says."""
    canvas = picture(rng)

    assert np.array_equal(apply_tweak(canvas, Tweak(turn_degrees=90.0)), np.rot90(canvas))


def test_the_centre_stays_and_a_shift_moves_it():
    centre = np.array([16.0, 16.0, 1.0])

    assert plane(Tweak(turn_degrees=37.0, zoom=1.2, flip=True), 33) @ centre == pytest.approx([16, 16])
    assert plane(Tweak(shift_right=0.1, shift_down=-0.2), 30) @ np.array([14.5, 14.5, 1]) == pytest.approx([17.5, 8.5])


def test_lesions_move_with_the_photograph(rng):
    """A bright square on the photograph and its mask land on the same pixels."""
    canvas, mask = np.zeros((65, 65, 3), np.uint8), np.zeros((65, 65, 2), np.uint8)
    canvas[10:30, 40:52], mask[10:30, 40:52, 0] = 255, 255
    tweak = dataclasses.replace(
        draw_tweak(rng, Augment()), brightness=0.0, contrast=1.0, saturation=1.0, tint=(1.0, 1.0, 1.0)
    )

    seen, moved = apply_tweak(canvas, tweak)[..., 0] > 127, move_mask(mask, tweak)[..., 0] > 127

    assert np.logical_and(seen, moved).sum() / np.logical_or(seen, moved).sum() > 0.9
    assert not move_mask(mask, tweak)[..., 1].any()


def test_black_surroundings_stay_black_however_it_is_brightened():
    canvas = np.zeros((9, 9, 3), np.uint8)
    canvas[4, 4] = 100

    brightened = apply_tweak(canvas, Tweak(brightness=0.2))

    assert (brightened[0] == 0).all()
    assert brightened[4, 4].tolist() == [151, 151, 151]
