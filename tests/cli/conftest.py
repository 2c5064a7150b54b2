"""What the tests of the commands share: running one, and the tiny release that some of them need."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from fundoscope.cli import main

Ran = tuple[int, str, str]


@pytest.fixture(scope="session")
def drawing() -> None:
    """For tests of pages that draw."""
    # Not left out by files as in `tests/conftest.NEEDS`: the other tests of these verbs run without matplotlib, too.
    pytest.importorskip("matplotlib", reason="the clinic's install draws nothing: it has no matplotlib on purpose")


@pytest.fixture
def run_verb(capsys, monkeypatch) -> Callable[..., Ran]:
    """Run a command, wide; exit status, standard output with its white space evened, standard error likewise."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(verb: str, *arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["fundoscope", verb, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), " ".join(shown.out.split()), " ".join(shown.err.split())

    return run
