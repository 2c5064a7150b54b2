"""What all verbs share: answers on standard output; troubles, progress and names of written files on standard error."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.text import Text

from fundoscope.errors import MissingExtra
from fundoscope.grades import NOT_A_DEVICE

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as a shell has it."""

answers = Console(highlight=False)
troubles = Console(stderr=True, highlight=False)


def has_width(console: Console) -> bool:
    """Say whether lines are broken at the console's width: on a terminal, and where COLUMNS gives one; not in a log."""
    return console.is_terminal or "COLUMNS" in os.environ


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
            print_text(f"Note: {sentence}", to=troubles)


def show_notes(logger: str) -> None:
    """Print on standard error what a logger says, from now on and each sentence once."""
    log = logging.getLogger(logger)
    for handler in list(log.handlers):
        if isinstance(handler, _Notes):
            log.removeHandler(handler)
    log.addHandler(_Notes())


def say(headline: str, lines: Iterable[str]) -> None:
    """An answer in sentences: the plain one in bold, a line for each of the others, and that this is no device."""
    print_text(headline, style="bold")
    for line in lines:
        print_text(line)
    print_text(NOT_A_DEVICE, style="dim")


def printable(text: str) -> Text:
    """Return a text from outside as the terminal may show it: no markup, no control characters."""
    return Text("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text))


def print_text(text: str, *, style: str = "", to: Console = answers, indent: str = "") -> None:
    """Print one paragraph, broken between words where the console has a width; a path is never broken.

    Args:
        text: Shown as it is: without markup, and without control characters.
        style: Style of all of it.
        to: Console.
        indent: Put before every line.
    """
    shown = indent + printable(text).plain
    if has_width(to):
        shown = textwrap.fill(shown, to.width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    to.print(Text(shown, style=style), soft_wrap=True)


def print_command(what: str, command: str, *, style: str = "") -> None:
    """Print a command that can be copied: on one line, which is never broken, beside what it does or below it."""
    line = f"{what}: {command}"
    if has_width(answers) and len(line) > answers.width:
        line = f"{what}:\n  {command}"
    for part in line.split("\n"):
        answers.print(printable(part), style=style, soft_wrap=True)


def say_written(*paths: Path, note: str = "") -> None:
    """Print on standard error which files or folders were written, one a line.

    Args:
        paths: The files or folders.
        note: Shown after each path in parentheses, such as the name of a release.
    """
    for path in paths:
        troubles.print(printable(f"Written: {path}" + (f" ({note})" if note else "")), soft_wrap=True)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document, and nothing else, on standard output; in ASCII, which every encoding can show.

    Numbers that are not finite, which JSON does not have, are written as null.
    """
    print(json.dumps(_finite(document), indent=2, allow_nan=False))


def _finite(value: object) -> object:
    """Return a value with null in place of each number that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """End the verb with status 130 when Ctrl-C comes while the block runs, and say how to continue.

    Args:
        advice: How the work can be continued, or what of it is lost.
    """
    try:
        yield
    except KeyboardInterrupt:
        print_text(f"Interrupted. {advice}", to=troubles)
        raise typer.Exit(INTERRUPTED) from None


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
