"""Specks: dust on the sensor or the lens, and defective pixels.

Dust on a sensor lies at the same place of every frame that the camera takes. It is seen as a soft dark dot of a few
pixels, which is easily mistaken for a microaneurysm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fundoscope.arrays import Photo
from fundoscope.photo.disturbances.background import DARK
from fundoscope.photo.fov import Field

PIXEL_SPREAD = 0.35
"""Standard deviation by which a pixel's own area blurs a speck, in pixels (a uniform pixel has 0.29)."""

REACH = 3.0
"""Distance from the centre, in blurred radii, beyond which a speck changes nothing."""

BRIGHT_SHARE = 0.12
"""Share of the specks that are brighter than what they cover: hot pixels, dust that scatters light."""

LARGE_SHARE = 0.08
"""Share of the specks that lie out of focus: up to four times as wide and a third as deep."""


@dataclass(frozen=True, slots=True)
class Speck:
    """A soft dot at a place of the frame."""

    row: float
    """Centre, as a share of the frame's height from the top edge."""
    column: float
    """Centre, as a share of the frame's width from the left edge."""
    radius: float
    """Distance at which the effect has fallen to half, as a share of the field's diameter (see `paint_specks`)."""
    depth: float
    """Share of the light that is lost in the middle, 0 to 1; negative: share of the way to white that it is raised."""


def paint_specks(picture: Photo, specks: Iterable[Speck], field: Field | None = None) -> Photo:
    """Return the picture with specks painted on what is lit; the dark surround stays as it is.

    Args:
        picture: A photograph or canvas.
        specks: Positions are shares of the picture's height and width.
        field: In pixels of `picture`. Radii are shares of its diameter; without one, of the picture's shorter side.
    """
    painted = picture.copy()
    diameter = float(min(picture.shape[:2])) if field is None else 2 * field.radius
    for speck in specks:
        _paint(painted, speck, diameter)
    return painted


def draw_specks(
    rng: np.random.Generator,
    *,
    count: tuple[int, int],
    radius: tuple[float, float],
    depth: tuple[float, float],
) -> tuple[Speck, ...]:
    """Draw specks anywhere in the frame.

    Args:
        rng: Source of every draw. Seeded by a camera it gives the fixed pattern of that camera.
        count: Fewest and most specks; the number is log-uniform, for most sensors have few.
        radius: Smallest and largest radius, as shares of the field's diameter, log-uniform.
        depth: Least and largest share of light lost, uniform.
    """
    number = round(_log_uniform(rng, float(count[0]), float(count[1])))
    places = rng.uniform(0.0, 1.0, size=(number, 2))
    radii = np.array([_log_uniform(rng, *radius) for _ in range(number)])
    depths = rng.uniform(*depth, size=number)
    kinds, widening = rng.random(number), rng.uniform(2.0, 4.0, size=number)
    large, bright = kinds < LARGE_SHARE, kinds > 1 - BRIGHT_SHARE
    radii = np.where(large, radii * widening, radii)
    depths = np.where(large, depths / 3, np.where(bright, -depths, depths))
    return tuple(
        Speck(float(row), float(column), float(size), float(loss))
        for (row, column), size, loss in zip(places, radii, depths, strict=True)
    )


def _paint(painted: Photo, speck: Speck, diameter: float) -> None:
    """Paint one speck in place, its total effect preserved where it is smaller than a pixel."""
    height, width = painted.shape[:2]
    row, column, radius = speck.row * height, speck.column * width, speck.radius * diameter
    blurred = math.hypot(radius, PIXEL_SPREAD)
    depth = speck.depth * (radius / blurred) ** 2
    reach = math.ceil(REACH * blurred)
    top, bottom = max(0, int(row) - reach), min(height, int(row) + reach + 1)
    left, right = max(0, int(column) - reach), min(width, int(column) + reach + 1)
    if bottom <= top or right <= left:
        return
    down = np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - row)
    along = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - column)
    # Half of the effect at the radius: exp(-ln 2 (distance / radius)^2), a Gaussian.
    fall = np.float32(-math.log(2) / blurred**2)
    profile = (np.exp(fall * down**2)[:, None] * np.exp(fall * along**2)[None, :])[..., None]
    part = painted[top:bottom, left:right].astype(np.float32)
    changed = part * (1 - depth * profile) if depth >= 0 else part - depth * profile * (255 - part)
    lit = part.max(axis=2, keepdims=True) > DARK
    painted[top:bottom, left:right] = np.where(lit, np.rint(changed), part).astype(np.uint8)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))
