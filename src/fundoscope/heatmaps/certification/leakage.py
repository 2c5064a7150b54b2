"""Who may judge a photograph: networks that saw neither it, nor a copy of it, nor another of the same patient.

Photographs with drawn lesions are often other files of pictures that a grader learnt from (IDRiD's are), so that
hashes of files say nothing: repeats are sought by their pixels, as `fundoscope audit` does.
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
"""Why a photograph is left out that has no network to judge it."""

SEVERAL: Final = "it is one with photographs of several folds, so that every fold's network saw one of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Photographs that networks learnt from."""

    frame: pd.DataFrame
    """image, sha256, source and patient; fold: which fold's networks did not learn from it, blank where all did."""
    manifest: Path
    """What their paths are relative to the folder of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What networks know of one photograph."""

    fold: int | None = None
    """The only fold whose networks never saw it; None: either all did or none."""
    refused: str = ""
    """Why nobody may judge it; blank where somebody may."""
    repeats: tuple[str, ...] = ()
    """Photographs learnt from that it is one with: the same picture, eye or patient."""


def seen_by(
    asked: pd.DataFrame,
    paths: Sequence[Path],
    known: Known | None,
    *,
    learnt: Collection[str],
    cache: Path,
    threads: int,
) -> list[Seen]:
    """For each photograph, which networks never saw its patient.

    Args:
        asked: Rows of checked manifests.
        paths: Their files.
        known: What was learnt from; None: only the hashes are known.
        learnt: SHA-256 of what the release learnt from.
        cache: Folder for fingerprints (`audit.fingerprint`).
        threads: Photographs worked on side by side.
    """
    mine = asked.drop(columns=["fold", "duplicate_group", "eye_group"], errors="ignore").assign(fold=None, known=False)
    if known is None:
        whole, files = mine, list(paths)
    else:
        whole = pd.concat([mine, known.frame.assign(known=True)], ignore_index=True)
        files = [*paths, *picture_paths(known.frame, known.manifest)]
    fingerprints = collected(take_fingerprints(files, cache, embedder=None, threads=threads), cache, None)
    whole = with_groups(whole.reset_index(drop=True), fingerprints, find_overlap(fingerprints, threads=threads))
    hashes = [own or given or "" for own, given in zip(fingerprints.sha256, texts(whole, "sha256"), strict=True)]
    whole = whole.assign(sha256=pd.Series(hashes, index=whole.index, dtype=object).replace("", None))
    units = units_of(whole)
    held: dict[Hashable, list[int]] = defaultdict(list)
    for at, (unit, taught, sha256) in enumerate(zip(units, whole["known"], whole["sha256"], strict=True)):
        if taught or sha256 in learnt:
            held[unit].append(at)
    return [_seen(held[unit], whole) if unit in held else Seen() for unit in units[: len(mine)]]


def _seen(rows: list[int], whole: pd.DataFrame) -> Seen:
    # A photograph that is asked about and was learnt from stands here twice: once as what is known, with its fold.
    known = whole.iloc[rows][whole["known"].iloc[rows].to_numpy(dtype=bool)]
    repeats, taught = tuple(str(image) for image in known["image"]), known["fold"]
    if taught.empty or taught.isna().any():
        return Seen(refused=LEARNT, repeats=repeats)
    if taught.nunique() > 1:
        return Seen(refused=SEVERAL, repeats=repeats)
    return Seen(fold=int(taught.iloc[0]), repeats=repeats)
