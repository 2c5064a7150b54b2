"""What has come to a sensor or gone from it since it was mapped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fundoscope.errors import BadRequest
from fundoscope.photo.artefacts.compare import compare_dust
from fundoscope.photo.artefacts.frame import Frame
from fundoscope.photo.artefacts.make import dust_map_of
from fundoscope.photo.disturbances.specks import Speck, paint_specks


@pytest.fixture(scope="module")
def later(clean_retinas, see_pixels):
    """Photographs of other patients (the retinas upside down) by a camera with the dust given."""

    def look(dust):
        return [see_pixels(paint_specks(pixels[::-1], dust), 50 + at) for at, pixels in enumerate(clean_retinas)]

    return look


def test_the_same_dust_has_not_changed(dusty, dust, later):
    change = compare_dust(dust_map_of(dusty), later(dust))

    assert not change.changed
    assert len(change.now.specks) == 3


def test_a_speck_that_was_cleaned_off_and_one_that_came_are_named(dusty, dust, later):
    new = Speck(row=0.4, column=0.62, radius=0.008, depth=0.4)

    change = compare_dust(dust_map_of(dusty), later([*dust[1:], new]))

    assert [round(speck.row, 2) for speck in change.gone] == [0.35]
    assert [round(speck.row, 1) for speck in change.come] == [0.4]


def test_a_speck_of_which_little_is_left_is_gone(dusty, dust, later):
    change = compare_dust(dust_map_of(dusty), later([replace(dust[0], depth=0.05), *dust[1:]]))

    assert [round(speck.row, 2) for speck in change.gone] == [0.35]


def test_a_new_speck_too_faint_to_have_been_found_before_does_not_count(dusty, later, dust, monkeypatch):
    monkeypatch.setattr("fundoscope.photo.artefacts.compare.COME_DEPTH", 0.5)

    change = compare_dust(dust_map_of(dusty), later([*dust, Speck(row=0.4, column=0.62, radius=0.008, depth=0.4)]))

    assert change.come == ()


def test_too_few_photographs_and_another_frame_are_refused(dusty):
    dust_map = dust_map_of(dusty)

    with pytest.raises(BadRequest, match=r"at least 20 photographs of different eyes"):
        compare_dust(dust_map, dusty[:10])
    with pytest.raises(ValueError, match=r"must be of 384 x 288 px as the map is, got 100 x 80 px"):
        compare_dust(dust_map, [replace(item, frame=Frame(100, 80)) for item in dusty])
