"""Divide photographs so that no unit is on two sides: no patient, no file, no group of duplicates.

Two methods. *Hashed*: where a unit goes hangs on its name and a salt alone, so that rows that come, go, are re-ordered
or graded anew move no other; every side gets its share in expectation. *Dealt*: units are sorted by source and worst
grade, and within these by a hash of their name and a salt, and dealt out along that order; shares are exact for every
source and grade, which small sets need, but a row more may move others.

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

Method = Literal["hashed", "dealt"]

Shares = Float[np.ndarray, " side"]

SHARES: Final = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Share of the units on each side."""

_DIGITS: Final = 13
"""Hexadecimal digits of a hash that make a number in [0, 1): 52 bits, which double precision holds exactly."""


def split_by_patient(
    frame: pd.DataFrame, *, shares: Mapping[str, float] = SHARES, salt: str = "", method: Method = "hashed"
) -> pd.DataFrame:
    """A copy of a manifest with the column `split` filled.

    Args:
        frame: A checked manifest. A photograph without patient counts as a patient of its own.
        shares: Share of the units for each side, summing to 1.
        salt: Any text; each gives a division of its own.
        method: "hashed" or "dealt", see the module. Hashed, a side may get nothing of a small set.

    Raises:
        ValueError: If a share is negative, they do not sum to 1, or there is no such method.
    """
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-9):
        raise ValueError(f"shares must be at least 0 and sum to 1, got {dict(shares)}")
    names = list(shares)
    sides = _divided(frame, np.array([shares[name] for name in names], dtype=np.float64), "split", salt, method)
    return frame.assign(split=pd.Series([names[side] for side in sides], index=frame.index, dtype=object))


def fold_by_patient(frame: pd.DataFrame, *, folds: int = 5, salt: str = "", method: Method = "dealt") -> pd.DataFrame:
    """A copy of a manifest with the column `fold` filled, from 0 to `folds` - 1.

    Args:
        frame: A checked manifest. A photograph without patient counts as a patient of its own.
        folds: How many; at least 2 and at most as many as there are units.
        salt: Any text; each gives a division of its own.
        method: "hashed" or "dealt", see the module. Hashed, a fold of a small set may be empty.

    Raises:
        ValueError: If there cannot be so many folds, or there is no such method.
    """
    units = len(set(units_of(frame)))
    if not 2 <= folds <= units:
        raise ValueError(
            f"folds must be at least 2 and at most {units}, the number of patients (those who share a photograph "
            f"counted once), got {folds}"
        )
    sides = _divided(frame, np.full(folds, 1 / folds), "fold", salt, method)
    return frame.assign(fold=pd.Series(sides, index=frame.index, dtype="Int64"))


def units_of(frame: pd.DataFrame) -> list[PatientKey]:
    """The unit of each row: `tables.patients.unit_keys`, told which sources name the same persons alike."""
    return unit_keys(frame, pools=PERSON_POOLS)


def people_of(frame: pd.DataFrame) -> list[PatientKey]:
    """Who each photograph is of, as `tables.patient_keys`; one person in sources that name the same persons alike."""
    who = frame[[name for name in ("image", "source", "patient") if name in frame]]
    return unit_keys(who, pools=PERSON_POOLS)


def position(unit: PatientKey, *, purpose: str, salt: str) -> float:
    """Where a unit lies in [0, 1), evenly spread, by its name alone.

    It is not hashed with source or grade. Units lie independently of one another, so whatever subset one looks at, a
    source or a grade, is spread evenly already: stratifying a hash would change nothing. It would do harm: a photograph
    graded anew would move its unit. Exact shares need units to know of one another, and so cannot be stable.

    Args:
        unit: As `units_of` names it.
        purpose: Divisions for different purposes are independent: folds of a hashed training part are as even as
            those of the whole.
        salt: Any text; each gives positions of its own.
    """
    return int(_digest(purpose, salt, *unit)[:_DIGITS], 16) / 16**_DIGITS


def _divided(frame: pd.DataFrame, shares: Shares, purpose: str, salt: str, method: Method) -> list[int]:
    """The number of the side of each row."""
    units = units_of(frame)
    if method == "hashed":
        side = _hashed(units, shares, purpose, salt)
    elif method == "dealt":
        side = _dealt(frame, units, shares, salt)
    else:
        raise ValueError(f"method must be hashed or dealt, got {method!r}")
    return [side[unit] for unit in units]


def _hashed(units: list[PatientKey], shares: Shares, purpose: str, salt: str) -> dict[PatientKey, int]:
    """The side whose part of [0, 1) a unit lies in; sides lie in it one after the other, as long as their shares."""
    last = int(np.flatnonzero(shares)[-1])
    ends = np.cumsum(shares)
    ends[last:] = 1  # what rounding left of it
    names = sorted(set(units))
    places = [position(unit, purpose=purpose, salt=salt) for unit in names]
    return dict(zip(names, np.searchsorted(ends, places, side="right").tolist(), strict=True))


def _dealt(frame: pd.DataFrame, units: list[PatientKey], shares: Shares, salt: str) -> dict[PatientKey, int]:
    """Each unit to the side that then lacks most, along one list of all sources.

    The dealing goes on from source to source and from grade to grade: begun afresh, the first side would
    take what is left over of each.
    """
    strata = _strata(frame, units)
    order = sorted(strata, key=lambda unit: (*strata[unit], _digest(salt, *unit)))
    side: dict[PatientKey, int] = {}
    dealt = np.zeros(len(shares))
    for place, unit in enumerate(order, start=1):
        # Rounded, so that what is equal in exact arithmetic ties here too, and the first side takes it.
        side[unit] = int(np.argmax(np.round(shares * place - dealt, 9)))
        dealt[side[unit]] += 1
    return side


def _strata(frame: pd.DataFrame, units: list[PatientKey]) -> dict[PatientKey, tuple[str, int]]:
    """Each unit's source, the first by name if it has several, and its worst grade; -1 where none is known."""
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
