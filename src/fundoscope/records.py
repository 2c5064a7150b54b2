"""Typed JSON records: which keys a record must have, which values count as numbers, how NaN is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_keys(values: Mapping[str, Any], kind: type[DataclassInstance]) -> None:
    """Refuse a record whose keys are not the fields of the dataclass that it was written from.

    Raises:
        ValueError: If they are not the names of its fields.
    """
    names = {field.name for field in fields(kind)}
    if set(values) != names:
        raise ValueError(f"expected the keys {', '.join(sorted(names))}, got {', '.join(sorted(values))}")


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
