"""Pictures of heatmaps."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fundoscope.photo.fov import Field
from fundoscope.photo.recipe import Placement
from fundoscope.runtime.explanation.explain import (
    LESION_COLOURS,
    SHOWN_FULL,
    Explained,
    field_on_grid,
    figure,
    outlined,
    overlay,
    share_outside,
)
from fundoscope.runtime.reading import Reading
from fundoscope.runtime.tasks.dr_grade import GradeAnswer

READING = Reading(
    image="eye.jpg",
    status="graded",
    reason="",
    answer=GradeAnswer(decision="refer"),
    release="r",
    graded_at="",
    field=Field(row=150.0, column=200.0, radius=140.0, confidence=1.0),
    placement=Placement(scale=0.24, row_offset=12.0, column_offset=0.0),
    decoded=(300, 400),
    side=96,
)


def test_the_overlay_is_transparent_outside_the_field_of_view_and_where_nothing_spoke():
    everywhere = overlay(READING, np.ones((12, 12)))
    rows, columns = np.mgrid[:300, :400] + 0.5
    inside = (rows - 150) ** 2 + (columns - 200) ** 2 <= 140**2

    assert everywhere.shape == (300, 400, 4)
    assert not everywhere[..., 3][~inside].any()
    assert (everywhere[..., 3][inside] == 255).all()
    assert not overlay(READING, np.zeros((12, 12)))[..., 3].any()


def test_flipping_the_map_flips_the_overlay(rng):
    relevance = rng.uniform(0.5, 1, size=(12, 12))

    once, flipped = (overlay(READING, each)[..., 3].astype(int) for each in (relevance, relevance[:, ::-1]))

    # Places are rounded to 1/32 of a cell while drawing.
    assert np.abs(flipped[:, ::-1] - once).max() < 8
    assert np.abs(flipped - once).max() > 30


def test_the_unit_of_a_map_does_not_change_its_overlay_and_one_pixel_does_not_darken_it(rng):
    relevance = rng.uniform(1, 2, size=(60, 60))
    spiked = relevance.copy()
    spiked[30, 30] = 1e4

    np.testing.assert_array_equal(overlay(READING, relevance), overlay(READING, 1024 * relevance))
    assert SHOWN_FULL * relevance.size > 1
    assert np.median(overlay(READING, spiked)[100:200, 150:250, 3]) > 150


def test_the_field_on_the_grid_is_the_circle_as_far_as_the_photograph_reaches():
    cut = replace(READING, field=replace(READING.field, radius=190.0))
    inside = field_on_grid(cut, 96, 96)

    # The photograph covers rows 12 to 84 of the canvas; the circle would reach from 2.4 to 93.6.
    assert np.flatnonzero(inside.any(axis=1)).tolist() == list(range(12, 84))
    assert inside.sum(axis=1).max() == pytest.approx(2 * 190 * 0.24, abs=2)
    with pytest.raises(ValueError, match="must hold field, placement"):
        field_on_grid(replace(READING, field=None), 96, 96)


def test_the_share_outside_is_of_all_relevance_and_has_no_value_for_an_empty_map():
    inside = field_on_grid(READING, 96, 96)

    assert share_outside(READING, np.ones((96, 96))) == pytest.approx(1 - inside.mean())
    assert share_outside(READING, inside.astype(float)) == 0
    assert np.isnan(share_outside(READING, np.zeros((4, 4))))


def test_a_lesion_of_one_pixel_is_outlined_in_its_colour():
    picture, mask = np.full((60, 80, 3), 90, np.uint8), np.zeros((600, 800), bool)
    mask[305, 407] = True

    drawn = outlined(picture.copy(), {"mask_ma": mask})

    changed = np.argwhere((drawn != picture).any(axis=2))
    assert changed.tolist() == [[30, 40]]
    assert tuple(drawn[30, 40]) == LESION_COLOURS["mask_ma"]


def test_the_figure_shows_the_photograph_its_lesions_and_every_map(rng):
    photograph = rng.integers(0, 255, (300, 400, 3)).astype(np.uint8)
    explained = Explained(
        reading=READING, pixels=photograph, answer="grade 2", maps={"one": np.ones((4, 4)), "two": np.zeros((4, 4))}
    )
    mask = np.zeros((300, 400), bool)
    mask[100:120, 100:120] = True

    plain = figure(explained, target="answer")
    marked = figure(explained, target="answer", lesions={"mask_ex": mask})
    unmarked = figure(explained, target="answer", lesions={})

    step = 410
    assert plain.shape[1] == 3 * step + 10
    assert marked.shape[1] == unmarked.shape[1] == 4 * step + 10
    assert marked.shape[0] > unmarked.shape[0] == plain.shape[0]
    np.testing.assert_array_equal(plain[50:350, 10:410], photograph)
    np.testing.assert_array_equal(plain[50:350, 10 + 2 * step : 410 + 2 * step], photograph)
    assert (plain[50:350, 10 + step : 410 + step] != photograph).any()


def test_a_figure_has_the_scale_of_its_maps_and_one_without_maps_has_none(rng):
    photograph = rng.integers(0, 255, (300, 400, 3)).astype(np.uint8)
    explained = Explained(reading=READING, pixels=photograph, answer="grade 2", maps={"one": np.ones((4, 4))})

    page = figure(explained, target="answer")
    below = page[60 + 300 :]

    lowest, highest = (cv2.applyColorMap(np.uint8([[end]]), cv2.COLORMAP_VIRIDIS)[0, 0, ::-1] for end in (0, 255))
    assert (below == lowest).all(axis=-1).any()
    assert (below == highest).all(axis=-1).any()
    bare = figure(replace(explained, maps={}), target="answer")
    assert len(page) > len(bare)
