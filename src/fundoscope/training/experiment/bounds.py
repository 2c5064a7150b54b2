"""Bounds of the numbers of an experiment, and what a name in it may be: one check for all sections."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

from fundoscope.errors import BadExperiment

Number = int | float

LONGEST_NAME: Final = 100
"""Characters of a name that a folder or a release gets."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Smallest and largest value of a number; ends belong to it unless they are open."""

    low: Number
    high: Number
    low_open: bool = False
    high_open: bool = False

    def hold(self, value: Number) -> bool:
        """Return whether a value lies within; NaN never does."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"{'above' if self.low_open else 'of at least'} {self.low:.10g}"
        if math.isinf(self.high):
            return low
        if self.low_open:
            return f"{low} and at most {self.high:.10g}"
        return f"from {self.low:.10g} {'to below' if self.high_open else 'to'} {self.high:.10g}"


NOT_NEGATIVE: Final = Bounds(0, math.inf, high_open=True)
POSITIVE: Final = Bounds(0, math.inf, low_open=True, high_open=True)
SHARE: Final = Bounds(0, 1)
BELOW_ONE: Final = Bounds(0, 1, high_open=True)
"""Of shares that may not be all of it: nothing would be left to learn from."""


def at_least(low: int, high: int = 1_000_000) -> Bounds:
    """Return the bounds of a count."""
    return Bounds(low, high)


def check_bounds(section: object, name: str, bounds: dict[str, Bounds]) -> None:
    """Refuse a number of a section that lies outside its bounds, or that is not finite.

    Args:
        section: A dataclass.
        name: What the file calls it; empty for keys that stand before the sections.
        bounds: Of each number by its key; every other number must be finite all the same.

    Raises:
        BadExperiment: The message names the key, what was expected and what came.
    """
    assert dataclasses.is_dataclass(section)
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        key = f"{name}.{item.name}" if name else item.name
        bound = bounds.get(item.name, Bounds(-math.inf, math.inf, low_open=True, high_open=True))
        for number in _numbers(value):
            if not bound.hold(number):
                expected = f"{_noun(bound)} {bound}" if item.name in bounds else "finite numbers"
                raise BadExperiment(f"{key}: expected {expected}, got {number!r}. Change {key}")


def _noun(bound: Bounds) -> str:
    return "a share" if bound.high == 1 and (bound.low_open or bound.high_open) else "a number"


def check_name(text: str, key: str) -> None:
    """Refuse a name that cannot name a folder or a file of its own.

    Raises:
        BadExperiment: If it is empty or too long, has separators or control characters, or begins with a dot.
    """
    if (
        not text.strip()
        or len(text) > LONGEST_NAME
        or text.startswith(".")
        or any(sign in '/\\:*?"<>|' or not sign.isprintable() for sign in text)
    ):
        shown = text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}... ({len(text)} characters)"
        raise BadExperiment(
            f'{key}: expected a name of 1 to {LONGEST_NAME} printable characters without / \\ : * ? " < > | that does '
            f"not begin with a dot, for folders are named after it, got {shown!r}. Change {key}"
        )


def check_path(text: str, key: str) -> None:
    """Refuse a text that no file can be called.

    Raises:
        BadExperiment: If it holds a zero byte or half of a pair of surrogates.
    """
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise BadExperiment(f"{key}: expected a path, got {text!r}, which no file can be called. Change {key}")


def _numbers(value: object) -> list[Number]:
    """Return the numbers of a value: itself, or those of a list or of a section's free options."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [value]
    if isinstance(value, dict):
        return [number for inner in value.values() for number in _numbers(inner)]
    if isinstance(value, tuple | list):
        return [number for inner in value for number in _numbers(inner)]
    return []
