"""Framing: how much of the retina a camera shows, and how the frame cuts the field of view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from fundoscope.arrays import Mask, Photo
from fundoscope.photo.fov import Field

CroppedPhoto = UInt8[np.ndarray, "cropped_height cropped_width 3"]


@dataclass(frozen=True, slots=True)
class FieldCut:
    """Parts of the field that are dark: cut straight on any side, by a smaller aperture, or by a crescent."""

    top: float = 0.0
    """Share of the field's diameter that is cut off; `bottom`, `left` and `right` likewise."""
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0
    aperture: float = 1.0
    """Diameter of the circle that stays visible, as a share of the field's."""
    crescent: float = 0.0
    """Width of a dark crescent at the rim where it is widest, as a share of the diameter: the pupil's edge."""
    crescent_degrees: float = 0.0
    """Where the crescent is widest, counter-clockwise from the right."""


@dataclass(frozen=True, slots=True)
class TightCrop:
    """A square cut out of the field, so that no surround is seen."""

    share: float
    """Side of the square, as a share of the field's diameter: up to 0.7 lies inside the circle."""
    row: float = 0.5
    """Centre of the square, as a share of the diameter from the field's top; `column` from its left."""
    column: float = 0.5


def cut_field(picture: Photo, cut: FieldCut, field: Field | None = None) -> Photo:
    """Return the picture with what the cut hides set to black.

    Args:
        picture: A photograph or canvas.
        cut: What is hidden.
        field: In pixels of `picture`; without one, the circle that its shorter side has room for.
    """
    height, width = picture.shape[:2]
    changed = picture.copy()
    if cut.crescent:
        light = _light_beside_crescent(cut, height, width, field)
        changed = np.rint(picture * light[..., None]).astype(np.uint8)
    changed[hidden_by(cut, height, width, field)] = 0
    return changed


def hidden_by(cut: FieldCut, height: int, width: int, field: Field | None = None) -> Mask:
    """Return which pixels of a frame a cut hides."""
    down, along = _from_centre(height, width, field)
    hidden = (down < cut.top - 0.5) | (down > 0.5 - cut.bottom) | (along < cut.left - 0.5) | (along > 0.5 - cut.right)
    if cut.aperture < 1:
        hidden = hidden | (down**2 + along**2 > (cut.aperture / 2) ** 2)
    if cut.crescent:
        hidden = hidden | (_light_beside_crescent(cut, height, width, field) == 0)
    return np.asarray(hidden)


def _light_beside_crescent(
    cut: FieldCut, height: int, width: int, field: Field | None
) -> Float32[np.ndarray, "height width"]:
    """Return the share of the light that passes beside a crescent; its edge is soft over half of its width."""
    down, along = _from_centre(height, width, field)
    angle = math.radians(cut.crescent_degrees)
    # The field's circle, moved away from the crescent's side, stays visible.
    right, up = cut.crescent * math.cos(angle), cut.crescent * math.sin(angle)
    beyond = np.hypot(down - up, along + right) - 0.5
    return np.asarray(np.clip(1 - beyond / (cut.crescent / 2), 0, 1), np.float32)


def _from_centre(
    height: int, width: int, field: Field | None
) -> tuple[Float32[np.ndarray, "height 1"], Float32[np.ndarray, "1 width"]]:
    """Return how far below and to the right of the field's centre pixels lie, in diameters."""
    field = inscribed_field(height, width) if field is None else field
    down = (np.arange(height, dtype=np.float32) + 0.5 - field.row) / (2 * field.radius)
    along = (np.arange(width, dtype=np.float32) + 0.5 - field.column) / (2 * field.radius)
    return down[:, None].astype(np.float32), along[None, :].astype(np.float32)


def inscribed_field(height: int, width: int) -> Field:
    """Return the circle about a frame's centre that its shorter side has room for."""
    return Field(height / 2, width / 2, min(height, width) / 2, confidence=1.0)


def crop_tightly(photo: Photo, crop: TightCrop, field: Field) -> CroppedPhoto:
    """Return the square of a photograph, as much of it as the frame holds."""
    diameter = 2 * field.radius
    middle_row = field.row + (crop.row - 0.5) * diameter
    middle_column = field.column + (crop.column - 0.5) * diameter
    half = crop.share * diameter / 2
    top, left = max(0, round(middle_row - half)), max(0, round(middle_column - half))
    return np.ascontiguousarray(photo[top : round(middle_row + half), left : round(middle_column + half)])


def magnify(photo: Photo, factor: float, field: Field) -> Photo:
    """Enlarge (or reduce) what the field shows about its centre; what then lies outside the field is black.

    A factor above 1 is a camera of a narrower angle. Below 1 the surround comes into the field from its edge.
    """
    height, width = photo.shape[:2]
    matrix = np.array(
        [
            [factor, 0.0, (1 - factor) * (field.column - 0.5)],
            [0.0, factor, (1 - factor) * (field.row - 0.5)],
        ]
    )
    moved = np.asarray(cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_LINEAR))
    moved[~field.mask(height, width)] = 0
    return moved
