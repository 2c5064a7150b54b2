"""Painted retinas of one camera, with and without dust on its sensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fundoscope.arrays import Photo
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.artefacts.make import Seen, Shot, see
from fundoscope.photo.disturbances.specks import Speck, paint_specks
from fundoscope.photo.read import Photograph

DUST = (
    Speck(row=0.35, column=0.4, radius=0.008, depth=0.3),
    Speck(row=0.62, column=0.58, radius=0.006, depth=0.4),
    Speck(row=0.75, column=0.42, radius=0.01, depth=0.25),
)


@pytest.fixture(scope="session")
def dust() -> tuple[Speck, ...]:
    """Three specks of a sensor; radii in shares of the picture's shorter side."""
    return DUST


@pytest.fixture(scope="session")
def clean_retinas() -> list[Photo]:
    """Twenty-four retinas of different eyes, of all grades, 384 x 288 px, none looking quite the same way."""
    rng = np.random.default_rng(5)
    retinas = []
    for at in range(24):
        spec = RetinaSpec(side_px=316, grade=at % 5, eye=("left", "right")[at % 2], notch=False, brightness=0.9)
        top, left = (int(place) for place in rng.integers(0, (28, 37)))
        retinas.append(np.ascontiguousarray(paint_retina(spec, rng=rng).photo[top : top + 288, left : left + 384]))
    return retinas


@pytest.fixture(scope="session")
def see_pixels() -> Callable[..., Seen]:
    """Takes pixels for a photograph of an eye of its own."""

    def look(pixels: Photo, at: int, *, patient: str | None = None, taken: str | None = None) -> Seen:
        photograph = Photograph(
            pixels=pixels, path=f"{at}.png", sha256=f"{at:064x}", format="PNG", width=pixels.shape[1],
            height=pixels.shape[0],
        )  # fmt: skip
        shot = Shot(path=Path(f"{at}.png"), patient=patient or f"p{at}", eye="left", taken=taken)
        seen = see(photograph, shot)
        assert seen is not None
        return seen

    return look


@pytest.fixture(scope="session")
def dusty(clean_retinas: Sequence[Photo], see_pixels: Callable[..., Seen]) -> list[Seen]:
    """The retinas by a camera with dust on its sensor, a day apart."""
    return [
        see_pixels(paint_specks(pixels, DUST), at, taken=f"2031-01-{at + 1:02d}T10:00:00")
        for at, pixels in enumerate(clean_retinas)
    ]
