"""Which networks never saw a photograph, nor a copy of it, nor another photograph of the same patient.

Photographs with drawn lesions are often other files of pictures that a grader learnt from (IDRiD's are), so that
hashes of files say nothing: copies are found by their pixels, as `fundoscope audit` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.manifest import picture_paths
from fundoscope.data.split import units_of
from fundoscope.duplicates.fingerprint import collected, take_fingerprints
from fundoscope.duplicates.groups import with_groups
from fundoscope.duplicates.search import find_overlap
from fundoscope.tables.patients import texts

LEARNT: Final = "the release learnt from it, from a copy of it or from another photograph of its patient"
"""Why a photograph is left out that no network may be evaluated on."""

SEVERAL: Final = "it is one with photographs of several folds, so that every fold's network saw one of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Photographs that networks were trained on."""

    frame: pd.DataFrame
    """image, sha256, source and patient; fold: that whose networks never saw the photograph, blank if all did."""
    manifest: Path
    """Manifest whose folder their paths are relative to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Which networks were trained on one photograph, a copy of it, or its patient."""

    fold: int | None = None
    """The only fold whose networks never saw it; None: either all did or none did."""
    refused: str = ""
    """Why no network may be evaluated on it; blank where one may."""
    repeats: tuple[str, ...] = ()
    """Training photographs of the same picture, eye or patient."""


def exposures_of(
    frame: pd.DataFrame,
    paths: Sequence[Path],
    training_set: TrainingSet | None,
    *,
    learnt: Collection[str],
    cache: Path,
    threads: int,
) -> list[Exposure]:
    """Find, for each photograph, the networks that never saw its patient.

    Args:
        frame: Rows of checked manifests.
        paths: Their files.
        training_set: What was learnt from; None: only its hashes are known.
        learnt: SHA-256 of what the release learnt from.
        cache: Folder for fingerprints (`duplicates.fingerprint`).
        threads: Photographs processed in parallel.
    """
    # Groups that a manifest brings along were found among its own photographs: they are found anew, among all.
    own = frame.drop(columns=["fold", "duplicate_group", "eye_group"], errors="ignore").assign(fold=None, taught=False)
    if training_set is None:
        rows, files = own, list(paths)
    else:
        rows = pd.concat([own, training_set.frame.assign(taught=True)], ignore_index=True)
        files = [*paths, *picture_paths(training_set.frame, training_set.manifest)]
    fingerprints = collected(take_fingerprints(files, cache, embedder=None, threads=threads), cache, None)
    rows = with_groups(
        rows.reset_index(drop=True), fingerprints, find_overlap(fingerprints, threads=threads, by_details=False)
    )
    # A file's own hash stands before the one that its manifest states.
    hashes = [hashed or stated or "" for hashed, stated in zip(fingerprints.sha256, texts(rows, "sha256"), strict=True)]
    rows = rows.assign(sha256=pd.Series(hashes, index=rows.index, dtype=object).replace("", None))
    groups = units_of(rows)
    # Of each group that cannot be divided (patient, eye, picture): the rows that networks were trained on.
    taught_rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, (group, taught, sha256) in enumerate(zip(groups, rows["taught"], rows["sha256"], strict=True)):
        if taught or sha256 in learnt:
            taught_rows[group].append(row)
    return [_exposure(taught_rows[group], rows) if group in taught_rows else Exposure() for group in groups[: len(own)]]


def _exposure(taught_rows: list[int], rows: pd.DataFrame) -> Exposure:
    # A candidate that was trained on stands here twice: once as a candidate, once in the training set with its fold.
    taught = rows.iloc[taught_rows][rows["taught"].iloc[taught_rows].to_numpy(dtype=bool)]
    repeats, folds = tuple(str(image) for image in taught["image"]), taught["fold"]
    if folds.empty or folds.isna().any():
        return Exposure(refused=LEARNT, repeats=repeats)
    if folds.nunique() > 1:
        return Exposure(refused=SEVERAL, repeats=repeats)
    return Exposure(fold=int(folds.iloc[0]), repeats=repeats)
