"""Where a heatmap points, scored against the lesions that a person drew.

Two kinds of score. Over the whole canvas, as the map is: the pointing game, the energy inside lesions, the relevance
outside the field of view and on the optic disc. Within the field of view, where lesions can be: relevance mass and
rank accuracy, AUROC and average precision.

A map that shows nothing (all 0) earns nothing: 0 for pointing, energy, mass and rank, what a constant earns for AUROC
and average precision, and no value (NaN) for the relevance outside the field or on the disc, for 0 would be the best.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from fundoscope.evaluation.statistics.sums import ratio

Relevance = Float[np.ndarray, "_ _"]
"""A map of finite values >= 0, at the side of the prepared photograph or on a coarser grid that covers it."""

Region = Bool[np.ndarray, "_ _"]
"""Pixels of the prepared photograph that belong to the thing named."""

INTERPOLATIONS: Final = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST_EXACT}
"""Ways to bring a coarse map to the side of the photograph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapScores:
    """How well one map finds one set of lesions; all in [0, 1], more is better."""

    pointing: float
    """1 where the largest value lies on a lesion; of several equal ones, the share that does."""
    energy: float
    """Share of all relevance that lies on lesions."""
    mass: float
    """Share of the relevance within the field that lies on lesions."""
    rank: float
    """Of as many most relevant pixels as the lesions have, the share that are the lesions'."""
    auroc: float
    """NaN where lesions fill the field."""
    average_precision: float

    def to_dict(self) -> dict[str, float]:
        """Return the scores by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffTargetShare:
    """Where relevance lies that should not; less is better, NaN for a map that shows nothing."""

    outside: float
    """Share of all relevance outside the field of view."""
    disc: float
    """Share of all relevance on the optic disc; NaN where no disc is given."""

    def to_dict(self) -> dict[str, float]:
        """Return the scores by name."""
        return asdict(self)


def upsample(
    relevance: Relevance, height: int, width: int, *, interpolation: str = "cubic"
) -> Float[np.ndarray, "height width"]:
    """Bring a coarse map to the size of the prepared photograph, as a reading's overlay shows it.

    Overlays are drawn with cubic interpolation, centres of pixels at halves, edges repeated, and cut to the range of
    values that the grid can hold. Cutting leaves small plateaus at a peak; the pointing game shares them.

    Args:
        relevance: No finer than what is asked for, in either direction.
        height: Rows of the canvas.
        width: Columns of the canvas.
        interpolation: A name in `INTERPOLATIONS`.

    Returns:
        Values between 0 and the map's largest.

    Raises:
        ValueError: If the map is no map, is finer than the canvas, or the interpolation is unknown.
    """
    check_map(relevance)
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}")
    if relevance.shape[0] > height or relevance.shape[1] > width:
        raise ValueError(
            f"relevance must be no finer than the canvas of {height} x {width}, got a map of "
            f"{relevance.shape[0]} x {relevance.shape[1]}; average it down first"
        )
    values = np.ascontiguousarray(relevance, np.float64)
    if values.shape == (height, width):
        return values
    resized = cv2.resize(values, (width, height), interpolation=INTERPOLATIONS[interpolation])
    return np.asarray(np.clip(resized, 0, values.max()))


@dataclass(frozen=True, slots=True)
class RankedMap:
    """A map with its pixels in order of relevance, to be scored against several sets of lesions."""

    relevance: Relevance
    field: Region
    order: Int[np.ndarray, " pixel"]
    """Pixels of the field (of the flattened canvas), most relevant first."""

    def scores(self, lesions: Region, *, left_out: Region | None = None, tolerance_px: float = 0.0) -> MapScores:
        """Compute all scores against one set of lesions.

        Args:
            lesions: Of one type, one size or all; what lies outside the field is not counted.
            left_out: Pixels that are not counted within the field, such as lesions of the other types. Pointing and
                energy, which are of the whole canvas, ignore it.
            tolerance_px: Distance from a lesion at which the pointing game still counts a hit.

        Raises:
            ValueError: If shapes differ, or no lesion lies in what counts.
        """
        check_shapes(self.relevance, lesions=lesions)
        inside = lesions & self.field
        order = self.order
        if left_out is not None:
            check_shapes(self.relevance, left_out=left_out)
            order = order[~left_out.ravel()[order]]
        hits = inside.ravel()[order]
        if not hits.any():
            raise ValueError(
                "lesions must have a pixel in the part of the field that counts, got none; "
                "score a photograph without lesions by `off_target_share` only"
            )
        # (pixel,): the relevance of what counts, descending
        counted = self.relevance.ravel()[order]
        # (level,): by distinct value, how many pixels have it or more, and how many of these are lesions
        ends = np.append(np.flatnonzero(np.diff(counted)) + 1, len(counted))
        hits_above = np.cumsum(hits)[ends - 1].astype(np.float64)
        return MapScores(
            pointing=pointing_game(self.relevance, inside, tolerance_px=tolerance_px),
            energy=energy_inside(self.relevance, inside),
            mass=float(counted[hits].sum() / counted.sum()) if counted.any() else 0.0,
            rank=_top_share(hits_above, ends) if self.relevance.any() else 0.0,
            auroc=_auroc(hits_above, ends),
            average_precision=_average_precision(hits_above, ends),
        )


def rank_map(relevance: Relevance, field: Region) -> RankedMap:
    """Sort a map's pixels once, for scores against several sets of lesions.

    Args:
        relevance: At the size of the masks (`upsample` brings it there).
        field: The field of view.

    Raises:
        ValueError: If shapes differ, the map is no map, or the field is empty.
    """
    check_map(relevance)
    check_field(relevance, field)
    pixels = np.flatnonzero(field)
    return RankedMap(relevance, field, pixels[np.argsort(-relevance.ravel()[pixels], kind="stable")])


def pointing_game(relevance: Relevance, lesions: Region, *, tolerance_px: float = 0.0) -> float:
    """Return 1 if the largest value of a map lies on a lesion, else 0; of several largest, the share that does.

    Zhang et al., Int J Comput Vis 126 (2018) 1084-1102, who allow 15 pixels of tolerance on photographs of some 500.
    """
    largest = relevance.max()
    if largest <= 0:
        return 0.0
    return float(near(lesions, tolerance_px)[relevance == largest].mean())


def near(region: Region, distance_px: float) -> Region:
    """Return the region and all pixels whose centres are no farther from one of its own."""
    if distance_px <= 0 or not region.any():
        return region
    apart = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(apart <= distance_px)


def energy_inside(relevance: Relevance, region: Region) -> float:
    """Compute the share of all relevance that lies in a region; 0 for a map that shows nothing.

    The energy-based pointing game of Wang et al. (Score-CAM, CVPR workshops 2020). They stretch maps to [0, 1] first;
    here the smallest value is not taken off, for maps are >= 0 and 0 means that nothing spoke.
    """
    total = float(relevance.sum())
    return float(relevance[region].sum()) / total if total > 0 else 0.0


def off_target_share(relevance: Relevance, field: Region, *, disc: Region | None = None) -> OffTargetShare:
    """Compute the share of relevance outside the field of view and on the optic disc; needs no lesions."""
    check_map(relevance)
    check_field(relevance, field)
    if not relevance.any():
        return OffTargetShare(outside=math.nan, disc=math.nan)
    on_disc = math.nan
    if disc is not None:
        check_shapes(relevance, disc=disc)
        on_disc = energy_inside(relevance, disc)
    return OffTargetShare(outside=energy_inside(relevance, ~field), disc=on_disc)


def check_map(relevance: Relevance) -> None:
    """Refuse what is no map: an empty one, values that are negative, infinite or not numbers."""
    if relevance.size == 0:
        raise ValueError(f"relevance must hold at least one value, got shape {relevance.shape}")
    if not np.isfinite(relevance).all():
        bad = int((~np.isfinite(relevance)).sum())
        raise ValueError(f"relevance must be finite, got {bad} values that are not; mend the method that made the map")
    if relevance.min() < 0:
        raise ValueError(
            f"relevance must be >= 0, got {relevance.min():.3g}; choose what a negative value means: "
            "cut at 0 (speaks for) or take the absolute value (speaks at all)"
        )


def check_field(relevance: Relevance, field: Region) -> None:
    """Refuse a field of view that is empty or not of the map's size."""
    check_shapes(relevance, field=field)
    if not field.any():
        raise ValueError(
            "field must have at least one pixel, got none; give all True where a photograph has no surround"
        )


def check_shapes(relevance: Relevance, **regions: Region) -> None:
    """Refuse masks that are not of the map's size."""
    for name, region in regions.items():
        if region.shape != relevance.shape:
            raise ValueError(
                f"{name} must be of the map's size {relevance.shape[0]} x {relevance.shape[1]}, got "
                f"{region.shape[0]} x {region.shape[1]}; bring the map to the masks' size with `upsample`"
            )


Counts = Float[np.ndarray, " level"]
Ends = Int[np.ndarray, " level"]


def _top_share(hits_above: Counts, ends: Ends) -> float:
    """Compute the relevance rank accuracy (Arras et al., Information Fusion 81 (2022) 14-40).

    Of equal values at the last place, as many count as would by chance.
    """
    wanted = hits_above[-1]
    return float(np.interp(wanted, np.append(0, ends), np.append(0.0, hits_above)) / wanted)


def _auroc(hits_above: Counts, ends: Ends) -> float:
    """Compute the chance that a lesion's pixel is above a healthy one, equal ones counting half."""
    false = ends - hits_above
    if false[-1] == 0:
        return math.nan
    heights = (np.append(0.0, hits_above[:-1]) + hits_above) / 2
    return float((np.diff(false, prepend=0.0) * heights).sum() / (hits_above[-1] * false[-1]))


def _average_precision(hits_above: Counts, ends: Ends) -> float:
    """Compute the mean of the precision over lesion pixels, equal values as one step (scikit-learn's definition)."""
    return float((np.diff(hits_above, prepend=0.0) * ratio(hits_above, ends)).sum() / hits_above[-1])
