"""Running `fundoscope grade`."""

from __future__ import annotations

import sys

import pytest

from fundoscope.cli import main


@pytest.fixture
def run(tiny_release, monkeypatch, capsys):
    """Run `grade` with the tiny release; returns exit status, standard output, standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fundoscope", "grade", "--release", str(tiny_release), *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, " ".join(printed.err.split())

    return call
