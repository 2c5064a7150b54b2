"""Whether two photographs are the same picture, the same eye photographed again, or neither: pixel by pixel.

The second frame is laid on the first (shift by phase correlation, then an affine map by maximising the enhanced
correlation coefficient, Evangelidis and Psarakis 2008), and their illumination-free pixels are correlated. A copy
agrees everywhere, and its aperture moves with its retina. In another photograph of the same eye vessels agree but
the retina has moved behind the aperture, or the light falls otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from fundoscope.duplicates.fingerprint import FRAME_PX, Frame, Plane, flattened, mirrored

Relation = Literal["copy", "same eye", "different"]

COARSE_PX: Final = 128
"""Side of the frames that are first laid on one another."""

COARSE_LEAST: Final = 0.12
"""Correlation after the coarse shift below which no finer map is sought."""

MIDDLE_STEPS: Final = 6
FULL_STEPS: Final = 60
"""Steps of the affine map's search at most, on the smaller and on the full frames."""

MIDDLE_LEAST: Final = 0.36
"""Correlation of the smaller frames after an affine map below which the full frames are not laid on one another. After
so few steps it is 0.56 to 1 on IDRiD's photographs of one eye, and 0.20 to 0.40 on others that agree best."""

EXPECTED_STEPS: Final = 30
EXPECTED_MIDDLE: Final = 0.3
"""The same where there is reason to think that two frames show one eye."""

COPY_LEAST: Final = 0.8
"""Correlation of detail from which two frames may be one picture. On 516 photographs: copies 0.87 to 1."""

SCAN_LEAST: Final = 0.975
"""The same for pictures without a field of view. Any two OCT scans agree in their layers, up to 0.7, and scans of one
eye's one line up to 0.97."""

COPY_SHIFT: Final = 0.007
"""Largest movement of retina against aperture in one picture, as a share of the frame."""

COPY_SHADE: Final = 0.6
"""Least correlation of the two pictures' illumination in one picture."""

EYE_LEAST: Final = 0.55
"""Correlation of detail from which two frames show one eye. On other eyes' photographs: at most 0.33."""

EXPECTED_LEAST: Final = 0.45
"""The same where there is reason to think so."""

LEAST_OVERLAP: Final = 0.2
"""Share of the frame that both pictures must cover."""

Map = Float32[np.ndarray, "2 3"]


@dataclass(frozen=True, slots=True)
class View:
    """A frame with what every comparison needs of it."""

    frame: Frame
    plane: Plane
    """Without illumination."""
    inside: Bool[np.ndarray, "256 256"]
    """Where the picture is."""

    def mirrored(self, mirror: int) -> View:
        """Return it flipped as `MIRRORS[mirror]` says."""
        return View(*(mirrored(square, mirror) for square in (self.frame, self.plane, self.inside)))


def view_of(frame: Frame, *, fields: bool) -> View:
    """Prepare a frame for comparisons; `fields` as of `compare_frames`."""
    return View(frame, *flattened(frame, field=fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What laying one photograph on another showed."""

    relation: Relation
    correlation: float
    """Of the details, where both have any, -1 to 1."""
    shade: float
    """Of the illumination, -1 to 1."""
    shift: float
    """How far the aperture's edge or centre moved against the retina, as a share of the frame."""
    mirror: int
    """How the second was flipped to lie on the first: a number in `fingerprint.MIRRORS`."""


def compare_frames(
    first: Frame,
    second: Frame,
    *,
    fields: bool,
    mirrors: tuple[int, ...] = (0, 1, 2, 3),
    expected: bool = False,
) -> Comparison:
    """Register the second frame with the first, in each of the given mirrorings, and compare the best.

    Args:
        first: A fingerprint's frame.
        second: Another's.
        fields: Whether both were laid on the square by a field of view. Without one there is no aperture to move, and
            nothing is said of eyes: layers of the retina look alike in all.
        mirrors: Numbers in `fingerprint.MIRRORS` that are tried.
        expected: Whether there is reason to think that they show one eye: they are laid on one another whatever a
            shift alone gives, and are believed from `EXPECTED_LEAST` on.
    """
    views = (view_of(frame, fields=fields) for frame in (first, second))
    return compare_views(*views, fields=fields, mirrors=mirrors, expected=expected)


def compare_views(
    first: View, second: View, *, fields: bool, mirrors: tuple[int, ...] = (0, 1, 2, 3), expected: bool = False
) -> Comparison:
    """Compare as `compare_frames` does, frames that were prepared."""
    plane, inside = first.plane, first.inside
    steps, middle_least = (EXPECTED_STEPS, EXPECTED_MIDDLE) if expected else (MIDDLE_STEPS, MIDDLE_LEAST)
    best = Comparison(relation="different", correlation=-1.0, shade=0.0, shift=0.0, mirror=mirrors[0])
    for mirror in mirrors:
        turned = second.mirrored(mirror)
        start, coarse = _coarse(plane, turned.plane)
        if coarse >= COARSE_LEAST or expected:
            start, coarse = _middle(plane, turned.plane, inside, start, steps=steps)
        if coarse < middle_least:
            if coarse > best.correlation:
                best = Comparison(relation="different", correlation=coarse, shade=0.0, shift=0.0, mirror=mirror)
            continue
        match = _judged(first, turned, start, fields=fields, mirror=mirror)
        if expected and fields and match.relation == "different" and match.correlation >= EXPECTED_LEAST:
            match = replace(match, relation="same eye")
        if match.correlation > best.correlation:
            best = match
    return best


def _coarse(plane: Plane, other: Plane) -> tuple[Map, float]:
    """Find the shift by phase correlation of smaller frames, and the correlation that it gives."""
    size = (COARSE_PX, COARSE_PX)
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    small_other = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
    (columns, rows), _ = cv2.phaseCorrelate(small, small_other)
    best = np.eye(2, 3, dtype=np.float32), -1.0
    for shift in ((0.0, 0.0), (columns, rows)):
        if max(map(abs, shift)) > COARSE_PX / 3:
            continue
        matrix = np.eye(2, 3, dtype=np.float32)
        matrix[:, 2] = shift
        laid = cv2.warpAffine(small_other, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        agreed = _correlation(small, laid, (small != 0) & (laid != 0))
        if agreed > best[1]:
            matrix[:, 2] *= FRAME_PX / COARSE_PX
            best = matrix, agreed
    return best


def _middle(
    plane: Plane, other: Plane, inside: Bool[np.ndarray, "256 256"], start: Map, *, steps: int
) -> tuple[Map, float]:
    """Estimate the affine map on smaller frames, and their correlation: a quarter of the cost of full frames."""
    size = (COARSE_PX, COARSE_PX)
    small, small_other = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (plane, other))
    visible = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    scale = np.array([[1, 1, COARSE_PX / FRAME_PX]] * 2, dtype=np.float32)
    matrix = _refined(small, small_other, visible, np.asarray(start * scale, dtype=np.float32), steps=steps)
    laid = cv2.warpAffine(small_other, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(matrix / scale, dtype=np.float32), _correlation(small, laid, (small != 0) & (laid != 0))


def _judged(first: View, second: View, start: Map, *, fields: bool, mirror: int) -> Comparison:
    matrix = _refined(first.plane, second.plane, first.inside, start, steps=FULL_STEPS)
    squares = (second.plane, second.inside.astype(np.float32), second.frame)
    laid, shown, picture = (_laid(square, matrix) for square in squares)
    both = first.inside & (shown > 0.99)
    if both.mean() < LEAST_OVERLAP:
        return Comparison(relation="different", correlation=0.0, shade=0.0, shift=0.0, mirror=mirror)
    correlation = _correlation(first.plane, laid, both)
    shade = _correlation(_shade(first.frame), _shade(picture), both)
    shift = _movement(matrix)
    relation: Relation = "different"
    if not fields:
        relation = "copy" if correlation >= SCAN_LEAST and shade >= COPY_SHADE else "different"
    elif correlation >= COPY_LEAST and shade >= COPY_SHADE and shift <= COPY_SHIFT:
        relation = "copy"
    elif correlation >= EYE_LEAST:
        relation = "same eye"
    return Comparison(relation=relation, correlation=correlation, shade=shade, shift=shift, mirror=mirror)


def _refined(
    plane: Float32[np.ndarray, "side side"],
    other: Float32[np.ndarray, "side side"],
    inside: Bool[np.ndarray, "side side"],
    start: Map,
    *,
    steps: int,
) -> Map:
    """Return the affine map of greatest correlation near the start; the start where there is none."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
    try:
        _, matrix = cv2.findTransformECC(
            plane, other, start.copy(), cv2.MOTION_AFFINE, stop, inside.astype(np.uint8), 5
        )
    except cv2.error:  # it did not converge: the pictures have nothing in common
        return start
    return np.asarray(matrix, dtype=np.float32)


def _laid(plane: Plane | Frame, matrix: Map) -> Plane:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(plane.astype(np.float32), matrix, (FRAME_PX, FRAME_PX), flags=flags))


def _shade(plane: Plane | Frame) -> Plane:
    """Return the picture's light, on the eye's scale: the logarithm, blurred."""
    return np.asarray(cv2.GaussianBlur(np.log1p(plane.astype(np.float32)), (0, 0), 6))


def _movement(matrix: Map) -> float:
    """Compute the largest movement of the frame's centre and of its edges' centres, as a share of its side."""
    half, side = FRAME_PX / 2, float(FRAME_PX)
    places = np.array([[half, half, 1], [half, 0, 1], [0, half, 1], [half, side, 1], [side, half, 1]])
    moved = places @ matrix.T.astype(np.float64) - places[:, :2]
    return float(np.hypot(moved[:, 0], moved[:, 1]).max() / FRAME_PX)


def _correlation(
    first: Float[np.ndarray, "side side"],
    second: Float[np.ndarray, "side side"],
    where: Bool[np.ndarray, "side side"],
) -> float:
    """Compute Pearson's correlation over the pixels of `where`; 0 where there are few or nothing varies."""
    if where.sum() < 64:
        return 0.0
    left, right = first[where] - first[where].mean(), second[where] - second[where].mean()
    scale = float(np.sqrt((left * left).sum() * (right * right).sum()))
    return float((left * right).sum() / scale) if scale > 1e-6 else 0.0
