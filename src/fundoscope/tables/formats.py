"""Tables on disk: CSV, Parquet, JSON lines and, to be read only, Excel workbooks, picked by the suffix."""

from __future__ import annotations

import json
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.errors import BadTable, MissingExtra
from fundoscope.files import replacing
from fundoscope.tables.cells import WORKBOOK, check_width, read_cells
from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS
from fundoscope.tables.formulas import neutralised, neutralised_name
from fundoscope.tables.notes import note
from fundoscope.tables.text import read_text
from fundoscope.tables.values import is_foreign, typed

SUFFIXES: Final = (".csv", ".parquet", ".jsonl")
"""Kinds of tables that are written."""

READ_SUFFIXES: Final = (*SUFFIXES, ".tsv", WORKBOOK)
"""Kinds of tables that are read."""

THEIRS: Final = "their_"
"""What the name of a column becomes that is called as one of ours and holds something else."""


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a manifest or predictions table; the suffix says which format.

    Columns of the contract get its types (whole numbers `Int64`, numbers `float64`, text as text, so
    that patient "007" stays "007"); other columns stay text in CSV and workbooks (`cells.read_cells`). A column that
    only predictions have, and in which no value is one of ours, is somebody's own: it becomes `their_NAME`, and a note
    says so.

    Raises:
        BadTable: If it is absent, empty, not a table, has two columns of one name, or holds a value
            that its column cannot; the message names the row and the column.
        MissingExtra: If it is Parquet and pyarrow is not installed, or a workbook and openpyxl is not.
    """
    table = Path(path)
    frame = read_raw(table)
    if frame.empty:
        raise BadTable(
            f"{table}: expected at least one row, got none below the header. Add rows, or name another table."
        )
    return typed(own_columns_aside(frame, table), {**MANIFEST_COLUMNS, **PREDICTION_COLUMNS}, table)


def read_raw(path: Path, *, repeated: bool = False) -> pd.DataFrame:
    """Read a table of any format, without types: cells of CSV and workbooks as text. Raises as `read_table`.

    Args:
        path: The table.
        repeated: Number columns of one name instead of refusing them.
    """
    suffix = path.suffix.lower()
    if suffix not in READ_SUFFIXES:
        raise BadTable(
            f"{path}: expected a name ending in {', '.join(READ_SUFFIXES)}, got {path.suffix or 'no suffix'!r}. "
            "Rename or convert it."
        )
    if not os.path.isfile(path):
        got = "a folder, pipe or device" if os.path.exists(path) else "nothing: there is no such file"
        raise BadTable(f"{path}: expected a table, got {got}. Check the path.")
    try:
        if suffix == ".parquet":
            return _read_parquet(path)
        return _read_jsonl(path) if suffix == ".jsonl" else read_cells(path, repeated=repeated)
    except OSError as error:
        raise BadTable(
            f"{path}: expected a readable table, got: {error.strerror or error}. Check its permissions."
        ) from error


def own_columns_aside(frame: pd.DataFrame, path: Path, *, partly: bool = False) -> pd.DataFrame:
    """Rename columns of predictions' names that hold something else: a user's `status` of done and open.

    Args:
        frame: A table that is not typed yet.
        path: Where it is from; notes name it.
        partly: Whether one foreign value is enough; else all must be foreign, because one may be a mistake in a table
            of predictions.
    """
    renamed = {}
    for name in frame.columns:
        column = PREDICTION_COLUMNS.get(name) if name not in MANIFEST_COLUMNS else None
        if column is not None and column.allowed and is_foreign(frame[name].tolist(), column, partly=partly):
            renamed[name] = _free_name(THEIRS + name, frame)
            note(f"{path}: column {name}: holds something else than {name} is here, kept aside as {renamed[name]}.")
    return frame.rename(columns=renamed) if renamed else frame


def write_table(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a table, whole or not at all; the suffix says which format. Reading it gives the same values.

    CSV is UTF-8. With letters beyond ASCII it begins with a byte order mark, by which Excel knows that it is; text that
    a spreadsheet would compute gets an apostrophe (`formulas`); the sign NUL, which no CSV can hold, becomes `\\x00`.

    Raises:
        BadTable: If the suffix is none of `SUFFIXES`, or a text is none that a file can hold.
        MissingExtra: If it is Parquet and pyarrow is not installed.
    """
    table = Path(path)
    check_name(table)
    _check_text(frame, table)
    with replacing(table) as fresh:
        if table.suffix.lower() == ".csv":
            _write_csv(frame, fresh)
        elif table.suffix.lower() == ".parquet":
            frame.to_parquet(fresh, index=False, engine="pyarrow")
        else:
            rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
            fresh.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def check_name(path: Path) -> None:
    """Refuse a name by which no table can be written. Raises as `write_table`."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadTable(
            f"{path}: expected a name ending in {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}. "
            "Give another name."
        )
    if suffix == ".parquet":
        _need_pyarrow("writing Parquet tables")


def _free_name(name: str, frame: pd.DataFrame) -> str:
    return name if name not in frame else _free_name(f"{name}_", frame)


def _check_text(frame: pd.DataFrame, path: Path) -> None:
    """Refuse half characters, which a JSON file may hold and no text file may."""
    for name in frame.columns:
        for cell in (name, *_texts(frame[name])):
            if not cell.isascii() and _HALF.search(cell):
                raise BadTable(
                    f"{path}: column {name!a}: expected text that a file can hold, got {cell[:40]!a} with "
                    "half a character. Correct it."
                )


_HALF: Final = re.compile("[\ud800-\udfff]")


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    safe, ascii_only, breaks = {}, all(str(name).isascii() for name in frame.columns), False
    for name in frame.columns:
        column = frame[name]
        if texts := _texts(column):
            column = neutralised(column, numbers=name not in MANIFEST_COLUMNS and name not in PREDICTION_COLUMNS)
            ascii_only = ascii_only and all(map(str.isascii, texts))
            breaks = breaks or any("\r" in text for text in texts)
            if any("\0" in text for text in texts):
                column = column.map(lambda cell: cell.replace("\0", r"\x00") if isinstance(cell, str) else cell)
        safe[neutralised_name(str(name))] = column
    # Python's writer quotes a carriage return only where it ends lines, too.
    end = "\r\n" if breaks else "\n"
    encoding = "utf-8" if ascii_only else "utf-8-sig"
    pd.DataFrame(safe, index=frame.index).to_csv(path, index=False, encoding=encoding, lineterminator=end)


def _texts(column: pd.Series) -> list[str]:
    """Return the cells of a column that are text."""
    if pd.api.types.is_numeric_dtype(column):
        return []
    return [cell for cell in column.tolist() if isinstance(cell, str)]


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    lines = read_text(path, kind="table of JSON lines").split("\n")  # splitlines parts at U+2028, too
    while not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise BadTable(
                f"{path}: row {number}: expected one JSON object on the line, got {line[:40]!r}. Write the table again."
            )
        if "\\u" in line and _HALF.search(json.dumps(row, ensure_ascii=False)):
            raise BadTable(
                f"{path}: row {number}: expected text, got half a character (a lone surrogate, \\ud800 to \\udfff). "
                "Correct it."
            )
        names.update(dict.fromkeys(row))
        check_width(len(names), path)
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(names))
    frame.columns = frame.columns.astype(str)
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    _need_pyarrow("reading Parquet tables")
    from pyarrow.parquet import read_schema

    try:
        check_width(len(read_schema(path).names), path)
        return pd.read_parquet(path, engine="pyarrow")
    except (ValueError, OSError, RecursionError) as error:  # pyarrow's own errors are of these kinds
        raise BadTable(
            f"{path}: expected a Parquet table, got: {str(error).splitlines()[0]}. Copy or write it again."
        ) from error


def _need_pyarrow(feature: str) -> None:
    try:
        import_module("pyarrow")
    except ImportError as error:
        raise MissingExtra(feature, "research") from error
