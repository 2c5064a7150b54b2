from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fundoscope.photo.artefacts.frame import as_written
from fundoscope.photo.artefacts.planes import STEPS, UNSEEN, contrast_plane, trimmed_mean
from fundoscope.photo.disturbances.specks import Speck, paint_specks
from fundoscope.photo.fov import find_field


def test_the_trimmed_mean_is_scipys_where_all_photographs_show_a_place(rng):
    stack = rng.integers(-127, 128, size=(23, 5, 7)).astype(np.int8)

    expected = stats.trim_mean(stack.astype(float), 0.2, axis=0) / STEPS

    assert trimmed_mean(stack) == pytest.approx(expected, abs=1e-6)


def test_photographs_that_do_not_show_a_place_do_not_count_and_too_few_say_nothing(rng):
    stack = rng.integers(-127, 128, size=(20, 1, 2)).astype(np.int8)
    stack[:8, 0, 0] = UNSEEN
    stack[:11, 0, 1] = UNSEEN

    mean = trimmed_mean(stack)

    assert mean[0, 0] == pytest.approx(stats.trim_mean(stack[8:, 0, 0].astype(float), 0.2) / STEPS, abs=1e-6)
    assert np.isnan(mean[0, 1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_plane_is_the_cameras_whatever_way_up_the_photograph_is(clean_retinas, orientation):
    written = clean_retinas[2]
    back = {6: 8, 8: 6}.get(orientation, orientation)
    upright = np.ascontiguousarray(as_written(written, back))
    plane = contrast_plane(written, find_field(written), 1, (288, 384))

    turned = contrast_plane(upright, find_field(upright), orientation, (288, 384))

    both = (plane > UNSEEN) & (turned > UNSEEN)
    assert both.mean() > 0.5
    assert np.abs(plane[both].astype(int) - turned[both]).max() <= 3


def test_a_speck_has_the_contrast_that_was_painted_and_the_surround_has_none(clean_retinas):
    clean = clean_retinas[0]
    dusty = paint_specks(clean, [Speck(row=0.35, column=0.4, radius=0.008, depth=0.2)])
    planes = [contrast_plane(photo, find_field(photo), 1, (288, 384)).astype(int) for photo in (clean, dusty)]

    change = (planes[1] - planes[0]) / STEPS

    assert change[101, 153] == pytest.approx(-0.2, abs=0.04)
    assert np.abs(change[150:, 250:]).max() < 0.01
    assert planes[0][0, 0] == UNSEEN


def test_a_plane_is_reduced_to_the_size_that_is_asked_for(clean_retinas):
    plane = contrast_plane(clean_retinas[0], find_field(clean_retinas[0]), 1, (144, 192))

    assert plane.shape == (144, 192)
    assert plane.dtype == np.int8
