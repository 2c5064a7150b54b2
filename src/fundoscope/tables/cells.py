"""Tables as they are written, every cell as text and blanks as missing: CSV in all its kinds, and Excel workbooks."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Hashable, Sequence
from datetime import date, datetime, time
from importlib import import_module
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import ParseError

import pandas as pd

from fundoscope.errors import BadTable, MissingExtra
from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS
from fundoscope.tables.formulas import restored
from fundoscope.tables.notes import note
from fundoscope.tables.text import read_text

DELIMITED: Final = (".csv", ".tsv")
WORKBOOK: Final = ".xlsx"

LARGEST_WIDTH: Final = 16_384
"""Columns that a table may have; spreadsheets have no more."""

_KNOWN: Final = frozenset({*MANIFEST_COLUMNS, *PREDICTION_COLUMNS})
_SEPARATORS: Final = ",;\t|"
_DECLARED: Final = re.compile(r"\s*\"?sep=(.)\"?\s*(?:\r\n|\r|\n)", re.IGNORECASE)
"""The first line by which Excel is told how cells are parted."""


def read_cells(path: Path, *, repeated: bool = False) -> pd.DataFrame:
    """Read a CSV table or a workbook with every cell as text and blanks as missing, no blank row at its end.

    A CSV table is in UTF-8, UTF-16 or Windows-1252 (`text.read_text`), its cells parted by commas, semicolons, tabs or
    bars, or as a first line `sep=;` says. Of a workbook the first sheet is read. The apostrophe that `formulas` puts
    before a cell is taken away.

    Args:
        path: The table.
        repeated: Number columns of one name instead of refusing them.

    Raises:
        BadTable: If it is no table, or has two columns of one name or too many columns.
        MissingExtra: If it is a workbook and openpyxl is not installed.
        OSError: If it cannot be read.
    """
    raw = _read_workbook(path) if path.suffix.lower() == WORKBOOK else _read_delimited(path)
    filled = raw.notna().any(axis=1).to_numpy().nonzero()[0]
    raw = raw.iloc[: int(filled[-1]) + 1 if len(filled) else 0]
    if raw.empty:
        raise BadTable(f"{path}: expected a table with a header, got only blank lines. Write it again.")
    frame = raw.iloc[1:].reset_index(drop=True)
    frame.columns = pd.Index(_header(raw.iloc[0].tolist(), path, repeated=repeated))
    return frame


def is_text(path: Path) -> bool:
    """Return whether all cells of a table are text, by its suffix: CSV and workbooks have no types that are kept."""
    return path.suffix.lower() in (*DELIMITED, WORKBOOK)


def check_width(count: int, path: Path) -> None:
    """Refuse a table of more columns than any is meant to have.

    Raises:
        BadTable: If there are more than `LARGEST_WIDTH`.
    """
    if count > LARGEST_WIDTH:
        raise BadTable(
            f"{path}: expected at most {LARGEST_WIDTH} columns, got {count}. One row is one photograph: if the table "
            "lies on its side, turn it."
        )


def _read_delimited(path: Path) -> pd.DataFrame:
    text = read_text(path)
    declared = _DECLARED.match(text)
    if declared is not None:
        text = text[declared.end() :]
    if not text.strip():
        raise BadTable(f"{path}: expected a table with a header, got only blank lines. Write it again.")
    separator = declared[1] if declared is not None else _separator(text, path)
    try:
        raw = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            dtype=object,
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            engine="c",
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise BadTable(
            f"{path}: expected a CSV table whose rows have as many cells as its header, got {_trouble(str(error))}. "
            "Open it in a spreadsheet and save it again as CSV."
        ) from error
    return raw.apply(restored) if "'" in text else raw


def _trouble(message: str) -> str:
    """Return what pandas says of a table that it cannot part into cells, in words of our own."""
    if match := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
        return f"{match[3]} cells for {match[1]} in row {match[2]}"
    if match := re.search(r"EOF inside string starting at row (\d+)", message):
        return f"a quotation mark in row {int(match[1]) + 1} that does not end"
    return "something else"


def _separator(text: str, path: Path) -> str:
    """Return the sign that parts the header: into a column that we know, else into most; inside of quotes it does not.

    A column of somebody's own may well be called `drusen;size;number`.
    """
    line = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    header = re.sub(r'"[^"]*"', "", line)
    by_count = sorted(_SEPARATORS, key=header.count, reverse=True)
    known = (sign for sign in by_count if _KNOWN & {cell.strip(' "') for cell in line.split(sign)} and sign in header)
    separator = next(known, by_count[0])
    check_width(header.count(separator) + 1, path)
    return separator


def _read_workbook(path: Path) -> pd.DataFrame:
    try:
        import_module("openpyxl")
    except ImportError as error:
        raise MissingExtra("reading Excel workbooks", "excel") from error
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")  # of styles and the like, which no cell depends on
            book = load_workbook(file, read_only=True, data_only=True)
            sheets = book.worksheets
            rows = [[_cell_text(cell) for cell in row] for row in sheets[0].values] if sheets else []
    except (InvalidFileException, zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, EOFError) as error:
        raise BadTable(
            f"{path}: expected an Excel workbook (.xlsx), got a file that is none or is damaged or locked by a "
            "password. Open it in a spreadsheet and save it again, or save it as CSV UTF-8."
        ) from error
    if len(sheets) > 1:
        note(f"{path}: of {len(sheets)} sheets the first is read.")
    width = max(map(len, rows), default=0)
    check_width(width, path)
    return pd.DataFrame([[*row, *[None] * (width - len(row))] for row in rows], dtype=object)


def _cell_text(value: object) -> str | None:
    """Return a cell of a workbook as a person reads it: 7 for 7.0, dates by ISO 8601."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def _header(cells: Sequence[Hashable], path: Path, *, repeated: bool) -> list[str]:
    """Return column names without surrounding blanks; a column without a name is numbered."""
    blank = pd.Series(list(cells), dtype=object).isna()
    names = [f"column {at + 1}" if blank[at] else str(cell).strip() for at, cell in enumerate(cells)]
    counts = Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice and not repeated:
        raise BadTable(f"{path}: expected every column once, got {twice[0]} twice in the header. Rename or delete one.")
    numbers: Counter[str] = Counter()
    for at, name in enumerate(names):
        numbers[name] += 1
        names[at] = name if numbers[name] == 1 else f"{name}.{numbers[name] - 1}"
    return names
