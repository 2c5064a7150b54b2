"""Where the retina lies in a B-scan: its inner and its outer boundary, column by column.

Both are paths from the left to the right that rise or fall a few rows a column at most and follow the strongest edge:
the shortest path through a graph of pixels, as Chiu et al. segment layers (Optics Express 2010, 18:19413), found by
dynamic programming. The inner boundary is where the vitreous ends, the outer one the bright band of the pigment
epithelium below it. The layers between them are not told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from fundoscope.arrays import Scan

WORKING_COLUMNS: Final = 256
"""Columns of the copy that paths are found on; its rows are as high as its columns are wide, within bounds."""

WORKING_ROWS: Final = (96, 320)

STEEPEST: Final = 3
"""Rows by which a path may rise or fall from a column of the copy to the next."""

LEAST_THICKNESS: Final = 0.03
"""Of the retina, in shares of the copy's columns: about 0.15 mm of a scan of 6 mm."""

LEAST_VITREOUS: Final = 0.02
"""Share of the scan above the retina from which on its noise is taken from there."""

UPPER_EDGE: Final = 0.015
LOWER_EDGE: Final = 0.03
"""How near to an edge of the scan the retina reaches it, in shares of the height."""

MEMBRANE: Final = 3
TISSUE_WEIGHT: Final = 0.15
"""Bright rows of the copy above an edge that say nothing, and what each further one counts against its strength."""

RISE_WEIGHT: Final = 1.5
"""Of a band's brightness above that of what lies over it, beside its brightness: the pigment epithelium lies under the
dark outer nuclear layer, the nerve fibre layer's lower part under its own upper one."""

Rows = Float64[np.ndarray, " width"]
Picture = Float32[np.ndarray, "row column"]
Path = Float64[np.ndarray, " column"]


@dataclass(frozen=True, slots=True)
class RetinaBand:
    """The retina in a scan."""

    inner: Rows
    """Row of the boundary to the vitreous, by column."""
    outer: Rows
    """Row of the pigment epithelium, by column."""
    light: float
    """Brightness of the retina above that of the vitreous, in grey levels."""
    contrast: float
    """Brightness of the retina above that of the vitreous, in standard deviations of the vitreous' noise."""
    cut_off: float
    """Share of columns in which the retina reaches the upper or the lower edge of the scan."""


def find_retina(scan: Scan) -> RetinaBand:
    """Find the retina.

    A scan without a retina has paths, too, through whatever is brightest: look at `contrast`.

    Args:
        scan: Grey values, the vitreous above.
    """
    height, width = scan.shape
    rows = int(np.clip(round(height * WORKING_COLUMNS / width), *WORKING_ROWS))
    copy = cv2.resize(scan, (WORKING_COLUMNS, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(copy, (0, 0), sigmaX=3.0, sigmaY=1.5)
    least = max(3, round(LEAST_THICKNESS * WORKING_COLUMNS))
    inner = _vitreous_end(smooth)
    outer = _epithelium(smooth, inner, least)
    at = np.arange(width) * (WORKING_COLUMNS / width) + (WORKING_COLUMNS / width - 1) / 2
    scale = height / rows

    def enlarged(path: Path) -> Rows:
        return np.asarray((np.interp(at, np.arange(WORKING_COLUMNS), path) + 0.5) * scale - 0.5)

    retina, vitreous, noise = _light(copy, inner, outer)
    cut_off = _share_cut_off(copy, inner, outer, (retina + vitreous) / 2)
    return RetinaBand(enlarged(inner), enlarged(outer), retina - vitreous, (retina - vitreous) / noise, cut_off)


def _vitreous_end(smooth: Picture) -> Path:
    """Return the path of the strongest edge from dark to bright below which the scan is first bright."""
    edge = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=5)
    threshold = cv2.threshold(smooth.astype(np.uint8), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    # The layers below have edges, too, but tissue above them; a membrane in the vitreous is thin.
    tissue = np.cumsum(smooth > threshold, axis=0, dtype=np.float32) - (smooth > threshold)
    strength = np.clip(edge, 0, None) / max(float(np.percentile(edge, 99)), 1.0)
    return _strongest_path(np.clip(strength, 0, 1.5) - TISSUE_WEIGHT * np.clip(tissue - MEMBRANE, 0, None))


def _epithelium(smooth: Picture, inner: Path, least: int) -> Path:
    """Return the path of the brightest band below the retina's inner boundary that is dark above itself."""
    # Shadows of vessels darken a column as a whole; what counts is the band's brightness among its own column's.
    largest = np.maximum(smooth.max(axis=0, keepdims=True), 1.0)
    above = cv2.blur(smooth, (1, least), anchor=(0, least - 1), borderType=cv2.BORDER_REPLICATE)
    rise = np.clip(smooth - np.roll(above, 2, axis=0), 0, None)
    allowed = np.arange(len(smooth))[:, None] >= inner + least
    return _strongest_path(np.where(allowed, (smooth + RISE_WEIGHT * rise) / largest, -1.0))


def _strongest_path(strength: Picture) -> Path:
    """Return the row of the path of largest summed strength in each column, by dynamic programming (Viterbi)."""
    count, columns = strength.shape
    best = np.empty((count, columns), np.float32)
    came = np.zeros((count, columns), np.int64)
    best[:, 0] = strength[:, 0]
    steps = np.arange(-STEEPEST, STEEPEST + 1)
    padded = np.full(count + 2 * STEEPEST, -np.inf, np.float32)
    for column in range(1, columns):
        padded[STEEPEST:-STEEPEST] = best[:, column - 1]
        # (step, row): what the path through the row `step` rows away has gathered
        gathered = np.stack([padded[STEEPEST + step : STEEPEST + step + count] for step in steps])
        gathered = gathered - 0.02 * np.abs(steps)[:, None].astype(np.float32)
        chosen = gathered.argmax(axis=0)
        came[:, column] = np.arange(count) + steps[chosen]
        best[:, column] = gathered[chosen, np.arange(count)] + strength[:, column]
    path = np.empty(columns)
    row = int(best[:, -1].argmax())
    for column in range(columns - 1, -1, -1):
        path[column] = row
        row = int(came[row, column])
    return path


def _light(copy: Picture, inner: Path, outer: Path) -> tuple[float, float, float]:
    """Return the brightness of the retina and of the vitreous, and the noise of the vitreous.

    Medians and quartiles: membranes in the vitreous and cysts in the retina are no noise.
    """
    rows = np.arange(len(copy))[:, None]
    retina, vitreous = copy[(rows > inner) & (rows <= outer)], copy[rows < inner - 3]
    if vitreous.size < LEAST_VITREOUS * copy.size:
        # The retina leaves the scan above: the darkest of what lies below is as dark as the vitreous would be.
        vitreous = np.sort(copy, axis=None)[: copy.size // 10]
    low, middle, high = (float(value) for value in np.percentile(vitreous, (25, 50, 75)))
    return float(np.median(retina)) if retina.size else middle, middle, max((high - low) / 1.349, 1.0)


def _share_cut_off(copy: Picture, inner: Path, outer: Path, light: float) -> float:
    """Return the share of columns in which the retina reaches the upper or the lower edge.

    Above, tissue at the edge is seen by its light: where the inner boundary is out of the scan, its path follows
    another edge; the very first rows may be a frame's. Below, the choroid may be as bright as the retina: there the
    path of the epithelium is looked at.
    """
    count = len(copy)
    first = round(UPPER_EDGE * count) + 1
    above = copy[first : first + max(1, round(LOWER_EDGE * count))].mean(axis=0) > light
    return float((above | (inner <= UPPER_EDGE * count) | (outer >= count - 1 - LOWER_EDGE * count)).mean())
