"""A predictions table as a row of patients, in the order in which they came, and their features.

A patient who came more than once is one patient, at the time of the last photograph: before it the answer is not whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from fundoscope.clinic.commissioning.cohort import answers_of, patients_of
from fundoscope.clinic.monitoring.kernel import Vectors
from fundoscope.data.split import units_of
from fundoscope.errors import BadTable
from fundoscope.grades import CANNOT_GRADE_REFER, REFER, REFERABLE, RESCREEN
from fundoscope.tables.columns import row_number
from fundoscope.tables.patients import texts

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

TIMES: Final = ("taken", "graded_at")
"""Columns that may order the patients, the better first: when the photographs were made, when they were graded."""

TABLE_ORDER: Final = "order of the table"

MOST_PATIENTS: Final = 500
"""Patients of a table whose features are compared; of more, so many are drawn."""

MOST_PHOTOGRAPHS: Final = 8
"""Photographs of a patient whose features are compared; of more, so many are drawn."""

STORED: Final = 5e-6
"""By which a score read back from a table may miss the one that was decided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Patients of one table, in order; arrays of one length."""

    path: Path
    rows: pd.DataFrame
    """The photographs."""
    members: tuple[tuple[int, ...], ...]
    """Numbers of the rows of each patient."""
    scores: Float[np.ndarray, " patient"]
    """Largest score of the photographs that could be graded; -inf where none could."""
    ungradable: Bool[np.ndarray, " patient"]
    """True where there is an eye of which no photograph could be graded."""
    photographs: Float[np.ndarray, " photo"]
    """Scores of the photographs; NaN where not graded."""
    read_from: str
    """What they were read from: a name in `cohort.SCORES`."""
    fixed: float | None
    """The threshold that the answers bring with them: for grades the referable cut."""
    ordered_by: str
    """A name in `TIMES`, or `TABLE_ORDER`."""
    days: tuple[str, ...] | None
    """Day of each patient, ISO 8601; None where only the table orders them."""

    def referred(self, threshold: float | None) -> Bool[np.ndarray, " patient"] | None:
        """Return who is referred: at the threshold, else by the table's own decisions; None where it has neither.

        An eye that cannot be graded is referred, as in a commissioning.
        """
        cut = self.fixed if threshold is None else threshold
        if cut is not None:
            by_grade = np.array([self.referred_by_grade[list(rows)].any() for rows in self.members], dtype=bool)
            return np.asarray((self.scores >= cut) | self.ungradable | by_grade | self.refused_and_referred, dtype=bool)
        decisions = np.array(texts(self.rows, "decision"), dtype=object)
        if not np.isin(decisions[~np.isnan(self.photographs)], (REFER, RESCREEN)).all():
            return None
        sent = [bool((decisions[list(rows)] == REFER).any()) for rows in self.members]
        return np.asarray(np.array(sent, dtype=bool) | self.ungradable | self.refused_and_referred, dtype=bool)

    @property
    def refused_and_referred(self) -> Bool[np.ndarray, " patient"]:
        """Which patients have a photograph that could not be graded and was referred for what could be seen."""
        refused = np.array(texts(self.rows, "decision"), dtype=object) == CANNOT_GRADE_REFER
        return np.array([refused[list(rows)].any() for rows in self.members], dtype=bool)

    @property
    def referred_by_grade(self) -> Bool[np.ndarray, " photo"]:
        """Which photographs were referred and have a referable grade, which releases refer at any threshold."""
        if "grade" not in self.rows or self.fixed is not None:
            return np.zeros(len(self.rows), dtype=bool)
        grades = self.rows["grade"].to_numpy(dtype=np.float64, na_value=np.nan)
        referred = np.array(texts(self.rows, "decision"), dtype=object) == REFER
        return np.asarray((grades >= REFERABLE) & referred, dtype=bool)

    def decided_between(self) -> tuple[float, float]:
        """Return the largest score that was not referred and the smallest that was; the threshold lies between.

        A photograph that may have been referred for its grade says nothing of the threshold.
        """
        decisions = np.array(texts(self.rows, "decision"), dtype=object)
        graded = ~np.isnan(self.photographs) & ~self.referred_by_grade
        spared, sent = (self.photographs[graded & (decisions == decision)] for decision in (RESCREEN, REFER))
        return float(spared.max(initial=-np.inf)), float(sent.min(initial=np.inf))

    def decided_otherwise(self, threshold: float) -> int:
        """Count photographs whose decision is not that of the threshold, nor of a referable grade."""
        decisions = np.array(texts(self.rows, "decision"), dtype=object)
        return int(
            ((decisions == REFER) & (self.photographs < threshold - STORED) & ~self.referred_by_grade).sum()
            + ((decisions == RESCREEN) & (self.photographs > threshold + STORED)).sum()
        )


def window_of(frame: pd.DataFrame, *, path: Path) -> Window:
    """Gather a checked predictions table into patients, by `taken`, else by `graded_at`, else in its own order.

    A column orders them if it is filled in for at least one photograph of every patient.

    Raises:
        BadTable: If a time is none.
    """
    frame = frame.reset_index(drop=True)
    rows = frame.rename(columns={"grade": "predicted_grade"})
    answers = answers_of(rows)
    # Here nobody knows who is referable: grade 0 for all only keeps every patient in.
    patients, _ = patients_of(rows.assign(grade=0), answers)
    rows_of_unit: dict[object, list[int]] = {}
    for at, unit in enumerate(units_of(rows)):
        rows_of_unit.setdefault(unit, []).append(at)
    members = [tuple(unit_rows) for unit_rows in rows_of_unit.values()]
    ordered_by, times = _times(frame, members, path)
    order = range(len(members)) if times is None else np.argsort(times, kind="stable").tolist()
    return Window(
        path=path,
        rows=frame,
        members=tuple(members[at] for at in order),
        scores=patients.scores[list(order)],
        ungradable=patients.ungradable[list(order)],
        photographs=answers.scores,
        read_from=answers.read_from,
        fixed=answers.fixed,
        ordered_by=ordered_by,
        days=None if times is None else tuple(str(times[at].astype("datetime64[D]")) for at in order),
    )


def features_of(window: Window, path: Path, rng: np.random.Generator) -> tuple[list[Vectors], int]:
    """Read the features of graded photographs, or of a random sample; also count photographs without features.

    Only what is drawn is read: memory does not grow with the table.

    Args:
        window: The patients.
        path: `NAME.features.npz`: one vector by the photograph's SHA-256.
        rng: Draws `MOST_PATIENTS` of more patients and `MOST_PHOTOGRAPHS` of more photographs of a patient.

    Raises:
        BadTable: If it is no such file, or photographs were graded and it holds none of them.
    """
    hashes = texts(window.rows, "sha256")
    graded = ~np.isnan(window.photographs)
    with _opened(path) as stored:
        names = set(stored.files)
        stored_of_patient = [
            [hashes[at] for at in photos if graded[at] and hashes[at] in names] for photos in window.members
        ]
        patients = [photos for photos in stored_of_patient if photos]
        if graded.any() and not patients:
            raise BadTable(
                f"{path}: expected features of the photographs of {window.path}, by their sha256, got none of them "
                f"among {len(names)}. Give the file that was written with the table."
            )
        vectors = [np.stack([_vector(stored, str(name), path) for name in photos]) for photos in _drawn(patients, rng)]
    return vectors, int(graded.sum()) - sum(map(len, stored_of_patient))


def _drawn(patients: Sequence[Sequence[str | None]], rng: np.random.Generator) -> list[list[str | None]]:
    chosen = sorted(rng.permutation(len(patients))[:MOST_PATIENTS].tolist())
    return [
        [patients[at][photo] for photo in sorted(rng.permutation(len(patients[at]))[:MOST_PHOTOGRAPHS].tolist())]
        for at in chosen
    ]


def _opened(path: Path) -> NpzFile:
    problem: object = "another kind of file"
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.lib.npyio.NpzFile):
            return stored
    except (OSError, ValueError, EOFError, BadZipFile) as trouble:
        problem = trouble
    raise BadTable(f"{path}: expected features (.npz), got {problem}. Write them again with the table.")


def _vector(stored: NpzFile, name: str, path: Path) -> Float[np.ndarray, " feature"]:
    vector = stored[name]
    if vector.ndim != 1 or vector.dtype.kind != "f" or not np.isfinite(vector).all():
        raise BadTable(
            f"{path}: expected one vector of finite numbers for each photograph, got shape {vector.shape} of "
            f"{vector.dtype} for {name[:12]}... Write the features again with the table."
        )
    return np.asarray(vector)


def _times(
    frame: pd.DataFrame, members: Sequence[tuple[int, ...]], path: Path
) -> tuple[str, Shaped[np.ndarray, " patient"] | None]:
    """Return what orders the patients, and the time of each, UTC."""
    for name in TIMES:
        stated = texts(frame, name)
        read = pd.to_datetime(pd.Series(stated, dtype=object), format="ISO8601", utc=True, errors="coerce")
        wrong = read.isna().to_numpy() & np.array([text is not None for text in stated])
        if wrong.any():
            at = int(wrong.argmax())
            raise BadTable(
                f"{path}: row {row_number(path, at)}, column {name}: expected a time as 2026-11-21T09:30:00, got "
                f"{stated[at]!r}. Correct it, or leave it blank."
            )
        times = read.dt.tz_convert(None).to_numpy(dtype="datetime64[s]")
        # fmax: a photograph without a time says nothing of the others.
        last = np.array([np.fmax.reduce(times[list(photos)]) for photos in members])
        if not np.isnat(last).any():
            return name, last
    return TABLE_ORDER, None
