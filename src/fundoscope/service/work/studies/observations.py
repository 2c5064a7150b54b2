"""The grades of a study as arrays over its observations: every eye once for each sitting, sitting by sitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int, Shaped
from sqlalchemy.orm import Session

from fundoscope.grades import GRADES, REFERABLE
from fundoscope.service.store.models import Study
from fundoscope.service.store.studies.sittings import eyes_of, grades_of
from fundoscope.service.store.studies.study import STAGES, cases_of, readers_of
from fundoscope.service.work.studies.cases import release_answer

MISSING: Final = -2
"""Not graded (yet), or an eye without a reference."""

NO_GRADE: Final = -1
"""The reader, or the release, could not grade the eye."""

Codes = Int[np.ndarray, " observation"]
"""A grade of each observation, or `MISSING` or `NO_GRADE`."""

Flags = Bool[np.ndarray, " observation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """A study as arrays; `eyes` are repeated for each sitting."""

    eyes: tuple[tuple[str, str], ...]
    """Case (`StudyCase.uid`) and eye of each observation of one sitting."""
    sittings: int
    patients: Shaped[np.ndarray, " observation"]
    reference: Codes
    release: Codes
    release_referred: Flags
    grades: Mapping[tuple[str, str], Codes]
    """Of each reader and stage."""
    readers: tuple[str, ...]
    stages: tuple[str, ...]

    def sitting(self, number: int) -> slice:
        """Return where the observations of a sitting, from 1, are."""
        return slice((number - 1) * len(self.eyes), number * len(self.eyes))

    @property
    def first_sitting(self) -> Flags:
        """Which observations are of the first sitting."""
        return np.arange(len(self.patients)) < len(self.eyes)


def observations_of(session: Session, study: Study) -> Observations:
    """Return the grades of a study."""
    readers = {user.id: user.name for _, user in readers_of(session, study)}
    eyes = tuple((case, eye) for case in cases_of(session, study) for eye in eyes_of(case))
    number_of = {(case.id, eye): number for number, (case, eye) in enumerate(eyes)}
    stages = STAGES if study.with_answer else STAGES[:1]
    count = study.sittings * len(eyes)
    grades = {(name, stage): np.full(count, MISSING) for name in readers.values() for stage in stages}
    for grade in grades_of(session, study):
        place = (grade.sitting - 1) * len(eyes) + number_of[grade.study_case_id, grade.eye]
        code = NO_GRADE if grade.grade is None else grade.grade
        grades[readers[grade.user_id], grade.stage][place] = code
    answers = [release_answer(case, eye) for case, eye in eyes]
    return Observations(
        eyes=tuple((case.uid, eye) for case, eye in eyes),
        sittings=study.sittings,
        patients=_repeated([case.cluster for case, _ in eyes], study.sittings),
        reference=_repeated([case.references.get(eye, MISSING) for case, eye in eyes], study.sittings),
        release=_repeated([NO_GRADE if answer.grade is None else answer.grade for answer in answers], study.sittings),
        release_referred=_repeated([answer.referred for answer in answers], study.sittings),
        grades=grades,
        readers=tuple(readers.values()),
        stages=stages,
    )


def _repeated(values: Sequence[object], times: int) -> Shaped[np.ndarray, " observation"]:
    return np.tile(np.array(values), times)  # (eye,) -> (sitting * eye,)


def referred(codes: Codes) -> Flags:
    """Return which grades are referred: referable disease, and what cannot be graded, to be on the safe side."""
    return np.asarray((codes >= REFERABLE) | (codes == NO_GRADE))


def apart(first: Codes, second: Codes) -> Codes:
    """Return how far grades are apart; a grade and none are farther apart than any two grades."""
    farthest = np.where((first == NO_GRADE) & (second == NO_GRADE), 0, GRADES)
    return np.asarray(np.where((first == NO_GRADE) | (second == NO_GRADE), farthest, np.abs(first - second)))
