"""Commands that a page shows: in fenced blocks of shell, in cells of tables, and in the middle of a sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SPAN = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^\s*```(\w*)\s*$")
PROGRAM = "fundoscope"


@dataclass(frozen=True)
class Command:
    """A command as it is printed."""

    page: str
    line: int
    words: tuple[str, ...]
    """As the shell would split it."""
    place: str
    """block, table or sentence."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"

    @property
    def is_ours(self) -> bool:
        """Whether it calls fundoscope itself, from whatever environment."""
        return Path(self.words[0]).name == PROGRAM

    @property
    def arguments(self) -> list[str]:
        """What follows the program's name, without what the shell does with its output."""
        words = list(self.words[1:])
        return words[: words.index(">")] if ">" in words else words

    @property
    def output(self) -> str | None:
        """File that the shell writes the output to."""
        return self.words[self.words.index(">") + 1] if ">" in self.words else None


def commands_in(markdown: str, page: str) -> list[Command]:
    """Return all commands of a page, in order."""
    return [Command(page, line, words, place) for line, words, place in _commands(markdown)]


def code_in(markdown: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


def _commands(markdown: str) -> Iterator[tuple[int, tuple[str, ...], str]]:
    language: str | None = None
    begun, started = "", 0
    for number, line in enumerate(markdown.splitlines(), start=1):
        fence = FENCE.match(line)
        if fence:
            language = fence[1] if language is None else None
        elif language == "sh":
            started = started if begun else number
            begun += line.removesuffix("\\")
            if not line.endswith("\\"):
                yield from ((started, words, "block") for words in _split(begun))
                begun = ""
        elif language is None:
            place = "table" if line.startswith("|") else "sentence"
            for span in SPAN.findall(line):
                words = tuple(shlex.split(span)) if span.startswith(f"{PROGRAM} ") else ()
                if words:
                    yield number, words, place


def _split(line: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands of a line, which `&&` and `;` join."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in ("&&", ";"):
            yield tuple(words)
            words = []
        else:
            words.append(word)
    if words:
        yield tuple(words)
