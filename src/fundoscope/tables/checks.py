"""The checks that a manifest and a table of predictions pass before they are used.

Row numbers in messages are those that a spreadsheet shows (`columns.row_number`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.grades import GRADES
from fundoscope.tables.columns import (
    MANIFEST_COLUMNS,
    PREDICTION_COLUMNS,
    PROBABILITIES,
    SIGN,
    SIGN_PREFIX,
    row_number,
)
from fundoscope.tables.notes import note
from fundoscope.tables.values import typed

PROBABILITY_SLACK: Final = 0.0201
"""How far p0 to p4 may be from summing to 1: tables are rounded, to two decimals to 0.98 to 1.02."""

EXACT_SUM: Final = 1e-4
"""Sums nearer to 1 than this are left as they are: six decimals round so."""

LONGEST_PATH: Final = 4096
"""Letters of a path at most; no system has longer ones."""

NAME_SHOWN: Final = 120
"""Letters of a name that a message shows."""

SCORE: Final = "score"
"""Other systems' name of a probability of grade 2 or above."""


def check_manifest(frame: pd.DataFrame, *, path: Path | str) -> pd.DataFrame:
    """Return a manifest with its columns typed, or refuse it.

    Args:
        frame: The table as read or built.
        path: Where it is from; messages name it, and its suffix says how rows are counted.

    Raises:
        BadTable: If `image` is missing, blank or repeated, or a value is not allowed in its column.
    """
    signs = {name: SIGN for name in map(str, frame.columns) if name.startswith(SIGN_PREFIX)}
    frame = typed(frame, {**MANIFEST_COLUMNS, **signs}, Path(path))
    _check_images(frame, Path(path))
    return frame


def check_predictions(frame: pd.DataFrame, *, path: Path | str) -> pd.DataFrame:
    """Return predictions with their columns typed, or refuse them. Any system's table will do.

    A column `score` is read as `p_referable` where there is no other answer. Five probabilities that sum to 0.98 to
    1.02, as rounding to two decimals leaves them, are divided by their sum. A note says both.

    Raises:
        BadTable: As `check_manifest`; also if there is neither a grade nor a score nor
            probabilities, or probabilities are given in part or do not sum to 1.
    """
    place = Path(path)
    frame = typed(_with_score(frame, place), PREDICTION_COLUMNS, place)
    _check_images(frame, place)
    held = [name for name in PROBABILITIES if name in frame]
    if held and len(held) < GRADES:
        missing = ", ".join(name for name in PROBABILITIES if name not in frame)
        raise BadTable(f"{place}: expected all of p0 to p4 or none, got {', '.join(held)}. Add {missing}.")
    if not held and not {"grade", "p_referable"} & set(frame.columns):
        raise BadTable(
            f"{place}: expected a column grade, p_referable, score or p0 to p4, got {_listed(frame)}. "
            "Rename the column that holds the answer."
        )
    return _with_sums_of_one(frame, place) if held else frame


def _with_score(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return predictions whose only answer is a column `score` with it as their probability of grade 2 or above."""
    if SCORE not in frame or "p_referable" in frame:
        return frame
    if {"grade", *PROBABILITIES} & set(frame.columns):
        note(
            f"{path}: column {SCORE}: not read, because there is another answer. If it is the probability of grade 2 "
            "or above, call it p_referable."
        )
        return frame
    note(f"{path}: column {SCORE} is read as p_referable, the probability of grade 2 or above.")
    return frame.rename(columns={SCORE: "p_referable"})


def _with_sums_of_one(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return predictions whose five probabilities sum to 1 where rounding left a little more or less."""
    given = frame[list(PROBABILITIES)]
    partial = given.isna().any(axis=1) & given.notna().any(axis=1)
    off = (given.sum(axis=1) - 1).abs().gt(PROBABILITY_SLACK) & given.notna().all(axis=1)
    for wrong, got in ((partial, "a blank among them"), (off, None)):
        if wrong.any():
            at = int(wrong.to_numpy().argmax())
            came = got or f"a sum of {given.iloc[at].sum():.3f}"
            raise BadTable(
                f"{path}: row {row_number(path, at)}, columns p0 to p4: expected five shares that sum to 1, "
                f"got {came}. Correct the row, or leave all five blank."
            )
    sums = given.sum(axis=1)
    rounded = (sums - 1).abs().gt(EXACT_SUM) & given.notna().all(axis=1)
    if not rounded.any():
        return frame
    low, high = sums[rounded].min(), sums[rounded].max()
    note(
        f"{path}: columns p0 to p4: {int(rounded.sum())} of {len(frame)} rows sum to {low:.3f} to {high:.3f}, as "
        "rounded numbers do; each is divided by its sum."
    )
    # A row that is blank stays blank, and one that sums to 1 stays as it is.
    return frame.assign(**{name: given[name].where(~rounded, given[name] / sums) for name in PROBABILITIES})


def _check_images(frame: pd.DataFrame, path: Path) -> None:
    if "image" not in frame:
        raise BadTable(
            f"{path}: expected a column image, got {_listed(frame)}. Name the column of the pictures' paths image."
        )
    blank = frame["image"].isna().to_numpy()
    if blank.any():
        raise BadTable(
            f"{path}: row {row_number(path, int(blank.argmax()))}, column image: expected the path of a picture, "
            "got a blank. Fill it in, or delete the row."
        )
    long = [len(name) > LONGEST_PATH for name in frame["image"].tolist()]
    if any(long):
        raise BadTable(
            f"{path}: row {row_number(path, long.index(True))}, column image: expected a path of at most "
            f"{LONGEST_PATH} letters, got {frame['image'].iloc[long.index(True)][:NAME_SHOWN]!r}... Correct it."
        )
    repeated = frame["image"].duplicated(keep=False).to_numpy()
    if repeated.any():
        name = frame["image"].iloc[int(repeated.argmax())]
        places = [row_number(path, at) for at in (frame["image"] == name).to_numpy().nonzero()[0].tolist()]
        raise BadTable(
            f"{path}: rows {', '.join(map(str, places[:5]))}, column image: expected every picture once, "
            f"got {name[:NAME_SHOWN]!r} {len(places)} times. Delete all but one."
        )


def _listed(frame: pd.DataFrame) -> str:
    names = [str(name)[:NAME_SHOWN] for name in frame.columns]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
