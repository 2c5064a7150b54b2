from __future__ import annotations

import numpy as np
import pytest

from fundoscope.photo.artefacts.retouch import Spot, retouch, spot_mask
from fundoscope.photo.disturbances.specks import Speck, paint_specks
from fundoscope.photo.fov import find_field


def test_a_speck_is_painted_over_by_what_surrounds_it_and_nothing_else_changes(clean_retinas):
    clean = clean_retinas[0]
    dusty = paint_specks(clean, [Speck(row=0.4, column=0.45, radius=0.01, depth=0.4)])
    spot = Spot(0.4 * 288, 0.45 * 384, 8.0)

    painted, spots = retouch(dusty, [spot], find_field(dusty))

    inside = spot_mask([spot], 288, 384)
    errors = [np.abs(picture.astype(int) - clean)[inside].mean() for picture in (dusty, painted)]
    assert spots == (spot,)
    assert errors[1] < 0.35 * errors[0]
    assert (painted[~inside] == dusty[~inside]).all()


def test_the_photograph_itself_stays_as_it_is(clean_retinas):
    before = clean_retinas[0].copy()

    retouch(clean_retinas[0], [Spot(140.0, 190.0, 4.0)], None)

    assert (clean_retinas[0] == before).all()


def test_spots_outside_the_field_or_the_picture_are_left_alone(clean_retinas):
    photo = clean_retinas[0]

    painted, spots = retouch(
        photo, [Spot(2.0, 2.0, 3.0), Spot(-5.0, 10.0, 3.0), Spot(140.0, 400.0, 3.0)], find_field(photo)
    )

    assert spots == ()
    assert painted is photo


def test_spots_that_touch_are_not_filled_from_one_another():
    photo = np.full((60, 60, 3), 100, np.uint8)
    spots = [Spot(30.0, 26.0, 5.0), Spot(30.0, 34.0, 5.0)]
    photo[spot_mask(spots, 60, 60)] = 0

    painted, _ = retouch(photo, spots, None)

    # What a spot would be filled with from another is 0; the filling itself is out by a grey level or two.
    assert np.abs(painted.astype(int) - 100).max() <= 3


def test_the_same_photograph_is_retouched_the_same_way_each_time(clean_retinas):
    spots = [Spot(140.3, 190.7, 5.0), Spot(100.0, 150.0, 3.0)]

    assert (retouch(clean_retinas[0], spots, None)[0] == retouch(clean_retinas[0], spots, None)[0]).all()


@pytest.mark.parametrize(("radius", "pixels"), [(0.1, 1), (1.0, 4), (2.0, 12)])
def test_a_spot_covers_the_pixels_whose_centres_lie_in_it_and_at_least_one(radius, pixels):
    assert spot_mask([Spot(10.0, 10.0, radius)], 20, 20).sum() == pixels
