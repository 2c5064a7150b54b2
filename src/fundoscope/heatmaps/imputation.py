"""Missing pixels made up from their neighbours, so that a network cannot see which are missing.

Noisy linear imputation of ROAD (Rong et al., ICML 2022): each missing pixel is the weighted mean of its eight
neighbours, missing ones included, which is one sparse linear system; then a little noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import splu

from fundoscope.arrays import Canvas
from fundoscope.heatmaps.scores import Region

NEIGHBOURS: Final[dict[tuple[int, int], float]] = {
    (-1, -1): 1 / 12,
    (-1, 0): 1 / 6,
    (-1, 1): 1 / 12,
    (0, -1): 1 / 6,
    (0, 1): 1 / 6,
    (1, -1): 1 / 12,
    (1, 0): 1 / 6,
    (1, 1): 1 / 12,
}
"""Weight of the neighbour so many rows and columns away: 1/6 for direct, 1/12 for diagonal ones; they sum to 1."""

NOISE: Final = 0.01
"""Standard deviation of the noise, as a share of the range of values (the authors' setting)."""


def impute(
    photo: Canvas,
    missing: Region,
    *,
    rng: np.random.Generator,
    noise: float = NOISE,
    within: Region | None = None,
) -> Canvas:
    """Fill the missing pixels.

    Args:
        photo: A prepared photograph; what it holds at missing pixels is not looked at.
        missing: Of its size.
        rng: Of the noise.
        noise: Standard deviation, as a share of 255; 0 for none.
        within: Neighbours outside do not count (the others' weights are scaled up, as at the frame's edge); None for
            the whole canvas, as in the paper.

    Raises:
        ValueError: If shapes differ, a missing pixel lies outside `within`, or a connected part of it has no pixel
            left from which the others could be made up.
    """
    inside = np.ones_like(missing) if within is None else within
    _check(photo, missing, inside)
    if not missing.any():
        return photo.copy()
    filled = photo.astype(np.float64)
    filled[missing] = _solved(filled, missing, inside)
    if noise:
        filled[missing] += rng.normal(0.0, noise * 255, size=(int(missing.sum()), 3))
    return np.rint(filled).clip(0, 255).astype(np.uint8)


def _check(photo: Canvas, missing: Region, inside: Region) -> None:
    if missing.shape != photo.shape[:2] or inside.shape != photo.shape[:2]:
        raise ValueError(
            f"missing and within must be of the photograph's size {photo.shape[0]} x {photo.shape[1]}, got "
            f"{missing.shape[0]} x {missing.shape[1]} and {inside.shape[0]} x {inside.shape[1]}"
        )
    if (missing & ~inside).any():
        raise ValueError(
            f"missing must lie in within, got {int((missing & ~inside).sum())} pixels outside; take `missing & within`"
        )
    count, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    held = np.bincount(labels.ravel(), weights=(inside & ~missing).ravel(), minlength=count)
    if (held[1:] == 0).any():
        raise ValueError(
            "missing must leave at least one pixel of each connected part of within, got a part without any; "
            "take fewer pixels away"
        )


def _solved(values: Float[np.ndarray, "_ _ 3"], missing: Region, inside: Region) -> Float[np.ndarray, "pixel 3"]:
    """Solve weight * x = weighted sum of the neighbours' values, present pixels on the right side."""
    number = np.full(missing.shape, -1)
    number[missing] = np.arange(int(missing.sum()))
    count = int(missing.sum())
    weights = np.zeros(count)
    right = np.zeros((count, 3))
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for here, there, weight in _pairs(missing.shape):
        valid = missing[here] & inside[there]
        equation = number[here][valid]
        weights[equation] += weight
        unknown = number[there][valid]
        present = unknown < 0
        right[equation[present]] += weight * values[there][valid][present]
        entries.append((equation[~present], unknown[~present], np.full(int((~present).sum()), -weight)))
    entries.append((np.arange(count), np.arange(count), weights))
    rows, columns, factors = (np.concatenate(part) for part in zip(*entries, strict=True))
    system = sparse.csc_array((factors, (rows, columns)), shape=(count, count))
    # The system is symmetric with a heavy diagonal: ordering by its own pattern, no pivots, is safe and far quicker.
    solver = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(solver.solve(right))


_Part = tuple[slice, slice]


def _pairs(shape: tuple[int, ...]) -> Iterator[tuple[_Part, _Part, float]]:
    """Yield, for each direction, the pixels that have a neighbour there, these neighbours, and the weight."""
    height, width = shape
    for (down, along), weight in NEIGHBOURS.items():
        here = (slice(max(0, -down), height - max(0, down)), slice(max(0, -along), width - max(0, along)))
        there = (slice(max(0, down), height - max(0, -down)), slice(max(0, along), width - max(0, -along)))
        yield here, there, weight
