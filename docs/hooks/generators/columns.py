"""Columns of manifests and predictions, from `fundoscope.tables.columns`."""

from __future__ import annotations

from collections.abc import Mapping

from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS, SIGN, SIGN_PREFIX, Column
from generators.markdown import plain, table


def manifest_columns() -> str:
    """Return a table of the columns of a manifest."""
    return _table({**MANIFEST_COLUMNS, f"{SIGN_PREFIX}NAME": SIGN})


def prediction_columns() -> str:
    """Return a table of the columns of predictions."""
    return _table(PREDICTION_COLUMNS)


def _table(columns: Mapping[str, Column]) -> str:
    rows = ((f"`{name}`", plain(column.values), plain(column.meaning)) for name, column in columns.items())
    return table(("column", "values", "meaning"), rows)
