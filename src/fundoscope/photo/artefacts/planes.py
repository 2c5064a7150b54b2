"""Photographs as planes of local contrast in the camera's own frame, and their trimmed mean.

What belongs to the eye lies elsewhere in every photograph and is trimmed or averaged away; what belongs to the sensor
stays. A plane has one byte a pixel, so that a few hundred of them fit into memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Int8

from fundoscope.arrays import Photo
from fundoscope.photo.artefacts.frame import as_written
from fundoscope.photo.fov import Field

WORKING_PX: Final = 1024
"""Longer side of a plane: twice to three times as fine as what networks of this package see."""

LOCAL_PX: Final = 12.0
"""Standard deviation of the local brightness that contrast is relative to, in px of a plane."""

STEPS: Final = 400.0
"""Steps of a plane's bytes to a contrast of 1: they reach from -0.31 to 0.31."""

UNSEEN: Final = -128
"""Value of a plane where there is no field."""

SATURATED: Final = 250
"""Red from here on shows no contrast."""

DARKEST: Final = 10.0
"""Brightness below which contrast is relative to this."""

RIM: Final = 0.97
"""Share of the field's radius that is looked at."""

TRIMMED: Final = 0.2
"""Share of the photographs that is left out at either end."""

SEEN: Final = 0.5
"""Least share of the photographs that must show a place."""

BAND_ROWS: Final = 32

ContrastPlane = Int8[np.ndarray, "plane_height plane_width"]
Stack = Int8[np.ndarray, "photo height width"]
MeanPlane = Float32[np.ndarray, "height width"]


def contrast_plane(pixels: Photo, field: Field, orientation: int, size: tuple[int, int]) -> ContrastPlane:
    """Compute the local contrast of a photograph in the frame as the camera wrote it.

    Dust takes the same share of all colours, lesions and vessels take green: red and green are averaged.

    Args:
        pixels: Upright.
        field: In `pixels`.
        orientation: EXIF's number.
        size: (height, width) of the plane, as the camera writes it.
    """
    written = np.ascontiguousarray(as_written(pixels, orientation))
    height, width = size
    factor = height / written.shape[0]
    lit = as_written(field.mask(*pixels.shape[:2]), orientation).astype(np.float32)
    inner = as_written(replace(field, radius=field.radius * RIM).mask(*pixels.shape[:2]), orientation).astype(np.uint8)
    if factor != 1:
        written = np.asarray(cv2.resize(written, (width, height), interpolation=cv2.INTER_AREA))
        lit = np.asarray(cv2.resize(lit, (width, height), interpolation=cv2.INTER_AREA))
        inner = np.asarray(cv2.resize(inner, (width, height), interpolation=cv2.INTER_NEAREST))
    lit = np.ascontiguousarray(lit)
    weight = np.maximum(_blurred(lit), np.float32(1e-3))
    red, green = (_contrast(written[..., channel].astype(np.float32), lit, weight) for channel in (0, 1))
    both = np.where(written[..., 0] >= SATURATED, green, (red + green) / 2)
    plane = np.clip(np.rint(both * STEPS), -127, 127).astype(np.int8)
    plane[inner == 0] = UNSEEN
    return plane


def trimmed_mean(stack: Stack) -> MeanPlane:
    """Return the mean contrast at each place without the lowest and highest fifth; NaN where too few show it."""
    photographs, height, width = stack.shape
    mean = np.full((height, width), np.nan, np.float32)
    for top in range(0, height, BAND_ROWS):
        band = np.moveaxis(stack[:, top : top + BAND_ROWS], 0, 2)  # (rows, columns, photograph)
        visible = (band > UNSEEN).sum(axis=2)
        shown = visible >= max(1, SEEN * photographs)
        # (place, photograph): sorting is fastest along what is contiguous; what is unseen comes first
        values, counts = np.sort(np.ascontiguousarray(band[shown]), axis=1), visible[shown]
        trimmed = (counts * TRIMMED).astype(np.intp)
        total = np.empty(len(values), np.int64)
        for count in np.unique(counts):
            chosen, cut = counts == count, int(count * TRIMMED)
            total[chosen] = values[chosen, photographs - count + cut : photographs - cut].sum(axis=1, dtype=np.int64)
        mean[top : top + BAND_ROWS][shown] = total / (counts - 2 * trimmed) / STEPS
    return mean


def _contrast(
    channel: Float32[np.ndarray, "height width"],
    lit: Float32[np.ndarray, "height width"],
    weight: Float32[np.ndarray, "height width"],
) -> Float32[np.ndarray, "height width"]:
    local = _blurred(channel * lit) / weight
    return np.asarray((channel - local) / np.maximum(local, np.float32(DARKEST)))


def _blurred(plane: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), LOCAL_PX))
