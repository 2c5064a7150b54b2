"""Predictions that calibration, thresholds and sets are fitted on: of photographs that the network never saw, or none.

Fitted on its own training photographs a network looks far surer than it is; no later step can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.errors import BadTable
from fundoscope.grades import GRADES
from fundoscope.tables import PROBABILITIES
from fundoscope.tables.patients import texts, unit_keys

NO_FOLD: Final = -1
"""Stands for a blank `fold`."""

RAW_COLUMNS: Final = tuple(f"raw{k}" for k in range(GRADES))
"""Columns of the head's raw outputs; a head fills as many as it has."""

CUT_COLUMNS: Final = tuple(f"cut{k}" for k in range(GRADES - 1))
"""Columns of the logits of `grade > k`, where a network has them beside its head: `network.second_head`."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Answers to photographs that their network was not trained on, with the reference; arrays of one order.

    `of_table` makes one of a table and refuses training photographs; who makes one of arrays says himself
    that they are held out.
    """

    probabilities: Probabilities
    grades: Grades
    """Reference grades, 0 to 4."""
    patients: Int[np.ndarray, " photo"]
    """The same number for photographs that cannot be taken as independent: one patient's, or copies of one."""
    groups: tuple[str, ...] = ()
    """Source, quality or the like of each photograph, blank where unknown; empty: not asked for."""
    raw: RawOutput | None = None
    """The head's raw outputs; None where the table has none."""
    folds: Int[np.ndarray, " photo"] | None = None
    """Fold that each was held out in, `NO_FOLD` where blank; None: no column `fold`."""
    cuts: Float[np.ndarray, "photo cut"] | None = None
    """Logits of the cuts beside the head; None where the table has not all of them."""
    answers: Grades | None = None
    """The grades that the system answered, the likeliest where it answered none; None: not known."""

    def __post_init__(self) -> None:
        count = len(self.grades)
        lengths = {"probabilities": len(self.probabilities), "patients": len(self.patients)}
        lengths |= {"groups": len(self.groups)} if self.groups else {}
        lengths |= {
            name: len(each) for name in ("raw", "folds", "cuts", "answers") if (each := getattr(self, name)) is not None
        }
        if set(lengths.values()) != {count}:
            came = ", ".join(f"{length} {name}" for name, length in lengths.items())
            raise ValueError(f"every photograph needs one of each, got {count} grades and {came}")
        if count and (self.grades.min() < 0 or self.grades.max() >= GRADES):
            came = f"{int(self.grades.min())} to {int(self.grades.max())}"
            raise ValueError(f"grades must be 0 to {GRADES - 1}, got {came}")
        if not np.isfinite(self.probabilities).all():
            raise ValueError(f"probabilities must be finite, got {int((~np.isfinite(self.probabilities)).sum())} not")

    @property
    def out_of_fold(self) -> bool:
        """Whether several networks answered, each those it was not trained on, none of which is a release's own."""
        return self.folds is not None and bool((self.folds != NO_FOLD).any())

    @classmethod
    def of_table(
        cls, rows: pd.DataFrame, *, trained_on: Collection[str] = (), held_out: bool = False, by: str | None = None
    ) -> HeldOut:
        """Select the rows that have a grade and probabilities and could be graded.

        Args:
            rows: Predictions beside a manifest's rows, as `tables.join` gives them.
            trained_on: Hashes of the photographs that the release was trained on: rows of others need no fold.
            held_out: The predictions are known to be of photographs that their model never saw.
            by: A column to be told apart by; where both tables have it, the prediction's, which is all that is
                known of a new photograph.

        Raises:
            BadTable: If nothing is left, a column is missing, or a row may be a prediction on a photograph that was
                trained on.
        """
        rows_answered = _answered(rows)
        if not held_out:
            refuse_in_sample(rows_answered, trained_on)
        keys = unit_keys(rows_answered)
        number = {key: at for at, key in enumerate(dict.fromkeys(keys))}
        fold = _fold_column(rows_answered)
        cuts = _filled(rows_answered, CUT_COLUMNS)
        return cls(
            probabilities=_normalised(rows_answered[list(PROBABILITIES)].to_numpy(dtype=np.float64)),
            grades=rows_answered["grade"].to_numpy(dtype=np.int64),
            patients=np.array([number[key] for key in keys], dtype=np.int64),
            groups=_groups(rows_answered, by) if by is not None else (),
            raw=_filled(rows_answered, RAW_COLUMNS),
            folds=rows_answered[fold].fillna(NO_FOLD).to_numpy(dtype=np.int64) if fold in rows_answered else None,
            cuts=cuts if cuts is not None and cuts.shape[1] == len(CUT_COLUMNS) else None,
            answers=_grades_answered(rows_answered),
        )


def refuse_in_sample(rows: pd.DataFrame, trained_on: Collection[str] = ()) -> None:
    """Refuse rows that may be predictions on photographs that were trained on.

    Args:
        rows: Predictions, or predictions beside a manifest's rows: `image`, and `sha256` and the predictions' `fold`
            (or `predicted_fold`, if the manifest has one of its own) where they are known.
        trained_on: Hashes of the photographs that the network was trained on. None given: only a fold vouches.

    Raises:
        BadTable: For a row with neither a fold nor a hash that is known not to be among them.
    """
    folds = texts(rows, _fold_column(rows))
    hashes = texts(rows, "sha256")
    images = rows["image"].astype(str).tolist()
    for image, fold, sha256 in zip(images, folds, hashes, strict=True):
        if fold is None and (not trained_on or sha256 is None or sha256 in trained_on):
            came = (
                "of a photograph that the release was trained on" if sha256 in trained_on else "that may be in-sample"
            )
            raise BadTable(
                f"{image}: expected an out-of-fold prediction (column fold filled), got one without, {came}. Use the "
                "out_of_fold.csv of a training run, or say --held-out if their system never saw these photographs."
            )


def _fold_column(rows: pd.DataFrame) -> str:
    return "predicted_fold" if "predicted_fold" in rows else "fold"


def _answered(rows: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in ("grade", *PROBABILITIES) if name not in rows]:
        raise BadTable(
            f"predictions: expected a grade from the manifest and p0 to p4 beside it, got no {', '.join(missing)}. "
            "Give a manifest with grades, and predictions with probabilities."
        )
    answered = rows["grade"].notna() & rows[list(PROBABILITIES)].notna().all(axis=1)
    if "status" in rows:
        answered &= rows["status"].isna() | (rows["status"] == "graded")
    if not answered.any():
        raise BadTable(
            f"predictions: expected graded photographs with a reference grade and p0 to p4, got none of {len(rows)}. "
            "Check that the predictions are of this manifest."
        )
    return rows[answered].reset_index(drop=True)


def _filled(rows: pd.DataFrame, names: Sequence[str]) -> RawOutput | None:
    """Return the columns with a number in every row, in order; None: there is none."""
    numbers = {name: pd.to_numeric(rows[name], errors="coerce") for name in names if name in rows}
    filled = [column.to_numpy(dtype=np.float64) for column in numbers.values() if column.notna().all()]
    return np.column_stack(filled) if filled else None


def _grades_answered(rows: pd.DataFrame) -> Grades:
    likeliest = rows[list(PROBABILITIES)].to_numpy(np.float64).argmax(axis=1)
    if "predicted_grade" not in rows:
        return np.asarray(likeliest)
    grades = rows["predicted_grade"].fillna(-1).to_numpy(dtype=np.int64)
    return np.where(grades >= 0, grades, likeliest)


def _groups(rows: pd.DataFrame, by: str) -> tuple[str, ...]:
    column = f"predicted_{by}" if f"predicted_{by}" in rows else by
    if column not in rows:
        raise BadTable(
            f"predictions: expected a column {by} to tell groups apart by, got none in either table. Add it to the "
            "manifest, or leave the groups out."
        )
    return tuple(text or "" for text in texts(rows, column))


def _normalised(probabilities: Probabilities) -> Probabilities:
    """Normalise rows to sum to 1 exactly: tables are rounded."""
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))
