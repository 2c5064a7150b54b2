"""A publisher's table as the publisher wrote it: every cell as text, whatever its columns are called.

`tables.read_table` gives the columns of the manifest's contract their types, so a foreign table whose
`sex` says 0 and 1, or whose `quality` says Adequate, cannot pass it. Here such words are read first and
turned into the manifest's by a table of codes; a code that is not in it is refused by its row, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import need_columns
from fundoscope.errors import BadTable
from fundoscope.grades import GRADES
from fundoscope.tables.cells import read_cells
from fundoscope.tables.columns import BLANK_NUMBERS, row_number

GRADE_CODES: Final = {str(grade): grade for grade in range(GRADES)}
"""Of a publisher who writes the ICDR grade itself."""

PRESENT: Final = {"0": 0, "1": 1}
"""Of a publisher who writes 1 for a sign that is there."""


def read_words(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV table with every cell as text, blanks as missing, no blank row; its index counts records from 0.

    Args:
        path: The table; see `tables.cells.read_cells` for what it may look like. Columns of one name are numbered.
        columns: Columns it must hold, after blanks around their names are taken away.

    Raises:
        BadTable: If it is absent, no table, without rows, or lacks a column.
    """
    if not path.is_file():
        raise BadTable(f"{path}: expected a table of labels, got nothing: there is no such file. Check the folder.")
    frame = read_cells(path, repeated=True)
    need_columns(frame, columns, path)
    frame = frame[frame.notna().any(axis=1)]
    if frame.empty:
        raise BadTable(f"{path}: expected at least one row, got none below the header. Unpack the data set again.")
    return frame


def first_table(root: Path, names: Sequence[str], *, what: str) -> Path:
    """Find a publisher's table in the first of several places.

    Raises:
        BadTable: If it lies in none of them.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    held = sorted(path.name for path in root.iterdir())[:8] if root.is_dir() else []
    raise BadTable(
        f"{root}: expected {what} with {' or '.join(names)}, found {', '.join(held) or 'nothing'}. "
        "Name the folder that holds it, unpacked as it was downloaded."
    )


def decoded(words: pd.Series, codes: Mapping[str, object], path: Path) -> pd.Series:
    """Translate a publisher's codes into the manifest's values; blanks stay blank, and 1.0 is read as 1.

    Args:
        words: A column of `read_words`.
        codes: From the publisher's code to ours.
        path: Where the column is from, for the message.

    Raises:
        BadTable: If a cell holds another code; the message names its row.
    """
    values: list[object] = []
    for at, word in words.items():
        code = "" if pd.isna(word) else re.sub(r"^(-?\d+)\.0+$", r"\1", str(word).strip())
        if code not in codes and code.lower() not in BLANK_NUMBERS:
            raise BadTable(
                f"{path}: row {row_number(path, int(str(at)))}, column {words.name}: expected "
                f"{', '.join(codes)} or a blank, got {str(word)!r}. Correct it, or tell us of a new release's code."
            )
        values.append(codes.get(code))
    return pd.Series(values, index=words.index, dtype=object)


def optional(frame: pd.DataFrame, *names: str) -> pd.Series:
    """Return the first of several spellings of a column; all blank where the table has none of them."""
    for name in names:
        if name in frame:
            return frame[name]
    return pd.Series([None] * len(frame), index=frame.index, dtype=object, name=names[0])
