"""Whether what lies in a field of view is a retina: vessels, or an optic disc. A textured orange disc has neither.

Vessels are dark lines, long and sparse: along them the second derivative across stays high where in a texture it
averages out, and most of the retina has none. They run neither all one way, as grain does, nor all towards the
middle, as the fibres of an iris do. And they are blood, which takes away green and hardly red: fur, wood and cracks are
shadows, which take away both alike, in whatever light.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int

from fundoscope.arrays import Photo
from fundoscope.photo.disc import find_disc
from fundoscope.photo.field_copy import RED, FieldCopy
from fundoscope.photo.fov import Field

LINE_PX: Final = 15
"""Length of the lines that are averaged along, on a copy of half the working size."""

DIRECTIONS: Final = 12

RIM_PX: Final = 7
"""Width of the field's rim that is left out, on the same copy."""

STRONG: Final = 0.98
"""Quantile of the lines from which they may be vessels."""

COHERENT: Final = 1.9
"""Least strength of strong lines, in standard deviations of the second derivative."""

SPARSE: Final = 2.8
"""Least strength of strong lines, in that of the median one."""

LONG: Final = 0.17
"""Least extent of the longest dark ridge, as a share of the field's width."""

SURE_BLOOD: Final = 0.4
SURELY_LONG: Final = 0.13
"""Strength in red from which lines are surely blood, and the least extent of the longest one then: where the retina is
pale or clouded, ridges break."""

PARALLEL: Final = 0.85
"""Share of strong lines within 45 degrees from which they are grain, of wood or of a screen."""

RADIAL: Final = 0.28
PUPIL: Final = 0.6
"""Share of strong lines that point to the middle, and brightness of the middle as a share of its surroundings': an iris
has more of the one and less of the other. Vessels run to the middle too where the disc lies there, and is bright."""

BLOOD: Final = 0.74
"""Strength of strong lines in red, as a share of that in green, from which they are no vessels. It is at most 0.62 on
IDRiD's training photographs, 0.71 with seven tenths of their colour removed, at least 0.76 in a ginger cat's fur."""

DISC: Final = 0.9
"""Confidence from which an optic disc is evidence of its own."""

SHADOW: Final = 0.95
"""Strength of strong lines in red, as a share of that in green, from which a bright spot is no disc either."""

Plane = Float32[np.ndarray, "rows columns"]
Inside = Bool[np.ndarray, "rows columns"]
Turns = Int[np.ndarray, "..."]
"""Number of a direction, of `DIRECTIONS` in half a turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The strongest dark lines of a field of view."""

    coherent: float
    sparse: float
    long: float
    parallel: float
    radial: float
    """Each as the constant of the same name measures it."""
    middle: float
    """Brightness of the middle as a share of its surroundings'."""
    red: float
    """Strength of the strong lines in red, as a share of that in green."""

    @property
    def are_vessels(self) -> bool:
        """Whether they look like vessels rather than a texture."""
        least = SURELY_LONG if self.red < SURE_BLOOD else LONG
        strong = self.coherent >= COHERENT and self.sparse >= SPARSE and self.long >= least
        blood = self.red < BLOOD and self.parallel < PARALLEL
        return strong and blood and not (self.radial >= RADIAL and self.middle < PUPIL)


def shows_retina(photo: Photo, field: Field, copy: FieldCopy | None = None) -> bool:
    """Return whether vessels or an optic disc can be seen in the field of view of a gradable photograph.

    Args:
        photo: Upright 8-bit RGB.
        field: As `find_field` gave it.
        copy: Of the field; made here if None.
    """
    lines = measure_lines(photo, field, copy)
    if lines.are_vessels:
        return True
    return lines.parallel < PARALLEL and lines.red < SHADOW and _disc_confidence(photo, field) >= DISC


def measure_lines(photo: Photo, field: Field, copy: FieldCopy | None = None) -> Lines:
    """Measure the strongest dark lines in a field of view."""
    copy = FieldCopy(photo, field) if copy is None else copy
    small = _half(copy.green)
    within = cv2.resize(copy.inside.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST)
    within = cv2.erode(within, np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)).astype(bool)
    if not within.any():
        return Lines(coherent=0.0, sparse=0.0, long=0.0, parallel=1.0, radial=1.0, middle=0.0, red=1.0)
    strength, direction, spread = _dark_lines(small, within)
    median, high = (float(value) for value in np.quantile(strength[within], [0.5, STRONG]))
    strong = np.logical_and(within, strength >= high)
    turns = direction[strong]
    return Lines(
        coherent=high / max(spread, 1e-9),
        sparse=high / max(median, 1e-9),
        long=_longest(copy),
        parallel=_share_of_one_way(turns),
        radial=_share_towards_middle(strong, turns),
        middle=_brightness_of_middle(photo, field),
        red=_share_in_red(_half(copy.relative(RED)), strong, direction, strength),
    )


def _dark_lines(small: Plane, within: Inside) -> tuple[Plane, Turns, float]:
    """Second derivative across the darkest line through each pixel, the line's direction, the derivative's spread."""
    across, down, mixed = _second_derivatives(small)
    responses = np.stack(
        [
            cv2.filter2D(across * sine**2 + down * cosine**2 - 2 * mixed * sine * cosine, -1, kernel)
            for cosine, sine, kernel in _kernels()
        ]
    )  # (direction, row, column)
    spread = float(np.sqrt(((across[within] ** 2).mean() + (down[within] ** 2).mean()) / 2))
    return responses.max(axis=0), responses.argmax(axis=0), spread


def _second_derivatives(small: Plane) -> tuple[Plane, Plane, Plane]:
    smooth = cv2.GaussianBlur(small, (0, 0), 1.0)
    across, down, mixed = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) for order in ((2, 0), (0, 2), (1, 1)))
    return across, down, mixed


def _half(plane: Plane) -> Float32[np.ndarray, "half_rows half_columns"]:
    size = max(1, plane.shape[1] // 2), max(1, plane.shape[0] // 2)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _share_in_red(red: Plane, strong: Inside, direction: Turns, strength: Plane) -> float:
    """Strength of the strong lines in red over that in green, across the same directions; 1 where there are none.

    As `_dark_lines` averages along a line, but at the strong pixels alone.
    """
    across, down, mixed = _second_derivatives(red)
    rows, columns = np.nonzero(strong)
    turns = direction[rows, columns]
    in_red = 0.0
    for number, (cosine, sine, kernel) in enumerate(_kernels()):
        members = turns == number
        if not members.any():
            continue
        curvature = across * sine**2 + down * cosine**2 - 2 * mixed * sine * cosine
        taps = np.argwhere(kernel > 0) - LINE_PX // 2  # (tap, 2): rows and columns from the pixel
        # (pixel, tap); no strong pixel lies so near the edge that a tap falls outside.
        at_rows = (rows[members, None] + taps[:, 0]).clip(0, red.shape[0] - 1)
        at_columns = (columns[members, None] + taps[:, 1]).clip(0, red.shape[1] - 1)
        in_red += float(curvature[at_rows, at_columns].mean(axis=1).sum())
    in_green = float(strength[strong].sum())
    return in_red / in_green if in_green > 0 else 1.0


@cache
def _kernels() -> tuple[tuple[float, float, Float32[np.ndarray, "_ _"]], ...]:
    """Cosine and sine of each direction, and the line through the middle along it, which sums to 1."""
    reach = LINE_PX // 2
    kernels = []
    for turn in np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
        cosine, sine = float(np.cos(turn)), float(np.sin(turn))
        kernel = np.zeros((LINE_PX, LINE_PX), np.float32)
        ends = [(round(reach + sign * reach * cosine), round(reach + sign * reach * sine)) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        kernels.append((cosine, sine, kernel / kernel.sum()))
    return tuple(kernels)


def _longest(copy: FieldCopy) -> float:
    """Extent of the longest dark ridge as a share of the field's width."""
    _, _, parts, _ = cv2.connectedComponentsWithStats(copy.ridges * copy.inside, connectivity=8)
    extents = parts[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return float(extents.max(initial=0) / max(copy.inside.shape))


def _share_of_one_way(turns: Turns) -> float:
    """Largest share of directions that lie within three neighbouring ones."""
    counts = np.bincount(turns, minlength=DIRECTIONS)
    return float((counts + np.roll(counts, 1) + np.roll(counts, -1)).max()) / max(1, len(turns))


def _share_towards_middle(strong: Inside, turns: Turns) -> float:
    """Share of lines that point to the middle of the field within an eighth of a half turn."""
    rows, columns = np.nonzero(strong)
    height, width = strong.shape
    bearing = np.arctan2(rows - height / 2, columns - width / 2)
    off = np.abs((bearing - np.pi * turns / DIRECTIONS + np.pi / 2) % np.pi - np.pi / 2)
    return float((off < np.pi / 8).mean()) if len(off) else 1.0


def _brightness_of_middle(photo: Photo, field: Field) -> float:
    """Median green of the inner quarter of the radius over that of the ring from 0.35 to 0.7 of it."""
    step = max(1, int(field.radius // 64))
    green = photo[::step, ::step, 1]
    rows = np.arange(green.shape[0])[:, None] + 0.5 - field.row / step
    columns = np.arange(green.shape[1])[None, :] + 0.5 - field.column / step
    away = np.hypot(rows, columns) * step / field.radius
    inner, ring = green[away < 0.25], green[(away > 0.35) & (away < 0.7)]
    return float(np.median(inner) / max(1.0, float(np.median(ring)))) if inner.size and ring.size else 1.0


def _disc_confidence(photo: Photo, field: Field) -> float:
    """Confidence of the optic disc on the square round the field."""
    radius = max(1, round(field.radius))
    top, left = round(field.row) - radius, round(field.column) - radius
    height, width = photo.shape[:2]
    green = photo[max(0, top) : top + 2 * radius, max(0, left) : left + 2 * radius, 1]
    square = cv2.copyMakeBorder(
        green,
        max(0, -top),
        max(0, top + 2 * radius - height),
        max(0, -left),
        max(0, left + 2 * radius - width),
        cv2.BORDER_CONSTANT,
        value=0,
    )
    disc = find_disc(np.asarray(square))
    return 0.0 if disc is None else float(disc.confidence)
