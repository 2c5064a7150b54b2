"""Masks carried onto the prepared photograph keep their area, and no lesion vanishes."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fundoscope.errors import BadTable
from fundoscope.heatmaps.masks import coverage, mask_on_canvas, read_mask
from fundoscope.photo.recipe import Placement, Recipe, prepare


def test_the_cover_of_a_mask_reduced_by_whole_numbers_is_the_mean_of_its_blocks(rng):
    drawn = rng.random((60, 60)) < 0.3

    share = coverage(drawn, Placement(1 / 5, 0.0, 0.0), 12, size=(60, 60))

    np.testing.assert_allclose(share, drawn.reshape(12, 5, 12, 5).mean((1, 3)), atol=1e-12)


def test_a_mask_lies_where_the_recipe_puts_the_photograph_and_keeps_its_area(rng):
    photo = np.full((150, 200, 3), 90, np.uint8)
    drawn = np.zeros((150, 200), bool)
    drawn[40:80, 60:120] = True
    photo[drawn] = 255

    for recipe in (Recipe(side=64, crop="square"), Recipe(side=64, crop="none")):
        prepared = prepare(photo, recipe)
        mask = mask_on_canvas(drawn, prepared.placement, 64, size=(150, 200))
        share = coverage(drawn, prepared.placement, 64, size=(150, 200))

        assert share.sum() == pytest.approx(2400 * prepared.placement.scale * prepared.placement.column_scale)
        np.testing.assert_array_equal(mask, prepared.canvas[..., 0] >= 172)


def test_a_mask_of_half_the_resolution_lies_in_the_same_place(rng):
    small = rng.random((30, 40)) < 0.4
    large = np.kron(small, np.ones((2, 2))).astype(bool)
    placement = Placement(0.37, 1.3, -2.1)

    there, back = (coverage(mask, placement, 24, size=(60, 80)) for mask in (small, large))

    np.testing.assert_allclose(there, back, atol=1e-12)


def test_a_lesion_smaller_than_a_pixel_keeps_one_pixel():
    drawn = np.zeros((100, 100), bool)
    drawn[31, 47] = drawn[70:90, 10:30] = True

    mask = mask_on_canvas(drawn, Placement(0.1, 0.0, 0.0), 10, size=(100, 100))

    assert mask[3, 4]
    assert mask.sum() == 1 + 4


def test_a_mask_beyond_the_canvas_or_empty_leaves_nothing():
    drawn = np.zeros((50, 50), bool)
    placement = Placement(1.0, -80.0, 0.0)

    assert not mask_on_canvas(drawn, placement, 20, size=(50, 50)).any()
    assert not mask_on_canvas(~drawn, placement, 20, size=(50, 50)).any()


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"mask must be of the photograph's shape 50 x 80 .* got 50 x 50; take"):
        coverage(np.zeros((50, 50), bool), Placement(1.0, 0.0, 0.0), 20, size=(50, 80))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mask.png")

    with pytest.raises(BadTable, match=r"mask\.png: expected a mask picture for mask_ma, got none that can be read"):
        read_mask(tmp_path / "mask.png", "mask_ma")
