"""Specks of a sensor painted over with what surrounds them: small, deterministic and bounded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from fundoscope.arrays import Mask, Photo
from fundoscope.photo.fov import Field

SURROUND: Final = 4
"""Pixels around a spot that its filling is computed from."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A disc of a photograph, in its pixels."""

    row: float
    """Centre, from the upper edge; pixel (0, 0) covers [0, 1) x [0, 1)."""
    column: float
    """Centre, from the left edge."""
    radius: float
    """Of what is painted over."""


def retouch(photo: Photo, spots: Sequence[Spot], field: Field | None) -> tuple[Photo, tuple[Spot, ...]]:
    """Paint spots over by what surrounds them (Telea, J. Graphics Tools 9, 2004, 23-34).

    Args:
        photo: Upright 8-bit RGB; stays as it is.
        spots: In pixels of the photograph.
        field: The field of view; spots whose centres lie outside it are left alone. None: all are painted over.

    Returns:
        The photograph, a copy where anything was painted over, and the spots that were.
    """
    inside = tuple(spot for spot in spots if _is_inside(spot, photo, field))
    if not inside:
        return photo, ()
    painted = photo.copy()
    mask = spot_mask(inside, *photo.shape[:2])
    for top, left, bottom, right in _boxes(mask):
        # Spots that touch are filled together: none is filled from another.
        part, covered = photo[top:bottom, left:right], mask[top:bottom, left:right]
        filled = cv2.inpaint(np.ascontiguousarray(part), covered.astype(np.uint8), SURROUND, cv2.INPAINT_TELEA)
        painted[top:bottom, left:right][covered] = filled[covered]
    return painted, inside


def spot_mask(spots: Sequence[Spot], height: int, width: int) -> Mask:
    """Return True for the pixels whose centres lie in one of the spots; of each spot at least the pixel in its middle.

    Args:
        spots: In pixels.
        height: Of the picture.
        width: Of the picture.
    """
    mask = np.zeros((height, width), bool)
    for spot in spots:
        top, bottom = max(0, int(spot.row - spot.radius)), min(height, int(spot.row + spot.radius) + 1)
        left, right = max(0, int(spot.column - spot.radius)), min(width, int(spot.column + spot.radius) + 1)
        down = np.arange(top, bottom)[:, None] + 0.5 - spot.row
        along = np.arange(left, right)[None, :] + 0.5 - spot.column
        mask[top:bottom, left:right] |= down * down + along * along <= spot.radius**2
        if 0 <= spot.row < height and 0 <= spot.column < width:
            mask[int(spot.row), int(spot.column)] = True
    return mask


def _is_inside(spot: Spot, photo: Photo, field: Field | None) -> bool:
    height, width = photo.shape[:2]
    if not (0 <= spot.row < height and 0 <= spot.column < width):
        return False
    return field is None or math.hypot(spot.row - field.row, spot.column - field.column) < field.radius


def _boxes(mask: Mask) -> list[tuple[int, int, int, int]]:
    """Return top, left, bottom and right of the parts of a mask, with enough around them to fill them from."""
    height, width = mask.shape
    margin = 2 * SURROUND
    near = cv2.dilate(mask.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(near)
    boxes = []
    for part in range(1, count):
        left, top, wide, high = (int(stats[part, at]) for at in range(4))
        boxes.append((top, left, min(height, top + high), min(width, left + wide)))
    return boxes
