"""Whether the dust of a camera is still what its map says: specks that have come, and specks that are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fundoscope.photo.artefacts.dust_map import DustMap, MappedSpeck
from fundoscope.photo.artefacts.find import MeasuredSpeck, depths_of
from fundoscope.photo.artefacts.make import FrameView, dust_map_of, in_time

COME_DEPTH: Final = 0.04
"""Least share of light that a new speck takes to be called new: fainter ones may have been there, not to be found."""

GONE: Final = 0.35
"""Share of its depth below which a speck is gone."""

APART: Final = 0.006
"""Distance between centres, as a share of the frame's longer side, up to which two specks are one."""


@dataclass(frozen=True, slots=True)
class DustChange:
    """What has become of a camera's dust."""

    now: DustMap
    """Made from the later photographs."""
    come: tuple[MappedSpeck, ...]
    """Of `now`, that the map does not have."""
    gone: tuple[MappedSpeck, ...]
    """Of the map, that are no longer seen."""

    @property
    def changed(self) -> bool:
        """Whether any speck has come or gone."""
        return bool(self.come or self.gone)


def compare_dust(dust: DustMap, views: Sequence[FrameView], left_out: Counter[str] | None = None) -> DustChange:
    """Compare later photographs with a camera's map.

    Args:
        dust: The map.
        views: Later photographs, of the map's frame (`make.gather`).
        left_out: How many others were left out for what.

    Raises:
        BadRequest: As of `make.dust_map_of`: above all, if there are too few photographs.
        ValueError: If they have another frame.
    """
    if views and views[0].frame != dust.frame:
        raise ValueError(f"photographs must be of {dust.frame} px as the map is, got {views[0].frame} px")
    now = dust_map_of(views, left_out)
    stack = np.stack([item.plane for item in in_time(views, Counter())[0]])
    height, width = stack.shape[1:]
    longer = max(height, width)
    mapped = [
        MeasuredSpeck(
            row=speck.row * height, column=speck.column * width, radius=speck.radius * longer, depth=speck.depth
        )
        for speck in dust.specks
    ]
    depths = depths_of(stack, mapped)
    gone = [speck for speck, depth in zip(dust.specks, depths, strict=True) if depth < GONE * abs(speck.depth)]
    come = [speck for speck in now.specks if abs(speck.depth) >= COME_DEPTH and not _is_in(dust, speck)]
    return DustChange(now, tuple(come), tuple(gone))


def _is_in(dust: DustMap, speck: MappedSpeck) -> bool:
    longer = max(dust.width, dust.height)
    return any(
        np.hypot((speck.row - other.row) * dust.height, (speck.column - other.column) * dust.width) <= APART * longer
        for other in dust.specks
    )
