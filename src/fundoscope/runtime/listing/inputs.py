"""Which photographs a command means: files, folders and manifests turned into one list, a row for each."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import pandas as pd

from fundoscope.errors import BadRequest
from fundoscope.photo.decoding.header import clean_identifier
from fundoscope.photo.folders import Walk
from fundoscope.photo.read import PICTURE_SUFFIXES
from fundoscope.runtime.listing.identifiers import is_filling, is_placeholder
from fundoscope.tables import check_manifest, read_table
from fundoscope.tables.fellows import NO_FELLOW, find_fellows
from fundoscope.tables.formats import READ_SUFFIXES
from fundoscope.tables.patients import texts
from fundoscope.tables.places import Places

Key = TypeVar("Key")
Value = TypeVar("Value")

FOLDER_MANIFEST: Final = "manifest.csv"
"""A manifest of this name in a folder describes the folder's photographs."""

DETAILS: Final = ("source", "patient", "patient_raw", "eye", "taken")
"""Columns that a manifest hands on to the predictions. `patient_raw` is what it wrote where `patient` differs."""

NAMED_FILES: Final = 3
"""Names of one file that a note shows at most."""


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
    sha256: str | None = None
    """What its manifest says of its bytes; None where it says nothing."""
    fellow_sha256: str | None = None
    """The same of the other eye's file."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found, in order, with what a person should know about it."""

    photographs: tuple[Listed, ...]
    """Each `image` once. One file may be there by several names, and each has its row."""
    notes: tuple[str, ...]
    """Sentences: a manifest was used, files were passed over, a path was repeated."""
    troubles: tuple[str, ...]
    """Sentences: a folder could not be read; the others were."""
    tables: tuple[Path, ...] = ()
    """Manifests that were read."""


class Described:
    """The rows of a manifest, found by the files that they name."""

    def __init__(self, rows: Sequence[Listed] = ()) -> None:
        self.rows = tuple(rows)
        self._by_name = _grouped((_name(row.path), row) for row in rows)
        self._by_place = _grouped((_place(row.path), row) for row in rows)
        self._by_file = _grouped((os.path.realpath(row.path), row) for row in rows)

    def of(self, path: Path) -> Sequence[Listed]:
        """Return the rows that describe a file: those that name it, else those that name its folder by another way.

        Several files may be links to one; a row of another name is taken only if no other row means the same file.
        """
        if not self.rows:
            return ()
        named = self._by_name.get(_name(path)) or self._by_place.get(_place(path))
        if named is not None:
            return named
        same_file = self._by_file.get(os.path.realpath(path), [])
        return same_file if len(same_file) == 1 else ()

    def below(self, folder: Path) -> Iterator[Listed]:
        """Yield the rows whose files lie in a folder or below it, or would if they were there."""
        named, real = (os.path.join(place, "") for place in (os.path.abspath(folder), os.path.realpath(folder)))
        for row in self.rows:
            if os.path.abspath(row.path).startswith(named) or _place(row.path).startswith(real):
                yield row


def list_photographs(paths: Sequence[Path | str], *, manifest: Path | str | None = None) -> Listing:
    """Find the photographs that paths and a manifest name.

    A file is taken whatever its name; a folder gives its pictures (`folders.Walk`), in order of name, and the rows of a
    manifest whose files are missing in it. A folder that holds `manifest.csv` is described by it. With `manifest`, the
    photographs it lists carry its text in `image` and its patient, eye, source and time; without paths, they are all
    of them.

    Raises:
        BadRequest: If there is nothing to grade.
        BadTable: If a manifest is not as its columns' contract says.
    """
    collection = _Collection(manifest=None if manifest is None else Path(manifest))
    if not paths:
        collection.add_rows()
    for path in paths:
        collection.add(Path(path))
    return collection.listing()


def list_named(name: Path | str) -> Listing:
    """Find the photographs of a folder or a manifest, or take one photograph; raises as `list_photographs`."""
    path = Path(name)
    if not path.is_dir() and path.suffix.lower() in READ_SUFFIXES:
        return list_photographs([], manifest=path)
    return list_photographs([path])


class _Collection:
    """Photographs as they are found, each path and each row of a manifest once."""

    def __init__(self, *, manifest: Path | None) -> None:
        self.manifest = manifest
        self.described = Described() if manifest is None else Described(_described(manifest))
        self.tables = [] if manifest is None else [manifest]
        self.photographs: list[Listed] = []
        self._positions: dict[str, list[int]] = {}
        """Where the photographs of each path stand."""
        self._rows: set[int] = set()
        """Positions of rows of a manifest."""
        self.notes: list[str] = []
        self.troubles: list[str] = []
        self.repeated = 0
        self.unlisted = 0

    def add_rows(self) -> None:
        """Add all rows of the manifest."""
        for row in self.described.rows:
            self._put(row)

    def add(self, path: Path) -> None:
        """Add what one path names; a file that is not there is listed too, and its row will say so."""
        if os.path.isdir(path):
            self._add_folder(path)
        else:
            self._add_file(path, self.described)

    def _add_folder(self, folder: Path) -> None:
        described, table = self.described, folder / FOLDER_MANIFEST
        used = self.manifest is None and table.is_file()
        if used:
            described = Described(_described(table))
            self.tables.append(table)
            self.notes.append(f"{table}: patients and eyes are taken from it.")
        walk = Walk(folder, manifest=table if used else self.manifest)
        before = len(self.photographs) + self.repeated
        for picture in walk.photographs():
            self._add_file(picture, described)
        missing = 0
        for row in described.below(folder):
            # A photograph that is listed and missing is one that was not looked at: its patient must not go without it.
            if _name(row.path) not in self._positions:
                self._put(row)
                missing += 1
        if missing:
            self.notes.append(f"{folder}: {missing} of the photographs in its manifest are missing.")
        self.notes.extend(walk.notes())
        self.troubles.extend(walk.troubles)
        if len(self.photographs) + self.repeated == before and not walk.troubles:
            kinds = ", ".join(sorted(suffix.lstrip(".") for suffix in PICTURE_SUFFIXES))
            self.troubles.append(
                f"{folder}: expected pictures ({kinds}), found none. Check the folder, or name the files."
            )

    def _add_file(self, path: Path, described: Described) -> None:
        rows = described.of(path)
        self.unlisted += not rows
        for row in rows:
            self._put(row)
        if not rows and _name(path) in self._positions:
            self.repeated += 1
        elif not rows:
            self._append(Listed(name_as_text(path), path))

    def _put(self, row: Listed) -> None:
        """Add a row of a manifest; several of its rows may name one file, and each is a photograph of its own."""
        for position in self._positions.get(_name(row.path), []):
            if position not in self._rows or self.photographs[position].image == row.image:
                self.photographs[position] = row
                self._rows.add(position)
                self.repeated += 1
                return
        self._rows.add(len(self.photographs))
        self._append(row)

    def _append(self, photograph: Listed) -> None:
        self._positions.setdefault(_name(photograph.path), []).append(len(self.photographs))
        self.photographs.append(photograph)

    def listing(self) -> Listing:
        """Return what was found.

        Raises:
            BadRequest: If there is nothing.
        """
        photographs = _with_distinct_names(self.photographs)
        if not photographs:
            raise BadRequest(
                " ".join(self.troubles)
                or f"{self.manifest or 'grade'}: expected photographs, got none. Name files, a folder or a manifest."
            )
        if self.repeated:
            were = "s were" if self.repeated > 1 else " was"
            self.notes.append(f"{self.repeated} photograph{were} named more than once: graded once.")
        if self.described.rows and self.unlisted:
            self.notes.append(
                f"{self.unlisted} of {len(photographs)} photographs are not in {self.manifest}: graded without patient "
                "and eye."
            )
        self.notes.extend(_doubtful_patients(photographs))
        self.notes.extend(_repeated_files(photographs))
        return Listing(tuple(photographs), tuple(self.notes), tuple(self.troubles), tuple(self.tables))


def _doubtful_patients(photographs: Sequence[Listed]) -> Iterator[str]:
    """Yield a sentence for each name that several photographs have and that looks typed to fill the field."""
    counts = Counter(str(photograph.details.get("patient", "")) for photograph in photographs)
    for name, count in counts.items():
        # A table that numbers its patients from 0 has a patient 1 as well.
        if count > 1 and is_filling(name) and not (name.strip("0") == "" and any(str(n) in counts for n in (1, "01"))):
            yield (
                f"{count} photographs have the patient {name}, which looks like a placeholder: they are answered as "
                "one patient. Leave patient blank where it is not known."
            )


def _repeated_files(photographs: Sequence[Listed]) -> Iterator[str]:
    """Yield a sentence if several photographs are one file: a link, or a row that was copied."""
    files = [group for group in _grouped(_identities(photographs)).values() if len(group) > 1]
    if not files:
        return
    names = ", ".join(photograph.image for photograph in files[0][:NAMED_FILES])
    rows, more = sum(map(len, files)), " ..." if len(files[0]) > NAMED_FILES else ""
    sentence = (
        f"{rows} photographs are {len(files)} file{'s' if len(files) > 1 else ''} by several names ({names}{more})"
    )
    strangers = [group for group in files if len({_patient(photograph) for photograph in group}) > 1]
    if strangers:
        named = ", ".join(sorted({str(photograph.details.get("patient")) for photograph in strangers[0]})[:NAMED_FILES])
        sentence += f", of different patients ({named}): check the manifest"
    yield f"{sentence}. Each has a row of its own."


def _identities(photographs: Sequence[Listed]) -> Iterator[tuple[tuple[int, int], Listed]]:
    for photograph in photographs:
        try:
            state = os.stat(photograph.path)
        except (OSError, ValueError):
            continue
        yield (state.st_dev, state.st_ino), photograph


def _patient(photograph: Listed) -> tuple[object, object]:
    return photograph.details.get("source"), photograph.details.get("patient")


def _with_distinct_names(photographs: Sequence[Listed]) -> list[Listed]:
    """Name photographs by their paths where two folders' manifests write the same text, and number what is left."""
    uses = Counter(photograph.image for photograph in photographs)
    named = [
        replace(photograph, image=name_as_text(photograph.path)) if uses[photograph.image] > 1 else photograph
        for photograph in photographs
    ]
    images = numbered([photograph.image for photograph in named])
    return [replace(photograph, image=image) for photograph, image in zip(named, images, strict=True)]


def numbered(names: Sequence[str]) -> list[str]:
    """Return names that all differ: one that was there before gets a number that makes no other name.

    Example:
        >>> numbered(["a", "a", "a (2)", "a"])
        ['a', 'a (3)', 'a (2)', 'a (4)']
    """
    taken, counts, distinct = set(names), Counter[str](), []
    for name in names:
        counts[name] += 1
        candidate = name
        while counts[name] > 1 and candidate in taken:
            candidate = f"{name} ({counts[name]})"
            counts[name] += candidate in taken
        taken.add(candidate)
        distinct.append(candidate)
    return distinct


def _described(manifest: Path) -> list[Listed]:
    """Return a manifest's photographs in order; paths in it are relative to it.

    Fellows are found among all of them, so that a photograph graded alone and with the others gets one answer.
    """
    frame = check_manifest(read_table(manifest), path=manifest)
    _clean_names(frame)
    columns = [name for name in DETAILS if name in frame.columns]
    places = Places(manifest.parent)
    files = [places.find(str(image)) for image in frame["image"]]
    hashes = texts(frame, "sha256")
    photographs = [
        Listed(str(row["image"]), path, dict(_filled(row, columns)), sha256=sha256)
        for row, path, sha256 in zip(frame.to_dict("records"), files, hashes, strict=True)
    ]
    return [
        photograph if fellow == NO_FELLOW else replace(photograph, fellow=files[fellow], fellow_sha256=hashes[fellow])
        for photograph, fellow in zip(photographs, find_fellows(frame), strict=True)
    ]


def _clean_names(frame: pd.DataFrame) -> None:
    """Name sources and patients without blanks around them, and no patient by a placeholder; what was written stays."""
    for column in {"source", "patient"} & set(frame.columns):
        pairs = [(None, None) if pd.isna(name) else clean_identifier(str(name)) for name in frame[column]]
        if column == "patient":
            pairs = [(None, raw or name) if name and is_placeholder(name) else (name, raw) for name, raw in pairs]
            frame["patient_raw"] = pd.Series([raw for _, raw in pairs], index=frame.index, dtype=object)
        frame[column] = pd.Series([name for name, _ in pairs], index=frame.index, dtype=object)


def _filled(row: dict[Any, Any], columns: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in columns:
        if not pd.isna(row[name]):
            yield name, str(row[name])


def name_as_text(path: Path) -> str:
    r"""Return a path as text that every table and terminal can hold, different for different paths.

    Bytes that are not UTF-8 become `\xe9`, and a backslash of the name itself that could be taken for such `\x5c`.
    """
    data = os.fsencode(path)
    if os.name == "posix":
        data = re.sub(rb"\\(?=x[0-9a-f]{2})", rb"\\x5c", data)
    return data.decode("utf-8", errors="backslashreplace")


def _grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    groups: dict[Key, list[Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _name(path: Path) -> str:
    """A path as it is written, made absolute; links in it are not followed."""
    return str(path.absolute())


def _place(path: Path) -> str:
    """A path by its real folder, and its own name in it."""
    return os.path.join(os.path.realpath(path.parent), path.name)
