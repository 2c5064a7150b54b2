from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fundoscope.photo.fov import Field
from fundoscope.photo.illustration import OVERLAY_PX, draw_overlay, illustrate, lay_on_photograph
from fundoscope.photo.recipe import Placement
from fundoscope.runtime.reading import Reading

BLANK = Reading(image="", status="graded", reason="", release="r", graded_at="")


def reading_with(heatmap, placement, *, decoded=(300, 400), side=96):
    field = Field(row=150.0, column=200.0, radius=140.0, confidence=1.0)
    return replace(
        BLANK, heatmap=heatmap.astype(np.float32), placement=placement, decoded=decoded, side=side, field=field
    )


def canvas_heatmap(row_px: float, column_px: float, *, side: int = 96, cells: int = 24):
    """One hot spot at a place of the canvas."""
    rows, columns = (np.mgrid[:cells, :cells] + 0.5) * side / cells
    return np.exp(-((rows - row_px) ** 2 + (columns - column_px) ** 2) / (2 * 6**2))


@pytest.mark.parametrize(
    ("scale", "row_offset", "column_offset"), [(0.24, 12.0, 0.0), (0.3, 0.0, -12.0), (0.32, 0.0, -16.0)]
)
@pytest.mark.parametrize(("row_px", "column_px"), [(100, 150), (180, 260)])
def test_what_is_hot_on_the_canvas_is_hot_at_its_place_on_the_photograph(
    scale, row_offset, column_offset, row_px, column_px
):
    placement = Placement(scale=scale, row_offset=row_offset, column_offset=column_offset)
    heatmap = canvas_heatmap(row_px * scale + row_offset, column_px * scale + column_offset)

    laid = lay_on_photograph(reading_with(heatmap, placement), longer_px=200)

    assert laid.shape == (150, 200)
    found = np.array(np.unravel_index(laid.argmax(), laid.shape)) * 2 + 1
    assert np.abs(found - (row_px, column_px)).max() <= 4
    assert 0 <= laid.min() <= laid.max() <= 1


def test_flipping_the_heatmap_flips_the_overlay(rng):
    placement = Placement(scale=0.24, row_offset=12.0, column_offset=0.0)
    heatmap = rng.uniform(size=(12, 12))

    once = lay_on_photograph(reading_with(heatmap, placement), longer_px=200)
    flipped = lay_on_photograph(reading_with(heatmap[:, ::-1], placement), longer_px=200)

    np.testing.assert_allclose(flipped[:, ::-1], once, atol=0.02)


def test_the_overlay_is_transparent_outside_the_retina_and_where_nothing_spoke():
    placement = Placement(scale=0.24, row_offset=12.0, column_offset=0.0)
    overlay = draw_overlay(reading_with(np.ones((12, 12)), placement))
    nothing = draw_overlay(reading_with(np.zeros((12, 12)), placement))

    assert overlay.shape == (300, 400, 4)
    assert overlay[0, 0, 3] == 0
    assert overlay[150, 200, 3] == 255
    assert nothing[..., 3].max() == 0


def test_where_there_is_no_heatmap_there_is_no_overlay():
    pixels = np.full((300, 400, 3), 90, np.uint8)

    assert illustrate(pixels, replace(BLANK, decoded=(300, 400))).overlay is None


def test_a_large_photograph_is_made_small_and_carried_along(rng):
    pixels = rng.integers(0, 256, size=(1200, 1600, 3), dtype=np.uint8)
    placement = Placement(scale=0.06, row_offset=12.0, column_offset=0.0)
    drawn = illustrate(pixels, reading_with(np.ones((12, 12)), placement, decoded=(1200, 1600)))

    def sized(uri):
        return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size

    assert drawn.photograph.startswith("data:image/jpeg;base64,")
    assert drawn.overlay.startswith("data:image/webp;base64,")
    assert (drawn.width, drawn.height) == sized(drawn.photograph) == (800, 600)
    assert sized(drawn.overlay) == (OVERLAY_PX, 300)
