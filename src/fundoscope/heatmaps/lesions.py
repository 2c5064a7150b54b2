"""Lesion by lesion: how large each is, whether a map finds it, and how little of a map's cell it fills.

A lesion is a connected part of a mask (8 neighbours). Its size is given as a share of the field of view, which no
recipe and no resolution changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fundoscope.heatmaps.baselines import grid_cells
from fundoscope.heatmaps.scores import Region, Relevance, check_field, check_map, check_shapes

SIZES: Final[dict[str, tuple[float, float]]] = {
    "below 0.002 %": (0.0, 0.00002),
    "0.002 to 0.01 %": (0.00002, 0.0001),
    "0.01 to 0.08 %": (0.0001, 0.0008),
    "above 0.08 %": (0.0008, 1.0),
}
"""Sizes of lesions: from (inclusive) and up to (exclusive, but for 1) which share of the field of view.

0.08 % is what the DenseNet study says that a feature makes up at most.
"""

GRIDS: Final = ((7, 7), (10, 10), (12, 12))
"""Rows and columns of the last feature maps of a CNN at 224 px, and of what smaller and larger sides give."""

FLAGGED: Final = 0.05
"""Share of the lesion-free field that a map may call suspicious."""

OVERLAP: Final = 0.2
"""Share of a lesion that must be called suspicious for it to be found (Zhang et al. 2014)."""


Shares = Float[np.ndarray, " lesion"]
"""Sizes of lesions as shares of the field."""


@dataclass(frozen=True, slots=True)
class Components:
    """The lesions of one mask."""

    labels: Int[np.ndarray, "height width"]
    """0 outside, else 1 and up."""
    area_px: Int[np.ndarray, " lesion"]
    field_px: int

    @property
    def shares(self) -> Shares:
        """Size of each lesion as a share of the field."""
        return self.area_px / self.field_px


def components(lesions: Region, field: Region) -> Components:
    """Separate the lesions of a mask within the field of view.

    Raises:
        ValueError: If shapes differ or the field is empty.
    """
    check_field(field.astype(np.float32), field)
    check_shapes(field.astype(np.float32), lesions=lesions)
    count, labels = cv2.connectedComponents((lesions & field).astype(np.uint8), connectivity=8)
    area = np.bincount(labels.ravel(), minlength=count)[1:]
    return Components(np.asarray(labels, np.int64), area.astype(np.int64), int(field.sum()))


def by_size(lesions: Region, field: Region, *, sizes: Mapping[str, tuple[float, float]] = SIZES) -> dict[str, Region]:
    """Divide a mask by lesion size: one mask for each size that occurs."""
    lesion_components = components(lesions, field)
    named = {
        name: np.append(False, chosen)
        for name, chosen in _sorted(lesion_components.shares, sizes).items()
        if chosen.any()
    }
    return {name: chosen[lesion_components.labels] for name, chosen in named.items()}


def size_names(shares: Shares, *, sizes: Mapping[str, tuple[float, float]] = SIZES) -> list[str]:
    """Return the name of each lesion's size; "" where none fits."""
    names = np.full(len(shares), "", dtype=object)
    for name, chosen in _sorted(shares, sizes).items():
        names[chosen] = name
    return [str(name) for name in names]


def lesion_table(
    relevance: Relevance,
    lesions: Mapping[str, Region],
    field: Region,
    *,
    flagged: float = FLAGGED,
    overlap: float = OVERLAP,
    sizes: Mapping[str, tuple[float, float]] = SIZES,
) -> pd.DataFrame:
    """Decide which lesions a map finds if it may mark a stated share of the healthy field as suspicious.

    The threshold lies where `flagged` of the field's lesion-free pixels are above it, as an operating point of a FROC
    curve does, with an area in place of a count because maps have no separate marks. Pixels equal to it count in part,
    so that the share is exact; pixels of relevance 0 are never suspicious. A lesion is found if `overlap` of it is: the
    criterion for exudates of Zhang et al., Medical Image Analysis 18 (2014) 1026-1043.

    Chance: `covered` is `flagged` on average for a map laid down without looking, whatever a lesion's size; `found` is
    larger for small lesions and maps of fine grain, so compare it to a baseline within a size.

    Args:
        relevance: At the size of the masks.
        lesions: Mask of each type; a type without lesions gives no rows.
        field: The field of view.
        flagged: Share of lesion-free pixels of the field.
        overlap: Share of a lesion.
        sizes: See `SIZES`.

    Returns:
        One row for each lesion: type, area_px, share (of the field), size, covered (share of it that is suspicious),
        found (0 or 1).

    Raises:
        ValueError: If shapes differ, the map is no map, the field is empty, or a share is none.
    """
    for name, share in (("flagged", flagged), ("overlap", overlap)):
        if not 0 < share <= 1:
            raise ValueError(f"{name} must be a share above 0 and up to 1, got {share}")
    check_map(relevance)
    check_field(relevance, field)
    check_shapes(relevance, **lesions)
    suspicious = _suspicious(relevance, field & ~_any(lesions, field), flagged)
    rows = []
    for name, mask in lesions.items():
        parts = components(mask, field)
        inside = np.bincount(parts.labels.ravel(), weights=suspicious.ravel())[1:]
        covered = inside / parts.area_px
        rows.append(
            pd.DataFrame(
                {
                    "type": name,
                    "area_px": parts.area_px,
                    "share": parts.shares,
                    "size": size_names(parts.shares, sizes=sizes),
                    "covered": covered,
                    "found": (covered >= overlap - 1e-12).astype(np.int64),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def lesion_cells(
    lesions: Mapping[str, Region], field: Region, *, grids: Sequence[tuple[int, int]] = GRIDS
) -> pd.DataFrame:
    """Compute what share of a map's cells the lesions fill.

    Args:
        lesions: Mask of each type.
        field: The field of view.
        grids: Rows and columns of maps that cover the canvas.

    Returns:
        One row for each grid and lesion: grid ("7x7"), type, area_px, share (of the field), canvas_share (of the whole
        canvas), cells (that it touches), in_cell (the largest share of it that lies in one cell: 1 where one cell holds
        it all), of_cell (the share of that cell's pixels that it fills), alone (the share of all lesion pixels in that
        cell that are its own).

    Raises:
        ValueError: If shapes differ, the field is empty, or a grid is finer than the canvas.
    """
    every = _any(lesions, field)
    rows = []
    for grid in grids:
        cells = grid_cells(field.shape, grid)
        sizes = np.bincount(cells.ravel(), minlength=grid[0] * grid[1])
        filled = np.bincount(cells[every], minlength=grid[0] * grid[1])
        for name, mask in lesions.items():
            parts = components(mask, field)
            at = parts.labels > 0
            held = np.zeros((len(parts.area_px), len(sizes)))
            np.add.at(held, (parts.labels[at] - 1, cells[at]), 1)
            most, best = held.max(axis=1), held.argmax(axis=1)
            rows.append(
                pd.DataFrame(
                    {
                        "grid": f"{grid[0]}x{grid[1]}",
                        "type": name,
                        "area_px": parts.area_px,
                        "share": parts.shares,
                        "canvas_share": parts.area_px / field.size,
                        "cells": (held > 0).sum(axis=1),
                        "in_cell": most / parts.area_px,
                        "of_cell": most / sizes[best],
                        "alone": most / filled[best],
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def cell_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise `lesion_cells` of photographs, by grid and type: number of lesions, medians with quartiles.

    Returns:
        grid, type ("any" for all), lesions, and for share, in_cell, of_cell: median, and `_low` and `_high` quartile.
    """
    rows = []
    both = pd.concat([table, table.assign(type="any")], ignore_index=True)
    for (grid, name), part in both.groupby(["grid", "type"], sort=False):
        row: dict[str, object] = {"grid": grid, "type": name, "lesions": len(part)}
        for column in ("share", "in_cell", "of_cell"):
            low, middle, high = np.quantile(part[column], [0.25, 0.5, 0.75])
            row |= {column: middle, f"{column}_low": low, f"{column}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _sorted(shares: Shares, sizes: Mapping[str, tuple[float, float]]) -> dict[str, Bool[np.ndarray, " lesion"]]:
    return {name: (shares >= low) & ((shares < high) | (high >= 1)) for name, (low, high) in sizes.items()}


def _any(lesions: Mapping[str, Region], field: Region) -> Region:
    """Return the pixels of the field with a lesion of any type."""
    if not lesions:
        raise ValueError("lesions must have at least one type, got none; leave out photographs without lesions")
    check_field(field.astype(np.float32), field)
    check_shapes(field.astype(np.float32), **lesions)
    return np.asarray(np.any(list(lesions.values()), axis=0) & field)


def _suspicious(relevance: Relevance, healthy: Region, flagged: float) -> Float[np.ndarray, "height width"]:
    """Return 1 above the threshold, a fraction at it, 0 below."""
    values = np.sort(relevance[healthy])[::-1]
    if not len(values):
        raise ValueError("field must have lesion-free pixels, got none; no threshold can be set on this photograph")
    allowed = flagged * len(values)
    threshold = values[min(int(allowed), len(values) - 1)]
    if threshold <= 0:
        return (relevance > 0).astype(np.float64)
    above, equal = int((values > threshold).sum()), int((values == threshold).sum())
    part = min(1.0, (allowed - above) / equal)
    return np.where(relevance > threshold, 1.0, np.where(relevance == threshold, part, 0.0))
