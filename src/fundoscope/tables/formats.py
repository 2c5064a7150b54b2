"""Tables on disk: CSV, Parquet and JSON lines, picked by the suffix."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.errors import BadTable, MissingExtra
from fundoscope.files import replacing
from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS, typed

SUFFIXES: Final = (".csv", ".parquet", ".jsonl")


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a manifest or predictions table; the suffix says which format.

    Columns of the contract get its types (whole numbers `Int64`, numbers `float64`, text as text, so
    that patient "007" stays "007"). A CSV may begin with a byte order mark and be parted by
    commas, semicolons or tabs; columns it has beside the contract's stay text.

    Raises:
        BadTable: If it is absent, empty, not a table, has two columns of one name, or holds a value
            that its column cannot; the message names the row and the column.
        MissingExtra: If it is Parquet and pyarrow is not installed.
    """
    table = Path(path)
    if table.suffix.lower() not in SUFFIXES:
        raise BadTable(
            f"{table}: expected a name ending in {', '.join(SUFFIXES)}, got {table.suffix or 'no suffix'!r}. "
            "Rename or convert it."
        )
    if not os.path.isfile(table):
        got = "a folder, pipe or device" if os.path.exists(table) else "nothing: there is no such file"
        raise BadTable(f"{table}: expected a table, got {got}. Check the path.")
    reader = {".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_jsonl}[table.suffix.lower()]
    try:
        frame = reader(table)
    except OSError as error:
        raise BadTable(
            f"{table}: expected a readable table, got: {error.strerror or error}. Check its permissions."
        ) from error
    if frame.empty:
        raise BadTable(
            f"{table}: expected at least one row, got none below the header. Add rows, or name another table."
        )
    return typed(frame, {**MANIFEST_COLUMNS, **PREDICTION_COLUMNS}, table)


def write_table(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a table, whole or not at all; the suffix says which format. Reading it gives the same values.

    Raises:
        BadTable: If the suffix is none of `SUFFIXES`.
        MissingExtra: If it is Parquet and pyarrow is not installed.
    """
    table = Path(path)
    suffix = table.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadTable(
            f"{table}: expected a name ending in {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}. "
            "Give another name."
        )
    with replacing(table) as fresh:
        if suffix == ".csv":
            frame.to_csv(fresh, index=False, encoding="utf-8", lineterminator="\n")
        elif suffix == ".parquet":
            _need_pyarrow("writing Parquet tables")
            frame.to_parquet(fresh, index=False, engine="pyarrow")
        else:
            rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
            fresh.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _read_csv(path: Path) -> pd.DataFrame:
    """All cells as text, blanks as missing."""
    text = _decoded(path)
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        raw = pd.read_csv(
            path,
            sep=separator,
            header=None,
            dtype=object,
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise BadTable(
            f"{path}: expected a CSV table whose rows have as many cells as its header, got: {str(error).strip()}. "
            "Open it in a spreadsheet and save it again as CSV."
        ) from error
    filled = raw.notna().any(axis=1).to_numpy().nonzero()[0]
    raw = raw.iloc[: int(filled[-1]) + 1 if len(filled) else 0]
    if raw.empty:
        raise BadTable(f"{path}: expected a table with a header, got only blank lines. Write it again.")
    frame = raw.iloc[1:].reset_index(drop=True)
    frame.columns = pd.Index(_header(raw.iloc[0].tolist(), path))
    return frame


def _decoded(path: Path) -> str:
    """The file's text, after ruling out what is no text."""
    data = path.read_bytes()
    if not data.strip():
        raise BadTable(f"{path}: expected a CSV table, got an empty file. Write it again.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTable(
            f"{path}: expected a CSV table in UTF-8, got byte {error.object[error.start]:#04x} at {error.start}. "
            "If it is a table, save it again as CSV UTF-8."
        ) from error
    if "\0" in text:
        raise BadTable(f"{path}: expected a CSV table, got binary data. If it is a table, save it again as CSV UTF-8.")
    return text


def _header(cells: list[Any], path: Path) -> list[str]:
    """Column names without surrounding blanks; a column without a name is numbered."""
    names = [f"column {at + 1}" if pd.isna(cell) else str(cell).strip() for at, cell in enumerate(cells)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadTable(f"{path}: expected every column once, got {twice[0]} twice in the header. Rename or delete one.")
    return names


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows = []
    lines = _decoded(path).splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() and number == len(lines):
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise BadTable(
                f"{path}: row {number}: expected one JSON object on the line, got {line[:40]!r}. Write the table again."
            )
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame.columns = frame.columns.astype(str)
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    _need_pyarrow("reading Parquet tables")
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (ValueError, OSError) as error:  # pyarrow's own errors are of these kinds
        raise BadTable(
            f"{path}: expected a Parquet table, got: {str(error).splitlines()[0]}. Copy or write it again."
        ) from error


def _need_pyarrow(feature: str) -> None:
    try:
        import_module("pyarrow")
    except ImportError as error:
        raise MissingExtra(feature, "research") from error
