"""Manifests: read, written, moved, and made from a folder of pictures or somebody's CSV."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.both_eyes import one_row_per_eye
from fundoscope.data.grade_words import REJECT, read_grades
from fundoscope.data.words import decoded, read_words
from fundoscope.errors import BadRequest, BadTable
from fundoscope.files import sha256_of
from fundoscope.photo.decoding.kinds import PICTURE_NAMES, READABLE
from fundoscope.photo.folders import Walk, kind_of_file
from fundoscope.photo.read import PICTURE_SUFFIXES
from fundoscope.tables import MANIFEST_COLUMNS, check_manifest, read_table, write_table
from fundoscope.tables.cells import is_text
from fundoscope.tables.columns import MASK_COLUMNS, SIGN_PREFIX
from fundoscope.tables.formats import own_columns_aside, read_raw
from fundoscope.tables.notes import note
from fundoscope.tables.places import Places

PATH_COLUMNS: Final = ("image", "boxes", *MASK_COLUMNS)
"""Columns that hold paths relative to the manifest."""


def read_manifest(path: Path | str) -> pd.DataFrame:
    """Read and check a manifest: columns of `tables.MANIFEST_COLUMNS` typed, others as they came.

    Raises:
        BadTable: If it is not as the columns' contract says; the message names the row.
    """
    return check_manifest(read_table(path), path=path)


def write_manifest(frame: pd.DataFrame, path: Path | str) -> None:
    """Check a manifest and write it, its columns in the contract's order, then the others.

    Raises:
        BadTable: If it is not as the columns' contract says.
    """
    checked = check_manifest(frame, path=path)
    ordered = [name for name in MANIFEST_COLUMNS if name in checked]
    write_table(checked[ordered + [name for name in checked.columns if name not in MANIFEST_COLUMNS]], path)


def picture_paths(frame: pd.DataFrame, manifest_path: Path | str) -> list[Path]:
    """Return the file of each row, found as `Places` does; paths in a manifest are relative to its folder."""
    places = Places(Path(manifest_path).parent)
    return [places.find(str(image)) for image in frame["image"]]


def rebased(frame: pd.DataFrame, old: Path | str, new: Path | str) -> pd.DataFrame:
    """Return a copy whose paths are relative to the folder `new` instead of `old`."""
    here, there = os.path.realpath(old), os.path.realpath(new)
    moved = frame.copy()
    for name in PATH_COLUMNS:
        if name in frame:
            paths = [
                None if pd.isna(value) else _relative(os.path.join(here, str(value)), there) for value in frame[name]
            ]
            moved[name] = pd.Series(paths, index=frame.index, dtype=object)
    return moved


def manifest_from_folder(folder: Path | str) -> pd.DataFrame:
    """Make a manifest of the pictures in a folder and below it, by name: image and sha256, nothing guessed.

    Pictures are found by what the files hold (`photo.folders.Walk`). Those of a kind that cannot be read have their
    rows, too: a photograph that is left out is one that nobody looks at. Notes say what was passed over. Paths are
    relative to the folder.

    Raises:
        BadRequest: If there is no such folder, or no picture in it.
        BadTable: If a picture cannot be read from the disk.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadRequest(f"{root}: expected a folder of pictures, got no folder. Check the path.")
    walk = Walk(root)
    found = sorted(walk.photographs())
    pictures = [path for path in found if path.is_file()]
    for sentence in (*walk.notes(), *walk.troubles, *_unusable(root, found, pictures)):
        note(sentence)
    if not pictures:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise BadRequest(f"{root}: expected pictures ({kinds}), found none. Check the folder.")
    frame = pd.DataFrame({"image": [path.relative_to(root).as_posix() for path in pictures]}, dtype=object)
    return with_hashes(frame, root)


def _unusable(root: Path, found: Sequence[Path], pictures: Sequence[Path]) -> Iterator[str]:
    """Yield sentences about names that lead to no file, and about pictures of kinds that cannot be read."""
    if len(found) > len(pictures):
        first = next(path for path in found if not path.is_file())
        yield f"{root}: {len(found) - len(pictures)} named as pictures are no files, left out; the first is {first}."
    kinds = Counter(kind for path in pictures if (kind := kind_of_file(path)) is not None and kind not in READABLE)
    if kinds:
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield f"{root}: {counts}: they have their rows, but cannot be read here. Convert them to JPEG or PNG."


def manifest_from_csv(
    csv: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    signs: Mapping[str, str] | None = None,
    codes: Mapping[str, Mapping[str, str]] | None = None,
    grades: Mapping[str, str] | None = None,
    folder: Path | str | None = None,
) -> pd.DataFrame:
    """Make a manifest from a table of labels in somebody's own words. Columns that are not named are kept as text.

    A table with one row per patient and a column for each eye is read as one row per eye (`both_eyes`).

    Args:
        csv: The table, of any format that `read_table` reads.
        columns: Column of the manifest to the table's column that it is read from: {"grade": "level"}. `image`, the
            pictures' names with or without their suffix, is read from a column of that name where none is given.
        signs: Name of a sign to the table's column of it, 0 absent and 1 present: multi-label targets, which become
            columns `sign_NAME`.
        codes: Of a column of the manifest (`grade`, `sign_NAME`), each of the table's codes to the manifest's value:
            {"grade": {"Moderate": "2"}}. A code that is not listed is refused.
        grades: Words and numbers of the column `grade`, with the grade that each means, beside those that
            `grade_words` knows: {"R1": "1", "-1": "ungradable"}.
        folder: Where the pictures lie; None: where the table lies. Paths are relative to it.

    Raises:
        BadRequest: If a name in `columns` or `codes` is no column of a manifest.
        BadTable: If a column is missing, a value is wrong, or a picture is not there.

    Example:
        >>> manifest_from_csv("labels.csv", columns={"image": "file"}, signs={"ma": "Microaneurysms"})  # doctest: +SKIP
    """
    table = Path(csv)
    sign_columns = {SIGN_PREFIX + name: theirs for name, theirs in (signs or {}).items()}
    wanted = {"image": "image", **(columns or {}), **sign_columns}
    unknown = [name for name in (*wanted, *(codes or {})) if name not in MANIFEST_COLUMNS and name not in wanted]
    unknown += [name for name in columns or {} if name not in MANIFEST_COLUMNS]
    if unknown:
        raise BadRequest(
            f"{table}: expected columns of a manifest ({', '.join(MANIFEST_COLUMNS)}) or named signs, got "
            f"{unknown[0]}. Correct the name."
        )
    # In a table of somebody else a column of our name may hold other words: nothing is typed before it is decoded.
    frame = read_words(table, ()) if is_text(table) else read_raw(table)
    frame = one_row_per_eye(frame, wanted.values(), table)
    frame = own_columns_aside(_renamed(frame, wanted, table), table, partly=True)
    frame = _decoded(frame, codes or {}, grades or {}, table)
    root = table.parent if folder is None else Path(folder)
    frame = check_manifest(frame.reset_index(drop=True), path=table)
    places = Places(root)
    images = [_find_picture(places, name) for name in frame["image"]]
    frame["image"] = pd.Series(images, index=frame.index, dtype=object)
    # Again: a name with its suffix and the same without it are one picture twice.
    meant = frame["sha256"] if "sha256" in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
    checked = with_hashes(check_manifest(frame, path=table), root)
    _check_hashes(checked, meant, table)
    missing = checked.loc[checked["sha256"].isna(), "image"]
    if len(missing):
        raise BadTable(
            f"{table}: expected every picture under {root}, {len(missing)} of {len(checked)} are not there, "
            f"the first is {missing.iloc[0]}. Name the pictures' folder, or delete the rows."
        )
    return checked


def _check_hashes(frame: pd.DataFrame, meant: pd.Series, table: Path) -> None:
    """Refuse files that are not those that a table means by their hashes."""
    others = frame.loc[meant.notna() & frame["sha256"].notna() & (meant != frame["sha256"]), "image"]
    if len(others):
        raise BadTable(
            f"{table}: expected the files that its column sha256 means, got others for {len(others)} of {len(frame)} "
            f"pictures, the first is {others.iloc[0]}. Copy them again, or correct the column."
        )


def _decoded(
    frame: pd.DataFrame, codes: Mapping[str, Mapping[str, str]], grades: Mapping[str, str], table: Path
) -> pd.DataFrame:
    """Return the table with its codes as the manifest's values."""
    for name in (*codes, *(["grade"] if grades else [])):
        if name not in frame:
            raise BadTable(f"{table}: expected a column {name} to read the codes of, got none. Name its column.")
    for name, values in codes.items():
        words = frame[name].map(lambda value: None if pd.isna(value) else str(value))
        # What --code lists is all that there may be; of grades, --grade-map may say more.
        if name != "grade":
            frame[name] = decoded(words, values, table)
        elif not grades:
            decoded(words, values, table)
    if "grade" not in frame:
        return frame
    read, ungradable = read_grades(frame["grade"], {**codes.get("grade", {}), **grades}, table)
    quality = frame["quality"] if "quality" in frame else pd.Series([None] * len(frame), index=frame.index)
    if ungradable.any():
        frame = frame.assign(quality=quality.astype(object).where(~ungradable, REJECT))
    return frame.assign(grade=read)


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], table: Path) -> pd.DataFrame:
    """Return the table with its columns renamed to the manifest's, or refuse it where one is missing."""
    for theirs in columns.values():
        if theirs not in frame:
            raise BadTable(
                f"{table}: expected a column {theirs}, got {', '.join(map(str, frame.columns[:12]))}. "
                "Say which columns hold the picture, the grade and the patient."
            )
    # One column of the table may be read twice: a grade and, by its codes, a label.
    read = {ours: frame[theirs] for ours, theirs in columns.items()}
    rest = frame.drop(columns=[name for name in frame.columns if name in read or name in columns.values()])
    return pd.concat([pd.DataFrame(read), rest], axis=1)


def with_hashes(frame: pd.DataFrame, folder: Path | str) -> pd.DataFrame:
    """Return a copy with `sha256` of every picture filled in; blank where there is no such file.

    Raises:
        BadTable: If a picture is there but cannot be read.
    """
    root = Path(folder)
    return frame.assign(sha256=pd.Series(list(_hashes(root, frame["image"])), index=frame.index, dtype=object))


def _hashes(root: Path, images: Iterable[object]) -> Iterable[str | None]:
    for image in images:
        path = root / str(image)
        try:
            yield sha256_of(path) if path.is_file() else None
        except OSError as error:
            raise BadTable(
                f"{path}: expected a readable picture, got: {error.strerror}. Check its permissions."
            ) from error


def _find_picture(places: Places, name: str) -> str:
    """Return the name of the file that is meant, with its suffix where the table leaves it out (as Kaggle's do)."""
    for candidate in (name, *(name + suffix for suffix in (*sorted(PICTURE_SUFFIXES), *PICTURE_NAMES))):
        path = places.find(candidate)
        if path.is_file():
            return path.relative_to(places.folder).as_posix() if not Path(name).is_absolute() else str(path)
    return name


def _relative(path: str, folder: str) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
