"""Rows of the manifest that an experiment trains on or validates with, and their prepared photographs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadExperiment, BadTable
from fundoscope.photo.recipe import Recipe
from fundoscope.tables.fellows import NO_FELLOW, find_fellows
from fundoscope.tables.places import Places
from fundoscope.training.batches.cache import Stored, prepare_all
from fundoscope.training.batches.lesions import KIND_OF_MASK, boxes_map, masks_map, read_boxes
from fundoscope.training.batches.targets import GRADE, Target, Values, target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.weights import grade_source_weights

OTHERS_SHOWN = 3
"""Photographs that a message names."""

PREPARING = "preparing"
"""What progress calls the preparation of photographs."""

Report = Callable[[str], None]
"""Called with one line about what is being done."""


def training_rows(
    experiment: Experiment,
    splits: tuple[str, ...],
    say: Report,
    progress: Callable[[str, int, int], object] | None = None,
) -> Rows:
    """The rows of the manifest that have one of the splits, prepared; those that are not gradable among them."""
    path = experiment.data.manifest
    frame = listed(experiment)
    chosen = frame[frame["split"].isin(splits)] if "split" in frame else frame.iloc[:0]
    if chosen.empty:
        splits_there = sorted(frame["split"].dropna().unique()) if "split" in frame else "no column split"
        raise BadExperiment(f"{path}: expected rows with split in {splits}, found {splits_there}")
    say(f"preparing {len(chosen)} photographs of {path} ({', '.join(splits)})")
    return prepared(experiment, chosen.reset_index(drop=True), progress)


def listed(experiment: Experiment) -> pd.DataFrame:
    """The manifest.

    Raises:
        BadExperiment: If none is given, or the column that names the sources is not in it.
        BadTable: If it cannot be read.
    """
    if not experiment.data.manifest:
        raise BadExperiment("data.manifest: expected the path of a manifest, got none. Add data.manifest=FILE")
    frame = read_manifest(Path(experiment.data.manifest))
    by = experiment.domains.by
    if by not in frame and by != "source":
        raise BadExperiment(
            f"domains.by: expected a column of {experiment.data.manifest}, got {by!r}, which it lacks. "
            f"It has {', '.join(frame.columns)}"
        )
    return frame


def prepared(
    experiment: Experiment, frame: pd.DataFrame, progress: Callable[[str, int, int], object] | None = None
) -> Rows:
    """Rows of the manifest, prepared; `source` is what the experiment says names the sources.

    Raises:
        BadTable: If a row has no grade or a photograph cannot be read.
    """
    by = experiment.domains.by
    done = itertools.count(1)

    def advance() -> None:
        if progress is not None:
            progress(PREPARING, next(done), len(frame))

    rows = load_rows(
        frame.assign(source=frame[by]) if by in frame else frame,
        Path(experiment.data.manifest).parent,
        experiment.recipe,
        cache=experiment.data.cache,
        lesions=experiment.lesions.weight > 0,
        target=target_of(experiment.data),
        advance=advance,
    )
    return replace(rows, eyes=experiment.network.eyes)


def check_fellows(rows: Rows) -> None:
    """Make sure that a network of both eyes has pairs to learn from.

    Raises:
        BadTable: If both eyes are shown and no row has the other eye of its patient.
    """
    if rows.eyes == 2 and (rows.fellows == NO_FELLOW).all():
        raise BadTable(
            "network.eyes 2: expected training rows whose patient and eye say which belong together, "
            f"got none of {len(rows)} with the other eye. Fill these columns of the manifest, or set network.eyes=1"
        )


def to_learn(experiment: Experiment, rows: Rows) -> Rows:
    """Return training rows with the weights that the loss asks for beside their grade.

    Raises:
        BadExperiment: If weights by source are asked for and a row has none.
    """
    weights = None
    if experiment.loss.class_weights == "grade_source":
        if "source" not in rows.frame or rows.frame["source"].isna().any():
            raise BadExperiment(
                "loss.class_weights 'grade_source': expected a source for every training row of the manifest, got rows "
                "without one. Fill the column (or domains.by's), or change loss.class_weights"
            )
        weights = grade_source_weights(rows.grades, rows.frame["source"].to_numpy(object).astype(str))
    return replace(rows, weights=weights)


@dataclass(frozen=True)
class Rows:
    """Rows of a manifest with their prepared photographs; lesion maps where they are asked for."""

    frame: pd.DataFrame
    stored: Sequence[Stored]
    lesions: Sequence[UInt8[np.ndarray, "side side 2"] | None] | None = None
    weights: Float[np.ndarray, " row"] | None = None
    """How much each counts in the loss, where that depends on more than its grade."""
    target: Target | None = GRADE
    """What is learnt of each; None: nothing is known of them."""
    eyes: int = 1
    """2: show each photograph together with its fellow, the same patient's other eye among the rows."""

    def __len__(self) -> int:
        return len(self.stored)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows whose positions are given."""
        lesions = None if self.lesions is None else [self.lesions[i] for i in chosen]
        weights = None if self.weights is None else self.weights[chosen]
        stored = [self.stored[i] for i in chosen]
        return replace(self, frame=self.frame.iloc[chosen], stored=stored, lesions=lesions, weights=weights)

    @property
    def grades(self) -> np.ndarray:
        """Grade of each row, 0 to 4."""
        return self.frame["grade"].to_numpy(np.int64)

    @cached_property
    def targets(self) -> Values:
        """What each row is to be learnt as: its grade or class (row), or its signs (row, sign).

        Raises:
            ValueError: If nothing is known of the rows.
        """
        if self.target is None:
            raise ValueError("rows without a target: expected an objective that asks for no labels")
        return self.target.values(self.frame)

    @cached_property
    def fellows(self) -> Int[np.ndarray, " row"]:
        """Position of each row's fellow, as grading finds it; -1 where there is none."""
        return find_fellows(self.frame)

    @property
    def classes(self) -> Int[np.ndarray, " row"]:
        """Grade or class of each row, which a sampler may go by; 0 of signs, which are no classes, and of no label."""
        labels = None if self.target is None else self.targets
        return labels if labels is not None and labels.ndim == 1 else np.zeros(len(self), dtype=np.int64)


def load_rows(
    frame: pd.DataFrame,
    folder: Path,
    recipe: Recipe,
    *,
    cache: Path | str,
    lesions: bool = False,
    target: Target | None = GRADE,
    advance: Callable[[], object] | None = None,
) -> Rows:
    """Prepare the photographs of a manifest's rows.

    Args:
        frame: Rows of a checked manifest.
        folder: Where the manifest lies; its paths are relative to it.
        recipe: How photographs are prepared.
        cache: Folder of prepared photographs.
        lesions: Also read `boxes` and `mask_*`.
        target: What is learnt, which every row must have; None: nothing, labels are not looked at.
        advance: Called after each photograph.

    Raises:
        BadTable: If there are no rows, a row has no grade (or whatever is learnt), or a file cannot be read or is
            not the one that the manifest means.
    """
    if frame.empty:
        raise BadTable("the manifest has no rows to train on; expected some with the splits asked for (data.train)")
    if target is not None:
        target.values(frame)  # refuses here, before hours of preparing, what cannot be learnt
    task = None if target is None else target.task
    places = Places(folder)
    paths = [places.find(str(image)) for image in frame["image"]]
    stored = prepare_all(paths, recipe, cache, task=task, advance=advance)
    _check_hashes(frame, stored)
    maps = _lesion_maps(frame, folder, stored) if lesions else None
    return Rows(frame, stored, maps, target=target)


def _check_hashes(frame: pd.DataFrame, stored: Sequence[Stored]) -> None:
    """Refuse files that are not those that the manifest means: their grades are other pictures'."""
    meant = frame["sha256"].tolist() if "sha256" in frame else [None] * len(frame)
    others = [
        str(image)
        for image, sha256, kept in zip(frame["image"], meant, stored, strict=True)
        if not pd.isna(sha256) and sha256 != kept.sha256
    ]
    if others:
        more = ", ..." if len(others) > OTHERS_SHOWN else ""
        raise BadTable(
            f"the manifest: expected the files that its column sha256 means, got others for {len(others)} of "
            f"{len(frame)} photographs: {', '.join(others[:OTHERS_SHOWN])}{more}. Copy them again, or correct it"
        )


def _lesion_maps(frame: pd.DataFrame, folder: Path, stored: Sequence[Stored]) -> list[np.ndarray | None]:
    """A lesion map for each row: marked, known to be empty (grade 0), or None where nothing is known."""
    boxes_of: dict[Path, pd.DataFrame] = {}
    for name in frame["boxes"].dropna().unique() if "boxes" in frame else []:
        boxes_of |= read_boxes(folder / str(name))
    maps: list[np.ndarray | None] = []
    for (_, row), kept in zip(frame.iterrows(), stored, strict=True):
        prepared, size = kept.prepared()
        masks = {name: folder / str(row[name]) for name in KIND_OF_MASK if name in row and pd.notna(row[name])}
        boxes = boxes_of.get((folder / str(row["image"])).resolve())
        if masks:
            maps.append(masks_map(masks, prepared, size))
        elif boxes is not None:
            drawn = boxes_map(boxes, prepared, size)
            maps.append(drawn if drawn.any() or row.get("grade") == 0 else None)
        else:
            maps.append(np.zeros((*prepared.canvas.shape[:2], 2), np.uint8) if row.get("grade") == 0 else None)
    return maps
