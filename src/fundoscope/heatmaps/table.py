"""All scores of all maps as tables: one row for each photograph, method and kind of lesion, then means with intervals.

The unit is the photograph: a photograph with three hundred microaneurysms counts as much as one with two. Intervals
draw patients, and differences from a baseline are taken photograph by photograph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as factory
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.interval import Interval, Weights, patient_intervals
from fundoscope.evaluation.statistics.sums import ratio
from fundoscope.heatmaps.baselines import chance_off_target_share, chance_scores
from fundoscope.heatmaps.lesions import FLAGGED, OVERLAP, by_size, lesion_table
from fundoscope.heatmaps.scores import Region, Relevance, off_target_share, rank_map, upsample
from fundoscope.tables.patients import patient_keys, texts

ANY: Final = "any"
"""Kind of lesion: all types and sizes together."""

NONE: Final = "none"
"""Kind of lesion of a photograph without any; such rows hold no score against lesions."""

CHANCE: Final = "chance"
"""Method: what a map that is uniform within the field gives, in closed form."""

KEYS: Final = ("image", "patient", "source", "method", "lesions")
"""Columns that say what a row is of; every other column of numbers is a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A prepared photograph with what is known to be on it; masks are of the canvas."""

    image: str
    field: Region
    lesions: Mapping[str, Region] = factory(default_factory=dict)
    """Mask of each type; types without a pixel in the field are as if not given."""
    disc: Region | None = None
    patient: str | None = None
    """None where it is not known: the photograph then counts as a patient of its own."""
    source: str | None = None

    @property
    def marked(self) -> dict[str, Region]:
        """Types with a pixel in the field."""
        return {name: mask & self.field for name, mask in self.lesions.items() if (mask & self.field).any()}


def map_table(
    scene: Scene,
    maps: Mapping[str, Relevance],
    *,
    tolerance_px: float = 0.0,
    interpolation: str = "cubic",
    flagged: float = FLAGGED,
    overlap: float = OVERLAP,
) -> pd.DataFrame:
    """Compute all scores of a photograph's maps, baselines among them, with the row of chance.

    Args:
        scene: The photograph.
        maps: By method, at the size of the canvas or coarser (`scores.upsample`).
        tolerance_px: Of the pointing game.
        interpolation: See `scores.INTERPOLATIONS`.
        flagged: See `lesions.lesion_table`.
        overlap: Likewise.

    Returns:
        One row for each method (and `CHANCE`) and each of `ANY`, the types that are marked and the sizes that occur
        (`lesions.SIZES`), or `NONE` alone: the `KEYS`, empty (1 for a map that shows nothing), pointing, energy,
        mass, rank, auroc, average_precision, covered and found (means over the lesions), outside, disc. Of one type or
        size, pixels of the others are left out within the field.

    Raises:
        ValueError: If shapes differ, a map is no map, or there is none.
    """
    if not maps:
        raise ValueError(f"maps must hold at least one method's map of {scene.image}, got none")
    if CHANCE in maps:
        raise ValueError(f"maps must not name a method {CHANCE!r}: that row is computed; rename it")
    rows = _chance_rows(scene, tolerance_px, flagged)
    for method, relevance in maps.items():
        on_canvas = upsample(relevance, *scene.field.shape, interpolation=interpolation)
        shared = {
            "empty": float(not on_canvas[scene.field].any()),
            **off_target_share(on_canvas, scene.field, disc=scene.disc).to_dict(),
        }
        detections = _found(scene, on_canvas, flagged, overlap)
        ranked = rank_map(on_canvas, scene.field)
        for kind, mask, others in _kinds(scene):
            scores = ranked.scores(mask, left_out=others, tolerance_px=tolerance_px)
            rows.append({"method": method, "lesions": kind, **scores.to_dict(), **detections[kind], **shared})
        if not scene.marked:
            rows.append({"method": method, "lesions": NONE, **shared})
    named = {"image": scene.image, "patient": scene.patient, "source": scene.source}
    return pd.DataFrame([{**named, **row} for row in rows])


def summarise(
    table: pd.DataFrame,
    *,
    scores: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Average each method's scores over photographs, with confidence intervals bootstrapped by patient.

    Args:
        table: Rows of `map_table` of any number of photographs; further columns of numbers (of deletion, ROAD) count
            as scores. A photograph without a value of a score is left out of that score's mean.
        scores: Names of columns; None for all.
        level: Share of draws inside an interval.
        resamples: Draws; the same for every method.
        seed: Of the draws.

    Returns:
        One row for each method, kind of lesion and score: method, lesions, score, mean, low, high, photographs (with a
        value), patients, undefined (draws without a value).

    Raises:
        BadTable: If a column is missing, or a photograph has two rows of one method and kind.
    """
    names = _scores_of(table, scores)
    rows = []
    for (method, kind), part in table.groupby(["method", "lesions"], sort=False):
        values = part[names].to_numpy(np.float64)
        for name, (column, interval, patients) in zip(
            names, _intervals(part, values, (level, resamples, seed)), strict=True
        ):
            rows.append({"method": method, "lesions": kind, "score": name, **_row(column, interval, patients)})
    return pd.DataFrame(rows)


def differences(
    table: pd.DataFrame,
    baseline: str,
    *,
    scores: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute paired differences of each method from a baseline, with intervals bootstrapped by patient.

    Args:
        table: As for `summarise`.
        baseline: A method of the table, such as `CHANCE`, "uniform" or "centre".
        scores: As for `summarise`.
        level: Likewise.
        resamples: Likewise.
        seed: Likewise.

    Returns:
        As `summarise`, with `baseline` after `method`; only photographs where both have a value count.

    Raises:
        BadTable: If a column is missing, the baseline is not in the table, or a photograph has two rows of one method
            and kind.
    """
    names = _scores_of(table, scores)
    methods = list(dict.fromkeys(table["method"]))
    if baseline not in methods:
        raise BadTable(
            f"baseline {baseline!r}: expected a method of the table, which holds {', '.join(map(str, methods))}; "
            "score its maps with the others"
        )
    rows_of_source = table.assign(source=[text or "" for text in texts(table, "source")])
    keys = ["image", "source", "lesions"]
    base = rows_of_source[rows_of_source["method"] == baseline].set_index(keys)[names]
    rows = []
    for (method, kind), part in rows_of_source.groupby(["method", "lesions"], sort=False):
        if method == baseline:
            continue
        places = base.index.get_indexer(pd.MultiIndex.from_frame(part[keys]))
        paired = part[places >= 0]
        values = paired[names].to_numpy(np.float64) - base.to_numpy(np.float64)[places[places >= 0]]
        named = {"method": method, "baseline": baseline, "lesions": kind}
        for name, (column, interval, patients) in zip(
            names, _intervals(paired, values, (level, resamples, seed)), strict=True
        ):
            rows.append({**named, "score": name, **_row(column, interval, patients)})
    return pd.DataFrame(rows)


def _kinds(scene: Scene) -> list[tuple[str, Region, Region | None]]:
    """Name, mask, and what to leave out, of all lesions, of each type and of each size."""
    marked = scene.marked
    if not marked:
        return []
    every = np.asarray(np.any(list(marked.values()), axis=0))
    sizes: dict[str, Region] = {}
    for mask in marked.values():
        for name, part in by_size(mask, scene.field).items():
            sizes[name] = sizes.get(name, part) | part
    return [(ANY, every, None), *((name, mask, every & ~mask) for name, mask in (marked | sizes).items())]


def _chance_rows(scene: Scene, tolerance_px: float, flagged: float) -> list[dict[str, object]]:
    shared = {"empty": 0.0, **chance_off_target_share(scene.field, disc=scene.disc).to_dict()}
    rows: list[dict[str, object]] = []
    for kind, mask, others in _kinds(scene):
        scores = chance_scores(mask, scene.field, left_out=others, tolerance_px=tolerance_px)
        rows.append({"method": CHANCE, "lesions": kind, **scores.to_dict(), "covered": flagged, **shared})
    return rows or [{"method": CHANCE, "lesions": NONE, **shared}]


def _found(scene: Scene, on_canvas: Relevance, flagged: float, overlap: float) -> dict[str, dict[str, float]]:
    """Return means over lesions of the covered share and of the share that is found, by kind."""
    if not scene.marked:
        return {}
    table = lesion_table(on_canvas, scene.marked, scene.field, flagged=flagged, overlap=overlap)
    parts = {ANY: table, **{str(name): part for by in ("type", "size") for name, part in table.groupby(by)}}
    return {
        kind: {"covered": float(part["covered"].mean()), "found": float(part["found"].mean())}
        for kind, part in parts.items()
    }


def _scores_of(table: pd.DataFrame, scores: Sequence[str] | None) -> list[str]:
    numbers = [name for name in table.columns if name not in KEYS and pd.api.types.is_numeric_dtype(table[name])]
    names = numbers if scores is None else list(scores)
    missing = [name for name in ("image", "method", "lesions", *names) if name not in table.columns]
    if missing:
        raise BadTable(
            f"table of maps: expected the columns image, method, lesions and the scores; {', '.join(missing)} is "
            "missing; put together what `map_table` returns"
        )
    keys = [name for name in ("image", "source", "method", "lesions") if name in table]
    twice = table.duplicated(keys)
    if twice.any():
        image = table.loc[twice, "image"].iloc[0]
        raise BadTable(
            f"table of maps: expected one row for each photograph, method and kind of lesion, got {image} twice; "
            "name maps of different networks differently, and drop repeated photographs"
        )
    return names


_Column = Float[np.ndarray, " photo"]


def _intervals(
    part: pd.DataFrame, values: Float[np.ndarray, "photo score"], draws: tuple[float, int, int]
) -> list[tuple[_Column, Interval, int]]:
    """Return, for each score, its values, the interval of their mean, and the number of patients with a value.

    Only photographs with a value are drawn from: the mean is of them.
    """
    keys = patient_keys(part)
    number = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    owner = np.array([number[key] for key in keys], dtype=np.int64)
    level, resamples, seed = draws
    intervals = []
    for column in values.T:
        defined = np.isfinite(column)
        values_defined = column[defined]

        def mean(weights: Weights, values_defined: _Column = values_defined) -> dict[str, Float[np.ndarray, " draw"]]:
            return {"mean": ratio(weights @ values_defined, weights.sum(axis=1))}

        interval = patient_intervals(
            mean, owner[defined], rng=np.random.default_rng(seed), level=level, resamples=resamples, method="percentile"
        )["mean"]
        intervals.append((column, interval, len(np.unique(owner[defined]))))
    return intervals


def _row(column: _Column, interval: Interval, patients: int) -> dict[str, object]:
    return {
        "mean": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "photographs": int(np.isfinite(column).sum()),
        "patients": patients,
        "undefined": interval.undefined,
    }
