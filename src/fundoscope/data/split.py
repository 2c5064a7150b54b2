"""Split photographs so that no unit is in two splits: no patient, no file, no group of duplicates.

Two methods. *Hash-based*: the split of a unit depends on its name and a salt alone, so that rows that are added,
removed, re-ordered or graded again move no other; every split gets its share in expectation. *Stratified*: units are
sorted by source and worst grade, and within these by a hash of their name and a salt, and assigned along that order;
shares are exact for every source and grade, which small sets need, but one row more may move others.

Neither depends on the order of the rows. Scikit-learn's GroupKFold and StratifiedGroupKFold do.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from fundoscope.tables.patients import PERSON_POOLS, PatientKey, unit_keys

Method = Literal["hash-based", "stratified"]

Shares = Float[np.ndarray, " split"]

SHARES: Final = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Share of the units in each split."""

_DIGITS: Final = 13
"""Hexadecimal digits of a hash that make a number in [0, 1): 52 bits, which double precision holds exactly."""


def split_by_patient(
    frame: pd.DataFrame, *, shares: Mapping[str, float] = SHARES, salt: str = "", method: Method = "hash-based"
) -> pd.DataFrame:
    """Return a copy of a manifest with the column `split` filled in.

    Args:
        frame: A checked manifest. A photograph without patient counts as a patient of its own.
        shares: Share of the units for each split, summing to 1.
        salt: Any text; each gives another split.
        method: See the module. Hash-based, a split of a small set may be empty.

    Raises:
        ValueError: If a share is negative, they do not sum to 1, or there is no such method.
    """
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-9):
        raise ValueError(f"shares must be at least 0 and sum to 1, got {dict(shares)}")
    names = list(shares)
    numbers = _divided(frame, np.array([shares[name] for name in names], dtype=np.float64), "split", salt, method)
    return frame.assign(split=pd.Series([names[number] for number in numbers], index=frame.index, dtype=object))


def fold_by_patient(
    frame: pd.DataFrame, *, folds: int = 5, salt: str = "", method: Method = "stratified"
) -> pd.DataFrame:
    """Return a copy of a manifest with the column `fold` filled in, from 0 to `folds` - 1.

    Args:
        frame: A checked manifest. A photograph without patient counts as a patient of its own.
        folds: How many; at least 2 and at most as many as there are units.
        salt: Any text; each gives another split.
        method: See the module. Hash-based, a fold of a small set may be empty.

    Raises:
        ValueError: If there cannot be so many folds, or there is no such method.
    """
    units = len(set(units_of(frame)))
    if not 2 <= folds <= units:
        raise ValueError(
            f"folds must be at least 2 and at most {units}, the number of patients (those who share a photograph "
            f"counted once), got {folds}"
        )
    numbers = _divided(frame, np.full(folds, 1 / folds), "fold", salt, method)
    return frame.assign(fold=pd.Series(numbers, index=frame.index, dtype="Int64"))


def units_of(frame: pd.DataFrame) -> list[PatientKey]:
    """Return the unit of each row: `tables.patients.unit_keys`, with the sources that name the same persons alike."""
    return unit_keys(frame, pools=PERSON_POOLS)


def people_of(frame: pd.DataFrame) -> list[PatientKey]:
    """Return the patient of each photograph; one person in all sources that name the same persons alike."""
    who = frame[[name for name in ("image", "source", "patient") if name in frame]]
    return unit_keys(who, pools=PERSON_POOLS)


def position(unit: PatientKey, *, purpose: str, salt: str) -> float:
    """Return a number in [0, 1), uniformly distributed, that depends on the name of a unit alone.

    Source and grade are not hashed. Positions are independent, so those of any subset (a source, a grade) are uniform
    already: stratifying a hash would change nothing, except that a photograph graded again would move its unit. Exact
    shares depend on all units together, and so cannot be stable.

    Args:
        unit: As `units_of` names it.
        purpose: Splits for different purposes are independent: folds of a hash-based training split are as even as
            those of all photographs.
        salt: Any text; each gives positions of its own.
    """
    return int(_digest(purpose, salt, *unit)[:_DIGITS], 16) / 16**_DIGITS


def _divided(frame: pd.DataFrame, shares: Shares, purpose: str, salt: str, method: Method) -> list[int]:
    """Return the number of the split of each row."""
    units = units_of(frame)
    if method == "hash-based":
        number = _hash_based(units, shares, purpose, salt)
    elif method == "stratified":
        number = _stratified(frame, units, shares, salt)
    else:
        raise ValueError(f"method must be hash-based or stratified, got {method!r}")
    return [number[unit] for unit in units]


def _hash_based(units: list[PatientKey], shares: Shares, purpose: str, salt: str) -> dict[PatientKey, int]:
    """Assign each unit by its position: splits divide [0, 1) one after the other, each as wide as its share."""
    last = int(np.flatnonzero(shares)[-1])
    ends = np.cumsum(shares)
    ends[last:] = 1  # what rounding left of it
    names = sorted(set(units))
    positions = [position(unit, purpose=purpose, salt=salt) for unit in names]
    return dict(zip(names, np.searchsorted(ends, positions, side="right").tolist(), strict=True))


def _stratified(frame: pd.DataFrame, units: list[PatientKey], shares: Shares, salt: str) -> dict[PatientKey, int]:
    """Assign each unit to the split that then lacks most, along one list of all sources and grades.

    The list is not started again for each source and grade, or the first split would take the remainder of each.
    """
    strata = _strata(frame, units)
    order = sorted(strata, key=lambda unit: (*strata[unit], _digest(salt, *unit)))
    number: dict[PatientKey, int] = {}
    counts = np.zeros(len(shares))
    for place, unit in enumerate(order, start=1):
        # Rounded, so that what is equal in exact arithmetic ties here too, and the first split takes it.
        number[unit] = int(np.argmax(np.round(shares * place - counts, 9)))
        counts[number[unit]] += 1
    return number


def _strata(frame: pd.DataFrame, units: list[PatientKey]) -> dict[PatientKey, tuple[str, int]]:
    """Return each unit's source, the first by name if it has several, and its worst grade; -1 where none is known."""
    sources = frame["source"].tolist() if "source" in frame else [None] * len(frame)
    grades = frame["grade"].tolist() if "grade" in frame else [None] * len(frame)
    strata: dict[PatientKey, tuple[str, int]] = {}
    for unit, source, grade in zip(units, sources, grades, strict=True):
        name = "" if pd.isna(source) else str(source)
        first, worst = strata.get(unit, (name, -1))
        strata[unit] = (min(first, name), max(worst, -1 if pd.isna(grade) else int(grade)))
    return strata


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", errors="surrogatepass")).hexdigest()
