"""From the two tables to patients: the worst eye decides, for the reference as for the system.

A patient is the smallest set of photographs that must stay together (`data.split.units_of`): one person, and whoever
shares a picture with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from fundoscope.clinic.commissioning.commission import Patients
from fundoscope.data.split import units_of
from fundoscope.decide.heads import exceedance
from fundoscope.evaluation.cases import GRADED, UNGRADABLE
from fundoscope.grades import REFERABLE, REFERABLE_DME, SIGHT_THREATENING
from fundoscope.tables import PROBABILITIES
from fundoscope.tables.patients import texts

SCORES: Final = ("p_referable", "p0 to p4", "grade")
"""What a system's answer may be read from, the first that the table has; of a grade the cut is the threshold."""


@dataclass(frozen=True, slots=True)
class Answers:
    """A system's score of each photograph."""

    scores: Float[np.ndarray, " photo"]
    """NaN where the system could not grade it, +inf where it refers whatever the threshold."""
    read_from: str
    """A name in `SCORES`."""
    grade_refers: bool = False
    """Whether a referable grade is referred whatever the threshold."""
    refused: Float[np.ndarray, " photo"] | None = None
    """Scores of photographs that the system could not grade and refers from the same threshold on, NaN elsewhere; None
    for a system that refers none of them for its score."""

    @property
    def fixed(self) -> float | None:
        """The threshold that the answers bring with them: for grades the referable cut, else None."""
        return float(REFERABLE) if self.read_from == "grade" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How many came, and what became of them."""

    photographs: int
    """With a prediction and a row in the manifest."""
    not_graded: int
    """Photographs that the system could not grade or read."""
    patients: int
    """Of these photographs."""
    without_reference: int
    """Patients left out: an eye without a reference grade, and no eye that is known to be referable."""
    referable: int
    threatening: int
    ungradable: int
    """Patients counted with an eye of which the system could grade no photograph."""
    without_name: int
    """Photographs without a patient's name: each was taken for a patient of its own."""


def answers_of(rows: pd.DataFrame, *, grade_refers: bool = False) -> Answers:
    """Read the system's answer from joined rows; a photograph that is not `graded` has none, whatever its columns say.

    Args:
        rows: `Joined.rows` of a checked manifest and checked predictions.
        grade_refers: The system refers a referable grade whatever the threshold, as releases do
            (`referral.decide_photo`): such a photograph has the score +inf. Not where there are only grades. Releases
            also refer a photograph that they could not grade from the same threshold on.
    """
    columns = (_numbers(rows, "p_referable"), _exceedance(rows), _numbers(rows, "predicted_grade"))
    candidates = list(zip(SCORES, columns, strict=True))
    filled = [(name, values) for name, values in candidates if not np.isnan(values).all()]
    read_from, scores = (filled or candidates)[0]
    grade_refers = grade_refers and read_from != SCORES[-1]
    if grade_refers:
        scores = np.where(columns[-1] >= REFERABLE, np.inf, scores)  # comparing with NaN says no
    status = np.array([text or GRADED for text in texts(rows, "status")], dtype=object)
    refused = np.where(status == UNGRADABLE, scores, np.nan) if grade_refers else None
    return Answers(np.where(status == GRADED, scores, np.nan), read_from, grade_refers, refused)


def patients_of(rows: pd.DataFrame, answers: Answers, *, oedema: bool = False) -> tuple[Patients, Flow]:
    """Group photographs by patient.

    Photographs of an eye that nobody named count as an eye each.

    Args:
        rows: As `answers_of`.
        answers: One score for each row.
        oedema: Referable macular oedema (`dme` 2) counts as referable and as sight-threatening, whatever the grade.
    """
    grades = _numbers(rows, "grade")
    # Comparing with NaN says no: what is not known does not make anybody referable.
    swollen = (_numbers(rows, "dme") == REFERABLE_DME) & oedema
    referable, threatening = (grades >= REFERABLE) | swollen, (grades >= SIGHT_THREATENING) | swollen
    units = units_of(rows)
    members = _gathered(units)
    eyes = _eyes(units, rows)
    unread, unknown = (_any_eye(eyes, np.isnan(values)) for values in (answers.scores, grades))
    kept = [unit for unit, photos in members.items() if referable[photos].any() or unit not in unknown]
    scores = answers.scores if answers.refused is None else np.fmax(answers.scores, answers.refused)
    highest = np.where(np.isnan(scores), -np.inf, scores)
    patients = Patients(
        scores=np.array([highest[members[unit]].max() for unit in kept], dtype=np.float64),
        ungradable=np.array([unit in unread for unit in kept], dtype=bool),
        referable=np.array([referable[members[unit]].any() for unit in kept], dtype=bool),
        threatening=np.array([threatening[members[unit]].any() for unit in kept], dtype=bool),
    )
    flow = Flow(
        photographs=len(rows),
        not_graded=int(np.isnan(answers.scores).sum()),
        patients=len(members),
        without_reference=len(members) - len(kept),
        referable=int(patients.referable.sum()),
        threatening=int(patients.threatening.sum()),
        ungradable=int(patients.ungradable.sum()),
        without_name=sum(name is None for name in texts(rows, "patient")),
    )
    return patients, flow


def _gathered(keys: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the numbers of the rows of each key, in order of first appearance."""
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return dict(rows)


def _eyes(units: Sequence[Hashable], rows: pd.DataFrame) -> dict[Hashable, dict[Hashable, list[int]]]:
    """Return the rows of each eye of each patient."""
    names = [name or at for at, name in enumerate(texts(rows, "eye"))]
    eyes: dict[Hashable, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, (unit, name) in enumerate(zip(units, names, strict=True)):
        eyes[unit][name].append(at)
    return eyes


def _any_eye(eyes: dict[Hashable, dict[Hashable, list[int]]], lacking: Bool[np.ndarray, " photo"]) -> set[Hashable]:
    """Return patients with an eye all of whose photographs are lacking."""
    return {unit for unit, by_eye in eyes.items() if any(lacking[photos].all() for photos in by_eye.values())}


def _exceedance(rows: pd.DataFrame) -> Float[np.ndarray, " photo"]:
    by_grade = np.stack([_numbers(rows, name) for name in PROBABILITIES], axis=1)  # (photo, 5)
    return np.asarray(exceedance(by_grade, REFERABLE), dtype=np.float64)


def _numbers(rows: pd.DataFrame, name: str) -> Float[np.ndarray, " photo"]:
    if name not in rows:
        return np.full(len(rows), np.nan)
    return np.asarray(rows[name].to_numpy(dtype=np.float64, na_value=np.nan))
