from __future__ import annotations

import numpy as np

from fundoscope.photo.disturbances.region import change_field
from fundoscope.photo.fov import Field


def test_the_change_gets_the_fields_square_with_black_beyond_the_frame_and_is_put_back_in_place():
    photo = np.full((60, 100, 3), 90, np.uint8)
    sides = []

    def change(canvas: np.ndarray) -> np.ndarray:
        sides.append((canvas.shape, int(canvas[0, 40, 0]), int(canvas[40, 40, 0])))
        changed = canvas.copy()
        changed[40, 40] = 255  # the centre of the field
        return changed

    changed = change_field(photo, Field(row=30.0, column=50.0, radius=40.0, confidence=1.0), change)

    assert sides == [((80, 80, 3), 0, 90)]  # ten rows above the frame are black
    assert np.argwhere(changed[..., 0] == 255).tolist() == [[30, 50]]
    assert (photo == 90).all()
    assert changed.shape == photo.shape


def test_what_lies_outside_the_square_stays():
    photo = np.full((60, 100, 3), 90, np.uint8)

    changed = change_field(photo, Field(row=30.0, column=20.0, radius=10.0, confidence=1.0), np.zeros_like)

    assert not changed[20:40, 10:30].any()
    assert (changed == 90).sum() == photo.size - 20 * 20 * 3


def test_a_field_outside_the_frame_changes_nothing():
    photo = np.full((60, 100, 3), 90, np.uint8)

    assert np.array_equal(change_field(photo, Field(-50.0, -50.0, 10.0, confidence=1.0), np.zeros_like), photo)
