"""From joined tables to the arrays that statistics are computed on, and the count of what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fundoscope.grades import CUTS, DME_NAMES, GRADE_NAMES, OR_DME, REFERABLE, REFERABLE_DME
from fundoscope.tables import PROBABILITIES, patient_keys
from fundoscope.tables.columns import STORED_DIGITS

PRESENT_DME: Final = DME_NAMES.index("present")

GRADED, UNGRADABLE, UNREADABLE = "graded", "ungradable", "unreadable"


@dataclass(frozen=True, slots=True)
class Cases:
    """Photographs with a reference grade and a prediction; arrays of one length, in one order."""

    reference: Int[np.ndarray, " photo"]
    """ICDR grade 0 to 4."""
    answered: Int[np.ndarray, " photo"]
    """The grade answered; -1 where none was."""
    probabilities: Float[np.ndarray, "photo 5"]
    """p0 to p4; NaN where there are none."""
    p_referable: Float[np.ndarray, " photo"]
    """Score of the referable cut; NaN where there is none."""
    decision: tuple[str, ...]
    """The decision; empty where there is none."""
    status: tuple[str, ...]
    """graded, ungradable or unreadable."""
    patients: Int[np.ndarray, " photo"]
    """Number of the patient, from 0."""
    without_patient: int
    """Photographs whose patient is not known; each counts as a patient of its own."""
    dme: Int[np.ndarray, " photo"] | None = None
    """Diabetic macular oedema 0 to 2, -1 where it is not known; None where it is known of no photograph."""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row for each photograph, columns as `tables.join` names them; empty in cases that are of no table."""
    matched: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The same rows, and those of photographs with a prediction but no reference grade."""

    def counted(self, *, include_ungradable: bool) -> Bool[np.ndarray, " photo"]:
        """Which photographs count: those graded, and if asked for those that were not but have probabilities."""
        status = np.array(self.status, dtype=object)
        counted = status == GRADED
        if include_ungradable:
            counted |= (status == UNGRADABLE) & ~np.isnan(self.probabilities[:, 0])
        return np.asarray(counted, dtype=bool)

    def score(self, cut: str) -> Float[np.ndarray, " photo"]:
        """Probability of a cut of `grades.CUTS`; NaN where the table does not give it.

        Rounded as tables are: sums of probabilities that are equal but for rounding are equal, and tie.
        """
        exceedance = self.probabilities[:, CUTS[cut] :].sum(axis=1).round(STORED_DIGITS)
        return np.where(np.isnan(exceedance), self.p_referable, exceedance) if CUTS[cut] == REFERABLE else exceedance

    @property
    def sets(self) -> Bool[np.ndarray, "photo 5"]:
        """Grades in each photograph's prediction set (column `grades_set`); a row without any where there is no set."""
        members = [text.split() for text in _texts(self.rows, "grades_set")] or [[]] * len(self.reference)
        grades = list(map(str, range(len(GRADE_NAMES))))
        return np.array([[grade in of_photo for grade in grades] for of_photo in members], dtype=bool).reshape(-1, 5)

    def or_dme(self, name: str) -> OrDme:
        """Return which photographs are positive in a question of `grades.OR_DME`.

        Referable macular oedema counts: `dme` 2, hard exudates within one disc diameter of the centre of the macula
        (Gulshan et al., JAMA 316, 2016; clinically significant or centre-involving oedema in trials). `dme` 1, oedema
        that is present but is not known to be referable, does not. A photograph whose grade is positive by itself is
        positive whatever its `dme`; below that grade it is unknown where `dme` is, never negative.

        Raises:
            ValueError: If nothing is known of any photograph's `dme`.
        """
        if self.dme is None:
            raise ValueError("dme must be known of a photograph at least, got none")
        positive = (self.reference >= OR_DME[name]) | (self.dme >= REFERABLE_DME)
        return OrDme(positive, positive | (self.dme >= 0), (self.dme == PRESENT_DME) & ~positive)


@dataclass(frozen=True, slots=True)
class OrDme:
    """A reference that counts macular oedema, too."""

    positive: Bool[np.ndarray, " photo"]
    known: Bool[np.ndarray, " photo"]
    """Whether it is known if the photograph is positive; those of which it is not are left out."""
    present: Bool[np.ndarray, " photo"]
    """Negative although oedema is present, because it is not known to be referable."""


def cases_of(matched: pd.DataFrame) -> Cases:
    """Read the arrays off the rows that have a reference grade.

    A prediction without a grade but with probabilities answers the likeliest grade; a table without
    `status` has graded every row that has an answer. Probabilities are rounded as tables that are written are, so that
    a table with more decimals has the same ties, and the same figures.

    Args:
        matched: `Joined.rows` of a checked manifest and checked predictions.
    """
    rows = matched[matched["grade"].notna()] if "grade" in matched else matched.iloc[:0]
    rows = rows.reset_index(drop=True)
    probabilities = _as_stored(_numbers(rows, PROBABILITIES))
    answered = _answered(rows, probabilities)
    p_referable = _as_stored(_numbers(rows, ("p_referable",)))[:, 0]
    keys = patient_keys(rows)
    number = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    dme = rows["dme"].fillna(-1).to_numpy(dtype=np.int64) if "dme" in rows else np.full(len(rows), -1)
    unanswered = (answered < 0) & np.isnan(p_referable)
    return Cases(
        matched=matched,
        dme=dme if (dme >= 0).any() else None,
        rows=rows,
        reference=rows["grade"].to_numpy(dtype=np.int64) if len(rows) else np.zeros(0, np.int64),
        answered=answered,
        probabilities=probabilities,
        p_referable=p_referable,
        decision=tuple(_texts(rows, "decision")),
        status=tuple(
            text or (UNREADABLE if blank else GRADED)
            for text, blank in zip(_texts(rows, "status"), unanswered, strict=True)
        ),
        patients=np.array([number[key] for key in keys], dtype=np.int64),
        without_patient=sum(kind == "photograph" for kind, _, _ in keys),
    )


def _answered(rows: pd.DataFrame, probabilities: Float[np.ndarray, "photo 5"]) -> Int[np.ndarray, " photo"]:
    likeliest = np.where(np.isnan(probabilities[:, 0]), -1, np.nan_to_num(probabilities).argmax(axis=1))
    if "predicted_grade" not in rows:
        return likeliest
    grades = rows["predicted_grade"].fillna(-1).to_numpy(dtype=np.int64)
    return np.where(grades >= 0, grades, likeliest)


def _numbers(rows: pd.DataFrame, names: tuple[str, ...]) -> Float[np.ndarray, "photo column"]:
    return np.stack(
        [rows[name].to_numpy(dtype=np.float64) if name in rows else np.full(len(rows), np.nan) for name in names],
        axis=1,
    )


def _as_stored(values: Float[np.ndarray, "photo column"]) -> Float[np.ndarray, "photo column"]:
    """Round fractions as a table that is written holds them: what is above 0 stays so."""
    rounded = values.round(STORED_DIGITS)
    return np.where((values > 0) & (rounded == 0), 10.0**-STORED_DIGITS, rounded)


def _texts(rows: pd.DataFrame, name: str) -> list[str]:
    if name not in rows:
        return [""] * len(rows)
    return ["" if pd.isna(value) else str(value) for value in rows[name]]
