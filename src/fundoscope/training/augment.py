"""Augmentation: draw a tweak, then apply it. The record can be stored, replayed and looked at."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from fundoscope.arrays import Canvas
from fundoscope.training.config import Augment


@dataclass(frozen=True, slots=True)
class Tweak:
    """What is done to one photograph: a movement of the plane, then a change of colours."""

    turn_degrees: float = 0.0
    """Counter-clockwise rotation about the centre."""
    flip: bool = False
    """Mirrored left to right, before the rotation."""
    zoom: float = 1.0
    """Magnification about the centre."""
    shift_right: float = 0.0
    """Share of the side."""
    shift_down: float = 0.0
    """Share of the side."""
    brightness: float = 0.0
    """Added, as a share of full range."""
    contrast: float = 1.0
    """Factor on the distance from mid-grey."""
    saturation: float = 1.0
    """Factor on the distance from each pixel's own grey."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gain of red, green and blue."""

    def to_json(self) -> str:
        """The tweak as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Tweak:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "tint": tuple(values["tint"])})


def draw_tweak(rng: np.random.Generator, ranges: Augment) -> Tweak:
    """Draw a tweak from the ranges; the same generator state gives the same tweak."""
    return Tweak(
        turn_degrees=_around(rng, ranges.turn_degrees),
        flip=bool(ranges.flip and rng.random() < 0.5),
        zoom=_factor(rng, ranges.scale),
        shift_right=_around(rng, ranges.shift),
        shift_down=_around(rng, ranges.shift),
        brightness=_around(rng, ranges.brightness),
        contrast=_factor(rng, ranges.contrast),
        saturation=_factor(rng, ranges.saturation),
        tint=(_factor(rng, ranges.tint), _factor(rng, ranges.tint), _factor(rng, ranges.tint)),
    )


def apply_tweak(canvas: Canvas, tweak: Tweak) -> Canvas:
    """Apply a tweak to a prepared photograph. Pixels from outside the frame are black."""
    side = canvas.shape[0]
    moved = cv2.warpAffine(
        canvas, plane(tweak, side), (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return _recolour(moved, tweak)


def move_mask(mask: UInt8[np.ndarray, "side side kind"], tweak: Tweak) -> UInt8[np.ndarray, "side side kind"]:
    """Move lesion maps (0 or 255, one channel per kind) as `apply_tweak` moves the photograph."""
    side = mask.shape[0]
    moved = cv2.warpAffine(mask, plane(tweak, side), (side, side), flags=cv2.INTER_NEAREST)
    return moved.reshape(mask.shape).astype(np.uint8)


def plane(tweak: Tweak, side: int) -> np.ndarray:
    """The 2 x 3 matrix that takes a point (x, y) of the canvas to where the tweak moves it."""
    centre = (side - 1) / 2
    mirror = -1.0 if tweak.flip else 1.0
    angle = math.radians(tweak.turn_degrees)
    cos, sin = tweak.zoom * math.cos(angle), tweak.zoom * math.sin(angle)
    # Rows run down, so a counter-clockwise turn has its signs swapped.
    matrix = np.array([[cos * mirror, sin], [-sin * mirror, cos]])
    target = np.array([centre + tweak.shift_right * side, centre + tweak.shift_down * side])
    return np.column_stack([matrix, target - matrix @ np.array([centre, centre])])


def _recolour(canvas: Canvas, tweak: Tweak) -> Canvas:
    """One 3 x 3 matrix and one offset do tint, saturation, contrast and brightness together."""
    grey = np.full((3, 3), 1 / 3)
    matrix = (tweak.saturation * np.eye(3) + (1 - tweak.saturation) * grey) @ np.diag(tweak.tint)
    offset = 127.5 * (1 - tweak.contrast) + 255 * tweak.brightness
    coloured = cv2.transform(canvas, np.column_stack([tweak.contrast * matrix, np.full(3, offset)]))
    # What lies outside the photograph stays black: its edge must not tell how it was brightened.
    outside = canvas.max(axis=2) == 0
    coloured[outside] = 0
    return coloured


def _around(rng: np.random.Generator, reach: float) -> float:
    return float(rng.uniform(-reach, reach))


def _factor(rng: np.random.Generator, reach: float) -> float:
    return float((1 + reach) ** rng.uniform(-1, 1))
