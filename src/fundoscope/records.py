"""Typed JSON records: which keys a record must have, which values count as numbers."""

from __future__ import annotations

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
