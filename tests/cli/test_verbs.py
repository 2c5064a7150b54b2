"""What all verbs have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup

from fundoscope.cli import app

WITHOUT_RESULT: frozenset[str] = frozenset()
"""Verbs without `--json`, for they have no result that a program could use. All have one today."""


def verbs(group: TyperGroup, prefix: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Yield every command below a group, by its full name."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from verbs(command, f"{prefix}{name} ")
        elif isinstance(command, TyperCommand):
            yield f"{prefix}{name}", command


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, TyperGroup)
VERBS = dict(verbs(ROOT))


def test_all_verbs_are_walked_over():
    assert len(VERBS) >= 22
    assert {"grade", "train", "data correct"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_with_a_result_prints_it_as_json(verb):
    options = {option for parameter in VERBS[verb].params for option in parameter.opts}

    assert ("--json" in options) == (verb not in WITHOUT_RESULT)
