"""The copy of a field of view that quality and vessels are measured on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.evidence import measure_lines
from fundoscope.photo.field_copy import GREEN, RED, WORKING_PX, FieldCopy
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.quality import measure_quality


@pytest.fixture
def photo(rng) -> np.ndarray:
    return paint_retina(RetinaSpec(side_px=900, grade=2), rng=rng).photo


def test_the_field_is_as_wide_as_said_and_its_rim_is_left_out(photo):
    copy = FieldCopy(photo, find_field(photo))

    assert max(copy.pixels.shape) == pytest.approx(WORKING_PX, abs=2)
    assert copy.inside.shape == copy.pixels.shape[:2]
    assert copy.inside.mean() == pytest.approx(0.92**2 * np.pi / 4, abs=0.02)


@pytest.mark.parametrize("channel", [RED, GREEN])
def test_each_channel_is_reduced_as_if_it_were_alone(photo, channel):
    side = min(photo.shape[:2])
    square = photo[:side, :side]

    copy = FieldCopy(square, Field(side / 2, side / 2, side / 2, 1.0))

    alone = cv2.resize(np.ascontiguousarray(square[..., channel]), (WORKING_PX,) * 2, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(copy.pixels[..., channel].astype(int), alone.astype(int), atol=1)  # of rounding


def test_a_pixel_a_tenth_darker_than_its_surroundings_is_minus_a_tenth():
    photo = np.full((WORKING_PX, WORKING_PX, 3), 100, np.uint8)
    photo[190:194, 190:194] = 90

    copy = FieldCopy(photo, Field(WORKING_PX / 2, WORKING_PX / 2, WORKING_PX / 2, 1.0))

    assert copy.green[192, 192] == pytest.approx(-0.1, abs=0.005)
    assert copy.green[100, 100] == pytest.approx(0, abs=0.005)
    assert (copy.green[~copy.inside] == 0).all()


def test_a_field_outside_the_frame_has_nothing_inside(photo):
    copy = FieldCopy(photo, Field(-5000.0, 450.0, 450.0, 1.0))

    assert not copy.inside.any()
    assert copy.green.shape == copy.ridges.shape == (1, 1)


def test_what_is_measured_on_a_copy_given_is_what_is_measured_on_one_made(photo):
    field = find_field(photo)
    copy = FieldCopy(photo, field)

    assert measure_quality(photo, field, copy) == measure_quality(photo, field)
    assert measure_lines(photo, field, copy) == measure_lines(photo, field)
