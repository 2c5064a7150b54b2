"""Tables with one row per patient and a column for each eye, such as `OD image` and `OS image`, as a row per eye."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.grades import EYES
from fundoscope.tables.notes import note
from fundoscope.tables.words import EYE_WORDS

_WORDS: Final = "|".join(sorted(map(re.escape, EYE_WORDS), key=len, reverse=True))
_EYE: Final = re.compile(rf"(?i)(?:^|[\s_.()\-])({_WORDS})(?=$|[\s_.()\-])")
"""A word for an eye that stands apart in a column's name."""

Pairs = dict[str, dict[str, str]]
"""Name that two columns share without the word for the eye -> eye -> column."""


def one_row_per_eye(frame: pd.DataFrame, wanted: Collection[str], table: Path) -> pd.DataFrame:
    """Return a table with a row for each eye, where its columns come in pairs and a wanted one is only there so.

    A pair of columns becomes one with the name that they share (`image`, where they are named by the eye alone), and
    the column `eye` says which eye a row is of. Columns that are not paired are the same in both rows. An eye of which
    all paired columns are blank has no row.

    Args:
        frame: A table that is not typed yet.
        wanted: Names of columns that are to be read.
        table: Where it is from; notes and messages name it.

    Raises:
        BadTable: If an eye has values and no picture, or a name stands both in a pair and alone.
    """
    pairs = _pairs(frame)
    if all(name in frame for name in wanted) or not any(name in pairs and name not in frame for name in wanted):
        return frame
    if twice := sorted({"eye", *pairs} & set(frame.columns)):
        raise BadTable(
            f"{table}: expected {twice[0]} either as one column or as one for each eye, got both. Rename the column."
        )
    paired = [column for columns in pairs.values() for column in columns.values()]
    alone = frame.drop(columns=paired)
    parts = []
    for eye in EYES:
        of_eye = frame[[columns[eye] for columns in pairs.values()]].set_axis(list(pairs), axis=1)
        parts.append(pd.concat([alone.assign(eye=eye), of_eye], axis=1)[of_eye.notna().any(axis=1)])
    # A stable sort keeps the eyes of a patient together, in the order of EYES.
    rows = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    names = "; ".join(f"{' and '.join(columns.values())} as {name}" for name, columns in pairs.items())
    counts = f"each of {len(frame)} rows is read as one row per eye, {len(rows)} in all, which messages count"
    note(f"{table}: {counts}: {names}.")
    return rows


def _pairs(frame: pd.DataFrame) -> Pairs:
    """Return the columns that differ in the word for the eye alone."""
    pairs: Pairs = {}
    for column in map(str, frame.columns):
        found = list(_EYE.finditer(column))
        if len(found) != 1:
            continue
        rest = f"{column[: found[0].start()]} {column[found[0].end() :]}".strip(" _.()-")
        name = re.sub(r"\s+", " ", rest).strip() or "image"
        pairs.setdefault(name, {}).setdefault(EYE_WORDS[found[0][1].lower()], column)
    return {name: columns for name, columns in pairs.items() if len(columns) == len(EYES)}
