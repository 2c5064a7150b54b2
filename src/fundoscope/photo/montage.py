"""Whether a picture shows more than one retina: both eyes side by side, a stereo pair, a second field in the corner.

A grader would look at one of them and answer for the patient. All is decided on the small copy that the field is
searched on, in three ways: circles in the outline of what is lit, retina-coloured parts outside the field, and straight
seams between pictures that fill the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32

from fundoscope.arrays import Mask, Photo
from fundoscope.photo.circles import (
    Circle,
    Points,
    boundary,
    circles_through,
    explained,
    least_squares_circle,
    seen_turn,
)
from fundoscope.photo.fov import (
    SMALLEST_PX,
    Field,
    foreground_mask,
    working_copy,
)
from fundoscope.photo.tint import SmallPhoto, as_typical, is_typical, typical_pixels

LEAST_POINTS: Final = 24
"""Points of an outline below which it is not searched for circles."""

TRIPLES: Final = 500
"""Circles that are tried, each through three nearby points of the outline."""

NEAR_PX: Final = 1.5
"""How far a point may lie from a circle that is tried."""

MOST_CIRCLES: Final = 6
"""Circles that are taken from one outline."""

RADII: Final = (0.04, 0.75)
"""Least and largest radius of a retina among several, as shares of the copy's longer side."""

LEAST_TURN: Final = 0.2
"""Share of a full turn on which the edge of a retina must be seen."""

LEAST_FILLED: Final = 0.8
"""Share of a retina's circle that must be lit, as far as it lies in the frame."""

LEAST_IN_FRAME: Final = 0.4
"""Share of a retina's circle that must lie in the frame."""

CLEAR: Final = (0.35, 0.95)
"""Turn and filled share from which a circle is a picture of its own wherever it lies, and without colour too."""

MOST_SHARED: Final = 0.6
"""Share of the smaller of two circles within the larger from which both are one field, unless it is clear."""

SAME_CENTRE: Final = 0.35
SAME_RADIUS: Final = 0.6
"""Distance of the centres, and ratio of the radii, within which two circles are of one field."""

LEAST_GREY_RADIUS: Final = 0.4
"""Least radius of a retina without colour (a red-free photograph), as a share of the largest one's."""

LEAST_AREA: Final = 0.012
"""Share of the frame that connected retina-coloured ground must cover to count."""

GROUND_WIDTH: Final = 0.03
"""Least width of such ground, as a share of the longer side: letters are thinner."""

RIM: Final = 1.04
"""Share of the field's radius up to which ground belongs to the field."""

SEAM_STEP: Final = 6.0
"""Least step across a seam in grey levels, on three quarters of its length."""

SEAM_RATIO: Final = 2.2
"""Least step across a seam, as a multiple of the largest one nearby."""

SEAM_LEVEL: Final = 1.5
"""Smallest step nearby that is reckoned with, in grey levels."""

SEAM_MARGIN: Final = 0.15
"""Share of a side within which no seam is looked for."""

SEAM_LIT: Final = 0.95
"""Share of a seam's length that must be lit on both sides."""


@dataclass(frozen=True, slots=True)
class _Disc:
    """A circle in the outline of what is lit."""

    row: float
    column: float
    radius: float
    inside: Mask
    clear: bool
    """Whether much of its edge is seen and all of it is lit."""
    coloured: bool
    """Whether it has a retina's colours."""


def shows_several_retinas(photo: Photo, field: Field | None) -> bool:
    """Return whether a picture shows more than one retina.

    Text, time stamps and logos beside a retina do not count, nor does a mark that is smaller than any second picture.

    Args:
        photo: Upright 8-bit RGB.
        field: As `find_field` gave it.
    """
    if min(photo.shape[:2]) < SMALLEST_PX:
        return False
    small, factor = working_copy(photo)
    lit = foreground_mask(small)
    if lit is None:
        return False
    first = None if field is None else field.scaled(factor)
    if first is not None:
        # Other pictures were taken in the same light.
        small = as_typical(small, first.mask(*lit.shape))
    return _has_second_disc(small, lit, first) or _has_ground_outside(small, lit, first) or _has_seam(small, lit)


def _has_second_disc(small: SmallPhoto, lit: Mask, first: Field | None) -> bool:
    """Whether the outline of what is lit holds the edge of a disc besides the field's, or of two if there is none."""
    # Two fields that touch leave a dark ring or wedge within what is lit: its outline counts.
    points = boundary(lit, holes=True)
    retinas: list[_Disc] = []
    if first is not None:
        circle = (first.row, first.column, first.radius)
        retinas.append(_Disc(*circle, first.mask(*lit.shape), clear=True, coloured=True))
        points = points[~explained(points, circle)]
    discs = [
        disc for circle in _circles(points, max(lit.shape)) if (disc := _disc(small, lit, points, circle)) is not None
    ]
    for disc in sorted(discs, key=lambda disc: (not disc.coloured, -disc.radius)):
        if _is_another(disc, retinas):
            retinas.append(disc)
    return len(retinas) > 1


def _circles(points: Points, longest_px: int) -> Iterator[Circle]:
    """The circles through most points, one after the other, each without the points of those before it."""
    if len(points) < LEAST_POINTS:
        return
    # A fixed seed of its own: the same photograph always gives the same circles. Points are in the outline's order.
    rng = np.random.default_rng(0)
    start = rng.integers(len(points), size=TRIPLES)
    gaps = rng.integers(max(3, len(points) // 40), max(5, len(points) // 5), size=(TRIPLES, 2))
    second, third = (points[(start + gap) % len(points)] for gap in (gaps[:, 0], gaps.sum(axis=1)))
    circles = circles_through(points[start], second, third)
    low, high = (share * longest_px for share in RADII)
    circles = circles[(circles[:, 2] > low) & (circles[:, 2] < high)]
    if not len(circles):
        return
    thin = points[:: max(1, len(points) // 400)]
    distance = np.hypot(thin[None, :, 0] - circles[:, :1], thin[None, :, 1] - circles[:, 1:2])
    near = np.abs(distance - circles[:, 2:]) <= NEAR_PX  # (circle, point)
    free = np.ones(len(thin), bool)
    for _ in range(MOST_CIRCLES):
        best = int((near & free).sum(axis=1).argmax())
        if (near[best] & free).sum() < LEAST_POINTS // 3:
            return
        circle = _refit(points, (float(circles[best, 0]), float(circles[best, 1]), float(circles[best, 2])))
        yield circle
        free &= ~explained(thin, circle) & ~near[best]


def _refit(points: Points, circle: Circle) -> Circle:
    for _ in range(3):
        own = points[explained(points, circle)]
        if len(own) < LEAST_POINTS // 2:
            break
        circle = least_squares_circle(own)
    return circle


def _disc(small: SmallPhoto, lit: Mask, points: Points, circle: Circle) -> _Disc | None:
    """A circle as a disc, if enough of its edge is seen, of its ground lit and of it in the frame."""
    row, column, radius = circle
    field = Field(row, column, radius + 0.5, 0.0)
    inside = field.mask(*lit.shape)
    pixels = max(1, int(inside.sum()))
    turn, filled = seen_turn(points, circle), float((lit & inside).sum() / pixels)
    if turn < LEAST_TURN or filled < LEAST_FILLED or radius < RADII[0] * max(lit.shape):
        return None
    if pixels < LEAST_IN_FRAME * np.pi * field.radius**2:
        return None
    clear = turn >= CLEAR[0] and filled >= CLEAR[1]
    return _Disc(row, column, radius, inside, clear=clear, coloured=is_typical(small, inside))


def _is_another(disc: _Disc, retinas: list[_Disc]) -> bool:
    """Whether a disc is a retina of its own beside those already found."""
    if any(_is_same(disc, retina) for retina in retinas):
        return False
    if not disc.coloured:
        # Lamps and logos are round too: grey discs count only where they are large, beside a retina with colour.
        largest = max((retina.radius for retina in retinas), default=np.inf)
        return disc.clear and disc.radius > LEAST_GREY_RADIUS * largest
    if disc.clear:
        return True
    return all(
        (disc.inside & retina.inside).sum() <= MOST_SHARED * min(disc.inside.sum(), retina.inside.sum())
        for retina in retinas
    )


def _is_same(disc: _Disc, retina: _Disc) -> bool:
    """Whether two circles are of one field, whose edge is not quite round."""
    away = np.hypot(disc.row - retina.row, disc.column - retina.column)
    smaller, larger = sorted((disc.radius, retina.radius))
    return bool(away < SAME_CENTRE * larger and smaller > SAME_RADIUS * larger)


def _has_ground_outside(small: SmallPhoto, lit: Mask, first: Field | None) -> bool:
    """Whether retina-coloured ground lies outside the field, or in two parts where there is no field."""
    ground = lit & typical_pixels(small)
    if first is not None:
        ground &= ~Field(first.row, first.column, RIM * first.radius + 1, 0.0).mask(*lit.shape)
    width = max(3, round(GROUND_WIDTH * max(lit.shape)))
    opened = cv2.morphologyEx(ground.astype(np.uint8), cv2.MORPH_OPEN, np.ones((width, width), np.uint8))
    _, _, parts, _ = cv2.connectedComponentsWithStats(opened)
    large = int((parts[1:, cv2.CC_STAT_AREA] > LEAST_AREA * lit.size).sum())
    return large >= (2 if first is None else 1)


def _has_seam(small: SmallPhoto, lit: Mask) -> bool:
    """Whether a straight line through the whole frame separates two pictures."""
    return _has_upright_seam(small, lit) or _has_upright_seam(small.transpose(1, 0, 2), lit.T)


def _has_upright_seam(small: SmallPhoto, lit: Mask) -> bool:
    lit_columns = (lit[:, 2:] & lit[:, :-2]).mean(axis=0) >= SEAM_LIT
    margin = round(SEAM_MARGIN * len(lit_columns))
    lit_columns[:margin] = lit_columns[len(lit_columns) - margin :] = False
    if not lit_columns.any():
        return False
    across = np.abs(small[:, 2:].astype(np.int16) - small[:, :-2]).max(axis=2)
    # Grey levels that three quarters of the rows step by at least, for each column.
    quarter = len(across) // 4
    steps = np.partition(across, quarter, axis=0)[quarter].astype(np.float32)
    nearby = np.maximum(_largest_nearby(steps), SEAM_LEVEL)
    return bool((lit_columns & (steps >= SEAM_STEP) & (steps >= SEAM_RATIO * nearby)).any())


def _largest_nearby(steps: Float32[np.ndarray, " column"]) -> Float32[np.ndarray, " column"]:
    """Largest value from 4 to 12 columns away, on either side."""
    padded = np.pad(steps, 12)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 25)  # (column, neighbour)
    return np.asarray(np.concatenate([windows[:, :9], windows[:, 16:]], axis=1).max(axis=1))
