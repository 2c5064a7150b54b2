"""What the pages show of studies, in words. Nothing here leads from a reader's page to the answer or to the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy.orm import Session

from fundoscope.grades import SHORT_GRADE_NAMES
from fundoscope.runtime.language.texts import IN_ENGLISH
from fundoscope.service.pages.views import NO_GRADE
from fundoscope.service.store.models import Study, StudyCase
from fundoscope.service.store.studies.sittings import NOT_STATED, Progress, eyes_of, grades_of, progress_of
from fundoscope.service.store.studies.study import ALONE, WITH_ANSWER, count_cases, readers_of
from fundoscope.service.work.studies.cases import release_answer

STAGE_NAMES: Final[Mapping[str, str]] = MappingProxyType({ALONE: "without the answer", WITH_ANSWER: "with the answer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """A study in the list."""

    id: str
    name: str
    design: str
    state: str
    may_grade: bool
    """Whether a case is to be graded by who looks at the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLine:
    """A reader of a study, as who administers it sees them."""

    name: str
    state: str
    opened_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeView:
    """An eye of a case that is to be graded."""

    key: str
    """The name of its field in the form."""
    title: str
    pictures: tuple[int | None, ...]
    """Number of each photograph in the case; None: there is no picture to show."""
    before: str
    """The reader's grade without the answer, in the second stage."""
    answer: str
    """The release's answer, in the second stage."""
    photographs: tuple[Mapping[str, Any], ...]
    """Photographs with their answers, in the second stage; else none."""


def design_words(session: Session, study: Study) -> str:
    """Return how a study is done."""
    cases = count_cases(session, study)
    stages = "graded without the answer, then with it" if study.with_answer else "graded without the answer"
    sittings = "" if study.sittings == 1 else f", in {study.sittings} sittings {study.washout_days} days apart"
    return f"{cases} cases, {stages}{sittings}."


def progress_words(study: Study, progress: Progress) -> str:
    """Return where a reader stands."""
    done = f"{progress.done} of {progress.total} cases"
    if progress.finished:
        return "All cases are graded." if study.sittings == 1 else f"All {study.sittings} sittings are done."
    if study.closed is not None:
        return f"Closed; {done} were graded in sitting {progress.sitting} of {study.sittings}."
    if progress.opens is not None:
        return (
            f"Sitting {progress.sitting} of {study.sittings} opens on {progress.opens:%Y-%m-%d} at "
            f"{progress.opens:%H:%M} UTC, {study.washout_days} days after your last grade."
        )
    sitting = "" if study.sittings == 1 else f"Sitting {progress.sitting} of {study.sittings}: "
    return f"{sitting}{done} are graded."


def study_line(session: Session, study: Study, user_id: int | None) -> StudyLine:
    """Return a study as the list shows it: to one of its readers, or, without a user, to who administers it."""
    if user_id is not None:
        progress = progress_of(session, study, user_id)
        may_grade = study.closed is None and progress.case is not None
        state = progress_words(study, progress)
    else:
        readers = readers_of(session, study)
        finished = sum(progress_of(session, study, user.id).finished for _, user in readers)
        state, may_grade = f"{finished} of {len(readers)} readers are done.", False
    return StudyLine(
        id=study.uid,
        name=study.name,
        design=design_words(session, study),
        state=f"Closed. {state}" if study.closed is not None and user_id is None else state,
        may_grade=may_grade,
    )


def reader_lines(session: Session, study: Study) -> list[ReaderLine]:
    """Return the readers of a study with their progress."""
    return [
        ReaderLine(
            name=user.name,
            state=progress_words(study, progress_of(session, study, user.id)).replace("your", "the"),
            opened_before=reader.opened_before,
        )
        for reader, user in readers_of(session, study)
    ]


def eye_views(session: Session, study: Study, progress: Progress, user_id: int) -> list[EyeView]:
    """Return the eyes of the case that a reader is to grade now; with the answer only in the second stage."""
    case = progress.case
    assert case is not None
    before: dict[str, int | None] = {}
    if progress.stage == WITH_ANSWER:
        before = {
            grade.eye: grade.grade
            for grade in grades_of(session, study, user_id=user_id)
            if (grade.study_case_id, grade.sitting, grade.stage) == (case.id, progress.sitting, ALONE)
        }
    return [_eye_view(case, eye, before) for eye in eyes_of(case)]


def _eye_view(case: StudyCase, eye: str, before: Mapping[str, int | None]) -> EyeView:
    numbered = [
        (number, photograph)
        for number, photograph in enumerate(case.photographs)
        if (photograph["eye"] or NOT_STATED) == eye
    ]
    is_shown = eye in before
    return EyeView(
        key=eye,
        title=IN_ENGLISH.eye("eye", None if eye == NOT_STATED else eye),
        pictures=tuple(number if photograph["has_picture"] else None for number, photograph in numbered),
        before=grade_words(before[eye]) if is_shown else "",
        answer=_answer_words(case, eye) if is_shown else "",
        photographs=tuple(photograph for _, photograph in numbered) if is_shown else (),
    )


def _answer_words(case: StudyCase, eye: str) -> str:
    answer = release_answer(case, eye)
    return answer.decision if answer.grade is None else f"{answer.decision}, grade {grade_words(answer.grade)}"


def grade_words(grade: int | None) -> str:
    """Return a grade with its name."""
    return NO_GRADE if grade is None else f"{grade} {SHORT_GRADE_NAMES[grade]}"


def reference_words(cases: Sequence[StudyCase]) -> str:
    """Return how many eyes have a reference grade."""
    eyes = sum(len(eyes_of(case)) for case in cases)
    return f"{sum(len(case.references) for case in cases)} of {eyes} eyes have a reference grade."
