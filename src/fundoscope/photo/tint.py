"""Whether the colours of a picture are a retina's: typical ones, those of another light or camera, or none at all.

A retina is red before green before blue. Bright, yellowish and pale photographs are not, and neither are all white
balances: where the shape of the field speaks for a retina, colours only have to be possible ones.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Int16, UInt8

from fundoscope.arrays import Mask

LEAST_RED: Final = 0.75
"""Least red of a retina under any light, as a share of its green."""

MOST_BLUE: Final = 1.05
"""Most blue of a retina under any light, as a share of its red."""

SURELY_TYPICAL: Final = 1.4
"""Red as a share of green from which a retina's light is the usual one; 1.56 and more on IDRiD's photographs."""

ALL: Final = 0.9
"""Share of the pixels that must have a retina's colours where the field covers the frame."""

COLOURLESS: Final = 12
"""Largest spread between the channels, on nine tenths of what is lit, of a picture without colour."""

ONE_CHANNEL: Final = 0.12
"""Brightness of the other two channels, as a share of the brightest, of a picture in one colour."""

SmallPhoto = UInt8[np.ndarray, "small_height small_width 3"]


def is_typical(small: SmallPhoto, inside: Mask) -> bool:
    """Return whether a part is red before green before blue on the whole: grey scans and blue skies are not."""
    red, green, blue, _ = cv2.mean(small, mask=inside.astype(np.uint8))
    return bool(red > 1.1 * green and green > 0.9 * blue and red > 1.25 * blue)


def is_possible(small: SmallPhoto, inside: Mask) -> bool:
    """Return whether a part can be a retina in some light: yellowish, pale, with a cast; not grey or blue."""
    red, green, blue, _ = cv2.mean(small, mask=inside.astype(np.uint8))
    return bool(red > LEAST_RED * green and blue < MOST_BLUE * red) and not missing_colour(small, inside)


def typical_pixels(small: SmallPhoto) -> Mask:
    """Return which pixels are red before green before blue, as `is_typical` asks of the whole."""
    red, green, blue = _channels(small)
    return np.asarray((red > 1.1 * green) & (green > 0.9 * blue) & (red > 1.25 * blue))


def is_retina_throughout(small: SmallPhoto) -> bool:
    """Return whether nearly every pixel of a picture has a retina's colours, typical ones or those of another light."""
    red, green, blue = _channels(small)
    if ((red > 1.15 * green) & (green > blue)).mean() > ALL:
        return True
    possible = (red > LEAST_RED * green) & (blue < green) & (blue < red)
    return bool(possible.mean() > ALL) and not missing_colour(small, np.ones(possible.shape, bool))


def missing_colour(small: SmallPhoto, inside: Mask) -> str:
    """Return what is said of a part that is grey, or of one colour alone; empty if it has colours."""
    pixels = small[inside].astype(np.int16)
    if not len(pixels) or np.quantile(np.ptp(pixels, axis=1), 0.9) <= COLOURLESS:
        return "the picture has no colour"
    means = np.sort(pixels.mean(axis=0))
    return "the picture has only one colour" if means[1] <= ONE_CHANNEL * means[2] else ""


def as_typical(small: SmallPhoto, inside: Mask) -> SmallPhoto:
    """Return a picture in a light in which the retina inside has typical colours; as it is if it has them already."""
    red, green, blue, _ = cv2.mean(small, mask=inside.astype(np.uint8))
    if is_typical(small, inside) and red > SURELY_TYPICAL * green:
        return small
    # Red stays; green and blue become the shares of it that they are on most retinas.
    gains = np.array([1.0, min(1.0, 0.45 * red / max(green, 1.0)), min(1.0, 0.2 * red / max(blue, 1.0))])
    return np.asarray(np.rint(small * gains), np.uint8)


def _channels(small: SmallPhoto) -> tuple[Int16[np.ndarray, ...], ...]:
    red, green, blue = (small[..., channel].astype(np.int16) for channel in range(3))
    return red, green, blue
