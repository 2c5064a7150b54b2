"""Every verb with its arguments and options, from the typer application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from fundoscope.cli import app
from generators.markdown import plain, table


def commands() -> str:
    """Return a section for each verb: what it does, its usage, its arguments and options as its help has them."""
    program: Any = typer.main.get_command(app)  # click's or, in later versions, typer's own: they share no base class
    context = program.make_context("fundoscope", [], resilient_parsing=True)
    return "\n\n".join(part for name, verb in _verbs(program) for part in _section(name, verb, context))


def _verbs(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, verb in group.commands.items():
        if hasattr(verb, "commands"):
            yield from _verbs(verb, f"{prefix}{name} ")
        elif not verb.hidden:
            yield f"{prefix}{name}", verb


def _section(name: str, verb: Any, parent: Any) -> Iterator[str]:
    context = verb.make_context(name, [], parent=parent, resilient_parsing=True)
    usage = " ".join(["fundoscope", name, *verb.collect_usage_pieces(context)])
    yield f"### {name}"
    yield from (plain(paragraph) for paragraph in (verb.help or "").replace("\f", "").split("\n\n"))
    yield f"```text\n{usage}\n```"
    records = (parameter.get_help_record(context) for parameter in verb.params)
    rows = [(f"`{' '.join(record[0].split())}`", plain(record[1])) for record in records if record]
    if rows:
        yield table(("argument or option", "what it does"), rows)
