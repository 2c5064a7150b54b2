"""The square round a field of view, as a canvas: what is written for canvases changes whole photographs through it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fundoscope.arrays import Canvas, Photo
from fundoscope.photo.fov import Field


def change_field(photo: Photo, field: Field, change: Callable[[Canvas], Canvas]) -> Photo:
    """Return a photograph in which the square round the field was changed; black stands in beyond the frame.

    Args:
        photo: Upright 8-bit RGB.
        field: In pixels of `photo`.
        change: Gets a canvas whose side is the field's diameter and returns another of the same size.
    """
    height, width = photo.shape[:2]
    side = max(1, round(2 * field.radius))
    top, left = round(field.row - side / 2), round(field.column - side / 2)
    rows, columns = slice(max(0, top), min(height, top + side)), slice(max(0, left), min(width, left + side))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return photo.copy()
    above, before = rows.start - top, columns.start - left
    below, behind = top + side - rows.stop, left + side - columns.stop
    inside = np.s_[rows, columns]
    canvas = cv2.copyMakeBorder(photo[inside], above, below, before, behind, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    changed = photo.copy()
    changed[inside] = change(np.asarray(canvas, np.uint8))[above : side - below, before : side - behind]
    return changed
