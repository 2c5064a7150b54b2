"""What all verbs have in common: their help, and their answers as JSON."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

import fundoscope
from fundoscope.cli import app
from fundoscope.cli.help import Verb

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


VARIABLES = os.environ | {"PYTHONPATH": str(Path(fundoscope.__file__).parents[1]), "COLUMNS": "80"}


def shown(verb: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(app, [*verb.split(), "--help"])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_one_line_for_each_option_at_80_columns(verb, monkeypatch):
    lines = shown(verb, monkeypatch)

    assert isinstance(VERBS[verb], Verb)
    assert max(map(len, lines)) <= 80
    options = lines[lines.index("Options:") + 1 :]
    assert all(line.startswith(("  -", "  --")) for line in options), options
    assert len(options) == len([one for one in VERBS[verb].params if one.param_type_name == "option"]) + 1


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_in_a_sentence_what_it_is_for(verb, monkeypatch):
    lines = shown(verb, monkeypatch)

    for line in lines[lines.index("Options:") + 1 :]:
        name, _, text = line.strip().partition("  ")
        assert text.strip(), line
        assert text.strip()[0] != "[", line
        assert len(name) <= 28, line


def test_help_shows_the_first_sentence_the_default_and_the_choices(monkeypatch):
    lines = shown("grade", monkeypatch)
    words = [" ".join(line.split()) for line in lines]

    assert "--lang en|es Language of the report. [en]" in words
    assert "-o, --out PATH Table to write: .csv, .parquet or .jsonl." in words
    assert "--backend NAME Inference backend: onnxruntime or openvino. [onnxruntime]" in words
    assert "--features Also write each photograph's features beside the table." in words
    assert lines[0].endswith(" grade [OPTIONS] [PATH...]")


def test_a_pair_of_options_is_shown_by_the_one_that_changes_something(monkeypatch):
    lines = shown("commission", monkeypatch)

    assert [line.split()[0] for line in lines if "dust-map" in line] == ["--no-dust-map"]


def test_verbs_are_in_panels(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, ["--help"]).output

    places = [text.index(panel) for panel in ("Grade and look", "For a site", "Evaluate", "Train and release")]
    assert places == sorted(places)
    assert text.index("Grade and look") < text.index("│ grade ") < text.index("For a site") < text.index("│ monitor ")
    assert max(map(len, text.splitlines())) <= 80


def test_help_loads_neither_the_runtime_nor_pandas():
    code = (
        "import sys; sys.argv = ['fundoscope', sys.argv[1], '--help']\n"
        "from fundoscope.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'onnxruntime', 'pandas', 'torch', 'numpy'} & set(sys.modules)))\n"
    )
    for verb in ("grade", "train", "evaluate"):
        ended = subprocess.run(
            [sys.executable, "-c", code, verb], env=VARIABLES, capture_output=True, text=True, check=True
        )
        assert ended.stdout.splitlines()[-1] == "[]"


def test_a_shell_can_complete_verbs():
    words = {"_FUNDOSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": "fundoscope gra", "COMP_CWORD": "1"}
    code = "import sys; sys.argv = ['fundoscope']; from fundoscope.cli import main; main()"

    ended = subprocess.run(
        [sys.executable, "-c", code], env=VARIABLES | words, capture_output=True, text=True, check=False
    )

    assert ended.stdout.split() == ["grade"]
