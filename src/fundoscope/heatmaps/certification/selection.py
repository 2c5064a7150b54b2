"""Which photographs heatmaps are certified on, and which networks may evaluate each of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

import pandas as pd

from fundoscope.data.manifest import picture_paths, read_manifest
from fundoscope.errors import BadRequest
from fundoscope.heatmaps.certification.leakage import LEARNT, Exposure, TrainingSet, exposures_of
from fundoscope.heatmaps.certification.measure import PreparedPhotograph
from fundoscope.heatmaps.certification.scenes import read_photographs, short_names, with_masks
from fundoscope.photo.recipe import Recipe
from fundoscope.tables.columns import LESION_MASKS

LESION_FREE_GRADE: Final = 0
"""Photographs of this grade have no lesion of retinopathy, by definition of the scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Photographs that a certificate may be based on."""

    frame: pd.DataFrame
    manifest: Path
    lesions: bool
    """Whether they have masks of lesions; False: they have no lesions."""

    @property
    def paths(self) -> list[Path]:
        """Their files."""
        return picture_paths(self.frame, self.manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Photographs with the number of their evaluator, and those that no network may be evaluated on."""

    photographs: tuple[PreparedPhotograph, ...]
    left_out: tuple[dict[str, str], ...]
    """`image` and `why` of each photograph that is left out."""

    def counts(self) -> dict[str, Any]:
        """Return the counts as a certificate stores them."""
        lesions = [photograph.scene for photograph in self.photographs if photograph.scene.marked]
        return {
            "lesions": len(lesions),
            "patients": len({(scene.source, scene.patient or scene.image) for scene in lesions}),
            "lesion_free": len(self.photographs) - len(lesions),
            "left_out": [dict(entry) for entry in self.left_out],
        }


def candidates_of(
    manifest: Path, *, lesions: bool, leave_out: Collection[str] = (), splits: Collection[str] = (), most: int = 0
) -> Candidates:
    """Read the rows of a manifest that heatmaps may be tested on: those with masks, or those of grade 0.

    Args:
        manifest: Table of photographs.
        lesions: With masks of lesions; False: without any lesion.
        leave_out: Photographs by their name in the manifest, their file's name, or that without suffix.
        splits: Use only rows of these splits; empty: all.
        most: Use at most this many; 0: all.

    Raises:
        BadTable: If the manifest is not as it should be.
        BadRequest: If no row is left.
    """
    frame = read_manifest(manifest)
    if splits:
        frame = frame[frame["split"].isin(list(splits))] if "split" in frame else frame.iloc[:0]
    frame = frame[[not (names_of(image) & set(leave_out)) for image in frame["image"]]]
    if lesions:
        frame = frame[with_masks(frame)]
    elif "grade" in frame:
        frame = frame[(frame["grade"] == LESION_FREE_GRADE).fillna(False).astype(bool)]
    frame = (frame.head(most) if most else frame).reset_index(drop=True)
    if frame.empty:
        expected = f"rows with a mask of a lesion ({', '.join(LESION_MASKS)})" if lesions else "rows of grade 0"
        raise BadRequest(f"{manifest}: expected {expected} to test heatmaps on, got none. Give another manifest.")
    return Candidates(frame=frame, manifest=manifest, lesions=lesions)


def names_of(image: object) -> set[str]:
    """Return what a photograph may be called on the command line."""
    path = PurePath(str(image))
    return {str(image), path.name, path.stem}


def select_photographs(
    candidates: Sequence[Candidates],
    recipe: Recipe,
    *,
    training_set: TrainingSet | None,
    learnt: Collection[str],
    folds: Sequence[int] = (),
    cache: Path,
    threads: int,
) -> Selection:
    """Prepare the photographs that some network may be evaluated on, and name the others.

    Args:
        candidates: With lesions, and without.
        recipe: The release's.
        training_set: What was learnt from, to find copies of it by their pixels; None: only its hashes are known.
        learnt: SHA-256 of what the release learnt from.
        folds: Folds whose networks are evaluated; an evaluator's number is its place in this list. Empty: the release's
            own network, which is evaluated only on what it did not learn from. Photographs that no fold's network saw
            are distributed evenly over the folds.
        cache: Folder for fingerprints.
        threads: Photographs processed in parallel.

    Raises:
        BadRequest: If no photograph with lesions is left.
    """
    frame = pd.concat([group.frame for group in candidates], ignore_index=True)
    paths = [path for group in candidates for path in group.paths]
    exposures = exposures_of(frame, paths, training_set, learnt=learnt, cache=cache, threads=threads)
    photographs: list[PreparedPhotograph] = []
    left_out: list[dict[str, str]] = []
    start = 0
    for group in candidates:
        own = exposures[start : start + len(group.frame)]
        start += len(group.frame)
        # An evaluator's number, or the reason why there is none.
        evaluators = [_evaluator(exposure, row, folds) for row, exposure in enumerate(own)]
        names = short_names(group.frame)
        left_out += [
            {"image": name, "why": reason}
            for name, reason in zip(names, evaluators, strict=True)
            if isinstance(reason, str)
        ]
        usable = [row for row, evaluator in enumerate(evaluators) if isinstance(evaluator, int)]
        numbers = [evaluator for evaluator in evaluators if isinstance(evaluator, int)]
        rows = group.frame.iloc[usable].reset_index(drop=True)
        photographs += read_photographs(rows, group.manifest, recipe, numbers, lesions=group.lesions)
    if not any(photograph.scene.marked for photograph in photographs):
        raise BadRequest(
            "--lesions: expected photographs with lesions that the network did not learn from, got none: "
            f"{left_out[0]['image']}: {left_out[0]['why']}. Give others, or the runs with their folds (--checkpoint)."
        )
    return Selection(photographs=tuple(photographs), left_out=tuple(left_out))


def _evaluator(exposure: Exposure, row: int, folds: Sequence[int]) -> int | str:
    """Return the number of the evaluator, or the reason why there is none."""
    if exposure.refused:
        return exposure.refused
    if not folds:
        return 0 if exposure.fold is None else LEARNT
    return row % len(folds) if exposure.fold is None else folds.index(exposure.fold)
