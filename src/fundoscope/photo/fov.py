"""Where the retina lies in a photograph: the circle that the camera's aperture cuts out of the dark.

Places are continuous: pixel (row, column) covers [row, row + 1) x [column, column + 1), so that a
place scales with the picture. The search works on a small copy and costs about a millisecond or two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from fundoscope.arrays import Mask, Photo

WORKING_PX = 320
"""Longest side of the copy that is searched."""

SMALLEST_PX = 32
"""Shortest side of a photograph that can show a field at all."""

DARK_SHARE = 0.15
"""How far from the background to the field's mean brightness the edge of the field is drawn."""

TOLERANCE = 0.02
"""How far from the circle, as a share of its radius, a boundary point still belongs to it."""

LIT_CORNER = 20.0
"""Brightness up to which a corner is dark, whatever the rest."""

LEAST_CONFIDENCE = 0.5
"""Below this a circle is not believed."""

UNSEEN_CONFIDENCE = 0.25
"""Confidence of a field whose edge lies outside the frame."""

SmallPhoto = UInt8[np.ndarray, "small_height small_width 3"]
Points = Float[np.ndarray, "point 2"]
Brightness = Float32[np.ndarray, "height width"]


@dataclass(frozen=True, slots=True)
class Field:
    """The field of view of a fundus photograph: a circle, which may reach beyond the frame."""

    row: float
    """Place of the centre from the upper edge, in pixels."""
    column: float
    """Place of the centre from the left edge, in pixels."""
    radius: float
    """In pixels."""
    confidence: float
    """Share of the visible boundary that the circle explains, times its overlap with what is bright; 0 to 1."""

    def scaled(self, factor: float) -> Field:
        """The same field on the photograph enlarged by `factor`."""
        return replace(self, row=self.row * factor, column=self.column * factor, radius=self.radius * factor)

    def mask(self, height: int, width: int) -> Mask:
        """True for the pixels of a frame whose centres lie inside the circle."""
        rows = np.arange(height)[:, None] + 0.5 - self.row
        columns = np.arange(width)[None, :] + 0.5 - self.column
        return np.asarray(rows * rows + columns * columns <= self.radius * self.radius)


def find_field(photo: Photo) -> Field | None:
    """Find the field of view, or say that there is none.

    A circle is fitted to the boundary between the bright part and the dark surround, leaving out
    what lies on the frame's edge (fields cut off at top and bottom) and, robustly, what does not
    lie on a circle (the camera's notch, an eyelid). A picture without dark surround counts as a
    field that covers the frame only if its colours are a retina's.

    Returns:
        The circle in pixels of `photo`; None if nothing in it looks like a colour fundus photograph.
    """
    if min(photo.shape[:2]) < SMALLEST_PX:
        return None
    small, factor = _shrink(photo)
    red, green, blue = cv2.split(cv2.GaussianBlur(small, (3, 3), 0))
    brightness = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    bright = _bright_part(brightness)
    if bright is None:
        return None
    fields = (_fit_field(bright), _unseen_field(bright, small))
    field = next((found for found in fields if found is not None and _is_retina_coloured(small, found)), None)
    return None if field is None else field.scaled(1 / factor)


def _shrink(photo: Photo) -> tuple[SmallPhoto, float]:
    height, width = photo.shape[:2]
    factor = WORKING_PX / max(height, width)
    if factor >= 1:
        return photo, 1.0
    size = max(1, round(width * factor)), max(1, round(height * factor))
    # At least two pixels are averaged each way; reading all of twelve million would take 40 ms and find the same.
    thin = photo[:: max(1, height // (2 * size[1])), :: max(1, width // (2 * size[0]))]
    return np.asarray(cv2.resize(thin, size, interpolation=cv2.INTER_AREA)), factor


def _bright_part(brightness: Brightness) -> Mask | None:
    """The largest connected part that is brighter than the surround, its holes filled.

    Everything where even the darkest corner is lit; None on a dark frame.
    """
    surround, noise = _surround(brightness)
    level, _ = cv2.threshold(np.rint(brightness).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    above = brightness[brightness > level]
    if surround > max(LIT_CORNER, 0.3 * float(above.mean()) if above.size else 0.0):
        return np.ones(brightness.shape, bool)
    if not above.size or above.mean() - surround < 2.5:
        return None
    threshold = surround + max(1.5, 4 * noise, DARK_SHARE * (float(above.mean()) - surround))
    mask = (brightness > threshold).astype(np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    filled = np.zeros(brightness.shape, np.uint8)
    cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, thickness=cv2.FILLED)
    return filled.astype(bool)


def _surround(brightness: Brightness) -> tuple[float, float]:
    """Median and spread of the darkest corner: outside the field wherever any of the outside is visible."""
    rows, columns = (max(3, side // 24) for side in brightness.shape)
    corners = [
        brightness[up, left]
        for up in (slice(None, rows), slice(-rows, None))
        for left in (slice(None, columns), slice(-columns, None))
    ]
    darkest = min(corners, key=lambda corner: float(np.median(corner)))
    middle = float(np.median(darkest))
    return middle, min(1.5 * float(np.median(np.abs(darkest - middle))), 4.0)


def _fit_field(bright: Mask) -> Field | None:
    """The circle round the bright part, if it is one."""
    points = _boundary(bright)
    if len(points) < 24:
        return None
    circle = _robust_circle(points)
    if circle is None:
        return None
    row, column, radius = circle
    height, width = bright.shape
    # A field smaller than a quarter of the frame's shorter side is a reflex or a lamp, not a retina.
    if not (0.25 * min(height, width) <= 2 * radius and radius <= max(height, width)):
        return None
    explained = _explained(points, circle).mean()
    # Contours run through the centres of the outermost bright pixels, half a pixel inside the edge.
    field = Field(row, column, radius + 0.5, 0.0)
    inside = field.mask(height, width)
    overlap = (inside & bright).sum() / max(1, (inside | bright).sum())
    confidence = float(explained * overlap) * min(1.0, _seen_turn(points, circle) / 0.25)
    return replace(field, confidence=confidence) if confidence >= LEAST_CONFIDENCE else None


def _boundary(bright: Mask) -> Points:
    """(row, column) of the bright part's outline, without what lies on the frame's edge."""
    contours, _ = cv2.findContours(bright.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = np.concatenate([contour[:, 0, ::-1] for contour in contours]) if contours else np.empty((0, 2))
    height, width = bright.shape
    rows, columns = outline[:, 0], outline[:, 1]
    free = (rows > 1) & (rows < height - 2) & (columns > 1) & (columns < width - 2)
    return np.asarray(outline[free] + 0.5, np.float64)


def _robust_circle(points: Points) -> tuple[float, float, float] | None:
    """The circle through most points: the best of many through three points, then refitted to its own points."""
    thin = points[:: max(1, len(points) // 240)]
    # A fixed seed of its own: the same photograph always gives the same field.
    chosen = np.random.default_rng(0).integers(len(thin), size=(200, 3))
    circles = _circles_through(thin[chosen[:, 0]], thin[chosen[:, 1]], thin[chosen[:, 2]])
    if not len(circles):
        return None
    distance = np.hypot(thin[None, :, 0] - circles[:, :1], thin[None, :, 1] - circles[:, 1:2])
    near = np.abs(distance - circles[:, 2:]) <= TOLERANCE * circles[:, 2:]
    best = circles[int(near.sum(axis=1).argmax())]
    circle = (float(best[0]), float(best[1]), float(best[2]))
    for _ in range(4):
        mine = points[_explained(points, circle)]
        if len(mine) < 8:
            return None
        circle = _least_squares_circle(mine)
    return circle


def _circles_through(first: Points, second: Points, third: Points) -> Float[np.ndarray, "circle 3"]:
    """(row, column, radius) of the circles through three points each, without those that are nearly lines."""
    to_second, to_third = second - first, third - first
    area = 2 * (to_second[:, 0] * to_third[:, 1] - to_second[:, 1] * to_third[:, 0])
    sound = np.abs(area) > 50
    to_second, to_third, area, first = to_second[sound], to_third[sound], area[sound], first[sound]
    squares = (to_second**2).sum(axis=1), (to_third**2).sum(axis=1)
    row = (to_third[:, 1] * squares[0] - to_second[:, 1] * squares[1]) / area
    column = (to_second[:, 0] * squares[1] - to_third[:, 0] * squares[0]) / area
    return np.column_stack([first[:, 0] + row, first[:, 1] + column, np.hypot(row, column)])


def _least_squares_circle(points: Points) -> tuple[float, float, float]:
    """Kasa's fit: x^2 + y^2 = 2ax + 2by + c is linear in a, b and c."""
    middle = points.mean(axis=0)
    centred = points - middle
    system = np.column_stack([2 * centred, np.ones(len(centred))])
    row, column, rest = np.linalg.lstsq(system, (centred**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(0.0, rest + row * row + column * column)))
    return float(middle[0] + row), float(middle[1] + column), radius


def _explained(points: Points, circle: tuple[float, float, float]) -> Bool[np.ndarray, " point"]:
    row, column, radius = circle
    distance = np.hypot(points[:, 0] - row, points[:, 1] - column)
    return np.asarray(np.abs(distance - radius) <= max(1.0, TOLERANCE * radius))


def _seen_turn(points: Points, circle: tuple[float, float, float]) -> float:
    """Share of a full turn on which the circle's edge is seen."""
    mine = points[_explained(points, circle)]
    angles = np.arctan2(mine[:, 0] - circle[0], mine[:, 1] - circle[1])
    return len(np.unique(np.floor(angles * (36 / np.pi)))) / 72


def _unseen_field(bright: Mask, small: SmallPhoto) -> Field | None:
    """A field cut so tightly that its edge lies outside: the circle round the frame, if all of it is retina."""
    height, width = bright.shape
    if bright.mean() < 0.97 or max(height, width) > 1.6 * min(height, width) or not _is_all_retina(small):
        return None
    return Field(height / 2, width / 2, float(np.hypot(height, width) / 2), UNSEEN_CONFIDENCE)


def _is_retina_coloured(small: SmallPhoto, field: Field) -> bool:
    """Whether the field is red before green before blue on the whole: grey scans and blue skies are not."""
    red, green, blue, _ = cv2.mean(small, mask=field.mask(*small.shape[:2]).astype(np.uint8))
    return bool(red > 1.1 * green and green > 0.9 * blue and red > 1.25 * blue)


def _is_all_retina(small: SmallPhoto) -> bool:
    """Whether nearly every pixel has the order of a retina's colours."""
    red, green, blue = (small[..., channel].astype(np.int16) for channel in range(3))
    return bool(((red > 1.15 * green) & (green > blue)).mean() > 0.9)
