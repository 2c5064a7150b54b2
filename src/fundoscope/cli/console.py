"""The two places the program prints to: answers on standard output, troubles and progress on standard error."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable

from rich.console import Console

from fundoscope.grades import NOT_A_DEVICE

answers = Console(highlight=False)
troubles = Console(stderr=True, highlight=False)


def allow_any_text() -> None:
    """Write what the terminal's encoding has no sign for as an escape: a name must not end a run that has an answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(headline: str, lines: Iterable[str]) -> None:
    """An answer in sentences: the plain one in bold, a line for each of the others, and that this is no device."""
    answers.print(headline, markup=False, style="bold", soft_wrap=True)
    for line in lines:
        answers.print(line, markup=False, soft_wrap=True)
    answers.print(NOT_A_DEVICE, markup=False, style="dim")
