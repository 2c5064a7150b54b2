"""The exact pixels of prepared photographs: no step of `prepare` changes unseen, whatever release is at hand.

`pixels.npz` holds what `prepare` gave for a painted photograph of the examples when each step was last changed on
purpose (`write_pixels` writes it anew). Cropping and resizing are the same arithmetic everywhere and compared exactly.
Blurring and converting colours are computed in other orders on other CPUs, which may move a value by one step of the
enhancement: 1 grey level, after Ben Graham's amplification 4.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import fundoscope.photo.recipe as preparing
from fundoscope.photo.read import read_photo
from fundoscope.photo.recipe import CROPS, ENHANCEMENTS, Recipe, prepare

STORED = Path(__file__).with_name("pixels.npz")
PHOTOGRAPH = Path(__file__).resolve().parents[1] / "painted" / "painted_grade2_left.jpg"
TOLERANCE = {"none": 0, "clahe": 1, "ben_graham": 4}
SIDE_PX = 40


def prepared(crop: str, enhance: str) -> np.ndarray:
    pixels = read_photo(PHOTOGRAPH).pixels
    return prepare(pixels, Recipe(side=SIDE_PX, crop=crop, margin=0.03, enhance=enhance)).canvas


def write_pixels() -> None:
    """Run this by hand when preparing is changed on purpose, and say so in the commit."""
    np.savez_compressed(
        STORED, **{f"{crop}-{enhance}": prepared(crop, enhance) for crop in CROPS for enhance in ENHANCEMENTS}
    )


def deviation(crop: str, enhance: str) -> int:
    with np.load(STORED) as stored:
        return int(np.abs(prepared(crop, enhance).astype(int) - stored[f"{crop}-{enhance}"]).max())


@pytest.mark.parametrize("enhance", ENHANCEMENTS)
@pytest.mark.parametrize("crop", CROPS)
def test_a_painted_photograph_is_prepared_to_the_stored_pixels(crop, enhance):
    assert deviation(crop, enhance) <= TOLERANCE[enhance]


@pytest.mark.parametrize("how", ["INTER_NEAREST", "INTER_LINEAR", "INTER_CUBIC", "INTER_LANCZOS4"])
@pytest.mark.parametrize("enhance", ENHANCEMENTS)
@pytest.mark.parametrize("crop", CROPS)
def test_another_interpolation_gives_other_pixels(crop, enhance, how, monkeypatch):
    monkeypatch.setattr(preparing, "cv2", SimpleNamespace(**(vars(cv2) | {"INTER_AREA": getattr(cv2, how)})))

    assert deviation(crop, enhance) > TOLERANCE[enhance]
