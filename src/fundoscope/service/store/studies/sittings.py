"""What a reader does next in a study, and the grades that they give: kept once, in the order of the study.

Every sitting goes through all cases in an order of its own, which study, reader and sitting determine. A case is graded
alone, and in studies with two stages at once again with the answer. A sitting begins a washout after the last grade of
the one before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest
from fundoscope.grades import GRADES
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import now
from fundoscope.service.store.models import Study, StudyCase, StudyGrade, StudyView
from fundoscope.service.store.studies.study import ALONE, WITH_ANSWER, is_reader, keys_of

NOT_STATED: Final = "unknown"
"""The eye of photographs whose eye is not known: the database takes no two blank ones for the same."""

LAST_STAGE: Final[Mapping[bool, str]] = {False: ALONE, True: WITH_ANSWER}
"""The stage after which a case is finished, by `Study.with_answer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a reader stands in a study."""

    sitting: int
    """The present sitting, from 1."""
    done: int
    """Cases that are finished in this sitting."""
    total: int
    """Cases of a sitting."""
    case: StudyCase | None = None
    """The case to grade now; None: nothing is to be graded now."""
    stage: str = ALONE
    opens: datetime | None = None
    """When the present sitting may begin, where its washout has not passed."""
    finished: bool = False
    """Whether all sittings are done."""


def eyes_of(case: StudyCase) -> list[str]:
    """Return the eyes of a case that readers grade: the right first, then the left, then what is not stated."""
    eyes = {photograph["eye"] or NOT_STATED for photograph in case.photographs}
    return [eye for eye in ("right", "left", NOT_STATED) if eye in eyes]


def order_of(study: Study, cases: Sequence[StudyCase], user_id: int, sitting: int) -> list[StudyCase]:
    """Return the order in which a reader is shown the cases in a sitting: random, and the same at every call."""

    def rank(case: StudyCase) -> bytes:
        return hashlib.sha256(f"{study.uid} {user_id} {sitting} {case.uid}".encode()).digest()

    return sorted(cases, key=rank)


def grades_of(session: Session, study: Study, *, user_id: int | None = None) -> list[StudyGrade]:
    """Return the grades of a study in the order in which they were given: all, or those of one reader."""
    query = (
        select(StudyGrade)
        .join(StudyCase, StudyCase.id == StudyGrade.study_case_id)
        .where(StudyCase.study_id == study.id)
        .order_by(StudyGrade.id)
    )
    if user_id is not None:
        query = query.where(StudyGrade.user_id == user_id)
    return list(session.execute(query).scalars())


def progress_of(session: Session, study: Study, user_id: int, *, moment: datetime | None = None) -> Progress:
    """Return where a reader stands in a study.

    Args:
        session: Of the database.
        study: The study, open or closed.
        user_id: One of its readers.
        moment: The present; None: by the clock.
    """
    cases, last = keys_of(session, study), LAST_STAGE[study.with_answer]
    grades = grades_of(session, study, user_id=user_id)
    graded = {(grade.sitting, grade.study_case_id, grade.stage) for grade in grades}
    for sitting in range(1, study.sittings + 1):
        remaining = [
            case for case in order_of(study, cases, user_id, sitting) if (sitting, case.id, last) not in graded
        ]
        if not remaining:
            continue
        done, case = len(cases) - len(remaining), remaining[0]
        opens = _opening(study, grades, sitting)
        if opens is not None and (moment or datetime.now(UTC)) < opens:
            return Progress(sitting=sitting, done=done, total=len(cases), opens=opens)
        stage = WITH_ANSWER if (sitting, case.id, ALONE) in graded else ALONE
        return Progress(sitting=sitting, done=done, total=len(cases), case=case, stage=stage)
    return Progress(sitting=study.sittings, done=len(cases), total=len(cases), finished=True)


def _opening(study: Study, grades: Sequence[StudyGrade], sitting: int) -> datetime | None:
    """Return when a sitting may begin; None: it has begun, or is the first."""
    before = [grade.created for grade in grades if grade.sitting == sitting - 1]
    if not before or any(grade.sitting == sitting for grade in grades):
        return None
    return datetime.fromisoformat(max(before)) + timedelta(days=study.washout_days)


def add_view(session: Session, progress: Progress, account: Account) -> None:
    """Note that a reader is shown the case that they are to grade now.

    Args:
        session: Of `Database.writing`.
        progress: Where the reader stands, with a case.
        account: The reader.
    """
    assert progress.case is not None
    session.add(
        StudyView(
            study_case_id=progress.case.id,
            user_id=account.user_id,
            sitting=progress.sitting,
            stage=progress.stage,
            moment=now(),
        )
    )


def add_grades(
    session: Session, study: Study, account: Account, shown: tuple[str, int, str], grades: Mapping[str, int | None]
) -> None:
    """Keep a reader's grades of the case that is to be graded now.

    Args:
        session: Of `Database.writing`.
        study: The study.
        account: One of its readers.
        shown: Identifier of the study's case, sitting and stage of the page on which the grades were given.
        grades: By eye; None: it cannot be graded.

    Raises:
        BadRequest: If the study is closed, the account does not read in it, another case is to be graded, the case was
            not shown, or the grades are not one for each eye.
    """
    if study.closed is not None:
        raise BadRequest(f"study {study.name}: expected one that is open, got one that is closed. See its result.")
    if not is_reader(session, study, account.user_id):
        raise BadRequest(f"study {study.name}: expected one of its readers, got {account.name}. Ask to be enrolled.")
    progress = progress_of(session, study, account.user_id)
    case = progress.case
    if case is None or shown != (case.uid, progress.sitting, progress.stage):
        raise BadRequest(
            "case: expected the one that is to be graded now, got another, perhaps from a second window. Grade the "
            "case that is shown; nothing that was kept before has changed."
        )
    _check_grades(eyes_of(case), grades)
    views = _views(session, case, progress, account.user_id)
    if not views:
        raise BadRequest("case: expected one that was shown before, got one that was not. Open its page.")
    moment = now()
    seconds = (datetime.fromisoformat(moment) - datetime.fromisoformat(views[0])).total_seconds()
    for eye, grade in grades.items():
        session.add(
            StudyGrade(
                study_case_id=case.id,
                user_id=account.user_id,
                sitting=progress.sitting,
                stage=progress.stage,
                eye=eye,
                grade=grade,
                place=progress.done + 1,
                views=len(views),
                seconds=max(0.0, seconds),
                created=moment,
            )
        )
    append_entry(
        session,
        account.name,
        "study case graded",
        study.uid,
        case=case.uid,
        sitting=progress.sitting,
        stage=progress.stage,
        grades=dict(grades),
    )


def _check_grades(eyes: Sequence[str], grades: Mapping[str, int | None]) -> None:
    if sorted(eyes) != sorted(grades):
        raise BadRequest(
            f"grades: expected one for each eye ({', '.join(eyes)}), got {', '.join(grades) or 'none'}. Grade each "
            "eye, or say that it cannot be graded."
        )
    for grade in grades.values():
        if grade is not None and grade not in range(GRADES):
            raise BadRequest(f"grade: expected 0 to {GRADES - 1}, got {grade}. Correct the grade.")


def _views(session: Session, case: StudyCase, progress: Progress, user_id: int) -> list[str]:
    """Return the moments at which a case was shown to a reader in the present sitting and stage."""
    query = (
        select(StudyView.moment)
        .where(
            StudyView.study_case_id == case.id,
            StudyView.user_id == user_id,
            StudyView.sitting == progress.sitting,
            StudyView.stage == progress.stage,
        )
        .order_by(StudyView.id)
    )
    return list(session.execute(query).scalars())
