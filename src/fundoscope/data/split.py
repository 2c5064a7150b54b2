"""Divide photographs so that no patient is on two sides.

Patients are sorted by their worst grade, and within it by a hash of their name and a salt, and dealt
out along that order. So every side gets its share of every grade, the result does not depend on the
order of the rows, and another salt gives another division. It does change when patients are added.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping
from typing import Final

import numpy as np
import pandas as pd

from fundoscope.tables import patient_keys

SHARES: Final = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Share of the patients on each side."""


def split_by_patient(frame: pd.DataFrame, *, shares: Mapping[str, float] = SHARES, salt: str = "") -> pd.DataFrame:
    """A copy of a manifest with the column `split` filled.

    Args:
        frame: A checked manifest. A photograph without patient counts as a patient of its own.
        shares: Share of the patients for each side, summing to 1.
        salt: Any text; each gives a division of its own.

    Raises:
        ValueError: If a share is negative, or they do not sum to 1.
    """
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-9):
        raise ValueError(f"shares must be at least 0 and sum to 1, got {dict(shares)}")
    names = list(shares)
    sides = _deal(frame, np.array([shares[name] for name in names]), salt)
    return frame.assign(split=pd.Series([names[side] for side in sides], index=frame.index, dtype=object))


def fold_by_patient(frame: pd.DataFrame, *, folds: int = 5, salt: str = "") -> pd.DataFrame:
    """A copy of a manifest with the column `fold` filled, from 0 to `folds` - 1.

    Args:
        frame: A checked manifest. A photograph without patient counts as a patient of its own.
        folds: How many; at least 2 and at most as many as there are patients.
        salt: Any text; each gives a division of its own.

    Raises:
        ValueError: If there cannot be so many folds.
    """
    patients = len(set(patient_keys(frame)))
    if not 2 <= folds <= patients:
        raise ValueError(f"folds must be at least 2 and at most {patients}, the number of patients, got {folds}")
    sides = _deal(frame, np.full(folds, 1 / folds), salt)
    return frame.assign(fold=pd.Series(sides, index=frame.index, dtype="Int64"))


def _deal(frame: pd.DataFrame, shares: np.ndarray, salt: str) -> list[int]:
    """The number of the side of each row: always to the side that lacks most."""
    keys = patient_keys(frame)
    worst: dict[tuple[str, str, str], int] = {}
    grades = frame["grade"].tolist() if "grade" in frame else [None] * len(frame)
    for key, grade in zip(keys, grades, strict=True):
        worst[key] = max(worst.get(key, -1), -1 if pd.isna(grade) else int(grade))
    order = sorted(worst, key=lambda key: (worst[key], _hashed(salt, key)))
    side: dict[Hashable, int] = {}
    dealt = np.zeros(len(shares))
    for place, key in enumerate(order, start=1):
        # Rounded, so that what is equal in exact arithmetic ties here too, and the first side takes it.
        side[key] = int(np.argmax(np.round(shares * place - dealt, 9)))
        dealt[side[key]] += 1
    return [side[key] for key in keys]


def _hashed(salt: str, key: tuple[str, str, str]) -> str:
    return hashlib.sha256("\x1f".join((salt, *key)).encode("utf-8", errors="surrogatepass")).hexdigest()
