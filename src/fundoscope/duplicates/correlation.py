"""The photographs whose details agree best once one is shifted on the other, or on its mirror image: all pairs.

Each photograph is a small plane without illumination; the correlation of two planes at all shifts is one product of
their spectra (Lewis 1995). No network is needed, and a photograph of the same eye that is shifted or turned a little is
found. The time grows with the square of the number of photographs: 0.02 ms for a pair and a mirroring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Complex64, Float32, Int, Int8
from scipy import fft

from fundoscope.duplicates.fingerprint import Frame, flattened, mirrored
from fundoscope.parallel import in_order

PLANE_PX: Final = 64
"""Side of the planes: vessels are about a pixel wide."""

SIDES: Final = (0, 1)
"""Mirrorings that are tried, numbers in `fingerprint.MIRRORS`: nobody photographs an eye upside down, and copies turned
so are found by their hashes."""

LARGEST_SHIFT: Final = PLANE_PX // 4
"""Shifts that are tried, in px each way."""

AT_ONCE: Final = 256
"""Photographs that one is compared with at once: what bounds the memory."""

Planes = Float32[np.ndarray, "photo 64 64"]
Spectra = Complex64[np.ndarray, "photo 64 33"]
Neighbours = Int[np.ndarray, "photo neighbour"]


def detail_plane(frame: Frame, *, field: bool) -> Float32[np.ndarray, "64 64"]:
    """Return a fingerprint's frame as a plane of length 1, of mean 0 where the picture is and 0 outside."""
    plane, inside = flattened(frame, field=field)
    size = (PLANE_PX, PLANE_PX)
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    centred = (small - float((small * weight).sum()) / max(float(weight.sum()), 1.0)) * weight
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32)


def most_alike(
    planes: Planes, count: int, *, threads: int, advance: Callable[[int, int], object] | None = None
) -> tuple[Neighbours, Neighbours]:
    """Find the photographs whose planes correlate best with each.

    Args:
        planes: As `detail_plane` gives them; a plane of zeros has no neighbours.
        count: How many for each photograph, itself not counted.
        threads: Photographs worked on side by side.
        advance: Called with the number of photographs done and of all.

    Returns:
        Their numbers, best first, -1 where there are fewer; and how each must be flipped, a number in `SIDES`.
    """
    total = len(planes)
    spectra = np.asarray(fft.rfft2(planes), np.complex64)
    flipped = [
        np.conj(fft.rfft2(np.stack([mirrored(plane, mirror) for plane in planes]))) if total else spectra
        for mirror in SIDES
    ]
    best = np.full((total, total), -np.inf, np.float32)
    ways = np.zeros((total, total), np.int8)

    def largest(at: int) -> tuple[Float32[np.ndarray, " other"], Int8[np.ndarray, " other"]]:
        peaks = np.stack([_peaks(spectra[at], others, at + 1) for others in flipped])  # (mirror, other)
        return peaks.max(axis=0), np.take(np.array(SIDES, np.int8), peaks.argmax(axis=0))

    for at, (peaks, mirrors) in enumerate(in_order(largest, range(total), threads=threads)):
        # A on B flipped is B on A flipped likewise: each pair is computed once.
        best[at, at + 1 :] = best[at + 1 :, at] = peaks
        ways[at, at + 1 :] = ways[at + 1 :, at] = mirrors
        if advance is not None:
            advance(at + 1, total)
    empty = ~planes.any(axis=(1, 2))
    best[:, empty] = best[empty] = -np.inf
    return _first(best, ways, count)


def _peaks(spectrum: Complex64[np.ndarray, "64 33"], others: Spectra, start: int) -> Float32[np.ndarray, " other"]:
    """Return the largest correlation with each of the others from `start` on, over all shifts that are tried."""
    peaks = [np.empty(0, np.float32)]
    for begin in range(start, len(others), AT_ONCE):
        agreed = fft.irfft2(spectrum * others[begin : begin + AT_ONCE], s=(PLANE_PX, PLANE_PX))
        # Negative shifts come last.
        rows = np.maximum(agreed[:, : LARGEST_SHIFT + 1].max(axis=1), agreed[:, -LARGEST_SHIFT:].max(axis=1))
        peaks.append(np.maximum(rows[:, : LARGEST_SHIFT + 1].max(axis=1), rows[:, -LARGEST_SHIFT:].max(axis=1)))
    return np.concatenate(peaks).astype(np.float32)


def _first(
    best: Float32[np.ndarray, "photo photo"], ways: Int8[np.ndarray, "photo photo"], count: int
) -> tuple[Neighbours, Neighbours]:
    order = np.argsort(-best, axis=1, kind="stable")[:, :count]
    missing = np.isneginf(np.take_along_axis(best, order, axis=1))
    neighbours = np.full((len(best), count), -1, np.int64)
    neighbours[:, : order.shape[1]] = np.where(missing, -1, order)
    mirrors = np.zeros_like(neighbours)
    mirrors[:, : order.shape[1]] = np.take_along_axis(ways, order, axis=1)
    return neighbours, mirrors


def planes_of(frames: Sequence[tuple[Frame, bool] | None], *, threads: int) -> Planes:
    """Return the planes of frames.

    Args:
        frames: Each with whether it has a field of view; None gives zeros.
        threads: Frames worked on side by side.
    """

    def plane_of(item: tuple[Frame, bool] | None) -> Float32[np.ndarray, "64 64"]:
        return np.zeros((PLANE_PX, PLANE_PX), np.float32) if item is None else detail_plane(item[0], field=item[1])

    return np.array([*in_order(plane_of, frames, threads=threads)], np.float32).reshape(-1, PLANE_PX, PLANE_PX)
