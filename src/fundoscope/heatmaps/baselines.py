"""What a heatmap has to beat: what chance gives, and maps that know nothing of the network.

A map earns its place only against these on the same photographs. A blob in the middle finds lesions because lesions
gather round the macula; a map of vessels finds haemorrhages because they are dark and red as vessels are.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from fundoscope.arrays import Canvas
from fundoscope.heatmaps.scores import MapScores, OffTargetShare, Region, Relevance, check_field, check_shapes, near

VESSEL_SHARES: Final = (0.006, 0.012, 0.02)
"""Widths (sigma) at which vessels are looked for, as shares of the field's radius."""

Laid = Float[np.ndarray, "height width"]


def chance_scores(
    lesions: Region, field: Region, *, left_out: Region | None = None, tolerance_px: float = 0.0
) -> MapScores:
    """Compute the expected scores of a map that is uniform within the field and 0 outside, in closed form.

    It is also what a map gives on average that is laid on the field without looking, pixel by pixel, except for the
    average precision, of which a map drawn at random earns very slightly more.

    Args:
        lesions: As for `scores.RankedMap.scores`.
        field: Likewise.
        left_out: Likewise.
        tolerance_px: Likewise.

    Raises:
        ValueError: If shapes differ or no lesion lies in what counts.
    """
    regions = {"lesions": lesions} | ({} if left_out is None else {"left_out": left_out})
    check_shapes(uniform_map(field), **regions)
    inside = lesions & field
    counts = field if left_out is None else field & ~left_out
    if not (inside & counts).any():
        raise ValueError("lesions must have a pixel in the part of the field that counts, got none; leave them out")
    share = float(inside[counts].mean())
    return MapScores(
        pointing=float(near(inside, tolerance_px)[field].mean()),
        energy=float(inside[field].mean()),
        mass=share,
        rank=share,
        auroc=0.5 if share < 1 else float("nan"),
        average_precision=share,
    )


def chance_off_target_share(field: Region, *, disc: Region | None = None) -> OffTargetShare:
    """Compute the off-target share of a map that is uniform within the field, in closed form."""
    check_field(uniform_map(field), field)
    return OffTargetShare(outside=0.0, disc=float("nan") if disc is None else float(disc[field].mean()))


def uniform_map(field: Region) -> Laid:
    """Return a map of 1 within the field and 0 outside."""
    return field.astype(np.float64)


def centre_blob(field: Region, *, sigma: float = 0.5) -> Laid:
    """Return a Gaussian on the field's centre, 0 outside the field.

    Args:
        field: Its centre of mass is the centre; the radius of a circle of its area is the radius.
        sigma: As a share of the radius.

    Raises:
        ValueError: If the field is empty or sigma is not positive.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive, got {sigma}; it is a share of the field's radius")
    check_field(uniform_map(field), field)
    row, column = (float(places.mean()) for places in np.nonzero(field))
    rows, columns = np.ogrid[: field.shape[0], : field.shape[1]]
    width = sigma * np.sqrt(field.sum() / np.pi)
    return np.asarray(np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2)) * field)


def best_on_grid(lesions: Region, field: Region, grid: tuple[int, int]) -> Relevance:
    """Return the best possible map on a grid: of each cell, the share of its field that is lesion.

    No map that is constant within cells has a larger AUROC (cells in order of their likelihood ratio: Neyman and
    Pearson, Phil Trans A 231 (1933) 289-337). What it cannot find, no map of that resolution can.

    Returns:
        On the grid; upsample it with interpolation "nearest" for the bound, or as overlays are drawn to see what is
        left of it (times the field, lest it be blamed for what interpolation spreads beyond).

    Raises:
        ValueError: If shapes differ, the field is empty or the grid is finer than the canvas.
    """
    check_field(uniform_map(field), field)
    check_shapes(uniform_map(field), lesions=lesions)
    cells = grid_cells(field.shape, grid)[field]
    size = grid[0] * grid[1]
    filled = np.bincount(cells, weights=lesions[field], minlength=size)
    field_pixels = np.bincount(cells, minlength=size)
    return (filled / np.maximum(field_pixels, 1)).reshape(grid)


def grid_cells(shape: tuple[int, ...], grid: tuple[int, int]) -> Int[np.ndarray, "height width"]:
    """Return the number of the grid's cell, row by row, that each pixel's centre lies in.

    Raises:
        ValueError: If the grid is finer than the canvas, or has no cell.
    """
    if not (1 <= grid[0] <= shape[0] and 1 <= grid[1] <= shape[1]):
        raise ValueError(
            f"grid must have 1 to {shape[0]} rows and 1 to {shape[1]} columns, as the canvas has pixels, "
            f"got {grid[0]} x {grid[1]}"
        )
    rows, columns = (
        ((np.arange(pixels) + 0.5) * cells / pixels).astype(np.int64) for pixels, cells in zip(shape, grid, strict=True)
    )
    return rows[:, None] * grid[1] + columns[None, :]


def vessel_map(canvas: Canvas, field: Region) -> Laid:
    """Compute vesselness: the largest second derivative across dark ridges of the green channel.

    The steeper principal curvature at three widths, each times the width squared so that they can be compared
    (Lindeberg, Int J Comput Vis 30 (1998) 117-156), with the surround of the field filled by its mean so that the
    field's edge is no ridge. Not a segmentation: dark lesions answer too, which is what a baseline is for.

    Args:
        canvas: A prepared photograph, whatever its enhancement.
        field: Of its size.

    Raises:
        ValueError: If shapes differ or the field is empty.
    """
    check_field(canvas[..., 1].astype(np.float32), field)
    radius = float(np.sqrt(field.sum() / np.pi))
    green = canvas[..., 1].astype(np.float64)
    green[~field] = green[field].mean()
    ridges = [_ridge(_levelled(green, field, radius), max(0.8, share * radius)) for share in VESSEL_SHARES]
    inner = cv2.erode(
        np.pad(field.astype(np.uint8), 1), np.ones((3, 3), np.uint8), iterations=max(1, round(0.04 * radius))
    )[1:-1, 1:-1]
    return np.asarray(np.max(ridges, axis=0) * inner)


def _levelled(green: Laid, field: Region, radius: float) -> Laid:
    """Remove the low frequencies, so that the border of the field is no edge; 0 outside."""
    weight = cv2.GaussianBlur(field.astype(np.float64), (0, 0), 0.15 * radius)
    surroundings = cv2.GaussianBlur(green * field, (0, 0), 0.15 * radius) / np.maximum(weight, 1e-6)
    return np.asarray((green - surroundings) * field)


def _ridge(plane: Laid, sigma: float) -> Laid:
    """Compute the larger eigenvalue of the Hessian, >= 0: the strength of a dark line."""
    down = ndimage.gaussian_filter(plane, sigma, order=(2, 0))
    along = ndimage.gaussian_filter(plane, sigma, order=(0, 2))
    across = ndimage.gaussian_filter(plane, sigma, order=(1, 1))
    largest = (down + along) / 2 + np.sqrt(((down - along) / 2) ** 2 + across**2)
    return np.asarray(sigma**2 * np.maximum(largest, 0))
