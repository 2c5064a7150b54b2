"""Painted photographs as a dust map sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fundoscope.arrays import Photo
from fundoscope.photo.artefacts.make import FrameView, Shot, see
from fundoscope.photo.disturbances.specks import Speck, paint_specks
from fundoscope.photo.read import Photograph


@pytest.fixture(scope="session")
def see_pixels() -> Callable[..., FrameView]:
    """Takes pixels for a photograph of an eye of its own."""

    def look(pixels: Photo, at: int, *, patient: str | None = None, taken: str | None = None) -> FrameView:
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
def dusty(
    clean_retinas: Sequence[Photo], dust: Sequence[Speck], see_pixels: Callable[..., FrameView]
) -> list[FrameView]:
    """The retinas by a camera with dust on its sensor, a day apart."""
    return [
        see_pixels(paint_specks(pixels, dust), at, taken=f"2031-01-{at + 1:02d}T10:00:00")
        for at, pixels in enumerate(clean_retinas)
    ]
