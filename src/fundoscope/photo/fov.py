"""Where the retina lies in a photograph: the circle that the camera's aperture cuts out of the dark.

Places are continuous: pixel (row, column) covers [row, row + 1) x [column, column + 1), so that a
place scales with the picture. The search works on a small copy and costs about a millisecond or two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32, Shaped

from fundoscope.arrays import Mask, Photo
from fundoscope.photo.circles import boundary, explained, robust_circle, seen_turn
from fundoscope.photo.tint import SmallPhoto, is_possible, is_retina_throughout, is_typical

WORKING_PX = 320
"""Longest side of the copy that is searched."""

SMALLEST_PX = 32
"""Shortest side of a photograph that can show a field at all."""

DARK_SHARE = 0.15
"""How far from the background to the field's mean brightness the edge of the field is drawn."""

HALO_SHARE = 0.4
"""The same on a photograph in which the light around the field is so bright that it was taken for the field."""

FAINT_STEP = 0.25
"""Step at the edge of a circle, as a share of its brightness, below which it may be that of such light."""

LIT_CORNER = 20.0
"""Brightness up to which a corner is dark, whatever the rest."""

LIGHT_SPREAD = 6.0
"""Largest standard deviation of a white or grey surround, in a corner."""

LIGHT_TINT = 16.0
"""Largest difference between the colour channels of a white or grey surround."""

LEAST_CONFIDENCE = 0.5
"""Below this a circle is not believed."""

CLEAR_CONFIDENCE = 0.75
"""From this confidence on a circle is a field of view in whatever light it was taken."""

UNSEEN_CONFIDENCE = 0.25
"""Confidence of a field whose edge lies outside the frame."""

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
    light_surround: bool = False
    """Whether the field lies on white or grey; on black or nothing otherwise."""

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

    A circle is fitted to the boundary between the field and its surround, leaving out what lies on the frame's edge
    (fields cut off at top and bottom) and, robustly, what does not lie on a circle (the camera's notch, an eyelid).
    The surround is dark; only where no field is found against a dark one is a white or grey one tried. A circle that
    fits well is a field in any light that is neither grey nor blue; one that fits less well needs a retina's typical
    colours, and a picture without a surround counts as a field that covers the frame if its colours are a retina's
    throughout. Whether vessels can be seen is not asked here (`gradability`).

    Returns:
        The circle in pixels of `photo`; None if nothing in it looks like a colour fundus photograph.
    """
    if min(photo.shape[:2]) < SMALLEST_PX:
        return None
    small, factor = working_copy(photo)
    bright = largest_part(lit_mask(small))
    fields = [] if bright is None else [_field_in_dark(small, bright), _unseen_field(bright, small)]
    field = next((field for field in fields if field is not None and _is_believed(small, field)), None)
    if field is None:
        field = _field_on_light(small)
    return None if field is None else field.scaled(1 / factor)


def working_copy(photo: Photo) -> tuple[SmallPhoto, float]:
    """Reduce a photograph to `WORKING_PX`, and return by which factor; a smaller one stays as it is."""
    height, width = photo.shape[:2]
    factor = WORKING_PX / max(height, width)
    if factor >= 1:
        return photo, 1.0
    size = max(1, round(width * factor)), max(1, round(height * factor))
    # At least two pixels are averaged each way; reading all of twelve million would take 40 ms and find the same.
    thin = photo[:: max(1, height // (2 * size[1])), :: max(1, width // (2 * size[0]))]
    return np.asarray(cv2.resize(thin, size, interpolation=cv2.INTER_AREA)), factor


def lit_mask(small: SmallPhoto) -> Mask | None:
    """Return what is brighter than a dark surround.

    Everything where even the darkest corner is lit; None on a dark frame.
    """
    return _above_surround(_brightness(small))


def _brightness(small: SmallPhoto) -> Brightness:
    red, green, blue = cv2.split(cv2.GaussianBlur(small, (3, 3), 0))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def mask_on_light(small: SmallPhoto) -> Mask | None:
    """Return what differs from a white or grey surround; None where there is no such surround."""
    colour = _light_surround(small)
    if colour is None:
        return None
    smooth = cv2.GaussianBlur(small, (3, 3), 0).astype(np.float32)
    mask = _above_surround(np.abs(smooth - colour).max(axis=2))
    return None if mask is None or mask.all() else mask


def foreground_mask(small: SmallPhoto) -> Mask | None:
    """Return what differs from a dark surround or, where that shows nothing, a white or grey one; None if nothing."""
    lit = lit_mask(small)
    if lit is not None and lit.all() and (on_light := mask_on_light(small)) is not None:
        lit = on_light
    return None if lit is None or not lit.any() else lit


def _light_surround(small: SmallPhoto) -> Float32[np.ndarray, " 3"] | None:
    """Return the colour of the most even corner, if it is even, lit and without colour."""
    corners = [corner.reshape(-1, 3).astype(np.float32) for corner in _corners(small)]
    evenest = min(corners, key=lambda corner: float(corner.std(axis=0).max()))
    colour = np.asarray(np.median(evenest, axis=0), np.float32)
    even = evenest.std(axis=0).max() <= LIGHT_SPREAD and np.ptp(colour) <= LIGHT_TINT
    return colour if even and colour.max() > LIT_CORNER else None


def _field_on_light(small: SmallPhoto) -> Field | None:
    """The field against a white or grey surround, if there is one."""
    bright = largest_part(mask_on_light(small))
    if bright is None or _fit_field(bright) is None:
        return None
    # On black the field's edge is drawn where its brightness ends, and so it is here: its rim is dark, not light.
    within = cv2.erode(bright.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    darkened = np.where(within[..., None], small, np.uint8(0))
    bright = largest_part(lit_mask(darkened))
    field = None if bright is None else _fit_field(bright)
    if field is None or not _is_believed(small, field):
        return None
    return replace(field, light_surround=True)


def _above_surround(brightness: Brightness, share: float = DARK_SHARE) -> Mask | None:
    """What is brighter than the surround; everything where that is lit itself, None where nothing is.

    Args:
        brightness: Of the small copy.
        share: How far from the surround to the mean of what is bright the threshold lies.
    """
    surround, noise = _surround(brightness)
    level, _ = cv2.threshold(np.rint(brightness).astype(np.uint8), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    above = brightness[brightness > level]
    if surround > max(LIT_CORNER, 0.3 * float(above.mean()) if above.size else 0.0):
        return np.ones(brightness.shape, bool)
    if not above.size or above.mean() - surround < 2.5:
        return None
    threshold = surround + max(1.5, 4 * noise, share * (float(above.mean()) - surround))
    mask = (brightness > threshold).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(bool))


def largest_part(mask: Mask | None) -> Mask | None:
    """Return the largest connected part, its holes filled; None where there is none."""
    if mask is None or mask.all():
        return mask
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, thickness=cv2.FILLED)
    return filled.astype(bool)


def _surround(brightness: Brightness) -> tuple[float, float]:
    """Median and spread of the darkest corner: outside the field wherever any of the outside is visible."""
    darkest = min(_corners(brightness), key=lambda corner: float(np.median(corner)))
    middle = float(np.median(darkest))
    return middle, min(1.5 * float(np.median(np.abs(darkest - middle))), 4.0)


def _corners(picture: Shaped[np.ndarray, "height width ..."]) -> list[Shaped[np.ndarray, "rows columns ..."]]:
    """The four corners, a twenty-fourth of each side long."""
    rows, columns = (max(3, side // 24) for side in picture.shape[:2])
    return [
        picture[up, left]
        for up in (slice(None, rows), slice(-rows, None))
        for left in (slice(None, columns), slice(-columns, None))
    ]


def _fit_field(bright: Mask) -> Field | None:
    """The circle round the bright part, if it is one."""
    points = boundary(bright)
    if len(points) < 24:
        return None
    circle = robust_circle(points)
    if circle is None:
        return None
    row, column, radius = circle
    height, width = bright.shape
    # A field smaller than a quarter of the frame's shorter side is a reflex or a lamp, not a retina.
    if not (0.25 * min(height, width) <= 2 * radius and radius <= max(height, width)):
        return None
    share = explained(points, circle).mean()
    # Contours run through the centres of the outermost bright pixels, half a pixel inside the edge.
    field = Field(row, column, radius + 0.5, 0.0)
    inside = field.mask(height, width)
    overlap = (inside & bright).sum() / max(1, (inside | bright).sum())
    confidence = float(share * overlap) * min(1.0, seen_turn(points, circle) / 0.25)
    return replace(field, confidence=confidence) if confidence >= LEAST_CONFIDENCE else None


def _field_in_dark(small: SmallPhoto, bright: Mask) -> Field | None:
    """The circle round the bright part, or round a brighter one within it if the former is only the light around it."""
    field = _fit_field(bright)
    if field is None:
        return None
    brightness = _brightness(small)
    step = _edge_step(brightness, field)
    if step >= FAINT_STEP:
        return field
    brighter = largest_part(_above_surround(brightness, HALO_SHARE))
    inner = None if brighter is None else _fit_field(brighter)
    return inner if inner is not None and _edge_step(brightness, inner) > max(FAINT_STEP, step) else field


def _edge_step(brightness: Brightness, field: Field) -> float:
    """How much darker it is just outside a circle than just inside, as a share of the circle's brightness."""
    height, width = brightness.shape
    rows = np.arange(height)[:, None] + 0.5 - field.row
    columns = np.arange(width)[None, :] + 0.5 - field.column
    away = (rows * rows + columns * columns) / field.radius**2  # square of the distance in radii
    inside, outside = (away > 0.93) & (away < 0.985), (away > 1.05) & (away < 1.15)
    if outside.sum() < 20 or not inside.any():
        return 1.0
    step = float(np.median(brightness[inside]) - np.median(brightness[outside]))
    return step / max(1.0, float(np.median(brightness[away < 1])))


def _unseen_field(bright: Mask, small: SmallPhoto) -> Field | None:
    """A field cut so tightly that its edge lies outside: the circle round the frame, if all of it is retina."""
    height, width = bright.shape
    if bright.mean() < 0.97 or max(height, width) > 1.6 * min(height, width) or not is_retina_throughout(small):
        return None
    return Field(height / 2, width / 2, float(np.hypot(height, width) / 2), UNSEEN_CONFIDENCE)


def _is_believed(small: SmallPhoto, field: Field) -> bool:
    """Whether a circle is a retina by its shape and its colours: the better the one, the less is asked of the other."""
    inside = field.mask(*small.shape[:2])
    # A field that covers the frame has no shape; its pixels were looked at one by one.
    clear = field.confidence >= CLEAR_CONFIDENCE or field.confidence == UNSEEN_CONFIDENCE
    return is_typical(small, inside) or (clear and is_possible(small, inside))
