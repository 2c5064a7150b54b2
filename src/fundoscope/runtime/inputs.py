"""Which photographs a command means: files, folders and manifests turned into one list without repetition."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.errors import BadRequest
from fundoscope.photo.read import PICTURE_SUFFIXES
from fundoscope.tables import check_manifest, read_table
from fundoscope.tables.fellows import NO_FELLOW, find_fellows

FOLDER_MANIFEST: Final = "manifest.csv"
"""A manifest of this name in a folder describes the folder's photographs."""

DETAILS: Final = ("source", "patient", "eye", "taken")
"""Columns that a manifest hands on to the predictions."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A photograph to be graded."""

    image: str
    """What the column `image` will hold: the path as typed, or as the manifest writes it."""
    path: Path
    """The file to open."""
    details: dict[str, Any] = field(default_factory=dict)
    """What a manifest says of it, by column of `DETAILS`; absent where it says nothing."""
    fellow: Path | None = None
    """The same patient's other eye, as its manifest tells (`fellows.find_fellows`); a release of single eyes never
    opens it. None also where only the file itself knows whose eye it shows (DICOM): nothing is read before grading."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found, in order, with what a person should know about it."""

    photographs: tuple[Listed, ...]
    notes: tuple[str, ...]
    """Sentences: a manifest was used, a path was repeated."""
    troubles: tuple[str, ...]
    """Sentences: a folder could not be read; the others were."""


def list_photographs(paths: Sequence[Path | str], *, manifest: Path | str | None = None) -> Listing:
    """Find the photographs that paths and a manifest name.

    A file is taken whatever its name; a folder gives its pictures, at any depth, in order of name. A folder that
    holds `manifest.csv` is described by it. With `manifest`, the photographs it lists carry its text in `image` and
    its patient, eye, source and time; without paths, they are all of them.

    Raises:
        BadRequest: If there is nothing to grade.
        BadTable: If a manifest is not as its columns' contract says.
    """
    notes: list[str] = []
    troubles: list[str] = []
    described: dict[str, Listed] = {}
    if manifest is not None:
        described = _described(Path(manifest))
    if not paths:
        if not described:
            raise BadRequest(
                f"{manifest or 'grade'}: expected photographs, got none. Name files, a folder or a manifest."
            )
        return Listing(tuple(described.values()), (), ())
    photographs: dict[str, Listed] = {}
    repeated = 0
    for path in paths:
        for photograph in _under(Path(path), troubles, notes, use_manifest=manifest is None):
            key = _key(photograph.path)
            repeated += key in photographs
            photographs.setdefault(key, described.get(key, photograph))
    photographs = _with_distinct_names(photographs)
    if not photographs:
        raise BadRequest(" ".join(troubles) or "grade: expected photographs, got none.")
    if repeated:
        notes.append(f"{repeated} photograph{'s were' if repeated > 1 else ' was'} named more than once: graded once.")
    unlisted = len(set(photographs) - set(described))
    if described and unlisted:
        notes.append(
            f"{unlisted} of {len(photographs)} photographs are not in {manifest}: graded without patient and eye."
        )
    return Listing(tuple(photographs.values()), tuple(notes), tuple(troubles))


def _with_distinct_names(photographs: dict[str, Listed]) -> dict[str, Listed]:
    """Name photographs by their paths where two folders' manifests write the same text for two files."""
    uses = Counter(photograph.image for photograph in photographs.values())
    return {
        key: replace(photograph, image=_text(photograph.path)) if uses[photograph.image] > 1 else photograph
        for key, photograph in photographs.items()
    }


def _under(path: Path, troubles: list[str], notes: list[str], *, use_manifest: bool) -> Iterator[Listed]:
    """Yield the photographs that one path names; a file that is not there is listed too, and its row will say so."""
    if not path.is_dir():
        yield Listed(_text(path), path)
        return
    described: dict[str, Listed] = {}
    if use_manifest and (path / FOLDER_MANIFEST).is_file():
        described = _described(path / FOLDER_MANIFEST)
        notes.append(f"{path / FOLDER_MANIFEST}: patients and eyes are taken from it.")
    count = 0
    for picture in _pictures(path, troubles):
        count += 1
        yield described.get(_key(picture), Listed(_text(picture), picture))
    if not count and not any(str(path) in trouble for trouble in troubles):
        kinds = ", ".join(sorted(suffix.lstrip(".") for suffix in PICTURE_SUFFIXES))
        troubles.append(f"{path}: expected pictures ({kinds}), found none. Check the folder, or name the files.")


def _pictures(folder: Path, troubles: list[str]) -> Iterator[Path]:
    """Yield pictures in a folder and below it, by name; hidden ones are left out, as a shell's * leaves them out."""

    def unreadable(problem: OSError) -> None:
        troubles.append(
            f"{problem.filename}: expected a readable folder, got: {problem.strerror}. Check its permissions."
        )

    for root, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."):
                yield Path(root) / name


def _described(manifest: Path) -> dict[str, Listed]:
    """Return a manifest's photographs by the file they lie in; paths in it are relative to it.

    Fellows are found among all of them, so that a photograph graded alone and with the others gets one answer.
    """
    frame = check_manifest(read_table(manifest), path=manifest)
    columns = [name for name in DETAILS if name in frame.columns]
    files = [manifest.parent / str(image) for image in frame["image"]]
    return {
        _key(path): Listed(
            str(row["image"]), path, dict(_filled(row, columns)), None if fellow == NO_FELLOW else files[fellow]
        )
        for row, path, fellow in zip(frame.to_dict("records"), files, find_fellows(frame), strict=True)
    }


def _filled(row: dict[Any, Any], columns: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in columns:
        if not pd.isna(row[name]):
            yield name, str(row[name])


def _text(path: Path) -> str:
    """Return a path as text that every table and terminal can hold, also where its name is not UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def _key(path: Path) -> str:
    return os.path.realpath(path)
