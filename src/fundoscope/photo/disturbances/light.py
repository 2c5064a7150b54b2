"""Light: white balance, gamma and vignetting, which differ from camera to camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fundoscope.arrays import Photo
from fundoscope.photo.fov import Field

LAYER_PX = 64
"""Longest side that smooth layers of light are computed at."""


@dataclass(frozen=True, slots=True)
class Tone:
    """How a camera renders light: the gain of each channel, then a gamma for all of them."""

    red: float = 1.0
    green: float = 1.0
    blue: float = 1.0
    gamma: float = 1.0
    """Exponent on the light as a share of full range: above 1 darker, below 1 brighter; black and white stay."""


@dataclass(frozen=True, slots=True)
class Vignette:
    """Light that falls off from a centre towards the edge of the field."""

    row: float
    """Centre, as a share of the picture's height; `column` of its width."""
    column: float
    strength: float
    """Share of the light that is lost at one radius of the field from the centre."""
    power: float = 2.0
    """Exponent of the distance: a large one leaves the middle as it is."""


def render_tone(picture: Photo, tone: Tone) -> Photo:
    """Multiply the channels by their gains and apply the gamma; black stays black."""
    levels = np.arange(256, dtype=np.float64) / 255
    gains = np.array([tone.red, tone.green, tone.blue])
    curves = np.clip(levels[:, None] * gains, 0, 1) ** tone.gamma
    table = np.rint(255 * curves).astype(np.uint8).reshape(1, 256, 3)
    return np.asarray(cv2.LUT(picture, table))


def darken_edge(picture: Photo, vignette: Vignette, field: Field | None = None) -> Photo:
    """Return the picture with light lost towards the edge.

    Args:
        picture: A photograph or canvas.
        vignette: Where and how much.
        field: In pixels of `picture`; its radius is the unit of distance. Without one, half of the shorter side.
    """
    height, width = picture.shape[:2]
    radius = min(height, width) / 2 if field is None else field.radius
    shrink = min(1.0, LAYER_PX / max(height, width))
    rows, columns = max(1, round(height * shrink)), max(1, round(width * shrink))
    down = ((np.arange(rows) + 0.5) / rows - vignette.row) * height / radius
    along = ((np.arange(columns) + 0.5) / columns - vignette.column) * width / radius
    distance = np.hypot(down[:, None], along[None, :])
    kept = np.clip(1 - vignette.strength * distance**vignette.power, 0, 1).astype(np.float32)
    layer = cv2.resize(kept, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(picture, cv2.merge([layer] * 3), dtype=cv2.CV_8U))
