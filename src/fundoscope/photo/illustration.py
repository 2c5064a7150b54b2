"""Pictures for people: a photograph small enough for a page, and where the network looked laid over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from fundoscope.arrays import Heatmap, Photo
from fundoscope.pages import picture_uri
from fundoscope.photo.artefacts.retouch import Spot
from fundoscope.photo.fov import Field
from fundoscope.photo.recipe import Placement

PICTURE_PX: Final = 800
"""Longer side of a photograph on a page."""

OVERLAY_PX: Final = 400
"""Longer side of a heatmap on a page: it comes from a coarse grid and is smooth."""

LEAST_RING_PX: Final = 5.0
"""Least radius of the rings round what was retouched."""

Overlay = UInt8[np.ndarray, "height width 4"]
"""RGB in viridis's colours, which a retina has not; opacity follows the relevance and is 0 outside the retina."""


@runtime_checkable
class Located(Protocol):
    """What is known of a photograph that was graded (`runtime.reading.Reading`), as far as drawing needs it."""

    @property
    def image(self) -> str:
        """Its name, for messages."""

    @property
    def field(self) -> Field | None:
        """Where the retina lies on the photograph as it was decoded, in px."""

    @property
    def retouched(self) -> tuple[Spot, ...]:
        """Specks that were retouched, on the photograph as it was decoded, in px."""

    @property
    def heatmap(self) -> Heatmap | None:
        """Where the network looked, on a grid that covers the prepared photograph."""

    @property
    def placement(self) -> Placement | None:
        """How the prepared photograph lies on the decoded one."""

    @property
    def decoded(self) -> tuple[int, int] | None:
        """Height and width of the photograph as it was decoded."""

    @property
    def side(self) -> int | None:
        """Side of the prepared photograph in px."""


@dataclass(frozen=True, slots=True)
class Illustration:
    """One photograph's pictures as data: URIs, which no page has to fetch."""

    photograph: str
    overlay: str | None
    """None where the network was not asked, exports no heatmap, or its heatmap is not certified."""
    width: int
    height: int
    retouched: tuple[Spot, ...] = ()
    """Where specks of the sensor were retouched, in pixels of the picture."""


def illustrate(pixels: Photo, reading: Located, *, overlaid: bool = True) -> Illustration:
    """Draw a photograph and its overlay.

    Args:
        pixels: The photograph as it was decoded for `reading` (`Grader.examine` returns both).
        reading: What became of it.
        overlaid: False where no overlay may be shown (`OpenRelease.heatmap_state`).
    """
    height, width = _fitted(pixels.shape[0], pixels.shape[1], PICTURE_PX)
    picture = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    overlay = draw_overlay(reading) if overlaid else None
    return Illustration(
        picture_uri(picture, "jpeg", quality=85),
        None if overlay is None else picture_uri(overlay, "webp", quality=70),
        width,
        height,
        _shown_spots(reading, height),
    )


def _shown_spots(reading: Located, height: int) -> tuple[Spot, ...]:
    """Return the retouched spots on a picture of that height, each large enough to be seen."""
    if reading.decoded is None:
        return ()
    factor = height / reading.decoded[0]
    return tuple(
        Spot(spot.row * factor, spot.column * factor, max(LEAST_RING_PX, spot.radius * factor))
        for spot in reading.retouched
    )


def draw_overlay(reading: Located) -> Overlay | None:
    """Draw the heatmap in colour, in the proportions of the photograph; None where there is no heatmap."""
    laid = lay_on_photograph(reading, longer_px=OVERLAY_PX)
    return None if laid is None else colour(laid, reading)


def colour(relevance: Float32[np.ndarray, "height width"], reading: Located) -> Overlay:
    """Colour a map that was laid on a photograph (`lay_on_photograph`), more opaque the more relevant, 0 outside.

    Raises:
        ValueError: If no field was found in the photograph.
    """
    if reading.field is None or reading.decoded is None:
        raise ValueError(f"{reading.image}: reading must hold the field and the decoded size of a photograph")
    height, width = relevance.shape
    inside = reading.field.scaled(height / reading.decoded[0]).mask(height, width)
    colours = cv2.applyColorMap(np.rint(relevance * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    # The square root lets weaker regions be seen without hiding the retina where nothing was found.
    opacity = np.rint(255 * np.sqrt(relevance) * inside).astype(np.uint8)
    return np.dstack([colours, opacity])


def lay_on_photograph(reading: Located, *, longer_px: int) -> Float32[np.ndarray, "height width"] | None:
    """Move the heatmap from the network's grid back onto the photograph, in [0, 1]; None where there is none.

    Args:
        reading: Of a photograph that was decoded at `reading.decoded`.
        longer_px: Longer side of what is returned.
    """
    if reading.heatmap is None or reading.placement is None or reading.decoded is None or reading.side is None:
        return None
    height, width = _fitted(*reading.decoded, longer_px)
    rows, columns = reading.heatmap.shape
    to_decoded = reading.decoded[0] / height
    placement = reading.placement
    # Centres of pixels lie at halves; the matrix takes a place on the page to one on the grid.
    down, along = rows / reading.side, columns / reading.side
    across, scale = to_decoded * placement.column_scale, to_decoded * placement.scale
    matrix = np.array(
        [
            [along * across, 0, along * (0.5 * across + placement.column_offset) - 0.5],
            [0, down * scale, down * (0.5 * scale + placement.row_offset) - 0.5],
        ]
    )
    laid = cv2.warpAffine(
        reading.heatmap,
        matrix,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.clip(laid, 0, 1).astype(np.float32)


def _fitted(height: int, width: int, longer_px: int) -> tuple[int, int]:
    factor = min(1.0, longer_px / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
