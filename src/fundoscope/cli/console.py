"""What all verbs share: where they print (answers on standard output, troubles and progress on standard error), and how
they ask for optional packages."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fundoscope.errors import MissingExtra
from fundoscope.grades import NOT_A_DEVICE

answers = Console(highlight=False)
troubles = Console(stderr=True, highlight=False)


def allow_any_text() -> None:
    """Write what the terminal's encoding has no sign for as an escape: a name must not end a run that has an answer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Notes(logging.Handler):
    """Prints what was converted while tables were read, each sentence once."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a sentence that was not printed yet."""
        sentence = record.getMessage()
        if sentence not in self.said:
            self.said.add(sentence)
            troubles.print(f"Note: {sentence}", markup=False, soft_wrap=True)


def show_notes(logger: str) -> None:
    """Print on standard error what a logger says, from now on and each sentence once."""
    log = logging.getLogger(logger)
    for handler in list(log.handlers):
        if isinstance(handler, _Notes):
            log.removeHandler(handler)
    log.addHandler(_Notes())


def say(headline: str, lines: Iterable[str]) -> None:
    """An answer in sentences: the plain one in bold, a line for each of the others, and that this is no device."""
    answers.print(headline, markup=False, style="bold", soft_wrap=True)
    for line in lines:
        answers.print(line, markup=False, soft_wrap=True)
    answers.print(NOT_A_DEVICE, markup=False, style="dim")


@contextmanager
def needs_extra(what: str, extra: str = "train") -> Iterator[None]:
    """Name the extra that brings a package which an import inside the block does not find.

    Args:
        what: Verb or option that needs it.
        extra: Name of the extra.

    Raises:
        MissingExtra: If a package other than fundoscope is not installed.

    Example:
        >>> with needs_extra("--checkpoint"):
        ...     import json
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("fundoscope"):
            raise
        raise MissingExtra(what, extra) from error


@contextmanager
def dust_progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many photographs were searched for dust."""
    columns = (TextColumn("looking for dust"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=troubles, transient=True, disable=not troubles.is_terminal) as bar:
        task = bar.add_task("dust", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
