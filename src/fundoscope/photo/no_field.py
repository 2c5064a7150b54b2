"""Why no field of view was found, in words that name what is wrong with the picture."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fundoscope.arrays import Mask, Photo
from fundoscope.photo.circles import boundary
from fundoscope.photo.fov import SMALLEST_PX, foreground_mask, largest_part, working_copy
from fundoscope.photo.quality import Verdict
from fundoscope.photo.tint import missing_colour, typical_pixels

DARK_LEVEL: Final = 24
"""Brightness that a hundredth of the pixels must reach in a picture that is not too dark."""

ROUND: Final = 0.93
"""Shorter over longer axis from which an ellipse is a circle."""

FITS: Final = 0.85
"""Share of an outline that an ellipse must explain."""

LEAST_AREA: Final = 0.05
"""Share of the frame that an ellipse must cover."""

NOT_RETINA: Final = "no retina found: not a fundus photograph"


def why_no_field(photo: Photo) -> Verdict:
    """Return the verdict on a photograph in which `find_field` finds no field of view and which is not squashed."""
    height, width = photo.shape[:2]
    if min(height, width) < SMALLEST_PX:
        return _refused(
            "too_small",
            f"no retina found: the picture has {width} x {height} px, at least {SMALLEST_PX} each way are needed",
        )
    small, _ = working_copy(photo)
    if np.quantile(small.max(axis=2), 0.99) < DARK_LEVEL:
        return _refused("dark", "no retina found: the picture is too dark")
    lit = foreground_mask(small)
    if lit is None:
        return _refused("no_retina", NOT_RETINA)
    if colour := missing_colour(small, lit):
        return _refused(
            "no_colour",
            f"no retina found: {colour}, and a colour photograph is needed (red-free and angiograms are not graded)",
        )
    if lit.all() and typical_pixels(small).mean() < 0.5:
        return _refused("no_retina", f"{NOT_RETINA}, or one whose surround is neither black nor white nor grey")
    return _refused("no_retina", NOT_RETINA)


def squashed(photo: Photo) -> Verdict | None:
    """Return the verdict on a photograph whose field is an ellipse and so no field of view; None if it is none."""
    if min(photo.shape[:2]) < SMALLEST_PX:
        return None
    lit = foreground_mask(working_copy(photo)[0])
    axes = None if lit is None else _squashed(lit)
    if axes is None:
        return None
    return _refused(
        "squashed",
        f"no retina found: the field is an ellipse, {axes[0] / axes[1]:.2f} times as wide as high: the picture was "
        "squashed or stretched. Export it in its own proportions",
    )


def _refused(fault: str, reason: str) -> Verdict:
    return Verdict(False, "reject", reason, (fault,))


def _squashed(lit: Mask) -> tuple[float, float] | None:
    """Width and height of the ellipse that the largest lit part is, if it is one and no circle."""
    largest = largest_part(lit)
    points = None if largest is None else boundary(largest)
    if points is None or len(points) < 24:
        return None
    # OpenCV's places are (column, row); its axes are diameters, the second turned by the angle from the rows.
    (column, row), (first, second), angle = cv2.fitEllipseDirect(points[:, ::-1].astype(np.float32))
    turn = np.deg2rad(angle)
    along = (points[:, 1] - column) * np.cos(turn) + (points[:, 0] - row) * np.sin(turn)
    across = (points[:, 0] - row) * np.cos(turn) - (points[:, 1] - column) * np.sin(turn)
    if min(first, second) < 8 or np.pi * first * second / 4 < LEAST_AREA * lit.size:
        return None
    reach = np.hypot(along / (first / 2), across / (second / 2))
    if (np.abs(reach - 1) < 0.03).mean() < FITS or min(first, second) / max(first, second) >= ROUND:
        return None
    upright = abs(np.sin(turn)) > np.sqrt(0.5)
    return (second, first) if upright else (first, second)
