"""Columns of manifests and predictions, from `fundoscope.tables.columns`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS, SIGN, SIGN_PREFIX, Column
from generators.markdown import plain, table

KINDS: Final = {
    "text": "text",
    "hash": "64 hexadecimal digits",
    "whole": "whole number",
    "number": "number",
    "share": "number from 0 to 1",
}


def manifest_columns() -> str:
    """Return a table of the columns of a manifest."""
    return _table({**MANIFEST_COLUMNS, f"{SIGN_PREFIX}NAME": SIGN})


def prediction_columns() -> str:
    """Return a table of the columns of predictions."""
    return _table(PREDICTION_COLUMNS)


def _table(columns: Mapping[str, Column]) -> str:
    return table(
        ("column", "values", "meaning"),
        ((f"`{name}`", _values(column), _meaning(column)) for name, column in columns.items()),
    )


def _values(column: Column) -> str:
    return ", ".join(f"`{value}`" for value in column.allowed) or KINDS[column.kind]


def _meaning(column: Column) -> str:
    others = sorted(word for word in column.words if word not in column.allowed)
    parts = [plain(column.note), f"also read: {', '.join(map(plain, others))}" if others else ""]
    return "; ".join(part for part in parts if part)
