"""Readings as a manifest for `evaluate`, `audit` and `commission`: one row for each photograph of an eye."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.service.store.accounts import Account
from fundoscope.service.store.models import Case, EyeReading, Photograph, User
from fundoscope.service.store.readings import ADJUDICATION, current_readings, sees_readings
from fundoscope.service.store.studies import hidden_numbers


def reading_rows(session: Session, account: Account) -> list[dict[str, Any]]:
    """Return a row for each photograph of each eye that was read, in the order of the readings.

    Another's reading is left out where the account may not see it (`sees_readings`), and all readings of cases that are
    hidden from it for a study (`studies.hidden_cases`).

    `grade` is what the reader gave the eye: blank where it could not be graded. `counts` is whether the reading is the
    one that counts for the eye: the adjudication, or the last reading on which readers agree or that stands alone.
    """
    users = {user.id: user.name for user in session.execute(select(User)).scalars()}
    cases = {case.id: case for case in session.execute(select(Case)).scalars()}
    photographs: dict[str, Photograph] = {
        photograph.sha256: photograph for photograph in session.execute(select(Photograph)).scalars()
    }
    counting = {case.id: counting_readings(session, case) for case in cases.values()}
    open_cases = {case.id for case in cases.values() if sees_readings(session, case, account)}
    hidden = hidden_numbers(session, account.user_id)
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
                    "agrees": "" if reading.agrees is None else int(reading.agrees),
                    "reason": reading.reason or "",
                    "release": reading.release or "",
                    "case": case.uid,
                    "read_at": reading.created,
                }
            )
    return rows


def counting_readings(session: Session, case: Case) -> set[int]:
    """Return the readings that count for a case: none of readers who differ until a third has decided."""
    current = current_readings(session, case)
    if ADJUDICATION in current:
        return {reading.id for reading in current[ADJUDICATION].values()}
    by_eye: dict[str | None, list[EyeReading]] = {}
    for readings in current.values():
        for eye, reading in readings.items():
            by_eye.setdefault(eye, []).append(reading)
    return {
        max(readings, key=lambda reading: reading.id).id
        for readings in by_eye.values()
        if len({(reading.grade, reading.label) for reading in readings}) == 1
    }
