"""Numbers as other programs write them: with decimal commas, and as percentages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_COMMA: Final = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
"""What may be a decimal comma, or a comma between thousands."""

Cells = Sequence[str | None]


def has_decimal_commas(cells: Cells) -> bool:
    """Return whether numbers in a column have commas that cannot stand between thousands."""
    with_commas = [cell for cell in cells if cell is not None and "," in cell]
    return any(_COMMA.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in with_commas)


def with_decimal_points(cells: Cells) -> list[str | None] | None:
    """Return a column's cells with points for decimal commas; None where both marks stand in it, or none."""
    marks = {mark for cell in cells if cell is not None for mark in ".," if mark in cell}
    if marks != {","}:
        return None
    return [cell.replace(",", ".") if cell is not None and _COMMA.fullmatch(cell) else cell for cell in cells]


def without_percent_signs(cells: Cells) -> list[str | None] | None:
    """Return numbers of which all are marked with %, without it; None where one is not."""
    filled = [cell for cell in cells if cell is not None]
    if not filled or not all(cell.endswith("%") for cell in filled):
        return None
    return [None if cell is None else cell[:-1].rstrip() for cell in cells]
