"""The field of view at the size that quality and vessels are measured at, each plane computed once for all of them."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from fundoscope.arrays import Photo
from fundoscope.photo.fov import Field

WORKING_PX = 384
"""Diameter of the field of view on the copy that is measured."""

INNER = 0.92
"""Share of the field's radius that is measured; the rim is glare and shadow."""

EDGE_PX = 3
"""Rows and columns along the frame's edge of the copy that are left out."""

BACKGROUND_SIGMA_PX = 24.0
"""Width of the surroundings whose mean a pixel is compared with."""

VESSEL_SIGMA_PX = 2.5
"""Half the width, about, of the vessels that are looked for."""

RIDGE = 0.03
"""Least depth of a vessel, as a share of its surroundings' brightness."""

RED, GREEN = 0, 1
"""Numbers of channels; vessels are seen best in green."""

Plane = Float32[np.ndarray, "rows columns"]
Inside = Bool[np.ndarray, "rows columns"]


class FieldCopy:
    """The box round a field of view, reduced or enlarged so that the field is `WORKING_PX` wide."""

    pixels: UInt8[np.ndarray, "rows columns 3"]
    inside: Inside
    """What lies inside the field, but for its rim, and inside the frame."""

    def __init__(self, photo: Photo, field: Field) -> None:
        """Copy the field of a photograph, as `find_field` gave it; of one outside the frame a single black pixel."""
        height, width = photo.shape[:2]
        top, bottom = max(0, int(field.row - field.radius)), min(height, int(field.row + field.radius) + 1)
        left, right = max(0, int(field.column - field.radius)), min(width, int(field.column + field.radius) + 1)
        if bottom - top < 8 or right - left < 8:
            self.pixels, self.inside = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), bool)
            return
        scale = WORKING_PX / (2 * field.radius)
        size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self.pixels = np.asarray(cv2.resize(photo[top:bottom, left:right], size, interpolation=interpolation))
        inner = Field((field.row - top) * scale, (field.column - left) * scale, INNER * WORKING_PX / 2, 1.0)
        self.inside = inner.mask(size[1], size[0])
        self.inside[:EDGE_PX] = self.inside[-EDGE_PX:] = self.inside[:, :EDGE_PX] = self.inside[:, -EDGE_PX:] = False

    @cached_property
    def green(self) -> Plane:
        """The green channel against its surroundings, as `relative`."""
        return self.relative(GREEN)

    def relative(self, channel: int) -> Plane:
        """Return a channel against its surroundings; 0 outside.

        0 where a pixel is as bright as its surroundings, -0.1 where it is a tenth darker.
        """
        plane = self.pixels[..., channel].astype(np.float32)
        background = np.maximum(_local_mean(plane, self.inside), 4.0)
        relative = np.clip(plane / background - 1, -0.6, 0.6)
        relative[~self.inside] = 0
        return np.asarray(relative)

    @cached_property
    def ridges(self) -> UInt8[np.ndarray, "rows columns"]:
        """1 on dark ridges in green: where the larger eigenvalue of the Hessian exceeds the smaller one.

        As in Frangi et al. (MICCAI 1998), a vessel bends sharply across and hardly along itself. The rim's own edge is
        none.
        """
        smooth = cv2.GaussianBlur(self.green, (0, 0), VESSEL_SIGMA_PX)
        # A kernel of 3 pixels measures second derivatives four times too large.
        across, down, mixed = (
            cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=0.25 * VESSEL_SIGMA_PX**2)
            for order in ((2, 0), (0, 2), (1, 1))
        )
        half = (across + down) / 2
        turn = cv2.magnitude((across - down) / 2, mixed)
        return np.asarray(half + turn - np.abs(half - turn) > RIDGE, np.uint8)


def _local_mean(values: Plane, inside: Inside) -> Plane:
    """Mean of the surroundings, of what is inside only; blurred on a copy of a quarter's side."""
    size = max(1, values.shape[1] // 4), max(1, values.shape[0] // 4)
    weight = inside.astype(np.float32)
    sums = cv2.resize(values * weight, size, interpolation=cv2.INTER_AREA)
    counts = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    sigma = BACKGROUND_SIGMA_PX / 4
    mean = cv2.GaussianBlur(sums, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(counts, (0, 0), sigma), 1e-3)
    return np.asarray(cv2.resize(mean, values.shape[::-1], interpolation=cv2.INTER_LINEAR))
