"""`/api/readings`: what people grade."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.api.schemas import EyeReadingAnswer, ReadingList, ReadingSent, faults
from fundoscope.service.state import Parts
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.cases import find_case
from fundoscope.service.store.models import Case, EyeReading, User
from fundoscope.service.store.readings import EyeGrade, add_reading, sees_readings
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.study import hidden_cases

Reader = Annotated[Account, Depends(Requires(Role.read))]

PAGE = 500
"""Readings of one request at most."""

router = APIRouter(prefix="/api/readings", tags=["readings"])


@router.post("", status_code=201, responses=faults(400, 401, 403, 404, 422))
def add(sent: ReadingSent, parts: Parts, account: Reader) -> ReadingList:
    """Add a reading of all photographed eyes of a case; none is ever changed, and of one reader's the last counts."""
    grades = [EyeGrade(eye=eye.eye, grade=eye.grade, label=eye.label, reason=eye.reason) for eye in sent.grades]
    with parts.database.writing() as session:
        case = find_case(session, sent.case)
        if case is None:
            raise HTTPException(404, f"case {sent.case}: expected one that is there, got another. Search /api/cases.")
        readings = add_reading(session, case, account, sent.role, grades, shown=sent.shown)
        return ReadingList(readings=[_answer(reading, case.uid, account.name) for reading in readings])


@router.get("", responses=faults(401, 403, 422))
def listed(
    parts: Parts, account: Reader, after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Id of a reading.")] = 0
) -> ReadingList:
    """List readings in the order in which they were made, those after one that was listed before.

    Another's reading is left out until the account may see it: once it has read the case, or two others have. All
    readings of cases of an open study are left out for who reads in the study.
    """
    query = (
        select(EyeReading, Case, User.name)
        .join(Case, Case.id == EyeReading.case_id)
        .join(User, User.id == EyeReading.user_id)
        .where(EyeReading.id > after, Case.id.not_in(hidden_cases(account.user_id)))
        .order_by(EyeReading.id)
    )
    with parts.database.reading() as session:
        # Counted once they are known to be shown: an empty page would pass for the end.
        visible = (
            (reading, case.uid, name)
            for reading, case, name in session.execute(query.execution_options(yield_per=PAGE))
            if reading.user_id == account.user_id or sees_readings(session, case, account)
        )
        rows = list(islice(visible, PAGE))
        hides_answers = is_shadow(session)
    return ReadingList(
        readings=[_answer(reading, uid, name, hides_answers=hides_answers) for reading, uid, name in rows]
    )


def reading_answers(session: Session, case: Case, account: Account) -> list[EyeReadingAnswer]:
    """Return the readings of a case that an account may see, in the order in which they were made."""
    sees_all, hides_answers = sees_readings(session, case, account), is_shadow(session)
    query = (
        select(EyeReading, User.name)
        .join(User, User.id == EyeReading.user_id)
        .where(EyeReading.case_id == case.id)
        .order_by(EyeReading.id)
    )
    return [
        _answer(reading, case.uid, name, hides_answers=hides_answers)
        for reading, name in session.execute(query).all()
        if sees_all or reading.user_id == account.user_id
    ]


def _answer(reading: EyeReading, uid: str, reader: str, *, hides_answers: bool = False) -> EyeReadingAnswer:
    """Return a reading; in shadow mode without whether it agrees, which would tell the answer."""
    return EyeReadingAnswer(
        id=reading.id,
        case=uid,
        reader=reader,
        role=reading.role,
        eye=reading.eye,
        grade=reading.grade,
        label=reading.label,
        agrees=None if hides_answers else reading.agrees,
        reason=reading.reason,
        shown=reading.shown,
        release=reading.release,
        photographs=reading.photographs,
        created=reading.created,
    )
