"""What lies round the field of view: no change of light or colour may show there."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from fundoscope.arrays import Mask, Photo

DARK = 16
"""Brightest level of a surround; a camera's black frame has a few levels of noise, and more from JPEG at its rim."""


def brightest(picture: Photo) -> UInt8[np.ndarray, "height width"]:
    """Return the brightest channel of each pixel."""
    red, green, blue = cv2.split(picture)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def surround(picture: Photo) -> Mask:
    """Return True where dark pixels reach the frame's edge without a gap. Dark lesions within the field do not."""
    dark = (brightest(picture) <= DARK).astype(np.uint8)
    _, regions = cv2.connectedComponents(dark, connectivity=4, ltype=cv2.CV_32S)
    edge = np.zeros(regions.max() + 1, dtype=bool)
    edge[np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])] = True
    edge[0] = False  # what is lit
    return np.asarray(edge[regions])


def keep_surround(before: Photo, after: np.ndarray) -> Photo:
    """Return the changed photograph with the surround as it was, so that its edge does not reveal the change."""
    kept = np.array(after, dtype=np.uint8)
    around = surround(before)
    if around.any():
        cv2.copyTo(before, around.astype(np.uint8), kept)
    return kept
