"""Specks in a stack of contrast planes: compact spots that stand out of the mean and are there in independent parts.

A vessel, a disc or a lesion is no speck: it is long, wide, or not at one place of the frame in different eyes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int

from fundoscope.photo.artefacts.planes import UNSEEN, MeanPlane, Stack, trimmed_mean

THRESHOLD: Final = 6.0
"""Least height of a speck above its surroundings, in local standard deviations of the mean plane."""

LEAST_DEPTH: Final = 0.02
"""Least share of light that a speck takes: fainter ones do not show in a single photograph."""

LARGEST_PX: Final = 9.0
"""Largest radius of a speck at half its depth, in px of a plane."""

LONGEST: Final = 2.2
"""Largest ratio of a speck's length to its width."""

LEAST_FILLED: Final = 0.45
"""Least share of its circumscribed square that a speck fills; a disc fills 0.79."""

KEPT: Final = 0.5
"""Share of the depth that must be there in a part of the photographs."""

SMOOTH_PX: Final = 0.8
BACKGROUND_PX: Final = 10.0
NOISE_PX: Final = 24.0
"""Standard deviations of the smoothing, the background and the noise's neighbourhood, in px of a plane."""

RIM_PX: Final = 5
"""Width of the edge of what is seen in which nothing is a speck."""

SIGNS: Final = 3.1
"""How far beyond half of the photographs must show a speck, in standard deviations of a fair coin (one in a thousand).
It keeps out what only a few photographs show, and strongly: vessels that happen to cross at one place."""

MOST_SHOW: Final = 0.65
"""Least share of the photographs that must show a speck, however many there are."""

RING_SEEN: Final = 0.4
"""Least share of the ring around a speck that a photograph must show: at the rim of the field it is not closed."""

MOVED_PX: Final = (12, 40)
"""Least and largest shift of each photograph in the control."""

Photographs = Int[np.ndarray, "..."]
"""Numbers of the photographs of a time window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSpeck:
    """A compact spot of a mean plane, in its pixels."""

    row: float
    """Centre; pixel (0, 0) covers [0, 1) x [0, 1)."""
    column: float
    radius: float
    """Of the disc as large as what has at least half its depth."""
    depth: float
    """Contrast lost in the middle; negative where it is brighter."""
    stability: float = 1.0
    """Share of the time windows in which at least half the depth was seen."""


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A mean plane, and what stands out of it."""

    above: MeanPlane
    """Smoothed contrast less that of the surroundings; 0 where nothing is seen."""
    height: MeanPlane
    """The same in local standard deviations."""


def find_specks(stack: Stack, windows: Sequence[Photographs]) -> list[MeasuredSpeck]:
    """Find the specks of a sensor.

    Args:
        stack: Contrast planes of one frame, in the order in which they were taken.
        windows: The photographs of each time window, in order. A speck must be there in the last one.

    Returns:
        Specks from top to bottom.
    """
    candidates = specks_of_mean(trimmed_mean(stack))
    if not candidates:
        return []
    # Every other photograph: halves of the same time that share no photograph.
    halves = [_outstanding(trimmed_mean(stack[start::2])).above for start in (0, 1)]
    spans = [_outstanding(trimmed_mean(stack[window])).above for window in windows]
    specks = []
    for speck in candidates:
        kept = [_depth_at(plane, speck) >= KEPT * abs(speck.depth) for plane in (*halves, *spans)]
        if all(kept[:2]) and kept[-1] and _is_in_most(stack, speck):
            stability = float(np.mean(kept[2:]))
            specks.append(
                MeasuredSpeck(
                    row=speck.row, column=speck.column, radius=speck.radius, depth=speck.depth, stability=stability
                )
            )
    return specks


def count_by_chance(stack: Stack, windows: Sequence[Photographs], *, seed: int = 0) -> int:
    """Count the specks that are found once every photograph is moved: nothing of the sensor is then at one place."""
    rng = np.random.default_rng(seed)
    moved = np.empty_like(stack)
    for at, plane in enumerate(stack):
        shift = rng.integers(*MOVED_PX, size=2) * rng.choice((-1, 1), size=2)
        moved[at] = np.roll(plane, (int(shift[0]), int(shift[1])), axis=(0, 1))
    return len(find_specks(moved, windows))


def specks_of_mean(mean: MeanPlane) -> list[MeasuredSpeck]:
    """Return the compact spots, dark or bright, that stand out of a mean plane, from top to bottom."""
    standing = _outstanding(mean)
    allowed = cv2.erode((~np.isnan(mean)).astype(np.uint8), np.ones((2 * RIM_PX + 1,) * 2, np.uint8), borderValue=0)
    specks = []
    for sign in (-1, 1):
        high = sign * standing.height > THRESHOLD
        count, labels = cv2.connectedComponents(high.astype(np.uint8))
        for part in range(1, count):
            members = np.argwhere(labels == part)
            peak = members[np.argmax(sign * standing.above[tuple(members.T)])]
            speck = _measure(standing.above, (int(peak[0]), int(peak[1])), sign)
            if speck is not None and allowed[tuple(peak)]:
                specks.append(speck)
    return sorted(_apart(specks), key=lambda speck: (speck.row, speck.column))


def _outstanding(mean: MeanPlane) -> Outstanding:
    visible = ~np.isnan(mean)
    weight = visible.astype(np.float32)
    values = np.where(visible, mean, np.float32(0))
    background = _smoothed(values, weight, BACKGROUND_PX)
    above = np.where(visible, _smoothed(values, weight, SMOOTH_PX) - background, np.float32(0)).astype(np.float32)
    size = np.abs(above)
    overall = float(np.median(size[visible])) * 1.4826 if visible.any() else 1.0
    # Specks themselves must not count as noise: what is beyond three standard deviations counts as that much.
    noise = _smoothed(np.minimum(size, np.float32(3 * overall)), weight, NOISE_PX) * 1.2533
    height = above / np.maximum(noise, np.float32(max(overall / 2, 1e-6)))
    return Outstanding(above, height.astype(np.float32))


def _smoothed(
    values: MeanPlane, weight: Float32[np.ndarray, "height width"], sigma: float
) -> Float32[np.ndarray, "height width"]:
    """Average a plane locally over what is seen."""
    total = cv2.GaussianBlur(values * weight, (0, 0), sigma)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), np.float32(0.05)))


def _measure(above: MeanPlane, peak: tuple[int, int], sign: int) -> MeasuredSpeck | None:
    """Measure the spot around a peak; None where it is too faint, too large or not compact."""
    reach = int(np.ceil(2 * LARGEST_PX)) + 1
    top, left = max(0, peak[0] - reach), max(0, peak[1] - reach)
    part = sign * above[top : peak[0] + reach + 1, left : peak[1] + reach + 1]
    depth = float(part[peak[0] - top, peak[1] - left])
    if depth < LEAST_DEPTH:
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats((part >= depth / 2).astype(np.uint8))
    label = labels[peak[0] - top, peak[1] - left]
    wide, high, area = (int(stats[label, at]) for at in (2, 3, 4))
    radius = float(np.sqrt(area / np.pi))
    long, short = max(wide, high), min(wide, high)
    # A spot of one or two pixels has no shape.
    compact = area <= 4 or (long <= LONGEST * short and area >= LEAST_FILLED * long * long)
    if radius > LARGEST_PX or not compact:
        return None
    members: Bool[np.ndarray, "height width"] = labels == label
    weights = np.where(members, part, 0)
    rows, columns = np.indices(part.shape)
    centre = [float((weights * (places + 0.5)).sum() / weights.sum()) for places in (rows, columns)]
    return MeasuredSpeck(row=top + centre[0], column=left + centre[1], radius=radius, depth=-sign * depth)


def _apart(specks: Sequence[MeasuredSpeck]) -> list[MeasuredSpeck]:
    """Leave out spots that lie in a deeper one: the halo of a dark speck may pass for a bright one, and vice versa."""
    kept: list[MeasuredSpeck] = []
    for speck in sorted(specks, key=lambda speck: -abs(speck.depth)):
        near = (np.hypot(speck.row - other.row, speck.column - other.column) for other in kept)
        if all(distance > 2.5 * other.radius + 2 for distance, other in zip(near, kept, strict=True)):
            kept.append(speck)
    return kept


def _depth_at(above: MeanPlane, speck: MeasuredSpeck) -> float:
    """Return the depth of a speck in another plane, where it may lie a pixel off; of its sign."""
    row, column = int(speck.row), int(speck.column)
    near = above[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return float((near if speck.depth < 0 else -near).max()) if near.size else 0.0


def _is_in_most(stack: Stack, speck: MeasuredSpeck) -> bool:
    """Return whether enough photographs, one by one, are darker (or brighter) at a speck than around it."""
    reach = math.ceil(2 * speck.radius + 5)
    top, left = max(0, int(speck.row) - reach), max(0, int(speck.column) - reach)
    part = stack[:, top : int(speck.row) + reach + 1, left : int(speck.column) + reach + 1]
    rows, columns = np.indices(part.shape[1:])
    distance = np.hypot(top + rows + 0.5 - speck.row, left + columns + 0.5 - speck.column)
    inner, ring = distance <= max(1.0, speck.radius), (distance > 2 * speck.radius + 1) & (distance <= reach)
    visible = (part[:, inner] > UNSEEN).all(axis=1) & ((part[:, ring] > UNSEEN).mean(axis=1) >= RING_SEEN)
    if not visible.any():
        return False
    around = part[visible][:, ring].astype(np.float32)
    around[around == UNSEEN] = np.nan
    contrast = part[visible][:, inner].mean(axis=1) - np.nanmedian(around, axis=1)
    shown = float((np.sign(speck.depth) * contrast < 0).mean())
    return shown >= MOST_SHOW and (shown - 0.5) * 2 * math.sqrt(visible.sum()) >= SIGNS


def depths_of(stack: Stack, specks: Sequence[MeasuredSpeck]) -> list[float]:
    """Return how deep known specks are in a stack, of their sign; around 0 or less where they are gone."""
    above = _outstanding(trimmed_mean(stack)).above
    return [_depth_at(above, speck) for speck in specks]


def share_seen(stack: Stack) -> Float32[np.ndarray, "height width"]:
    """Return the share of the photographs that show each place."""
    return np.asarray((stack > UNSEEN).mean(axis=0), np.float32)
