"""Read masks of lesions, and bring them from the photograph to the canvas that was prepared from it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage, sparse

from fundoscope.arrays import Mask
from fundoscope.errors import BadTable
from fundoscope.photo.recipe import Placement

COVERED: Final = 0.5
"""Share of a pixel of the canvas from which on it belongs to the lesion."""

ASPECT_APART: Final = 0.02
"""A mask may be of another resolution than the photograph, but not of another shape by more than this."""


def read_mask(path: Path, column: str) -> Mask:
    """Read a mask picture: True where it is not black.

    Args:
        path: Its file.
        column: Column of the manifest that names it; named in the message.

    Raises:
        BadTable: If it cannot be read.
    """
    # A pipe would be waited for.
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if pixels is None:
        raise BadTable(f"{path}: expected a mask picture for {column}, got none that can be read. Check the path.")
    return np.asarray(pixels > 0)


def mask_on_canvas(
    mask: Bool[np.ndarray, "mask_height mask_width"],
    placement: Placement,
    side: int,
    *,
    size: tuple[int, int],
) -> Mask:
    """Return the pixels of the canvas that are mostly lesion; of a lesion that fills no pixel, the one it fills most.

    Where masks become training targets small lesions are widened; here they keep their area, which every score depends
    on, and yet none vanishes.

    Args:
        mask: Of the photograph as it was published, at any resolution.
        placement: Of the photograph that was prepared (`prepare(...).placement`).
        side: Of the canvas in pixels.
        size: (height, width) of the photograph that was prepared.

    Raises:
        ValueError: If the mask is not of the photograph's shape.
    """
    # (side, side): the share of each pixel of the canvas that is lesion
    share = coverage(mask, placement, side, size=size)
    mostly_lesion = share >= COVERED
    # (side, side): number of the lesion that touches each pixel, 0 for background
    count, labels = cv2.connectedComponents((share > 0).astype(np.uint8), connectivity=8)
    # (count,): by lesion, the largest share of a pixel that it covers
    largest = np.asarray(ndimage.maximum(share, np.asarray(labels, np.int64), np.arange(count)))
    # (count,): lesions that would vanish, for they cover no pixel by half; the background is no lesion
    vanishing = largest < COVERED
    vanishing[0] = False
    fullest_pixel = share == largest[labels]
    return np.asarray(mostly_lesion | (vanishing[labels] & fullest_pixel))


def coverage(
    mask: Bool[np.ndarray, "mask_height mask_width"],
    placement: Placement,
    side: int,
    *,
    size: tuple[int, int],
) -> Float[np.ndarray, "side side"]:
    """Compute the exact share of each pixel of the canvas that a mask covers; arguments as for `mask_on_canvas`."""
    height, width = size
    mask_height, mask_width = mask.shape
    aspect = (mask_width / mask_height) / (width / height)
    if abs(aspect - 1) > ASPECT_APART:
        raise ValueError(
            f"mask must be of the photograph's shape {height} x {width} at any resolution, got "
            f"{mask_height} x {mask_width}; take the mask of this photograph, not cropped or turned"
        )
    # Pixels are rectangles, so the overlap of two pixels is the product of the overlaps of their rows and columns:
    # (side, mask_height) @ (mask_height, mask_width) @ (mask_width, side). Masks are mostly empty, hence sparse.
    rows = _overlaps(side, mask_height, placement.scale * height / mask_height, placement.row_offset)
    columns = _overlaps(side, mask_width, placement.column_scale * width / mask_width, placement.column_offset)
    pixels = sparse.csr_array(mask.astype(np.float64))
    return np.asarray(np.clip((rows @ pixels @ columns.T).toarray(), 0.0, 1.0))


def _overlaps(side: int, length: int, scale: float, offset: float) -> sparse.csr_array:
    """Return the share of each canvas pixel (rows) that each mask pixel (columns) covers, along one axis.

    Args:
        side: Pixels of the canvas.
        length: Pixels of the mask.
        scale: Canvas pixels to a mask pixel.
        offset: Where the mask begins, in canvas pixels.
    """
    # Borders of the mask's pixels and of the canvas's, in canvas pixels
    mask_borders = np.arange(length + 1) * scale + offset
    canvas_borders = np.arange(side + 1, dtype=np.float64)
    # All borders together cut the axis into segments that lie in one pixel of each
    borders = np.union1d(mask_borders, canvas_borders)
    borders = borders[(borders >= max(mask_borders[0], 0)) & (borders <= min(mask_borders[-1], side))]
    middles, lengths = (borders[1:] + borders[:-1]) / 2, np.diff(borders)
    # Of each segment: its pixel of the mask, and its pixel of the canvas
    mask_pixels = np.clip(np.searchsorted(mask_borders, middles, side="right") - 1, 0, length - 1)
    canvas_pixels = np.clip(middles.astype(np.int64), 0, side - 1)
    return sparse.csr_array((lengths, (canvas_pixels, mask_pixels)), shape=(side, length))
