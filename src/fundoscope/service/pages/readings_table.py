"""Readings as a manifest for `evaluate`, `audit` and `commission`: one row for each photograph of an eye."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.service.store.accounts import Account
from fundoscope.service.store.models import Case, EyeReading, Photograph, User
from fundoscope.service.store.readings import counting_readings, sees_readings
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.study import hidden_numbers


def reading_rows(session: Session, account: Account) -> list[dict[str, Any]]:
    """Return a row for each photograph of each eye that was read, in the order of the readings.

    Another's reading is left out where the account may not see it (`sees_readings`), and all readings of cases that are
    hidden from it for a study (`studies.hidden_cases`).

    `grade` is what the reader gave the eye: blank where it could not be graded. `counts` is whether the reading is the
    one that counts for the eye: the adjudication, or the last reading on which readers agree or that stands alone.
    `agrees` is blank in shadow mode: it would tell the answer.
    """
    users = {user.id: user.name for user in session.execute(select(User)).scalars()}
    cases = {case.id: case for case in session.execute(select(Case)).scalars()}
    photographs: dict[str, Photograph] = {
        photograph.sha256: photograph for photograph in session.execute(select(Photograph)).scalars()
    }
    counting = {case.id: counting_readings(session, case) for case in cases.values()}
    open_cases = {case.id for case in cases.values() if sees_readings(session, case, account)}
    hidden = hidden_numbers(session, account.user_id)
    hides_answers = is_shadow(session)
    rows = []
    for reading in session.execute(select(EyeReading).order_by(EyeReading.id)).scalars():
        case = cases[reading.case_id]
        if case.id in hidden or not (reading.user_id == account.user_id or case.id in open_cases):
            continue
        for sha256 in reading.photographs:
            photograph = photographs[sha256]
            if photograph.eye != reading.eye:
                continue
            rows.append(
                {
                    "image": photograph.name,
                    "sha256": sha256,
                    "source": photograph.source or "",
                    "patient": photograph.patient or "",
                    "eye": photograph.eye or "",
                    "taken": photograph.taken or "",
                    "grade": "" if reading.grade is None else reading.grade,
                    "label": reading.label or "",
                    "reader": users[reading.user_id],
                    "role": reading.role,
                    "counts": int(reading.id in counting[case.id]),
                    "answer_shown": int(reading.shown),
                    "agrees": "" if reading.agrees is None or hides_answers else int(reading.agrees),
                    "reason": reading.reason or "",
                    "release": reading.release or "",
                    "case": case.uid,
                    "read_at": reading.created,
                }
            )
    return rows
