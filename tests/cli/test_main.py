"""How the program ends: in sentences, with an exit status that is no other's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fundoscope
from fundoscope import cli
from fundoscope.cli import main

VARIABLES = os.environ | {"PYTHONPATH": str(Path(fundoscope.__file__).parents[1]), "COLUMNS": "200"}


@pytest.fixture
def program(tiny_release):
    """Run the program in a process of its own; returns what became of it."""

    def call(*words: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
        variables = (
            os.environ | {"PYTHONPATH": str(Path(fundoscope.__file__).parents[1]), "COLUMNS": "200"} | environment
        )
        command = [sys.executable, "-m", "fundoscope", *map(str, words)]
        return subprocess.run(command, env=variables, capture_output=True, check=False)

    return call


@pytest.mark.parametrize(
    "fault", [RuntimeError("broken [red]\nsecond line"), ZeroDivisionError(), RecursionError("deep")]
)
def test_a_fault_has_an_exit_status_of_its_own_and_one_sentence(monkeypatch, capsys, fault):
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(fault))

    with pytest.raises(SystemExit) as ended:
        main()

    err = capsys.readouterr().err
    assert ended.value.code == 70
    assert f"got a fault in the program ({type(fault).__name__}: " in err
    assert "test_main.py, line" in err
    assert err.count("\n") == 1


def test_the_whole_traceback_is_shown_to_who_asks_for_it(monkeypatch, capsys):
    monkeypatch.setenv("FUNDOSCOPE_TRACEBACK", "1")
    monkeypatch.setattr(cli, "app", lambda: 1 // 0)

    with pytest.raises(SystemExit, match="70"):
        main()

    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "problem", [PermissionError(13, "Permission denied", "/locked/x.csv"), OSError(28, "No space left on device")]
)
def test_what_the_system_refuses_is_said_in_a_sentence(monkeypatch, capsys, problem):
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(problem))

    with pytest.raises(SystemExit, match="2"):
        main()

    err = capsys.readouterr().err
    assert err.startswith(f"fundoscope: {problem.filename or 'the disk'}: expected to read or write it, got: ")
    assert problem.strerror in err


@pytest.mark.parametrize(
    "words",
    [
        ("grade", "a" * 300 + ".jpg"),
        ("grade", "--manifest", "a" * 300 + ".csv"),
        ("grade", "x.jpg", "--release", "a" * 300),
        ("verify", "a" * 300),
        ("evaluate", "a" * 300 + ".csv", "--labels", "b.csv"),
    ],
)
def test_a_name_too_long_for_any_file_ends_in_a_sentence(program, tiny_release, words):
    if words[0] == "grade" and "--release" not in words:
        words = (*words, "--release", tiny_release)

    ended = program(*words)

    assert ended.returncode in (1, 2)
    assert b"Traceback" not in ended.stderr
    assert b"fault in the program" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_name_that_the_terminal_has_no_signs_for_costs_no_answer(program, tiny_release, retinas, tmp_path, encoding):
    path = tmp_path / "\u7167\u7247.jpg"
    path.write_bytes(retinas[0].read_bytes())
    (tmp_path / "manifest.csv").write_text("image,patient\n\u7167\u7247.jpg,\u738b\n", encoding="utf-8")

    for words in ((tmp_path,), (path, "--json"), (tmp_path / "\u65e0.jpg",)):
        ended = program("grade", *words, "--release", tiny_release, PYTHONIOENCODING=encoding)

        assert b"Traceback" not in ended.stderr
        assert ended.returncode == (1 if words[0] == tmp_path / "\u65e0.jpg" else 0)
        assert b"\\u7167\\u7247.jpg" in ended.stdout or b"\\u65e0" in ended.stdout


@pytest.mark.parametrize("verb", ["grade", "audit", "data", "explain", "train"])
def test_the_help_of_a_verb_can_be_printed_in_any_encoding(program, verb):
    ended = program(verb, "--help", PYTHONIOENCODING="ascii")

    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"Usage" in ended.stdout


@pytest.mark.parametrize("words", [("--json",), ()])
def test_a_reader_that_has_gone_is_not_taken_for_an_answer(tiny_release, words):
    """`fundoscope ... | head -1`: typer and rich would end with 1, which is an answer of several verbs."""
    command = [sys.executable, "-m", "fundoscope", "info", str(tiny_release), *words]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = subprocess.run(command, env=VARIABLES, stdout=pipe, stderr=subprocess.PIPE, check=False)

    assert (ended.returncode, ended.stderr) == (141, b"")


def test_the_interruption_of_any_verb_has_the_status_of_one(monkeypatch, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)

    with pytest.raises(SystemExit, match="130"):
        main()


def test_a_verb_that_says_nothing_of_it_is_interrupted_with_a_word(tiny_release, monkeypatch, capsys):
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fundoscope.runtime.release.open_release", interrupted)
    monkeypatch.setattr(sys, "argv", ["fundoscope", "info", str(tiny_release)])

    with pytest.raises(SystemExit, match="130"):
        main()

    assert capsys.readouterr() == ("", "fundoscope: Interrupted.\n")
