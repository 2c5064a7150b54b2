"""Manifests: read, written, moved, and made from a folder of pictures or somebody's CSV."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadRequest, BadTable
from fundoscope.files import sha256_of
from fundoscope.photo.read import PICTURE_SUFFIXES
from fundoscope.tables import MANIFEST_COLUMNS, check_manifest, read_table, write_table
from fundoscope.tables.columns import MASK_COLUMNS

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
    known = [name for name in MANIFEST_COLUMNS if name in checked]
    write_table(checked[known + [name for name in checked.columns if name not in MANIFEST_COLUMNS]], path)


def picture_paths(frame: pd.DataFrame, manifest_path: Path | str) -> list[Path]:
    """The file of each row; paths in a manifest are relative to the folder it lies in."""
    folder = Path(manifest_path).parent
    return [folder / str(image) for image in frame["image"]]


def rebased(frame: pd.DataFrame, old: Path | str, new: Path | str) -> pd.DataFrame:
    """A copy whose paths, relative to the folder `old`, are relative to the folder `new`."""
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
    """A manifest of the pictures in a folder and below it, by name: image and sha256, nothing guessed.

    Paths are relative to the folder.

    Raises:
        BadRequest: If there is no such folder, or no picture in it.
        BadTable: If a picture cannot be read from the disk.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadRequest(f"{root}: expected a folder of pictures, got no folder. Check the path.")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    names = [path.relative_to(root) for path in found]
    names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    if not names:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise BadRequest(f"{root}: expected pictures ({kinds}), found none. Check the folder.")
    frame = pd.DataFrame({"image": [name.as_posix() for name in names]}, dtype=object)
    return with_hashes(frame, root)


def manifest_from_csv(
    csv: Path | str,
    *,
    image: str = "image",
    grade: str | None = "grade",
    patient: str | None = None,
    folder: Path | str | None = None,
) -> pd.DataFrame:
    """A manifest from a table of labels in its own words. Other columns are kept as text.

    Args:
        csv: The table: CSV, Parquet or JSON lines.
        image: Its column of picture names, with or without their suffix.
        grade: Its column of ICDR grades 0 to 4; None: it has none.
        patient: Its column of patients; None: it has none, or calls it `patient`.
        folder: Where the pictures lie; None: where the table lies. Paths are relative to it.

    Raises:
        BadTable: If a column is missing, a value is wrong, or a picture is not there.
    """
    table = Path(csv)
    frame = read_table(table)
    wanted = {"image": image, "grade": grade, "patient": patient}
    for column in wanted.values():
        if column is not None and column not in frame:
            raise BadTable(
                f"{table}: expected a column {column}, got {', '.join(map(str, frame.columns[:12]))}. "
                "Say which columns hold the picture, the grade and the patient."
            )
    for ours, theirs in wanted.items():
        if theirs is not None and theirs != ours:
            frame = frame.drop(columns=[ours] if ours in frame else []).rename(columns={theirs: ours})
    root = table.parent if folder is None else Path(folder)
    frame = check_manifest(frame, path=table)
    frame["image"] = pd.Series([_find_picture(root, name) for name in frame["image"]], index=frame.index, dtype=object)
    # Again: a name with its suffix and the same without it are one picture twice.
    checked = with_hashes(check_manifest(frame, path=table), root)
    missing = checked.loc[checked["sha256"].isna(), "image"]
    if len(missing):
        raise BadTable(
            f"{table}: expected every picture under {root}, {len(missing)} of {len(checked)} are not there, "
            f"the first is {missing.iloc[0]}. Name the pictures' folder, or delete the rows."
        )
    return checked


def with_hashes(frame: pd.DataFrame, folder: Path | str) -> pd.DataFrame:
    """A copy with `sha256` of every picture filled in; blank where there is no such file.

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


def _find_picture(root: Path, name: str) -> str:
    """The name as it is, or with the one suffix under which the picture lies (Kaggle's tables leave it out)."""
    spelled = (f"{name}{kind}" for suffix in sorted(PICTURE_SUFFIXES) for kind in (suffix, suffix.upper()))
    return next((each for each in (name, *spelled) if (root / each).is_file()), name)


def _relative(path: str, folder: str) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
