"""What counts as a retina's colours: typical ones, those of another light, and none."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.photo.tint import as_typical, is_possible, is_retina_throughout, is_typical, missing_colour

ALL = np.ones((40, 60), bool)


def plain(red, green, blue):
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (40, 60, 3)).copy()


@pytest.mark.parametrize(
    ("colour", "typical", "possible"),
    [
        ((180, 90, 40), True, True),
        ((200, 195, 90), False, True),
        ((180, 190, 120), False, True),
        ((190, 170, 150), True, True),
        ((120, 170, 80), False, False),
        ((150, 120, 165), False, False),
        ((40, 90, 180), False, False),
        ((120, 118, 116), False, False),
    ],
    ids=["orange", "yellow", "greenish", "pale", "green", "violet", "blue", "grey"],
)
def test_a_retina_may_be_yellow_or_pale_but_not_grey_green_or_blue(colour, typical, possible):
    assert (is_typical(plain(*colour), ALL), is_possible(plain(*colour), ALL)) == (typical, possible)


def test_only_what_lies_inside_is_asked():
    small = plain(40, 90, 180)
    small[:, :30] = (200, 195, 90)
    left = np.arange(60)[None, :] < np.full((40, 1), 30)

    assert is_possible(small, left)
    assert not is_possible(small, ~left)


def test_a_picture_without_colour_or_in_one_is_said_to_be_so():
    assert missing_colour(plain(90, 92, 95), ALL) == "the picture has no colour"
    assert missing_colour(plain(4, 180, 6), ALL) == "the picture has only one colour"
    assert missing_colour(plain(180, 90, 40), ALL) == ""
    assert missing_colour(plain(180, 90, 40), ~ALL) == "the picture has no colour"


def test_a_frame_is_all_retina_if_nearly_every_pixel_can_be():
    yellow = plain(200, 195, 90)
    yellow[:3] = (40, 90, 180)
    half_sky = plain(200, 195, 90)
    half_sky[:20] = (40, 90, 180)

    assert is_retina_throughout(yellow)
    assert is_retina_throughout(plain(180, 90, 40))
    assert not is_retina_throughout(half_sky)
    assert not is_retina_throughout(plain(120, 118, 116))


def test_another_light_is_taken_from_the_whole_picture_and_a_typical_one_is_left():
    small = plain(200, 195, 90)
    small[:, 30:] = (100, 98, 45)
    left = np.arange(60)[None, :] < np.full((40, 1), 30)

    changed = as_typical(small, left)

    assert is_typical(changed, left)
    assert is_typical(changed, ~left)
    np.testing.assert_array_equal(as_typical(plain(180, 90, 40), ALL), plain(180, 90, 40))
