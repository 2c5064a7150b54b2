"""Where the optic disc lies: a bright round patch with an even edge, on the vessels that run up and down out of it.

Exudates may be brighter than the disc, and vessels cross everywhere. What only the disc has is an edge that is
bright within all round, of one expected size, on the column of vessels that run vertically above and below it.
Brightness and the edge's circle are those of Aquino et al. (IEEE Trans Med Imaging 2010, 29:1860), that vessels'
directions outvote brightness is Youssif et al.'s finding (IEEE Trans Med Imaging 2008, 27:11); here the vertical
part of their template is one blur of the vessels' directions, which the second derivatives give. The four are
weighed by a conditional logit over all places and none, so that the confidence is a share of all that speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

WORKING_PX: Final = 128
"""Side of the copy that is searched."""

DARK: Final = 8
"""Grey level up to which a pixel is outside the picture."""

INNER: Final = 0.93
"""Share of the field's radius in which the disc's centre is looked for; the rim is glare and shadow."""

LEAST_SEEN: Final = 0.2
"""Share of the square that must be picture."""

LEAST_SPREAD: Final = 0.01
"""Spread of the brightness, as a share of the background, below which nothing is to be seen."""

BACKGROUND_PX: Final = 16.0
"""Width (sigma) of the surroundings that brightness is compared with."""

RADIUS_PX: Final = 10.0
"""Expected radius of the disc: a disc measures about a sixth to an eighth of a field of 45 to 50 degrees."""

RADII_PX: Final = (7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0)
"""Radii that are tried once the centre is known."""

EDGE_PX: Final = 2.0
"""Width (sigma) of the disc's edge."""

VESSEL_PX: Final = 1.2
"""Width (sigma) of the blur before vessels are looked for."""

COLUMN_PX: Final = (6.0, 20.0)
"""Width and height (sigma) of the column in which vertical vessels are counted."""

EDGE_MOST: Final = 0.25
"""The edge's steepness above which more says nothing: clusters of exudates have steeper ones than any disc."""

WEIGHTS: Final = {"vessels": 85.0, "edge": 22.0, "evenness": 26.0, "brightness": 1.3}
"""What a unit of each counts; fitted on half of IDRiD's training photographs (185, whole sessions)."""

NOWHERE: Final = 17.0
"""What speaks for no place at all, on the scale of the logarithm of the places' sum; set on the same photographs
with their discs painted over."""

LEAST_CONFIDENCE: Final = 0.1
"""Below this a place is not named."""

Frame = UInt8[np.ndarray, "side side"]
Plane = Float32[np.ndarray, "rows columns"]
Kernel = Float32[np.ndarray, "_ _"]
Inside = Bool[np.ndarray, "rows columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """The optic disc on a square whose inscribed circle is the field of view."""

    row: float
    """Of the centre, as a share of the square's side, 0 at the top."""
    column: float
    """Likewise, 0 at the left."""
    radius: float
    """As a share of the square's side."""
    confidence: float
    """Share of what speaks for this place among all that speaks for any place or for none, 0 to 1."""


def find_disc(frame: Frame) -> Disc | None:
    """Find the optic disc, or say that there is none to be seen.

    A mirrored picture has the mirrored answer: no side is expected.

    Args:
        frame: Green channel; the field of view is the inscribed circle, black outside.

    Returns:
        The likeliest place with its confidence; None where the picture is empty or even, or no place is like a disc.
    """
    pixels = np.asarray(cv2.resize(frame, (WORKING_PX, WORKING_PX), interpolation=cv2.INTER_AREA), np.float32)
    inside = _inside(pixels)
    if inside.mean() < LEAST_SEEN:
        return None
    parts = _evidence(pixels, inside)
    if parts is None:
        return None
    score = sum((weight * parts[name] for name, weight in WEIGHTS.items()), np.zeros_like(pixels))
    score = np.where(inside, score, -np.inf)
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    confidence = _confidence(score, int(row), int(column))
    if confidence < LEAST_CONFIDENCE:
        return None
    return Disc(
        row=(float(row) + 0.5) / WORKING_PX,
        column=(float(column) + 0.5) / WORKING_PX,
        radius=_radius(parts["even"], int(row), int(column)) / WORKING_PX,
        confidence=confidence,
    )


def _confidence(score: Plane, row: int, column: int) -> float:
    """The places round the best against all places and none."""
    best = float(score[row, column])
    shares = np.exp(score - best)
    rows, columns = np.ogrid[:WORKING_PX, :WORKING_PX]
    near = np.hypot(rows - row, columns - column) <= RADIUS_PX
    return float(shares[near].sum() / (shares.sum() + np.exp(NOWHERE - best)))


def _inside(pixels: Plane) -> Inside:
    """Where the picture is, without its rim."""
    lit = cv2.erode((pixels > DARK).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    places = np.arange(WORKING_PX) + 0.5 - WORKING_PX / 2
    return np.asarray(lit & (np.hypot(places[:, None], places) <= INNER * WORKING_PX / 2))


def _evidence(pixels: Plane, inside: Inside) -> dict[str, Plane] | None:
    """How much each place is like a disc's centre, by name; and the even picture itself. None where nothing varies."""
    weight = inside.astype(np.float32)
    core = cv2.erode(weight, np.ones((5, 5), np.uint8))
    closed = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    even, detail = _even(closed, weight, limit=3.0), _even(pixels, weight, limit=4.0)
    if even is None or detail is None:
        return None
    edge, evenness = _edge(even, core)
    return {
        "vessels": _vertical_vessels(detail, core),
        "edge": np.minimum(edge, EDGE_MOST),
        "evenness": np.minimum(evenness, EDGE_MOST),
        "brightness": _mean_within(even, weight),
        "even": even,
    }


def _even(pixels: Plane, weight: Plane, limit: float) -> Plane | None:
    """Brightness against the surroundings in units of its own spread; None where it has none."""
    sums = cv2.GaussianBlur(pixels * weight, (0, 0), BACKGROUND_PX)
    background = sums / (cv2.GaussianBlur(weight, (0, 0), BACKGROUND_PX) + 1e-3)
    relative = (pixels / np.maximum(background, 4) - 1) * weight
    spread = float(relative[weight > 0].std())
    return None if spread < LEAST_SPREAD else np.clip(relative / spread, -limit, limit).astype(np.float32)


def _vertical_vessels(detail: Plane, core: Plane) -> Plane:
    """How much dark lines run up and down rather than across, in a column above and below each place; -1 to 1."""
    smooth = cv2.GaussianBlur(detail, (0, 0), VESSEL_PX)
    across, along, mixed = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) for order in ((2, 0), (0, 2), (1, 1)))
    # The Hessian's eigenvalues: a dark line bends upwards across itself and hardly along itself.
    gap = np.sqrt((across - along) ** 2 + 4 * mixed**2)
    larger, lesser = (across + along + gap) / 2, (across + along - gap) / 2
    depth = np.maximum(larger - np.abs(lesser), 0) * core
    strong = float(np.quantile(depth[core > 0], 0.98)) if core.any() else 0.0
    depth = np.minimum(depth / (strong + 1e-3), 1)
    upright = (across - along) / (gap + 1e-6) * depth
    return np.asarray(cv2.GaussianBlur(upright, (0, 0), sigmaX=COLUMN_PX[0], sigmaY=COLUMN_PX[1]))


def _edge(even: Plane, core: Plane) -> tuple[Plane, Plane]:
    """Steepness towards each place on a circle round it: the mean, and that of the weakest quarter but one."""
    smooth = cv2.GaussianBlur(even, (0, 0), EDGE_PX)
    to_right, down = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) / 8 * core for order in ((1, 0), (0, 1)))
    quarters = np.sort(
        np.stack([_correlated(to_right, right) + _correlated(down, below) for right, below in _QUARTERS]), axis=0
    )
    return quarters.mean(axis=0), quarters[1]


def _quarters() -> list[tuple[Kernel, Kernel]]:
    """Inward directions (right, down) on the quarters of a circle of the disc's expected size; each weighs 1."""
    reach = int(np.ceil(RADIUS_PX + 3 * EDGE_PX))
    right, down = np.meshgrid(*[np.arange(-reach, reach + 1, dtype=np.float32)] * 2)
    away = np.hypot(right, down) + 1e-3
    ring = np.exp(-0.5 * ((away - RADIUS_PX) / EDGE_PX) ** 2)
    level = np.abs(right) >= np.abs(down)
    upright = np.abs(down) >= np.abs(right)
    found = []
    for part in (level & (right > 0), level & (right < 0), upright & (down > 0), upright & (down < 0)):
        share = ring * part / (ring * part).sum()
        found.append(((-right / away * share).astype(np.float32), (-down / away * share).astype(np.float32)))
    return found


_QUARTERS: Final = _quarters()


def _correlated(plane: Plane, kernel: Kernel) -> Plane:
    return np.asarray(cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_CONSTANT))


def _mean_within(even: Plane, weight: Plane) -> Plane:
    """Mean within the disc's expected size, of what is inside only."""
    reach = int(RADIUS_PX)
    places = np.arange(-reach, reach + 1)
    kernel = (np.hypot(places[:, None], places) <= RADIUS_PX).astype(np.float32)
    kernel /= kernel.sum()
    return _correlated(even * weight, kernel) / (_correlated(weight, kernel) + 0.1)


def _radius(even: Plane, row: int, column: int) -> float:
    """The tried radius at which brightness falls most steeply, in px of the working copy."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.array(RADII_PX)[:, None, None] + np.array([-1.0, 1.0])[:, None]
    rows, columns = (
        np.asarray(place + radii * way(turns), np.float32) for place, way in ((row, np.sin), (column, np.cos))
    )
    size = (-1, len(turns))
    smooth = cv2.GaussianBlur(even, (0, 0), EDGE_PX / 2)
    seen = cv2.remap(smooth, columns.reshape(size), rows.reshape(size), cv2.INTER_LINEAR).reshape(
        radii.shape[:2] + size[1:]
    )
    fall = (seen[:, 0] - seen[:, 1]).mean(axis=1)
    return float(RADII_PX[int(fall.argmax())])
