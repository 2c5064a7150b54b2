"""What is known of a photograph before the network runs, and whether a field of view is required."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.quality import Gate
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.grader import assess
from fundoscope.runtime.reading import Reading

RECIPE = Recipe(side=64, crop="square")
BLANK = Reading(image="a", status="unreadable", reason="", release="r", graded_at="")


@pytest.fixture
def scan(rng) -> np.ndarray:
    """Layers from edge to edge, as an OCT scan has them: no circle anywhere."""
    rows = np.repeat(np.linspace(40, 220, 120).astype(np.uint8)[:, None], 200, axis=1)
    return np.repeat(rows[..., None], 3, axis=2)


def test_a_retina_is_assessed_and_prepared():
    photo = paint_retina(RetinaSpec(side_px=300), rng=np.random.default_rng(1)).photo

    reading, pixels, canvas = assess(BLANK, photo, RECIPE, Gate(field_size=0.2))

    assert (reading.status, reading.side, reading.decoded) == ("graded", 64, (300, 400))
    assert reading.field is not None
    assert reading.parts is not None
    assert pixels is photo
    assert canvas is not None


def test_a_picture_without_a_field_is_ungradable_where_the_task_requires_one(scan):
    reading, _, canvas = assess(BLANK, scan, RECIPE, Gate())

    assert (reading.status, reading.quality, canvas) == ("ungradable", "reject", None)
    assert "no retina found" in reading.reason


def test_it_passes_where_the_task_requires_none(scan):
    reading, _, canvas = assess(BLANK, scan, RECIPE, Gate(), requires_field=False)

    assert (reading.status, reading.quality, reading.reason, reading.field) == ("graded", None, "", None)
    assert canvas is not None
    assert canvas.shape == (64, 64, 3)


@pytest.mark.parametrize("requires_field", [True, False])
def test_two_retinas_in_one_picture_cannot_be_graded_whatever_the_task(requires_field):
    pair = np.hstack([paint_retina(RetinaSpec(side_px=300), rng=np.random.default_rng(n)).photo for n in (1, 2)])

    reading, _, canvas = assess(BLANK, pair, RECIPE, Gate(), requires_field=requires_field)

    assert (reading.status, reading.quality, reading.field, reading.parts) == ("ungradable", "reject", None, None)
    assert reading.reason.startswith("more than one retina in the picture")
    assert canvas is None
