"""Readings as a manifest for `evaluate`, `audit` and `commission`: one row for each photograph of an eye."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.service.store.accounts import Account
from fundoscope.service.store.models import Case, EyeReading, Photograph, User
from fundoscope.service.store.photographs import photographs_of
from fundoscope.service.store.readings import counting_readings, sees_readings
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.study import hidden_cases

AT_ONCE = 500
"""Readings that are fetched at once."""

COLUMNS = (
    "image", "sha256", "source", "patient", "eye", "taken", "grade", "label", "reader", "role", "counts",
    "answer_shown", "agrees", "reason", "release", "case", "read_at",
)  # fmt: skip
"""Of the table."""


@dataclass(frozen=True, slots=True)
class _CaseFacts:
    """What is needed of a case for each of its readings."""

    uid: str
    is_open: bool
    """Whether the account sees the readings of others."""
    counting: set[int]
    """Readings that count."""
    photographs: dict[str, Photograph]


def reading_rows(session: Session, account: Account, *, latest_first: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a row for each photograph of each eye that was read, in the order of the readings.

    Another's reading is left out where the account may not see it (`sees_readings`), and all readings of cases that are
    hidden from it for a study (`studies.hidden_cases`).

    `grade` is what the reader gave the eye: blank where it could not be graded. `counts` is whether the reading is the
    one that counts for the eye: the adjudication, or the last reading on which readers agree or that stands alone.
    `agrees` is blank in shadow mode: it would tell the answer.

    Args:
        session: Of `Database.reading`, open until the last row was taken.
        account: Who asks.
        latest_first: Whether the order is reversed, so that whoever needs the latest takes no others.
    """
    hides_answers = is_shadow(session)
    facts: dict[int, _CaseFacts] = {}
    query = (
        select(EyeReading, User.name)
        .join(User, User.id == EyeReading.user_id)
        .where(EyeReading.case_id.not_in(hidden_cases(account.user_id)))
        .order_by(EyeReading.id.desc() if latest_first else EyeReading.id)
        .execution_options(yield_per=AT_ONCE)
    )
    for reading, reader in session.execute(query):
        if reading.case_id not in facts:
            facts[reading.case_id] = _facts_of(session, reading.case_id, account)
        case = facts[reading.case_id]
        if reading.user_id == account.user_id or case.is_open:
            yield from _rows_of(reading, reader, case, hides_answers=hides_answers)


def _facts_of(session: Session, number: int, account: Account) -> _CaseFacts:
    case = session.get_one(Case, number)
    photographs = {photograph.sha256: photograph for photograph in photographs_of(session, case)}
    return _CaseFacts(case.uid, sees_readings(session, case, account), counting_readings(session, case), photographs)


def _rows_of(reading: EyeReading, reader: str, case: _CaseFacts, *, hides_answers: bool) -> Iterator[dict[str, Any]]:
    for sha256 in reading.photographs:
        photograph = case.photographs[sha256]
        if photograph.eye != reading.eye:
            continue
        yield {
            "image": photograph.name,
            "sha256": sha256,
            "source": photograph.source or "",
            "patient": photograph.patient or "",
            "eye": photograph.eye or "",
            "taken": photograph.taken or "",
            "grade": "" if reading.grade is None else reading.grade,
            "label": reading.label or "",
            "reader": reader,
            "role": reading.role,
            "counts": int(reading.id in case.counting),
            "answer_shown": int(reading.shown),
            "agrees": "" if reading.agrees is None or hides_answers else int(reading.agrees),
            "reason": reading.reason or "",
            "release": reading.release or "",
            "case": case.uid,
            "read_at": reading.created,
        }
