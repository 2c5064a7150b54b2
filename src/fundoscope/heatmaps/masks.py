"""Masks on the prepared photograph, of what was drawn on the photograph."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage, sparse

from fundoscope.arrays import Mask
from fundoscope.photo.recipe import Placement

COVERED: Final = 0.5
"""Share of a pixel of the canvas from which on it belongs to the lesion."""

ASPECT_APART: Final = 0.02
"""A mask may be of another resolution than the photograph, but not of another shape by more than this."""


def mask_on_canvas(
    drawn: Bool[np.ndarray, "drawn_height drawn_width"],
    placement: Placement,
    side: int,
    *,
    size: tuple[int, int],
) -> Mask:
    """The pixels of the canvas that are mostly lesion, and of a lesion that fills no pixel the one it fills most.

    Where masks become training targets small lesions are widened; here they keep their area, which every score depends
    on, and yet none vanishes.

    Args:
        drawn: On the photograph as it was published, at any resolution.
        placement: Of the photograph that was prepared (`prepare(...).placement`).
        side: Of the canvas in pixels.
        size: (height, width) of the photograph that was prepared.

    Raises:
        ValueError: If the mask is not of the photograph's shape.
    """
    share = cover(drawn, placement, side, size=size)
    whole = share >= COVERED
    count, labels = cv2.connectedComponents((share > 0).astype(np.uint8), connectivity=8)
    largest = np.asarray(ndimage.maximum(share, np.asarray(labels, np.int64), np.arange(count)))
    small = largest < COVERED
    small[0] = False
    return np.asarray(whole | (small[labels] & (share == largest[labels])))


def cover(
    drawn: Bool[np.ndarray, "drawn_height drawn_width"],
    placement: Placement,
    side: int,
    *,
    size: tuple[int, int],
) -> Float[np.ndarray, "side side"]:
    """The exact share of each pixel of the canvas that a mask covers; arguments as for `mask_on_canvas`."""
    height, width = size
    aspect = (drawn.shape[1] / drawn.shape[0]) / (width / height)
    if abs(aspect - 1) > ASPECT_APART:
        raise ValueError(
            f"drawn must be of the photograph's shape {height} x {width} at any resolution, got "
            f"{drawn.shape[0]} x {drawn.shape[1]}; take the mask of this photograph, not cropped or turned"
        )
    rows = _overlaps(side, drawn.shape[0], placement.scale * height / drawn.shape[0], placement.row_offset)
    columns = _overlaps(side, drawn.shape[1], placement.column_scale * width / drawn.shape[1], placement.column_offset)
    thin = sparse.csr_array(drawn.astype(np.float64))
    return np.asarray(np.clip((rows @ thin @ columns.T).toarray(), 0.0, 1.0))


def _overlaps(side: int, length: int, scale: float, offset: float) -> sparse.csr_array:
    """Of each pixel of the canvas (rows), the share that each pixel of the mask (columns) covers, along one axis."""
    edges = np.arange(length + 1) * scale + offset
    bins = np.arange(side + 1, dtype=np.float64)
    cuts = np.union1d(edges, bins)
    cuts = cuts[(cuts >= max(edges[0], 0)) & (cuts <= min(edges[-1], side))]
    middle, lengths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    source = np.clip(np.searchsorted(edges, middle, side="right") - 1, 0, length - 1)
    target = np.clip(middle.astype(np.int64), 0, side - 1)
    return sparse.csr_array((lengths, (target, source)), shape=(side, length))
