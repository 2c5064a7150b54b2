"""`fundoscope data columns`: what a manifest, or a table of predictions, may hold."""

from __future__ import annotations

from typing import Annotated

import typer

from fundoscope.cli.console import answers, print_json, print_text
from fundoscope.cli.layout import fitted


def columns(
    predictions: Annotated[
        bool, typer.Option("--predictions", help="List the columns of predictions instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the columns as JSON.")] = False,
) -> None:
    """List the columns of a manifest, with the values that each may hold."""
    from rich.table import Table

    from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS, SIGN, SIGN_PREFIX

    listed = PREDICTION_COLUMNS if predictions else {**MANIFEST_COLUMNS, f"{SIGN_PREFIX}NAME": SIGN}
    if as_json:
        keys = {"kind": "kind", "allowed": "allowed", "meaning": "note", "also_read": "words"}
        rows = {name: {key: getattr(column, field) for key, field in keys.items()} for name, column in listed.items()}
        print_json(rows)
        return
    table = Table("column", "values", "meaning", box=None)
    for name, column in listed.items():
        table.add_row(name, column.values, column.meaning)
    answers.print(fitted(table))
    print_text("A blank cell is unknown. Further columns are kept as they are.")
