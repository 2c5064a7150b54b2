"""Whether a heatmap is about the network, and the same when nothing that matters changes.

Two maps are compared by three measures: rank correlation, structural similarity and linear correlation. They should
be far apart where the network was randomised or learnt other labels (a map that stays the same is an edge detector),
and close where only the seed differs or the photograph was moved by some pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import cv2
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import stats

from fundoscope.arrays import Canvas, Canvases
from fundoscope.heatmaps.scores import Region, check_shapes, upsample

AnyMap = Float[np.ndarray, "_ _"]
"""A map of finite values, signed or not: the absolute value is compared."""

Explain = Callable[[Canvases], Float[np.ndarray, "photo map_row map_column"]]
"""The maps of prepared photographs."""

WINDOW_SIGMA: Final = 1.5
"""Width of the Gaussian window of structural similarity, in pixels."""

WINDOW_RADIUS: Final = 5
"""It is cut to 11 x 11 pixels."""

STABILISERS: Final = (0.01**2, 0.03**2)
"""C1 and C2 for values in [0, 1]."""

SHIFTS: Final = ((0, 4), (0, -4), (4, 0), (-4, 0), (0, 8), (8, 0))
"""Rows and columns by which photographs are moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How alike two maps are; 1 for the same map, NaN where undefined (a map without any difference in it)."""

    spearman: float
    """Rank correlation, equal values sharing their ranks."""
    ssim: float
    """Mean structural similarity of the maps, each divided by its largest value."""
    pearson: float

    def to_dict(self) -> dict[str, float]:
        """Return the scores by name."""
        return asdict(self)


def likeness(first: AnyMap, second: AnyMap, *, within: Region | None = None) -> Likeness:
    """Compare the absolute values of two maps.

    Args:
        first: Compare maps as they are shown (`scores.upsample`); a window of 11 pixels says little on a grid of 12.
        second: Of the same size.
        within: Pixels to compare, such as the field of view; None for all.

    Returns:
        Structural similarity is NaN for maps of less than 11 rows or columns.

    Raises:
        ValueError: If shapes differ, a value is not finite, or fewer than two pixels are compared.
    """
    counts = _checked(first, second, within)
    one, other = np.abs(first).astype(np.float64), np.abs(second).astype(np.float64)
    return Likeness(
        spearman=_correlation(stats.rankdata(one[counts]), stats.rankdata(other[counts])),
        ssim=ssim(_to_one(one), _to_one(other), within=counts),
        pearson=_correlation(one[counts], other[counts]),
    )


def ssim(first: AnyMap, second: AnyMap, *, within: Region | None = None) -> float:
    """Compute the mean structural similarity of two pictures with values in [0, 1].

    Wang et al., IEEE Trans Image Processing 13 (2004) 600-612: Gaussian windows of 11 x 11, sigma 1.5, C1 = 0.01^2,
    C2 = 0.03^2; windows that reach beyond the picture are left out.

    Returns:
        NaN where no window lies in the picture with its centre in `within`, or a picture is one value throughout: C2
        would make two empty maps the same map.
    """
    counts = _checked(first, second, within)
    edge = WINDOW_RADIUS
    centres = counts[edge:-edge, edge:-edge]
    if not centres.any() or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    one, other = first.astype(np.float64), second.astype(np.float64)
    mean_one, mean_other = _windowed(one), _windowed(other)
    spread = _windowed(one * one) - mean_one**2, _windowed(other * other) - mean_other**2
    shared = _windowed(one * other) - mean_one * mean_other
    c1, c2 = STABILISERS
    alike = ((2 * mean_one * mean_other + c1) * (2 * shared + c2)) / (
        (mean_one**2 + mean_other**2 + c1) * (spread[0] + spread[1] + c2)
    )
    return float(alike[edge:-edge, edge:-edge][centres].mean())


def seed_agreement(maps: Sequence[AnyMap], *, within: Region | None = None) -> float:
    """Compute the mean rank correlation of all pairs of one photograph's maps, by networks of different seeds.

    Returns:
        NaN where a map is one value throughout: it agrees with nothing.

    Raises:
        ValueError: As `likeness`, or if there are fewer than two maps.
    """
    if len(maps) < 2:
        raise ValueError(f"maps must hold those of at least 2 networks, got {len(maps)}")
    for relevance in maps:
        counts = _checked(maps[0], relevance, within)
    ranks = np.stack([stats.rankdata(np.abs(relevance[counts])) for relevance in maps])
    if (np.ptp(ranks, axis=1) == 0).any():
        return math.nan
    return float(np.corrcoef(ranks)[np.triu_indices(len(maps), 1)].mean())


def shifted(photo: Canvas, shift: tuple[int, int]) -> Canvas:
    """Return the canvas moved by whole rows (down) and columns (to the right), black where nothing comes in."""
    return np.asarray(_moved(photo, shift))


def shift_stability(
    explain: Explain, photo: Canvas, field: Region, *, shifts: Sequence[tuple[int, int]] = SHIFTS
) -> pd.DataFrame:
    """Compare the map of a photograph with those of shifted copies, shifted back.

    Compared where the field of view is seen before and after.

    Args:
        explain: Called once, with the photograph and all its shifted copies.
        photo: A prepared photograph.
        field: Of its size.
        shifts: Rows and columns, whole pixels of the canvas.

    Returns:
        One row for each shift: rows, columns, spearman, ssim, pearson.

    Raises:
        ValueError: If shapes differ, maps are no maps, or a shift leaves no field to compare.
    """
    maps = explain(np.stack([photo, *(shifted(photo, shift) for shift in shifts)]))
    if len(maps) != len(shifts) + 1:
        raise ValueError(f"explain must give a map for each of {len(shifts) + 1} photographs, got {len(maps)}")
    original, *others = (upsample(np.abs(relevance), *field.shape) for relevance in maps)
    rows = []
    for (down, along), other in zip(shifts, others, strict=True):
        # Pixels that the shift pushed out of the canvas come back as False, and are not compared.
        common = field & _moved(_moved(field, (down, along)), (-down, -along))
        back = np.asarray(_moved(other, (-down, -along)), np.float64)
        rows.append({"rows": down, "columns": along, **likeness(original, back, within=common).to_dict()})
    return pd.DataFrame(rows)


def _moved(plane: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    height, width = plane.shape[:2]
    down, along = shift
    moved = np.zeros_like(plane)
    to = slice(max(0, down), max(0, height + min(0, down))), slice(max(0, along), max(0, width + min(0, along)))
    of = slice(max(0, -down), max(0, height - max(0, down))), slice(max(0, -along), max(0, width - max(0, along)))
    moved[to] = plane[of]
    return moved


def _checked(first: AnyMap, second: AnyMap, within: Region | None) -> Bool[np.ndarray, "_ _"]:
    if first.shape != second.shape:
        raise ValueError(
            f"second must be of the first map's size {first.shape[0]} x {first.shape[1]}, got "
            f"{second.shape[0]} x {second.shape[1]}; bring both to the canvas with `scores.upsample`"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("maps must be finite to be compared, got values that are not; mend the method that made them")
    counts = np.ones(first.shape, dtype=bool) if within is None else within
    check_shapes(first, within=counts)
    if counts.sum() < 2:
        raise ValueError(f"within must leave at least 2 pixels to compare, got {int(counts.sum())}")
    return counts


def _correlation(first: Float[np.ndarray, " pixel"], second: Float[np.ndarray, " pixel"]) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _to_one(plane: AnyMap) -> AnyMap:
    largest = plane.max()
    return plane / largest if largest > 0 else plane


def _windowed(plane: AnyMap) -> AnyMap:
    size = 2 * WINDOW_RADIUS + 1
    return np.asarray(cv2.GaussianBlur(plane, (size, size), WINDOW_SIGMA))
