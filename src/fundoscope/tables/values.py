"""Cells in the types of their columns: read as they are, else as other programs write them, else refused by their row.

What is read otherwise than it is written (OD as right, 0,5 as 0.5, 87 % as 0.87) is said in a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.tables.columns import BLANK_NUMBERS, MANIFEST_COLUMNS, PROBABILITIES, Column, row_number
from fundoscope.tables.notes import note
from fundoscope.tables.numbers import has_decimal_commas, with_decimal_points, without_percent_signs

SHARE_SLACK: Final = 1e-6
"""How far outside [0, 1] a share may lie and be moved to its edge: single precision rounds so."""

LARGEST_WHOLE: Final = 2**53
"""Beyond it double precision does not know one whole number from the next."""

PERCENT_SLACK: Final = 2.0
"""How far five percentages may be from summing to 100: tables are rounded."""

NAMED_WORDS: Final = 6
"""Words that a note names at most."""

CELL_SHOWN: Final = 60
"""Letters of a cell that a message shows."""

Values = list[object]


def typed(frame: pd.DataFrame, columns: Mapping[str, Column], path: Path) -> pd.DataFrame:
    """Return the table with every known column in its type.

    Raises:
        BadTable: If a column cannot hold a value; the message names the row.
    """
    result = frame.copy()
    for name, values in _Reader(frame, columns, path).columns().items():
        result[name] = values
    return result


def is_foreign(cells: Iterable[object], column: Column, *, partly: bool = False) -> bool:
    """Return whether a column holds values that are none of ours.

    Args:
        cells: The column's cells.
        column: What we would have in it.
        partly: Whether one such value is enough; else all must be.
    """
    read, foreign = _KINDS[column.kind][0], False
    for cell in cells:
        value = None if _is_blank(cell) else read(cell, column)
        if value is None:
            continue
        ours = value is not _WRONG
        if ours != partly:
            # One of ours where all must be foreign, or a foreign one where that is enough.
            return partly
        foreign = not ours
    return foreign


class _Reader:
    """The known columns of one table."""

    def __init__(self, frame: pd.DataFrame, columns: Mapping[str, Column], path: Path) -> None:
        self.frame, self.path = frame, path
        self.known = {name: column for name, column in columns.items() if name in frame}

    def columns(self) -> dict[str, pd.Series]:
        """Return the values of each known column; refuse the first that cannot be read."""
        read, unread = {}, {}
        for name, column in self.known.items():
            values = _read(self.frame[name].tolist(), column)
            if _wrong(values):
                unread[name] = values
            else:
                read[name] = self._series(name, values)
        if unread:
            read |= {name: self._series(name, values) for name, values in self._read_others(unread).items()}
        return read

    def _series(self, name: str, values: Values) -> pd.Series:
        return pd.Series(values, index=self.frame.index, dtype=_KINDS[self.known[name].kind][1])

    def _read_others(self, unread: Mapping[str, Values]) -> dict[str, Values]:
        """Read the columns that hold values of another program."""
        numbers = [name for name, column in self.known.items() if column.kind in _NUMBERS]
        commas = any(has_decimal_commas(self._texts(name)) for name in numbers)
        read = {name: self._read_otherwise(name, decimal_commas=commas) or unread[name] for name in unread}
        if any(name in PROBABILITIES and _wrong(values) for name, values in read.items()):
            read |= self._percentages()
        for name, values in read.items():
            if _wrong(values):
                self._refuse(name, next(at for at, value in enumerate(values) if value is _WRONG))
        return read

    def _texts(self, name: str) -> list[str | None]:
        cells = [None if _is_blank(cell) else str(cell).strip() for cell in self.frame[name].tolist()]
        return [None if cell is None or cell.lower() in BLANK_NUMBERS else cell for cell in cells]

    def _read_otherwise(self, name: str, *, decimal_commas: bool) -> Values | None:
        """Read a column's cells as other programs write them; None where that does not help."""
        column = self.known[name]
        if column.kind not in _NUMBERS:
            return self._read_words(name)
        cells, said = self._texts(name), []
        bare = without_percent_signs(cells) if column.kind == "share" else None
        cells, percent = bare or cells, bare is not None
        # Of a share, 1,000 can only be one: no share is a thousand.
        if (decimal_commas or column.kind == "share") and (points := with_decimal_points(cells)) is not None:
            cells = points
            said.append("decimal commas")
        if percent:
            said.append("percentages")
        values = _read([_hundredth(cell) for cell in cells] if percent else cells, column)
        if _wrong(values) or not said:
            return None
        note(f"{self.path}: column {name}: {' and '.join(said)} are read.")
        return values

    def _read_words(self, name: str) -> Values | None:
        """Read allowed values in other letters and other programs' words for them."""
        column = self.known[name]
        words = {str(word).lower(): word for word in column.allowed} | dict(column.words)
        if not words:
            return None
        cells = [None if _is_blank(cell) else " ".join(str(cell).split()) for cell in self.frame[name].tolist()]
        values = [None if not cell else words.get(cell.lower(), _WRONG) for cell in cells]
        if _wrong(values):
            return None
        others = {cell: value for cell, value in zip(cells, values, strict=True) if cell and cell != value}
        named = [f"{cell} is read as {value}" for cell, value in list(others.items())[:NAMED_WORDS]]
        note(f"{self.path}: column {name}: {', '.join(named)}{', ...' if len(others) > NAMED_WORDS else ''}.")
        return values

    def _percentages(self) -> dict[str, Values]:
        """Return p0 to p4 where all rows of them sum to 100; nothing otherwise."""
        if not all(name in self.known and self.known[name].kind == "share" for name in PROBABILITIES):
            return {}
        number = Column("number")
        columns = []
        for name in PROBABILITIES:
            cells = self._texts(name)
            columns.append(_read(with_decimal_points(cells) or cells, number))
        if any(_wrong(values) for values in columns):
            return {}
        rows = [row for row in zip(*columns, strict=True) if any(value is not None for value in row)]
        sums = [math.fsum(value for value in row if isinstance(value, float)) for row in rows]
        if not rows or not all(abs(total - 100) <= PERCENT_SLACK for total in sums):
            return {}
        read = {
            name: _read([value / 100 if isinstance(value, float) else None for value in values], self.known[name])
            for name, values in zip(PROBABILITIES, columns, strict=True)
        }
        if not any(_wrong(values) for values in read.values()):
            note(f"{self.path}: columns p0 to p4: each row sums to 100, so they are read as percentages.")
        return read

    def _refuse(self, name: str, at: int) -> NoReturn:
        column, cell = self.known[name], str(self.frame[name].iloc[at])
        raise BadTable(
            f"{self.path}: row {row_number(self.path, at)}, column {name}: expected {_expected(column)}, got "
            f"{cell[:CELL_SHOWN]!r}. Correct it, or leave it blank if it is not known.{_advice(name, column)}"
        )


def _advice(name: str, column: Column) -> str:
    """Return a sentence on how other programs' values become ours; nothing where there is no way."""
    if name == "grade":
        return (
            " Words, and codes such as -1 or 5 for ungradable, become grades by: fundoscope data from TABLE "
            '--grade-column grade --grade-map "no dr=0,-1=ungradable" -o MANIFEST'
        )
    if column.allowed and name in MANIFEST_COLUMNS:
        return f" Other words become these by: fundoscope data from TABLE --code {name}:WORD=VALUE -o MANIFEST"
    return " A percentage is written 87 % or 0.87, in the whole column." if column.kind == "share" else ""


def _hundredth(cell: str | None) -> object:
    """Return a percentage as a share; what is no number stays as it is and is refused."""
    if cell is None:
        return None
    value = _read_number(cell, Column("number"))
    return value / 100 if isinstance(value, float) else f"{cell}%"


def _read(cells: Iterable[object], column: Column) -> Values:
    read = _KINDS[column.kind][0]
    return [None if _is_blank(cell) else read(cell, column) for cell in cells]


def _wrong(values: Values) -> bool:
    return any(value is _WRONG for value in values)


_WRONG: Final = object()


def _is_blank(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _read_text(value: object, column: Column) -> object:
    """Numbers in a column of text (a Parquet table's patient 7.0) become the text a person would write."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if not text.strip():
        return None
    if not column.allowed:
        return text
    return text.strip() if text.strip() in column.allowed else _WRONG


def _read_hash(value: object, column: Column) -> object:
    text = str(value).strip().lower()
    if not text:
        return None
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else _WRONG


def _read_number(value: object, column: Column) -> object:
    text = str(value).strip()
    if text.lower() in BLANK_NUMBERS:
        return None
    try:
        number = float(text.replace("_", "?"))  # Python reads 1_000 as a number; tables do not
    except ValueError:
        return _WRONG
    return number if math.isfinite(number) else _WRONG


def _read_share(value: object, column: Column) -> object:
    number = _read_number(value, column)
    if not isinstance(number, float):
        return number
    # max(0.0, -0.0) is 0.0, its first argument: other programs write -0.0, which would be shown as -0 %.
    return min(max(0.0, number), 1.0) if -SHARE_SLACK <= number <= 1 + SHARE_SLACK else _WRONG


def _read_whole(value: object, column: Column) -> object:
    number = _read_number(value, column)
    if not isinstance(number, float):
        return number
    if abs(number) > LARGEST_WHOLE or not number.is_integer():
        return _WRONG
    if column.allowed and int(number) not in column.allowed:
        return _WRONG
    return int(number)


_KINDS: Final[dict[str, tuple[Callable[[object, Column], object], Any]]] = {
    "text": (_read_text, object),
    "hash": (_read_hash, object),
    "whole": (_read_whole, "Int64"),
    "number": (_read_number, "float64"),
    "share": (_read_share, "float64"),
}
"""How a kind's values are read, and pandas' type for them."""

_NUMBERS: Final = ("whole", "number", "share")

_WORDS: Final = {
    "text": "text",
    "hash": "64 hexadecimal digits",
    "whole": "a whole number",
    "number": "a number",
    "share": "a number from 0 to 1",
}


def _expected(column: Column) -> str:
    return f"one of {', '.join(map(str, column.allowed))}" if column.allowed else _WORDS[column.kind]
