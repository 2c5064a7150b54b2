"""Counts of a study: what is missing, what the answer changed, how long a case took; and the table of all grades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.service.store.models import Case, Study, StudyGrade, User
from fundoscope.service.store.studies.sittings import NOT_STATED, grades_of
from fundoscope.service.store.studies.study import ALONE, WITH_ANSWER, cases_of
from fundoscope.service.work.studies.cases import release_answer
from fundoscope.service.work.studies.observations import MISSING, NO_GRADE, Flags, Observations, apart, referred


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What a reader has graded in a sitting and stage."""

    reader: str
    sitting: int
    stage: str
    graded: int
    """Eyes with a grade, or with the answer that they cannot be graded."""
    total: int
    cannot_grade: int


def completeness_of(observations: Observations) -> Iterator[Completeness]:
    """Yield what each reader has graded, sitting by sitting."""
    for reader in observations.readers:
        for sitting in range(1, observations.sittings + 1):
            for stage in observations.stages:
                codes = observations.grades[reader, stage][observations.sitting(sitting)]
                yield Completeness(
                    reader=reader,
                    sitting=sitting,
                    stage=stage,
                    graded=int(np.count_nonzero(codes != MISSING)),
                    total=len(codes),
                    cannot_grade=int(np.count_nonzero(codes == NO_GRADE)),
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Grades that moved in one direction when the answer was shown, and what the references say of them."""

    moved: int
    with_reference: int
    closer: int
    """Moved closer to the reference."""
    farther: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a reader changed when the answer was shown."""

    reader: str
    graded_twice: int
    """Eyes that were graded in both stages."""
    towards: Direction
    """Towards the release's answer."""
    away: Direction
    aside: Direction
    """Changed, and as far from the answer as before."""
    referrals_corrected: int
    """Eyes whose referral was wrong by the reference and became right."""
    referrals_made_wrong: int
    """Eyes whose referral was right and became wrong."""
    made_wrong_as_release: int
    """Of these, eyes whose referral became that of the release."""

    @property
    def changed(self) -> int:
        """Eyes whose grade was changed."""
        return self.towards.moved + self.away.moved + self.aside.moved


def changes_of(observations: Observations) -> Iterator[Changes]:
    """Yield what each reader changed; nothing in a study with one stage."""
    if WITH_ANSWER not in observations.stages:
        return
    for reader in observations.readers:
        yield _changes(reader, observations)


def _changes(reader: str, observations: Observations) -> Changes:
    alone, final = (observations.grades[reader, stage] for stage in (ALONE, WITH_ANSWER))
    graded_twice = (alone != MISSING) & (final != MISSING)
    changed = graded_twice & (alone != final)
    before, after = apart(alone, observations.release), apart(final, observations.release)
    has_reference = observations.reference != MISSING
    gained = apart(alone, observations.reference) - apart(final, observations.reference)

    def direction(inside: Flags) -> Direction:
        measured = changed & inside & has_reference
        return Direction(
            moved=int(np.count_nonzero(changed & inside)),
            with_reference=int(np.count_nonzero(measured)),
            closer=int(np.count_nonzero(measured & (gained > 0))),
            farther=int(np.count_nonzero(measured & (gained < 0))),
        )

    right_before, right_after = (referred(codes) == referred(observations.reference) for codes in (alone, final))
    made_wrong = graded_twice & has_reference & right_before & ~right_after
    return Changes(
        reader=reader,
        graded_twice=int(np.count_nonzero(graded_twice)),
        towards=direction(after < before),
        away=direction(after > before),
        aside=direction(after == before),
        referrals_corrected=int(np.count_nonzero(graded_twice & has_reference & ~right_before & right_after)),
        referrals_made_wrong=int(np.count_nonzero(made_wrong)),
        made_wrong_as_release=int(np.count_nonzero(made_wrong & (referred(final) == observations.release_referred))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long a reader took for a case."""

    reader: str
    stage: str
    cases: int
    """Cases that were graded the first time they were shown, in all sittings."""
    median_seconds: float | None
    interrupted: int
    """Cases that were shown more than once until they were graded; they are left out of the median."""


def durations_of(session: Session, study: Study, observations: Observations) -> Iterator[Duration]:
    """Yield how long each reader took for a case in each stage."""
    names = _names(session)
    seconds: dict[tuple[str, str], dict[tuple[int, int], StudyGrade]] = {}
    for grade in grades_of(session, study):
        of_case = seconds.setdefault((names[grade.user_id], grade.stage), {})
        of_case[grade.study_case_id, grade.sitting] = grade
    for reader in observations.readers:
        for stage in observations.stages:
            grades = list(seconds.get((reader, stage), {}).values())
            at_once = [grade.seconds for grade in grades if grade.views == 1]
            yield Duration(
                reader=reader,
                stage=stage,
                cases=len(at_once),
                median_seconds=median(at_once) if at_once else None,
                interrupted=len(grades) - len(at_once),
            )


GRADE_COLUMNS: Final = (
    "study",
    "case",
    "source",
    "patient",
    "eye",
    "photographs",
    "reference",
    "release",
    "release_grade",
    "release_decision",
    "reader",
    "sitting",
    "stage",
    "place",
    "grade",
    "cannot_grade",
    "seconds",
    "views",
    "graded_at",
)
"""Columns of the table of all grades."""


def grade_rows(session: Session, study: Study) -> list[dict[str, Any]]:
    """Return a row for each grade of a study, in the order in which they were given."""
    names = _names(session)
    cases = {case.id: case for case in cases_of(session, study)}
    numbers = [case.case_id for case in cases.values()]
    patients = {case.id: case for case in session.execute(select(Case).where(Case.id.in_(numbers))).scalars()}
    rows = []
    for grade in grades_of(session, study):
        case = cases[grade.study_case_id]
        patient, answer = patients[case.case_id], release_answer(case, grade.eye)
        hashes = [
            photograph["sha256"] for photograph in case.photographs if (photograph["eye"] or NOT_STATED) == grade.eye
        ]
        values: Sequence[object] = (
            study.name,
            patient.uid,
            patient.source,
            patient.patient,
            "" if grade.eye == NOT_STATED else grade.eye,
            " ".join(hashes),
            case.references.get(grade.eye),
            study.release,
            answer.grade,
            answer.decision,
            names[grade.user_id],
            grade.sitting,
            grade.stage,
            grade.place,
            grade.grade,
            int(grade.grade is None),
            f"{grade.seconds:.1f}",
            grade.views,
            grade.created,
        )
        row = dict(zip(GRADE_COLUMNS, values, strict=True))
        rows.append({name: "" if value is None else value for name, value in row.items()})
    return rows


def _names(session: Session) -> dict[int, str]:
    return {user.id: user.name for user in session.execute(select(User)).scalars()}
