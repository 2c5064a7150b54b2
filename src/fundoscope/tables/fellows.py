"""Which photograph shows the other eye: the fellow that a both-eyes network takes beside the one it grades.

Training and grading ask the same question of the same columns, so that a network meets the pairs it learnt from.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Int

from fundoscope.grades import EYES

NO_FELLOW: Final = -1
"""In place of a row's position: there is no fellow."""

DAY: Final = 10
"""Signs of an ISO 8601 time that say its day: 2026-11-21."""


def find_fellows(frame: pd.DataFrame) -> Int[np.ndarray, " row"]:
    """The row that shows the other eye of each row's patient, by position; -1 where there is none.

    A fellow is of the same source and patient, shows the other eye, and is not known to be of another visit (where
    both rows have one) or, where visits are not known, of another day. Of several, those known to be of the same
    visit come first, then those of the same day, then the others; among equals the first by name. So the answer does
    not depend on the order of the rows. A row without patient or eye has no fellow and is nobody's.

    Args:
        frame: Rows with `image`, and of `source`, `patient`, `eye`, `visit` and `taken` what is known.
    """
    found = np.full(len(frame), NO_FELLOW)
    if not {"patient", "eye"} <= set(frame.columns):
        return found
    columns = ("image", "source", "patient", "eye", "visit", "taken")
    table = frame.reindex(columns=list(columns)).astype(object)
    rows = table.where(table.notna(), None).to_numpy()
    eyes: dict[tuple[object, object, object], list[int]] = {}
    for number, (_, source, patient, eye, _, _) in enumerate(rows):
        if patient is not None and eye in EYES:
            eyes.setdefault((source, patient, eye), []).append(number)
    for (source, patient, eye), numbers in eyes.items():
        other = EYES[1 - EYES.index(str(eye))]
        candidates = eyes.get((source, patient, other), [])
        for number in numbers:
            ranked = [
                (rank, str(rows[i][0]), i) for i in candidates if (rank := _rank(rows[number], rows[i])) is not None
            ]
            if ranked:
                found[number] = min(ranked)[-1]
    return found


def _rank(own: np.ndarray, other: np.ndarray) -> int | None:
    """0 the same visit, 1 the same day, 2 not known; None: another visit or another day."""
    (visit, taken), (other_visit, other_taken) = own[-2:], other[-2:]
    if visit is not None and other_visit is not None:
        return 0 if visit == other_visit else None
    if taken is not None and other_taken is not None:
        return 1 if str(taken)[:DAY] == str(other_taken)[:DAY] else None
    return 2
