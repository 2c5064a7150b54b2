from __future__ import annotations

import cv2
import numpy as np
import pytest

from fundoscope.photo.disturbances.background import keep_surround, surround


def photograph(rng: np.random.Generator) -> np.ndarray:
    """A field with a black haemorrhage, in a camera's frame whose black is noisy."""
    canvas = rng.integers(0, 9, (80, 80, 3)).astype(np.uint8)
    cv2.circle(canvas, (40, 40), 30, (180, 90, 40), -1)
    cv2.circle(canvas, (45, 40), 5, (8, 2, 2), -1)
    return canvas


def test_the_surround_is_what_is_dark_up_to_the_frames_edge(rng):
    around = surround(photograph(rng))

    assert around[0, 0]
    assert not around[40, 20]
    assert not around[40, 45]  # the haemorrhage
    assert around.mean() == pytest.approx(1 - np.pi * 30**2 / 80**2, abs=0.02)


def test_a_field_that_fills_the_frame_has_no_surround():
    assert not surround(np.full((20, 20, 3), 90, np.uint8)).any()


def test_a_black_picture_is_all_surround():
    assert surround(np.zeros((20, 20, 3), np.uint8)).all()


def test_light_falls_on_the_field_and_on_its_lesions_only(rng):
    before = photograph(rng)
    after = keep_surround(before, np.clip(before.astype(int) + 50, 0, 255))
    changed = (after != before).any(axis=2)

    assert np.array_equal(changed, ~surround(before))
    assert changed[40, 45]
