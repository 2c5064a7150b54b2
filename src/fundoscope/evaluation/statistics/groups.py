"""Which photographs belong together in a table of subgroups, and what chance alone would make of such groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Int

from fundoscope.errors import BadRequest
from fundoscope.tables.patients import texts

COLUMNS: Final = ("source", "camera", "site", "sex", "age_band", "quality", "eye")
"""Looked at where a table has them with two different values at least."""

AGE_BANDS: Final = (40, 50, 60, 70)
"""Years at which an age band begins; the first one is below, the last one open."""

MOST: Final = 40
"""Groups of one column at most: more are names or measurements."""

Codes = Int[np.ndarray, " photo"]
"""Number of each photograph's group, from 0; -1 where it is not known."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """A column as groups."""

    column: str
    values: tuple[str, ...]
    """Names of the groups, in order."""
    codes: Codes

    @property
    def unknown(self) -> int:
        """Photographs of no known group."""
        return int((self.codes < 0).sum())


def groupings(rows: pd.DataFrame, by: Sequence[str] = ()) -> list[Grouping]:
    """Group photographs by the columns of `COLUMNS` that have several values, and by those asked for.

    A column of one value only is passed over, as is one of `COLUMNS` with more than `MOST` values.

    Args:
        rows: Photographs, with the manifest's columns.
        by: More columns.

    Raises:
        BadRequest: If a column asked for is not there, is blank throughout, or has more than `MOST` values.
    """
    columns = []
    for name in dict.fromkeys((*COLUMNS, *by)):
        values = _values(rows, name)
        present = sorted({value for value in values if value is not None}, key=_order)
        if name in by and not 0 < len(present) <= MOST:
            here = ", ".join(str(column) for column in rows.columns if not str(column).startswith("predicted_"))
            came = f"{len(present)}" if name in rows or present else f"no such column (there are {here})"
            raise BadRequest(
                f"--by {name}: expected a column of 1 to {MOST} different values, got {came}. "
                "Name a column of the manifest; put measurements into bands first."
            )
        if name in by or 2 <= len(present) <= MOST:
            number = {value: at for at, value in enumerate(present)}
            codes = np.array([-1 if value is None else number[value] for value in values], dtype=np.int64)
            columns.append(Grouping(name, tuple(present), codes))
    return columns


def shuffled(
    grouping: Grouping, patients: Int[np.ndarray, " photo"], rng: np.random.Generator, shuffles: int
) -> Iterator[Codes]:
    """Yield random assignments of the same groups, as they would be if the groups did not matter.

    Where each patient is of one group only, patients exchange their groups. Otherwise (eye, quality) patients with
    equally many photographs exchange all of theirs, and then the photographs of each. Photographs of no known group
    stay out.
    """
    inside = np.flatnonzero(grouping.codes >= 0)
    owner = np.unique(patients[inside], return_inverse=True)[1]
    photographs_of = (
        np.split(inside[np.argsort(owner, kind="stable")], np.cumsum(np.bincount(owner))[:-1]) if len(inside) else []
    )
    constant = all((grouping.codes[photos] == grouping.codes[photos[0]]).all() for photos in photographs_of)
    own = np.array([grouping.codes[photos[0]] for photos in photographs_of], dtype=np.int64)
    sizes = sorted({len(photos) for photos in photographs_of})
    alike = [np.stack([photos for photos in photographs_of if len(photos) == size]) for size in sizes]
    for _ in range(shuffles):
        assignment = np.full(len(grouping.codes), -1, dtype=np.int64)
        if constant:
            assignment[inside] = rng.permutation(own)[owner]
        else:
            for photos in alike:
                assignment[photos] = rng.permuted(rng.permutation(grouping.codes[photos]), axis=1)
        yield assignment


def chance(observed: float, by_chance: Iterable[float]) -> float:
    """Return the share of random values that are at least the observed one, itself counted (Phipson & Smyth 2010)."""
    values = np.array(list(by_chance))
    if np.isnan(observed):
        return float("nan")
    return float((1 + (values >= observed - 1e-12).sum()) / (1 + len(values)))


def _values(rows: pd.DataFrame, name: str) -> list[str | None]:
    if name == "age_band" and name not in rows:
        return [None if age is None else _band(float(age)) for age in texts(rows, "age")]
    values = texts(rows, name)
    if name == "eye":
        inferred = texts(rows, "eye_inferred")
        return [one if one is not None else other for one, other in zip(values, inferred, strict=True)]
    return [None if value is None or not value.strip() else value for value in values]


def _band(age: float) -> str:
    if age < AGE_BANDS[0]:
        return f"under {AGE_BANDS[0]}"
    above = [start for start in AGE_BANDS if start <= age]
    return f"{above[-1]} and over" if len(above) == len(AGE_BANDS) else f"{above[-1]} to {AGE_BANDS[len(above)] - 1}"


def _order(value: str) -> tuple[bool, str]:
    return not value.startswith("under "), value
