"""Tables that fit the console: cells are broken between words, names shortened in the middle and never at the end."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from fundoscope.cli.console import answers

LEAST_NAME: Final = 14
"""Columns that a shortened name keeps at least."""

LEAST_TEXT: Final = 8
"""Columns that a column of text keeps at least, where even its longest word does not fit."""


def shortened(name: str, columns: int) -> str:
    """Return a name in at most so many columns: an ellipsis stands for its middle, and its end is kept.

    Example:
        >>> shortened("clinic/idrid_test_022.jpg", 16)
        'clin…est_022.jpg'
    """
    if cell_len(name) <= columns:
        return name
    end = name
    while end and cell_len(end) > (2 * columns) // 3 + 1:
        end = end[1:]
    start = name
    while start and cell_len(start) + 1 + cell_len(end) > columns:
        start = start[:-1]
    return f"{start}…{end}"


def fitted(
    table: Table, *, names: Collection[int] = (), unbroken: Collection[int] = (), width: int | None = None
) -> Table:
    """Return a table that is no wider than the console, with cells broken between words.

    Args:
        table: Without a frame (`box=None`, `pad_edge=False`).
        names: Numbers of the columns of file names and the like, which are shortened rather than broken.
        unbroken: Numbers of the columns that are never broken, such as those of keys.
        width: Columns of the console; None: those of `answers`.
    """
    columns = [[_text(column.header), *map(_text, column.cells)] for column in table.columns]
    _, right, _, left = table.padding
    room = (answers.width if width is None else width) - (right + left) * (len(columns) - 1)
    widths = _widths(columns, room, names, unbroken)
    fitting = Table(box=None, pad_edge=False, padding=table.padding, show_header=table.show_header)
    for column, cells, columns_wide in zip(table.columns, columns, widths, strict=True):
        fitting.add_column(cells[0], justify=column.justify, width=columns_wide, overflow="fold", style=column.style)
    for line, row in zip(table.rows, zip(*(cells[1:] for cells in columns), strict=True), strict=True):
        shown = [
            Text(shortened(cell.plain, widths[at]), style=cell.style) if at in names else cell
            for at, cell in enumerate(row)
        ]
        fitting.add_row(*shown, style=line.style)
    return fitting


def _text(cell: object) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text(str(cell))


def _widths(columns: list[list[Text]], room: int, names: Collection[int], unbroken: Collection[int]) -> list[int]:
    """Return the widths of columns: their natural ones, less what is needed of those that can best spare it."""
    widths = [max(max(map(cell_len, cell.plain.split("\n"))) for cell in cells) for cells in columns]
    words = [max((cell_len(word) for cell in cells for word in cell.plain.split()), default=0) for cells in columns]
    by_words = [min(width, LEAST_NAME) if at in names else words[at] for at, width in enumerate(widths)]
    cut = [min(width, LEAST_TEXT) for width in by_words]
    for at in unbroken:
        by_words[at] = cut[at] = widths[at]
    for least in (by_words, cut):
        while sum(widths) > room:
            at = max(range(len(widths)), key=lambda number: widths[number] - least[number])
            if widths[at] <= least[at]:
                break
            widths[at] -= 1
    return widths
