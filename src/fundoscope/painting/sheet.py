"""What painters draw on: masks in the field's own coordinates, drawn at twice the size and averaged down.

A place is (right, down) in units of the field's radius from its centre, so that (1, 0) is the
rightmost point of the field. Painters draw a right eye, whose disc lies on the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8

Plane = Float32[np.ndarray, "height width"]
"""Opacity of a layer of paint, 0 to 1."""

Places = Float[np.ndarray, "_ 2"]
"""Points (right, down), in radii of the field."""

Stroke = tuple[Places, Float[np.ndarray, " _"]]
"""A line through places, and its width at each, in radii of the field."""

Fine = UInt8[np.ndarray, "fine_height fine_width"]

FINE = 2
"""Layers are drawn this many times larger, then averaged, for smooth edges."""

SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True)
class Sheet:
    """A frame in pixels with the field of view's circle on it, and whether the eye is mirrored into a left one."""

    height: int
    width: int
    row: float
    column: float
    radius: float
    mirrored: bool

    def coordinates(self) -> tuple[Plane, Plane]:
        """(right, down) of every pixel's centre."""
        right = (np.arange(self.width, dtype=np.float32) + 0.5 - self.column) / self.radius
        down = (np.arange(self.height, dtype=np.float32) + 0.5 - self.row) / self.radius
        right = -right if self.mirrored else right
        return np.broadcast_to(right, (self.height, self.width)), np.broadcast_to(
            down[:, None], (self.height, self.width)
        )

    def to_pixels(self, right: float, down: float) -> tuple[float, float]:
        """(row, column) of a place."""
        return self.row + down * self.radius, self.column + (-right if self.mirrored else right) * self.radius

    def lines(self, strokes: list[Stroke]) -> Plane:
        """Lines of changing width (in radii), as opacity."""
        fine = self._blank()
        for places, widths in strokes:
            points = self._fine_points(places)
            thick = np.maximum(1, np.rint(widths * self.radius * FINE)).astype(int)
            for start, end, width in zip(points[:-1], points[1:], thick[1:], strict=True):
                cv2.line(fine, start.tolist(), end.tolist(), 255, int(width), cv2.LINE_AA, SUBPIXEL_BITS)
        return self._reduced(fine)

    def blots(self, outlines: list[Places]) -> Plane:
        """Filled outlines, as opacity."""
        fine = self._blank()
        for outline in outlines:
            cv2.fillPoly(fine, [self._fine_points(outline)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
        return self._reduced(fine)

    def blurred(self, plane: Plane, sigma: float) -> Plane:
        """A layer blurred by `sigma` radii."""
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), max(0.3, sigma * self.radius)))

    def noise(self, rng: np.random.Generator, *, grain: float) -> Plane:
        """Smooth noise of mean 0 and about unit spread, whose grains are `grain` radii wide."""
        cells = max(2, round(self.height / (grain * self.radius))), max(2, round(self.width / (grain * self.radius)))
        coarse = rng.standard_normal(cells).astype(np.float32)
        return np.asarray(cv2.resize(coarse, (self.width, self.height), interpolation=cv2.INTER_CUBIC))

    def _blank(self) -> Fine:
        return np.zeros((self.height * FINE, self.width * FINE), np.uint8)

    def _fine_points(self, places: Places) -> Int32[np.ndarray, "_ 2"]:
        """(x, y) on the enlarged sheet in fixed point, as OpenCV draws."""
        right = -places[:, 0] if self.mirrored else places[:, 0]
        pixels = np.column_stack([self.column + right * self.radius, self.row + places[:, 1] * self.radius])
        return np.asarray(np.rint((pixels * FINE - 0.5) * 2**SUBPIXEL_BITS), np.int32)

    def _reduced(self, fine: Fine) -> Plane:
        small = cv2.resize(fine, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small.astype(np.float32) / 255)


def ragged(
    rng: np.random.Generator,
    place: tuple[float, float],
    radius: float,
    *,
    raggedness: float = 0.25,
    stretch: float = 1.0,
) -> Places:
    """The outline of an irregular blot: a circle with a few random waves on it, stretched along a random direction."""
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    waves = sum(rng.normal(0, raggedness / n) * np.cos(n * turn + rng.uniform(0, 2 * np.pi)) for n in (2, 3, 5))
    reach = radius * np.clip(1 + waves, 0.3, 2.0)
    along, across = reach * np.cos(turn) * stretch, reach * np.sin(turn)
    lean = rng.uniform(0, np.pi)
    return np.column_stack(
        [
            place[0] + along * np.cos(lean) - across * np.sin(lean),
            place[1] + along * np.sin(lean) + across * np.cos(lean),
        ]
    )
