"""FundusAug: what spoils fundus photographs in the clinic, drawn and painted on.

Che, Cheng, Jin and Chen, "Towards generalizable diabetic retinopathy grading in unseen domains", MICCAI
2023 (GDRNet), after the degradation model of Shen, Fu, Shen and Shao, "Modeling and enhancing low-quality
retinal fundus images", IEEE TMI 40 (2021). Ours is written from their formulas, on 8-bit canvases and
without a graphics card. Lengths that they give in pixels are of their side of 256 and grow with ours.

Where GDRNet multiplies by a mask of the field, the dark surround stays as it was. Three things differ
from its published code. Its blur has a kernel of one pixel at every strength, so it never blurs; ours
does. Its halo moves along the diagonal only, for it uses one number for both coordinates of the centre;
ours are drawn apart, as in the degradation model. Its halo's fourth colour is drawn, then replaced by the
second; ours is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from fundoscope.arrays import Canvas
from fundoscope.photo.disturbances.background import keep_surround, surround

SIDE = 256
"""Side of the pictures that the published lengths are of."""

LAYER_PX = 128
"""Side that wide layers of light are computed at: they are too smooth to need more."""

Layer = Float32[np.ndarray, "row column"]
"""Light that is added, as a share of full range."""

WHITE, CYAN, GREEN = (251, 249, 246), (141, 238, 238), (177, 195, 147)
"""Colours of a halo in 8-bit RGB, as published; a fourth is drawn between cyan and green."""


@dataclass(frozen=True, slots=True)
class Halo:
    """A ring of stray light between two circles about one centre."""

    right: float
    """Of the centre, as a share of the side from the left; `down` likewise from the top."""
    down: float
    inner: float
    """Diameter, as a share of the side; `outer` likewise."""
    outer: float
    strength: float
    """Factor on the picture's mean brightness."""
    colour: tuple[float, float, float]
    """Gain of red, green and blue."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A dark cloud."""

    right: float
    down: float
    diameter: float
    base: float
    """Light that is taken, as a share of full range, before `slope`."""
    slope: float
    """Further light taken, as a share of the mean brightness of the field."""
    blur_wide: float
    """Widths of the blur's kernel, as shares of the diameter; `blur_high` likewise."""
    blur_high: float


@dataclass(frozen=True, slots=True)
class Spot:
    """One bright spot."""

    right: float
    down: float
    radius: float
    """As a share of the side; the spot's disc has half of it, the rest is its blur."""
    blur_wide: float
    """Widths of the blur's kernel, as shares of its standard deviation; `blur_high` likewise."""
    blur_high: float


def draw_halo(rng: np.random.Generator) -> Halo:
    """Draw a halo: its centre near the middle, its inner circle three quarters of the side or more."""
    right, down = (float(value) for value in rng.uniform(0.375, 0.625, size=2))
    whitish = rng.uniform(0.0, 2.0) < 0.2
    colours = (WHITE, CYAN, GREEN, tuple(rng.uniform((80, 200, 145), (130, 240, 175))))
    choice = int(rng.integers(0 if whitish else 1, 4))
    furthest = 2 * math.hypot(max(right, 1 - right), max(down, 1 - down))
    reach = 1 + (furthest - 1) * rng.random()
    offset = abs(max(right, down) - 0.5 + (2 / 3 if choice == 0 else 0.5))
    red, green, blue = (float(value) / 255 for value in colours[choice])
    return Halo(
        right=right,
        down=down,
        inner=float(rng.uniform(0.75, 1.0)),
        outer=float(reach + offset),
        strength=float(rng.choice([1.0, 1.2, 1.5, 2.0], p=[0.8, 0.1, 0.05, 0.05])),
        colour=(red, green, blue),
    )


def draw_hole(rng: np.random.Generator) -> Hole:
    """Draw a hole: 0.4 to 0.9 of the side wide, in the middle half."""
    return Hole(
        right=float(rng.uniform(0.25, 0.75)),
        down=float(rng.uniform(0.375, 0.625)),
        diameter=float(rng.uniform(0.4, 0.9)),
        base=float(rng.uniform(-0.262, -0.26)),
        slope=float(rng.uniform(-0.06, -0.05)),
        blur_wide=float(rng.uniform(0.55, 0.75)),
        blur_high=float(rng.uniform(0.55, 0.75)),
    )


def draw_spots(rng: np.random.Generator) -> tuple[Spot, ...]:
    """Draw 5 to 10 spots anywhere in the frame."""
    spots = []
    for _ in range(int(rng.integers(5, 11))):
        radius = float(rng.uniform(0.01, 0.05))
        right, down = (float(value) for value in rng.uniform(radius, 1 - radius, size=2))
        wide, high = (float(value) for value in rng.uniform(0.2, 0.25, size=2))
        spots.append(Spot(right, down, radius, wide, high))
    return tuple(spots)


def sharpen(canvas: Canvas, factor: float) -> Canvas:
    """Blend with the softened picture: factor 0 is soft, 1 as it was, 2 sharpened."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    softened = cv2.filter2D(canvas, -1, kernel)
    return keep_surround(canvas, cv2.addWeighted(canvas, factor, softened, 1 - factor, 0.0))


def add_halo(canvas: Canvas, halo: Halo) -> Canvas:
    """Add the ring: (outer disc - inner disc) times the mean brightness, blurred by what lies between them."""
    brightness = float(canvas.mean()) / 255
    ring = _disc(halo.right, halo.down, halo.outer, LAYER_PX) - _disc(halo.right, halo.down, halo.inner, LAYER_PX)
    furthest = 2 * max(halo.right, 1 - halo.right, halo.down, 1 - halo.down)
    width = abs(furthest - halo.inner)
    layer = _blurred(np.abs(ring) * brightness * halo.strength, width, width, 2 / 3 * width, LAYER_PX)
    return _lit(canvas, layer, halo.colour)


def dig_hole(canvas: Canvas, hole: Hole) -> Canvas:
    """Take light within a soft disc; a field darker than a quarter of full range is left as it is."""
    field = ~surround(canvas)
    brightness = float(canvas[field].mean()) / 255 if field.any() else 0.0
    if brightness <= 0.25:
        return canvas
    disc = _disc(hole.right, hole.down, hole.diameter, LAYER_PX) * (hole.base + hole.slope * brightness)
    wide, high = hole.blur_wide * hole.diameter, hole.blur_high * hole.diameter
    return _lit(canvas, _blurred(disc, wide, high, 0.8 * max(wide, high), LAYER_PX), (1.0, 1.0, 1.0))


def add_spots(canvas: Canvas, spots: tuple[Spot, ...]) -> Canvas:
    """Add the spots one after the other; a larger one is fainter at its disc's edge and softer."""
    lit = canvas.copy()
    for spot in spots:
        _light_spot(lit, spot)
    return keep_surround(canvas, lit)


def _light_spot(lit: Canvas, spot: Spot) -> None:
    """Add one spot in place, computed on the part of the canvas that it reaches."""
    side = lit.shape[0]
    share = spot.radius * SIDE / 25
    strength = (14 / 25 + 1 - share) * (1 - math.exp(-(0.5 + share) * 0.3 * share))
    deviation = 2 * (5 + 20 * share) / SIDE
    reach = math.ceil((spot.radius / 2 + max(spot.blur_wide, spot.blur_high) * deviation) * side) + 2
    rows, columns = (
        slice(max(0, int(centre * side) - reach), min(side, int(centre * side) + reach + 1))
        for centre in (spot.down, spot.right)
    )
    disc = _disc(spot.right, spot.down, spot.radius, side, rows, columns) * strength
    layer = _blurred(disc, spot.blur_wide * deviation, spot.blur_high * deviation, deviation, side)
    part = lit[rows, columns] + 255 * layer[..., None]
    lit[rows, columns] = np.clip(np.rint(part), 0, 255).astype(np.uint8)


def _disc(
    right: float, down: float, diameter: float, side: int, rows: slice = slice(None), columns: slice = slice(None)
) -> Layer:
    """Return 1 within a circle whose place and diameter are shares of the side, else 0; on some rows and columns."""
    places = (np.arange(side, dtype=np.float32) + 0.5) / side
    distance = (places[None, columns] - right) ** 2 + (places[rows, None] - down) ** 2
    return (distance <= (diameter / 2) ** 2).astype(np.float32)


def _blurred(layer: Layer, wide: float, high: float, deviation: float, side: int) -> Layer:
    """Blur by a Gaussian whose kernel widths and standard deviation are shares of the side."""
    # An odd number of pixels, at least one, and no wider than a reflected layer can give.
    wide_px, high_px = (
        min(int(share * side) // 2 * 2 + 1, 2 * length - 1)
        for share, length in ((wide, layer.shape[1]), (high, layer.shape[0]))
    )
    return np.asarray(cv2.GaussianBlur(layer, (wide_px, high_px), max(deviation * side, 1e-3)), dtype=np.float32)


def _lit(canvas: Canvas, layer: Layer, colour: tuple[float, float, float]) -> Canvas:
    """Add a layer of light in a colour, within the field."""
    side = canvas.shape[0]
    if layer.shape[0] != side:
        layer = np.asarray(cv2.resize(layer, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    light = cv2.merge([layer * gain for gain in 255 * np.asarray(colour, dtype=np.float32)])
    return keep_surround(canvas, cv2.add(canvas, light, dtype=cv2.CV_8U))
