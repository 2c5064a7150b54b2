"""Evening out what the camera did: two classical enhancements, as pure functions."""

from __future__ import annotations

import cv2
import numpy as np

from fundoscope.arrays import Canvas, Photo

EXACT_SIGMA_PX = 6.0
"""Up to this width the blur is computed as it stands; wider ones on a reduced copy."""


def ben_graham(
    canvas: Photo, *, radius_px: float, centre: tuple[float, float] | None = None, kept: float = 0.9
) -> Photo:
    """Subtract the local mean colour, amplify, and cut the rim: 4 (photo - blurred photo) + 128.

    From Ben Graham's winning report for the Kaggle diabetic retinopathy contest (2015):
    `cv2.addWeighted(a, 4, cv2.GaussianBlur(a, (0, 0), scale / 30), -4, 128)`, then everything beyond
    0.9 of the radius is set to 128. The blur is computed on a reduced copy where it is wide (at
    512 px an order faster, mean difference below 3 grey levels after the amplification by 4).

    Args:
        canvas: 8-bit RGB.
        radius_px: Radius of the field of view on `canvas`; the blur's sigma is a thirtieth of it.
        centre: (row, column) of the field; the middle of `canvas` if None.
        kept: Share of the radius that is kept; beyond it is grey. `inf` keeps everything.

    Raises:
        ValueError: If `radius_px` or `kept` is not positive.
    """
    if radius_px <= 0 or kept <= 0:
        raise ValueError(f"radius_px and kept must be positive, got {radius_px} and {kept}")
    blurred = _blur(canvas, radius_px / 30)
    even = np.asarray(cv2.addWeighted(canvas, 4, blurred, -4, 128))
    if np.isinf(kept):
        return even
    height, width = canvas.shape[:2]
    row, column = centre or (height / 2, width / 2)
    inside = np.zeros((height, width), np.uint8)
    # Eight fractional bits; OpenCV counts from pixel centres.
    place = round((column - 0.5) * 256), round((row - 0.5) * 256)
    cv2.circle(inside, place, round(radius_px * kept * 256), 255, thickness=cv2.FILLED, shift=8)
    grey = np.full_like(even, 128)
    cv2.copyTo(even, inside, grey)
    return grey


def _blur(canvas: Photo, sigma_px: float) -> Photo:
    if sigma_px <= EXACT_SIGMA_PX:
        return np.asarray(cv2.GaussianBlur(canvas, (0, 0), sigma_px))
    height, width = canvas.shape[:2]
    factor = int(np.ceil(sigma_px / (EXACT_SIGMA_PX / 2)))
    size = max(1, width // factor), max(1, height // factor)
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    # Shrinking by averaging and enlarging linearly blur as well: take their variance off.
    sigma = float(np.sqrt(max(0.25, (sigma_px / factor) ** 2 - 1 / 12 - 1 / 6)))
    return np.asarray(
        cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma), (width, height), interpolation=cv2.INTER_LINEAR)
    )


def clahe(canvas: Canvas, *, clip: float = 2.0, tiles: int = 8) -> Canvas:
    """Contrast-limited adaptive histogram equalisation of the lightness (L of CIE Lab); colours keep their hue.

    Args:
        canvas: 8-bit RGB.
        clip: How many times the mean count a bin of a tile's histogram may hold before it is cut.
        tiles: Tiles along each side.

    Raises:
        ValueError: If `clip` is not positive or `tiles` is below 1.
    """
    if clip <= 0 or tiles < 1:
        raise ValueError(f"clip must be positive and tiles at least 1, got {clip} and {tiles}")
    lab = cv2.cvtColor(canvas, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=clip, tileGridSize=(tiles, tiles)).apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
