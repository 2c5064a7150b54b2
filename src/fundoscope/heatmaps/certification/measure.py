"""A method's heatmaps measured on photographs with known lesions: against lesions, against the network, for stability.

Whoever holds the networks hands in functions; of torch nothing is known here. Each photograph has a judge, networks
that never saw its patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from fundoscope.arrays import Canvas, Canvases
from fundoscope.heatmaps.baselines import centre_blob, vessel_map
from fundoscope.heatmaps.certification.criteria import CENTRE, VESSELS
from fundoscope.heatmaps.faithfulness import Score, deletion, field_mean, insertion, road
from fundoscope.heatmaps.scores import Relevance, lay
from fundoscope.heatmaps.stability import SHIFTS, likeness, seed_agreement, shift_stability
from fundoscope.heatmaps.table import ANY, NONE, Scene, map_table
from fundoscope.parallel import in_order

Maps = Callable[[Canvases], Float[np.ndarray, "photo map_row map_column"]]
"""Heatmaps of prepared photographs, >= 0."""

Stages = Callable[[], Iterator[tuple[str, Maps]]]
"""One network after another with more of its weights drawn anew, from the head to the first layer; each is to be asked
before the next is taken."""

ROAD_FRACTIONS: Final = (0.1, 0.3, 0.5)
"""Shares of the field that ROAD takes away: three of its paper's nine, for the time they take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographed:
    """One prepared photograph with what is known to be on it."""

    scene: Scene
    canvas: Canvas
    judge: int = 0
    """Number of the judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What networks say that never saw some photographs."""

    maps: Maps
    score: Score
    """The number that ROAD and deletion watch: the expected grade."""
    randomised: Stages | None = None
    """None: their weights cannot be changed."""
    shuffled: Maps | None = None
    """Maps of a network that learnt shuffled grades; None: there is none."""
    seeds: tuple[Maps, ...] = ()
    """Maps of each network alone, where they differ in their seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How finely is measured."""

    shifts: tuple[tuple[int, int], ...] = SHIFTS
    """Rows and columns by which photographs are moved; empty: not measured."""
    road_fractions: tuple[float, ...] = ROAD_FRACTIONS
    """Empty: not measured."""
    deletion_steps: int = 0
    """Of deletion and of insertion; 0: not measured."""
    tolerance_px: float = 0.0
    """Of the pointing game."""
    seed: int = 0
    """Of ties and of ROAD's noise."""
    threads: int = 1
    """Photographs that ROAD and deletion are done of side by side."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one method."""

    table: pd.DataFrame
    """Rows of `map_table` with, at `ANY` and `NONE`, what a judge could say besides: road_gap, deletion, shift_pearson,
    randomised_spearman, shuffled_spearman, seed_agreement, peak, peak_from_centre."""
    stages: pd.DataFrame
    """How alike maps stay as the network is randomised: image, stage, spearman, ssim, pearson."""
    maps: list[Relevance] = field(default_factory=list)
    """Of each photograph, on the method's own grid."""


def measure(
    method: str, photographs: Sequence[Photographed], judges: Sequence[Judge], steps: Steps, *, baselines: bool = True
) -> Measured:
    """Make a method's maps and score them.

    Args:
        method: Its name in the table.
        photographs: With lesions and without; only of those with lesions the network's needs are asked.
        judges: By number.
        steps: How finely.
        baselines: Score the centre blob and the vessel map too.

    Raises:
        ValueError: If a map is no map or of the wrong size.
    """
    found = [_maps_of(each, judges[each.judge], steps) for each in photographs]
    maps = [given for given, _ in found]
    laid = [lay(given, *each.scene.field.shape) for given, each in zip(maps, photographs, strict=True)]
    extras = [more for _, more in found]
    stages = _randomised(photographs, laid, judges, extras)
    for more, asked in zip(extras, _asked(photographs, laid, judges, steps), strict=True):
        more.update(asked)
    tables = []
    for each, given, on_canvas, more in zip(photographs, maps, laid, extras, strict=True):
        compared = {method: given} | (baseline_maps(each) if baselines else {})
        table = map_table(each.scene, compared, tolerance_px=steps.tolerance_px)
        more.update(_peak(on_canvas, each.scene))
        chosen = (table["method"] == method) & table["lesions"].isin([ANY, NONE])
        for name, value in more.items():
            table[name] = np.where(chosen, value, np.nan)
        tables.append(table)
    return Measured(pd.concat(tables, ignore_index=True), stages, maps)


def baseline_maps(photographed: Photographed) -> dict[str, Relevance]:
    """Maps that know nothing of the network."""
    visible = photographed.scene.field
    return {CENTRE: centre_blob(visible), VESSELS: vessel_map(photographed.canvas, visible)}


def _maps_of(each: Photographed, judge: Judge, steps: Steps) -> tuple[Relevance, dict[str, float]]:
    """The map and what needs no more than maps; the photograph and its moved copies are explained at once."""
    more: dict[str, float] = {}
    lesions = bool(each.scene.marked)
    if lesions and steps.shifts:
        held: list[Relevance] = []

        def explained(canvases: Canvases) -> Float[np.ndarray, "photo map_row map_column"]:
            given = np.asarray(judge.maps(canvases), np.float64)
            held.append(given[0])
            return given

        alike = shift_stability(explained, each.canvas, each.scene.field, shifts=steps.shifts)
        more["shift_pearson"] = float(alike["pearson"].mean())
        given = held[0]
    else:
        given = np.asarray(judge.maps(each.canvas[None])[0], np.float64)
    if lesions and len(judge.seeds) > 1:
        alone = [lay(maps(each.canvas[None])[0], *each.scene.field.shape) for maps in judge.seeds]
        more["seed_agreement"] = seed_agreement(alone, within=each.scene.field)
    if lesions and judge.shuffled is not None:
        other = judge.shuffled(each.canvas[None])[0]
        shape = each.scene.field.shape
        more["shuffled_spearman"] = likeness(lay(given, *shape), lay(other, *shape), within=each.scene.field).spearman
    return given, more


def _randomised(
    photographs: Sequence[Photographed],
    laid: Sequence[Relevance],
    judges: Sequence[Judge],
    extras: Sequence[dict[str, float]],
) -> pd.DataFrame:
    """Likeness at every stage; the last stage's goes into the table."""
    rows: list[dict[str, Any]] = []
    for number, judge in enumerate(judges):
        mine = [at for at, each in enumerate(photographs) if each.judge == number and each.scene.marked]
        if judge.randomised is None or not mine:
            continue
        for stage, maps in judge.randomised():
            for at in mine:
                each = photographs[at]
                other = lay(maps(each.canvas[None])[0], *each.scene.field.shape)
                alike = likeness(laid[at], other, within=each.scene.field)
                rows.append({"image": each.scene.image, "stage": stage, **alike.to_dict()})
                extras[at]["randomised_spearman"] = alike.spearman
    return pd.DataFrame(rows, columns=["image", "stage", "spearman", "ssim", "pearson"])


def _asked(
    photographs: Sequence[Photographed], laid: Sequence[Relevance], judges: Sequence[Judge], steps: Steps
) -> Iterator[dict[str, float]]:
    """What the network says as pixels go."""

    def ask(at: int) -> dict[str, float]:
        each, rng = photographs[at], np.random.default_rng([steps.seed, at])
        if not each.scene.marked:
            return {}
        told, score, visible = {}, judges[each.judge].score, each.scene.field
        if steps.road_fractions:
            gone = road(score, each.canvas, laid[at], visible, rng=rng, fractions=steps.road_fractions)
            told["road_gap"] = gone.gap
        if steps.deletion_steps:
            mean = field_mean(each.canvas, visible)
            for name, erase in (("deletion", deletion), ("insertion", insertion)):
                trace = erase(score, each.canvas, laid[at], mean, visible, rng=rng, steps=steps.deletion_steps)
                told[name] = trace.area
        return told

    return in_order(ask, range(len(photographs)), threads=steps.threads)


def _peak(laid: Relevance, scene: Scene) -> dict[str, float]:
    """The largest relevance, and how far from the field's centre it lies, in radii."""
    largest = float(laid.max())
    if largest <= 0:
        return {"peak": 0.0, "peak_from_centre": float("nan")}
    rows, columns = np.nonzero(scene.field)
    at = np.argwhere(laid == largest).mean(axis=0)
    away = float(np.hypot(at[0] - rows.mean(), at[1] - columns.mean()))
    return {"peak": largest, "peak_from_centre": away / float(np.sqrt(scene.field.sum() / np.pi))}
