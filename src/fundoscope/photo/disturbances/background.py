"""What lies round the field of view: no change of light or colour may show there."""

from __future__ import annotations

import cv2
import numpy as np

from fundoscope.arrays import Mask, Photo

DARK = 16
"""Brightest level of a surround; a camera's black frame has a few levels of noise, and more from JPEG at its rim."""


def surround(canvas: Photo) -> Mask:
    """True where dark pixels reach the frame's edge without a gap. Dark lesions within the field do not."""
    dark = canvas.max(axis=2) <= DARK
    _, regions = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)
    edge = np.zeros(regions.max() + 1, dtype=bool)
    edge[np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])] = True
    return np.asarray(dark & edge[regions])


def keep_surround(before: Photo, after: np.ndarray) -> Photo:
    """The changed photograph with the surround as it was: its edge must not tell what was done."""
    kept = np.array(after, dtype=np.uint8)
    around = surround(before)
    kept[around] = before[around]
    return kept
