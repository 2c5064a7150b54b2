"""Look up the texts of reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fundoscope.runtime.language.english import ENGLISH
from fundoscope.runtime.language.spanish import SPANISH

REASON: Final = "reason:"
"""How keys begin whose rest is a phrase of `photo.quality`."""

NUMBERS: Final = re.compile(r"\((?P<part>[a-z ]+?) (?P<value>\d\.\d\d)(?:, at least (?P<least>\d\.\d\d) needed)?\)")
"""What stands after each phrase: the measure and, where it refused the photograph, the least that is needed."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language."""

    language: str
    """As `<html lang>` has it."""
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with its braces filled in.

        Raises:
            KeyError: If there is no such text, or a value is missing.
        """
        return self.texts[key].format(**values)

    def counted(self, key: str, count: int, **values: object) -> str:
        """Return `key.one` for one, else `key.many`; `{count}` is the number."""
        return self(f"{key}.{'one' if count == 1 else 'many'}", count=count, **values)

    def eye(self, form: str, eye: str | None) -> str:
        """Return an eye's name.

        Args:
            form: `eye`, `eye.short` or `eye.object`.
            eye: left, right, or None where it is not known.
        """
        return self(f"{form}.{eye or 'unknown'}")

    def listed(self, items: list[str]) -> str:
        """Return up to two items with "and" between them."""
        return items[0] if len(items) == 1 else self("and", first=items[0], second=items[1])

    def interval(self, first: int, last: int) -> str:
        """Return an interval of months; 0 to 0 is now."""
        if last == 0:
            return self("interval.now")
        return self.counted("interval.within", last) if first == 0 else self("interval.between", first=first, last=last)

    def reason(self, reason: str) -> str:
        """Return a reason of the predictions table in this language, as far as it is of the quality of a photograph."""
        for key, text in self.texts.items():
            if key.startswith(REASON):
                reason = re.sub(rf"(?<!\w){re.escape(key.removeprefix(REASON))}(?!\w)", text, reason)
        return NUMBERS.sub(self._numbers, reason)

    def _numbers(self, match: re.Match[str]) -> str:
        key = f"quality.{match['part'].replace(' ', '_')}"
        if key not in self.texts:
            return match[0]
        name, value, least = self(key), match["value"], match["least"]
        return f"({self('reason.at_least', name=name, value=value, least=least) if least else f'{name} {value}'})"


LANGUAGES: Final[Mapping[str, Texts]] = {"en": Texts("en", ENGLISH), "es": Texts("es", SPANISH)}
"""The languages of reports, by the names that `--lang` takes."""

IN_ENGLISH: Final = LANGUAGES["en"]
