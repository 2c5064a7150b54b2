from __future__ import annotations

import cv2
import numpy as np
import pytest

from fundoscope.photo.disturbances.framing import (
    FieldCut,
    TightCrop,
    crop_tightly,
    cut_field,
    hidden_by,
    inscribed_field,
    magnify,
)
from fundoscope.photo.fov import Field, find_field

FIELD = Field(row=100.0, column=150.0, radius=80.0, confidence=1.0)


def photograph(rng: np.random.Generator) -> np.ndarray:
    """A mottled orange field on black, 200 x 300."""
    mottled = cv2.resize(rng.integers(0, 60, (9, 9, 3)).astype(np.uint8), (300, 200), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(np.array([170, 95, 50]) + mottled.astype(int) - 30, 1, 255).astype(np.uint8)
    picture[~FIELD.mask(200, 300)] = 0
    return picture


@pytest.mark.parametrize(("cut", "rows", "columns"), [
    (FieldCut(top=0.25), slice(0, 60), slice(None)), (FieldCut(bottom=0.25), slice(140, None), slice(None)),
    (FieldCut(left=0.125), slice(None), slice(0, 90)), (FieldCut(right=0.125), slice(None), slice(210, None)),
])  # fmt: skip
def test_a_straight_cut_hides_its_share_of_the_diameter_on_its_side(cut, rows, columns, rng):
    picture = photograph(rng)
    expected = picture.copy()
    expected[rows, columns] = 0

    assert np.array_equal(cut_field(picture, cut, FIELD), expected)


def test_a_smaller_aperture_leaves_a_circle_about_the_fields_centre():
    visible = ~hidden_by(FieldCut(aperture=0.5), 200, 300, FIELD)

    assert visible.sum() == pytest.approx(np.pi * 40**2, rel=0.01)
    assert visible[100, 188]
    assert not visible[100, 192]


def test_a_crescent_darkens_the_rim_on_its_side_with_a_soft_edge(rng):
    picture = photograph(rng)

    shaded = cut_field(picture, FieldCut(crescent=0.2, crescent_degrees=90.0), FIELD)

    assert not shaded[20:28, 150].any()  # the upper rim
    assert np.array_equal(shaded[70:181, 150], picture[70:181, 150])
    middle = shaded[40:52, 150].astype(float).sum(axis=1) / picture[40:52, 150].sum(axis=1)
    assert (np.diff(middle) > 0).all()
    assert np.array_equal(
        hidden_by(FieldCut(crescent=0.2, crescent_degrees=90.0), 200, 300, FIELD)[20:30, 150], [True] * 10
    )


def test_the_default_cut_hides_nothing(rng):
    picture = photograph(rng)

    assert np.array_equal(cut_field(picture, FieldCut(), FIELD), picture)


def test_without_a_field_the_inscribed_circle_is_cut():
    assert np.array_equal(
        hidden_by(FieldCut(top=0.1, aperture=0.9), 90, 90),
        hidden_by(FieldCut(top=0.1, aperture=0.9), 90, 90, inscribed_field(90, 90)),
    )


def test_a_tight_crop_inside_the_circle_shows_no_surround(rng):
    cropped = crop_tightly(photograph(rng), TightCrop(0.7), FIELD)

    assert cropped.shape == (112, 112, 3)
    assert (cropped.max(axis=2) > 0).all()


def test_a_crop_that_reaches_beyond_the_frame_ends_there(rng):
    picture = photograph(rng)

    corner = crop_tightly(picture, TightCrop(0.7, row=0.0, column=1.2), FIELD)

    assert corner.shape == (76, 94, 3)


def test_magnifying_enlarges_what_is_seen_and_keeps_the_edge_of_the_field(rng):
    picture = photograph(rng)
    cv2.circle(picture, (170, 100), 3, (255, 255, 255), -1)  # 20 px to the right of the centre

    larger = magnify(picture, 1.5, FIELD)

    bright = np.argwhere(larger.min(axis=2) > 200)
    assert bright.mean(axis=0) == pytest.approx((100, 180), abs=1)
    assert not larger[~FIELD.mask(200, 300)].any()
    found = find_field(larger)
    assert found is not None
    assert found.radius == pytest.approx(80, abs=2)


def test_reducing_shows_the_whole_field_smaller(rng):
    found = find_field(magnify(photograph(rng), 0.7, FIELD))

    assert found is not None
    assert found.radius == pytest.approx(56, abs=2)
    assert (found.row, found.column) == pytest.approx((100, 150), abs=2)
