"""Typed JSON records: how they are read, which keys they must have, which values are numbers, how NaN is written."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeGuard

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEEPEST: Final = 64
"""Objects and lists within one another that a record may have."""

LARGEST_NUMBER: Final = 1e300
"""Largest number of a record, of either sign: every one is a float without overflow."""


def parse_record(text: bytes | str) -> Any:
    """Read JSON that the program is to compute with.

    Beyond what JSON itself allows, numbers are finite, keys occur once, texts can be written again as UTF-8, and
    nothing is nested deeper than `DEEPEST`.

    Raises:
        ValueError: If it is not such JSON; it says what is wrong.
    """
    try:
        record = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError:
        raise ValueError(f"objects nested deeper than {DEEPEST}") from None
    _check_depth_and_texts(record)
    return record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r:.80} more than once")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is no finite number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not abs(number) <= LARGEST_NUMBER:
        raise ValueError(f"{digits:.40}, which is no number up to {LARGEST_NUMBER:g}")
    return number


def _bounded(digits: str) -> int:
    # Counted first: converting a million digits takes minutes.
    if len(digits) > LONGEST_INTEGER:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


LONGEST_INTEGER: Final = 300
"""Digits of a whole number, so that it is within `LARGEST_NUMBER`."""


def _check_depth_and_texts(record: object) -> None:
    """Walk through a record by a list of its own: the interpreter's stack ends where nesting is deep."""
    pending: list[tuple[object, int]] = [(record, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict | list):
            if depth > DEEPEST:
                raise ValueError(f"objects nested deeper than {DEEPEST}")
            pending.extend((part, depth + 1) for part in (value.values() if isinstance(value, dict) else value))
            if isinstance(value, dict):
                pending.extend((key, depth) for key in value)


def _check_text(text: str) -> None:
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError(f"half a character (a lone surrogate) in {text!r:.60}")


def check_keys(values: Mapping[str, Any], kind: type[DataclassInstance]) -> None:
    """Refuse a record whose keys are not the fields of the dataclass that it was written from.

    Raises:
        ValueError: If they are not the names of its fields.
    """
    names = {field.name for field in fields(kind)}
    if set(values) != names:
        raise ValueError(f"expected the keys {', '.join(sorted(names))}, got {', '.join(sorted(values))}")


def seal_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record as canonical JSON, its own `seal` left out."""
    # Through JSON and back first: in a file every key is a text, and texts sort otherwise than numbers.
    plain = json.loads(json.dumps(record, allow_nan=False))
    plain.pop("seal", None)
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value of a record is a number; True and False, which Python counts as numbers, are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole_number(value: object) -> TypeGuard[int]:
    """Return whether a value of a record is a whole number; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def null_if_nan(value: float) -> float | None:
    """Convert a figure for JSON, which has no NaN and no infinity: None in their place."""
    return value if math.isfinite(value) else None


def without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the figures of a record for JSON; values that are not floats stay as they are."""
    return {key: null_if_nan(value) if isinstance(value, float) else value for key, value in values.items()}
