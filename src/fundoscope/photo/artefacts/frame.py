"""The frame as the camera wrote it: what lies on the sensor keeps its place there, whatever way up photographs are.

Places are shares of the frame's height and width, (row, column), so that they scale with the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from fundoscope.photo.read import Photograph

Plane = Shaped[np.ndarray, "height width ..."]


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of the pictures that a camera writes, before they are turned upright."""

    width: int
    """In px."""
    height: int
    """In px."""

    @classmethod
    def of(cls, photograph: Photograph) -> Frame:
        """Return the frame of a photograph."""
        if is_on_its_side(photograph.orientation):
            return cls(photograph.height, photograph.width)
        return cls(photograph.width, photograph.height)

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"

    def fitted(self, longer_px: int) -> Frame:
        """Return the frame reduced to a longer side of at most `longer_px`."""
        factor = min(1.0, longer_px / max(self.width, self.height))
        return Frame(max(1, round(self.width * factor)), max(1, round(self.height * factor)))


def is_on_its_side(orientation: int) -> bool:
    """Return whether rows of the frame are columns of the upright photograph."""
    return orientation >= 5


def as_written(upright: Plane, orientation: int) -> Shaped[np.ndarray, "rows columns ..."]:
    """Turn an upright picture back to how the camera wrote it.

    Args:
        upright: Rows and columns of the upright photograph, and any channels.
        orientation: EXIF's number, 1 to 8.
    """
    if orientation in (5, 7):
        transposed = upright.swapaxes(0, 1)
        return transposed if orientation == 5 else transposed[::-1, ::-1]
    turned = {2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1]}
    if orientation in (6, 8):
        return np.rot90(upright, 1 if orientation == 6 else -1)
    return turned.get(orientation, upright)


def to_upright(row: float, column: float, orientation: int) -> tuple[float, float]:
    """Take a place of the frame, in shares of its sides, to the same place of the upright photograph.

    Args:
        row: From the frame's upper edge.
        column: From the frame's left edge.
        orientation: EXIF's number, 1 to 8.
    """
    places = {
        2: (row, 1 - column),
        3: (1 - row, 1 - column),
        4: (1 - row, column),
        5: (column, row),
        6: (column, 1 - row),
        7: (1 - column, 1 - row),
        8: (1 - column, row),
    }
    return places.get(orientation, (row, column))
