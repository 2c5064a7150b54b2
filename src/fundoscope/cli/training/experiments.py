"""`fundoscope experiments`: the experiments that ship, and the file of one."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fundoscope.cli.console import answers
from fundoscope.cli.layout import fitted


def experiments(
    name: Annotated[str | None, typer.Argument(help="Experiment whose file to print, such as default_release.")] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print as JSON; of one experiment with all its keys and defaults."),
    ] = False,
) -> None:
    """List the experiments that ship, or print the file of one as a start for your own."""
    from fundoscope.training.experiment.file import experiment_text, first_comment, read_experiment, shipped_experiments

    if name is not None:
        # As it is, without a console that would wrap it: `fundoscope experiments plain > mine.toml`.
        print(json.dumps(read_experiment(name).to_dict(), indent=2) if as_json else experiment_text(name).rstrip("\n"))
        return
    lines = {name: first_comment(path) for name, path in shipped_experiments().items()}
    if as_json:
        answers.print_json(json.dumps(lines))
        return
    from rich.table import Table

    table = Table("experiment", "what it is", box=None)
    for name, line in lines.items():
        table.add_row(name, line)
    answers.print(fitted(table))
