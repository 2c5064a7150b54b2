"""Typed JSON records: which keys a record must have, which values count as numbers, how NaN is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def check_keys(values: Mapping[str, Any], kind: type[DataclassInstance]) -> None:
    """Nothing, or what is wrong with the keys of a dataclass's `to_dict`.

    Raises:
        ValueError: If they are not the names of its fields.
    """
    known = {each.name for each in fields(kind)}
    if set(values) != known:
        raise ValueError(f"expected the keys {', '.join(sorted(known))}, got {', '.join(sorted(values))}")


def is_number(value: object) -> bool:
    """Whether it is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def null_if_nan(value: float) -> float | None:
    """Convert a figure for JSON, which has no NaN and no infinity: None in their place."""
    return value if math.isfinite(value) else None


def without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the figures of a record for JSON; values that are not floats stay as they are."""
    return {key: null_if_nan(value) if isinstance(value, float) else value for key, value in values.items()}
