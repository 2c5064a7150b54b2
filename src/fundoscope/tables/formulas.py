"""Text that a spreadsheet would compute: an apostrophe before it makes it text, and is taken away again in reading.

A cell of a CSV table that begins with = + - @ (also in full width, also after blanks), a tab or a line break is a
formula to Excel and LibreOffice, whoever wrote it: the patient's name in a DICOM file, or a file's name. Numbers are
none. Reading takes one apostrophe away from where writing put one, so that every text comes back as it was.
"""

from __future__ import annotations

import re
from typing import Final

import pandas as pd

_RISKY: Final = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""What begins like a formula, or like one that was made text."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def neutralised(column: pd.Series, *, numbers: bool) -> pd.Series:
    """Return a column of text with an apostrophe before every cell that a spreadsheet would compute.

    Args:
        column: Of any type; cells that are no text stay as they are.
        numbers: Whether a column of which every cell is a number stays as it is. Names such as -12 are text.
    """
    cells = column.tolist()
    risky = [at for at, cell in enumerate(cells) if isinstance(cell, str) and _RISKY.match(cell)]
    if not risky or (numbers and all(_NUMBER.fullmatch(cell) for cell in cells if isinstance(cell, str) and cell)):
        return column
    for at in risky:
        cells[at] = f"'{cells[at]}"
    return pd.Series(cells, index=column.index, dtype=object, name=column.name)


def neutralised_name(name: str) -> str:
    """Return a column's name with an apostrophe before what a spreadsheet would compute."""
    return f"'{name}" if _RISKY.match(name) else name


def restored(column: pd.Series) -> pd.Series:
    """Return a column of text as it was before `neutralised`."""
    cells = column.tolist()
    marked = [
        at for at, cell in enumerate(cells) if isinstance(cell, str) and cell.startswith("'") and _RISKY.match(cell)
    ]
    for at in marked:
        cells[at] = cells[at][1:]
    return pd.Series(cells, index=column.index, dtype=object, name=column.name) if marked else column
