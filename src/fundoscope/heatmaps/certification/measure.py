"""Heatmaps of one method measured on photographs with known lesions: localisation, faithfulness, stability.

Heatmaps come from evaluators, networks that never saw the patient of a photograph; of torch nothing is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from fundoscope.arrays import Canvas, Canvases
from fundoscope.heatmaps.baselines import centre_blob, vessel_map
from fundoscope.heatmaps.certification.criteria import CENTRE, VESSELS
from fundoscope.heatmaps.certification.evaluators import Evaluator
from fundoscope.heatmaps.faithfulness import deletion, field_mean, insertion, road
from fundoscope.heatmaps.scores import Relevance, upsample
from fundoscope.heatmaps.stability import SHIFTS, likeness, seed_agreement, shift_stability
from fundoscope.heatmaps.table import ANY, NONE, Scene, map_table
from fundoscope.parallel import in_order

ROAD_FRACTIONS: Final = (0.1, 0.3, 0.5)
"""Shares of the field that ROAD takes away: three of its paper's nine, for the time they take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPhotograph:
    """One prepared photograph with the lesions that are known to be on it."""

    scene: Scene
    canvas: Canvas
    evaluator: int = 0
    """Number of the evaluator whose networks never saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How finely heatmaps are measured."""

    shifts: tuple[tuple[int, int], ...] = SHIFTS
    """Rows and columns by which photographs are moved; empty: stability is not measured."""
    road_fractions: tuple[float, ...] = ROAD_FRACTIONS
    """Shares of the field that ROAD removes; empty: ROAD is not run."""
    deletion_steps: int = 0
    """Steps of deletion and of insertion; 0: neither is run."""
    tolerance_px: float = 0.0
    """Distance to a lesion at which the pointing game still counts a hit."""
    seed: int = 0
    """Seed of ties and of ROAD's noise."""
    threads: int = 1
    """Photographs on which ROAD and deletion are run in parallel."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """Scores of one method."""

    table: pd.DataFrame
    """Rows of `map_table`; at `ANY` and `NONE` also the scores that need the network: road_gap, deletion, insertion,
    shift_pearson, randomised_spearman, shuffled_spearman, seed_agreement, peak, peak_from_centre."""
    stages: pd.DataFrame
    """Similarity to the map of the trained network as weights are randomised: image, stage, spearman, ssim, pearson."""
    maps: list[Relevance] = field(default_factory=list)
    """Of each photograph, on the method's own grid."""


def measure(
    method: str,
    photographs: Sequence[PreparedPhotograph],
    evaluators: Sequence[Evaluator],
    steps: Steps,
    *,
    baselines: bool = True,
) -> Measurements:
    """Compute the heatmaps of one method and score them.

    Args:
        method: Its name in the table.
        photographs: With lesions and without; scores that need the network are computed for those with lesions.
        evaluators: By number.
        steps: How finely.
        baselines: Score the centre blob and the vessel map too.

    Raises:
        ValueError: If a heatmap is negative, not finite or of the wrong size.
    """
    explained = [_explain(photograph, evaluators[photograph.evaluator], steps) for photograph in photographs]
    maps = [relevance for relevance, _ in explained]
    # (map rows, map columns) of the method's grid to (side, side) of the canvas
    upsampled = [
        upsample(relevance, *photograph.scene.field.shape)
        for relevance, photograph in zip(maps, photographs, strict=True)
    ]
    # By photograph: the scores that need the network, filled in step by step.
    network_scores = [scores for _, scores in explained]
    stages = _randomise(photographs, upsampled, evaluators, network_scores)
    for scores, faithfulness in zip(
        network_scores, _faithfulness(photographs, upsampled, evaluators, steps), strict=True
    ):
        scores.update(faithfulness)
    tables = []
    for photograph, relevance, on_canvas, scores in zip(photographs, maps, upsampled, network_scores, strict=True):
        compared = {method: relevance} | (baseline_maps(photograph) if baselines else {})
        table = map_table(photograph.scene, compared, tolerance_px=steps.tolerance_px)
        scores.update(_peak(on_canvas, photograph.scene))
        rows = (table["method"] == method) & table["lesions"].isin([ANY, NONE])
        for name, value in scores.items():
            table[name] = np.where(rows, value, np.nan)
        tables.append(table)
    return Measurements(pd.concat(tables, ignore_index=True), stages, maps)


def baseline_maps(photograph: PreparedPhotograph) -> dict[str, Relevance]:
    """Return maps that do not depend on any network."""
    visible = photograph.scene.field
    return {CENTRE: centre_blob(visible), VESSELS: vessel_map(photograph.canvas, visible)}


def _explain(photograph: PreparedPhotograph, evaluator: Evaluator, steps: Steps) -> tuple[Relevance, dict[str, float]]:
    """Compute the heatmap of one photograph, and the scores that need only heatmaps."""
    scores: dict[str, float] = {}
    scene, canvases = photograph.scene, photograph.canvas[None]  # (1, side, side, 3)
    lesions = bool(scene.marked)
    if lesions and steps.shifts:
        # The photograph and its shifted copies are explained in one batch, the photograph first.
        first_maps: list[Relevance] = []

        def explained(canvases: Canvases) -> Float[np.ndarray, "photo map_row map_column"]:
            maps = np.asarray(evaluator.maps(canvases), np.float64)
            first_maps.append(maps[0])
            return maps

        similarity = shift_stability(explained, photograph.canvas, scene.field, shifts=steps.shifts)
        scores["shift_pearson"] = float(similarity["pearson"].mean())
        relevance = first_maps[0]
    else:
        relevance = np.asarray(evaluator.maps(canvases)[0], np.float64)
    shape = scene.field.shape
    if lesions and len(evaluator.seeds) > 1:
        by_seed = [upsample(maps(canvases)[0], *shape) for maps in evaluator.seeds]
        scores["seed_agreement"] = seed_agreement(by_seed, within=scene.field)
    if lesions and evaluator.shuffled is not None:
        shuffled = upsample(evaluator.shuffled(canvases)[0], *shape)
        scores["shuffled_spearman"] = likeness(upsample(relevance, *shape), shuffled, within=scene.field).spearman
    return relevance, scores


def _randomise(
    photographs: Sequence[PreparedPhotograph],
    upsampled: Sequence[Relevance],
    evaluators: Sequence[Evaluator],
    network_scores: Sequence[dict[str, float]],
) -> pd.DataFrame:
    """Compare with heatmaps of ever more randomised networks; the last stage's correlation goes into the scores."""
    rows: list[dict[str, Any]] = []
    for number, evaluator in enumerate(evaluators):
        own = [
            at
            for at, photograph in enumerate(photographs)
            if photograph.evaluator == number and photograph.scene.marked
        ]
        if evaluator.randomised is None or not own:
            continue
        for stage, maps in evaluator.randomised():
            for at in own:
                scene = photographs[at].scene
                randomised = upsample(maps(photographs[at].canvas[None])[0], *scene.field.shape)
                similarity = likeness(upsampled[at], randomised, within=scene.field)
                rows.append({"image": scene.image, "stage": stage, **similarity.to_dict()})
                network_scores[at]["randomised_spearman"] = similarity.spearman
    return pd.DataFrame(rows, columns=["image", "stage", "spearman", "ssim", "pearson"])


def _faithfulness(
    photographs: Sequence[PreparedPhotograph],
    upsampled: Sequence[Relevance],
    evaluators: Sequence[Evaluator],
    steps: Steps,
) -> Iterator[dict[str, float]]:
    """Follow the network's score as pixels are removed, by ROAD and by deletion and insertion."""

    def follow(at: int) -> dict[str, float]:
        photograph, rng = photographs[at], np.random.default_rng([steps.seed, at])
        if not photograph.scene.marked:
            return {}
        scores: dict[str, float] = {}
        score, visible = evaluators[photograph.evaluator].score, photograph.scene.field
        if steps.road_fractions:
            removed = road(score, photograph.canvas, upsampled[at], visible, rng=rng, fractions=steps.road_fractions)
            scores["road_gap"] = removed.gap
        if steps.deletion_steps:
            mean = field_mean(photograph.canvas, visible)
            for name, erase in (("deletion", deletion), ("insertion", insertion)):
                trace = erase(
                    score, photograph.canvas, upsampled[at], mean, visible, rng=rng, steps=steps.deletion_steps
                )
                scores[name] = trace.area
        return scores

    return in_order(follow, range(len(photographs)), threads=steps.threads)


def _peak(relevance: Relevance, scene: Scene) -> dict[str, float]:
    """Return the largest relevance, and its distance from the centre of the field of view, in radii."""
    largest = float(relevance.max())
    if largest <= 0:
        return {"peak": 0.0, "peak_from_centre": float("nan")}
    rows, columns = np.nonzero(scene.field)
    peak = np.argwhere(relevance == largest).mean(axis=0)  # (row, column); the mean where several are largest
    distance_px = float(np.hypot(peak[0] - rows.mean(), peak[1] - columns.mean()))
    radius_px = float(np.sqrt(scene.field.sum() / np.pi))
    return {"peak": largest, "peak_from_centre": distance_px / radius_px}
