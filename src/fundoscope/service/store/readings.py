"""Readings: what people grade in a case. None is ever changed; of one reader's readings in one role the last counts.

A reading is of the photographs that the case had. Once another arrives, the case has to be read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest
from fundoscope.grades import GRADES
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import now
from fundoscope.service.store.models import (
    ADJUDICATED,
    AGREED,
    DISAGREED,
    PENDING,
    READ,
    UNREAD,
    Case,
    EyeReading,
)
from fundoscope.service.store.photographs import photographs_of
from fundoscope.service.store.shadow import is_shadow, was_never_shown
from fundoscope.service.store.studies.study import hidden_words, hiding_study

FIRST: Final = "first"
SECOND: Final = "second"
ADJUDICATION: Final = "adjudication"
READING_ROLES: Final = (FIRST, SECOND, ADJUDICATION)

ADMINISTER: Final = "administer"
"""The role (`accounts.ROLES`) that sees all readings."""

LONGEST_REASON: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeGrade:
    """A reader's own answer for one eye."""

    eye: str | None
    """left, right, or None for photographs whose eye is not known."""
    grade: int | None = None
    """ICDR grade; None: the reader cannot grade it, or the task has no grades."""
    label: str | None = None
    """The reader's answer where the task has no grades; None: the reader cannot answer."""
    reason: str | None = None
    """Needed where an answer that was shown is overruled, and to decide between readers."""


def add_reading(
    session: Session, case: Case, account: Account, role: str, grades: Sequence[EyeGrade], *, shown: bool
) -> list[EyeReading]:
    """Add a reading of all photographed eyes of a case.

    Args:
        session: Of `Database.writing`.
        case: An answered case.
        account: The reader.
        role: One of `READING_ROLES` that `possible_roles` allows.
        grades: One for each eye.
        shown: Whether the reader saw the answer before grading. In shadow mode it is kept as not shown where the answer
            never was, and else as one that the reader may have seen; no reading is compared with the answer.

    Raises:
        BadRequest: If the case waits or is hidden from the reader for a study, the role is not the reader's, an eye is
            missing or not the case's, a grade is none, or a reason is missing.
    """
    study = hiding_study(session, account.user_id, case=case.uid)
    if study is not None:
        raise BadRequest(hidden_words(f"case {case.uid}", study))
    if case.state == PENDING or case.answer is None:
        raise BadRequest(
            f"case {case.uid}: expected one whose photographs are all answered, got one that waits. Try again later."
        )
    _check_role(session, case, account, role)
    answers = {eye["eye"]: eye for eye in case.answer["eyes"]}
    _check_eyes(case, grades, list(answers))
    hashes = [photograph.sha256 for photograph in photographs_of(session, case)]
    hides_answers = is_shadow(session)
    if hides_answers:
        shown = _check_unseen(session, case, shown=shown)
    readings, moment = [], now()  # one moment for all eyes: it joins them to one reading
    for grade in grades:
        agrees = agrees_with(grade, answers[grade.eye]) if shown and not hides_answers else None
        _check_grade(grade, needs_reason=agrees is False or role == ADJUDICATION)
        reading = EyeReading(
            case_id=case.id,
            user_id=account.user_id,
            role=role,
            eye=grade.eye,
            grade=grade.grade,
            label=grade.label,
            agrees=agrees,
            reason=grade.reason or None,
            shown=shown,
            release=case.release,
            photographs=hashes,
            created=moment,
        )
        session.add(reading)
        readings.append(reading)
    session.flush()
    case.state, case.changed = reading_state(session, case), now()
    append_entry(session, account.name, "case read", case.uid, role=role, shown=shown, release=case.release)
    return readings


def readings_of(session: Session, case: Case) -> list[EyeReading]:
    """Return all readings of a case, in the order in which they were made."""
    query = select(EyeReading).where(EyeReading.case_id == case.id).order_by(EyeReading.id)
    return list(session.execute(query).scalars())


def current_readings(session: Session, case: Case, *, blind: bool = False) -> dict[str, dict[str | None, EyeReading]]:
    """Return the readings that count, by role and eye: the last of each, of all photographs that the case has.

    Args:
        session: Of `Database.reading`.
        case: The case.
        blind: Whether only readings count whose readers had not seen the answer.
    """
    hashes = {photograph.sha256 for photograph in photographs_of(session, case)}
    current: dict[str, dict[str | None, EyeReading]] = {}
    for reading in readings_of(session, case):
        if set(reading.photographs) == hashes and not (blind and reading.shown):
            current.setdefault(reading.role, {})[reading.eye] = reading
    return current


def reading_state(session: Session, case: Case) -> str:
    """Return the state of an answered case: how far people have read it."""
    current = current_readings(session, case)
    if ADJUDICATION in current:
        return ADJUDICATED
    if FIRST not in current:
        return UNREAD
    if SECOND not in current:
        return READ
    return AGREED if _values(current[FIRST]) == _values(current[SECOND]) else DISAGREED


def counting_readings(session: Session, case: Case, *, blind: bool = False) -> set[int]:
    """Return the readings that count for a case: none of readers who differ until a third has decided.

    Args as of `current_readings`.
    """
    current = current_readings(session, case, blind=blind)
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


def possible_roles(session: Session, case: Case, user_id: int) -> tuple[str, ...]:
    """Return the roles in which a user may read a case; none where the others' readings leave nothing to do."""
    readers = {role: _reader(readings) for role, readings in current_readings(session, case).items()}
    if case.state == PENDING:
        return ()
    roles = []
    if ADJUDICATION not in readers:
        if SECOND not in readers and readers.get(FIRST) in (None, user_id):
            roles.append(FIRST)
        if FIRST in readers and user_id != readers[FIRST] and readers.get(SECOND) in (None, user_id):
            roles.append(SECOND)
    if case.state in (DISAGREED, ADJUDICATED) and user_id not in (readers.get(FIRST), readers.get(SECOND)):
        roles += [ADJUDICATION] if readers.get(ADJUDICATION) in (None, user_id) else []
    return tuple(roles)


def sees_readings(session: Session, case: Case, account: Account) -> bool:
    """Return whether an account may see the readings of others in a case.

    A second reading is worth something only where it is independent: who has not read the case sees another's reading
    once there are two, or as whoever administers the service.
    """
    if account.role == ADMINISTER or case.state in (DISAGREED, AGREED, ADJUDICATED):
        return True
    current = current_readings(session, case).values()
    return any(reading.user_id == account.user_id for eyes in current for reading in eyes.values())


def _check_unseen(session: Session, case: Case, *, shown: bool) -> bool:
    """Return whether a reader in shadow mode may have seen an answer: of a case that was there before it."""
    if shown:
        raise BadRequest(
            f"shown: expected false, because this service runs in shadow mode and shows no answers, got true for case "
            f"{case.uid}. Correct the field."
        )
    return not was_never_shown(session, case)


def _check_role(session: Session, case: Case, account: Account, role: str) -> None:
    possible = possible_roles(session, case, account.user_id)
    if role not in possible:
        raise BadRequest(
            f"role: expected {' or '.join(possible) or 'no further reading'} of this case by {account.name}, got "
            f"{role!r:.40}. The first and the second reading are of two people, a third decides where they differ."
        )


def _check_eyes(case: Case, grades: Sequence[EyeGrade], eyes: Sequence[str | None]) -> None:
    named = [grade.eye for grade in grades]
    if sorted(map(str, named)) != sorted(map(str, eyes)):
        shown = [", ".join(eye or "not stated" for eye in names) or "none" for names in (dict.fromkeys(eyes), named)]
        raise BadRequest(f"case {case.uid}: expected one grade for each eye ({shown[0]}), got {shown[1]}. Grade them.")


def _check_grade(grade: EyeGrade, *, needs_reason: bool) -> None:
    if grade.grade is not None and grade.grade not in range(GRADES):
        raise BadRequest(f"grade: expected 0 to {GRADES - 1}, got {grade.grade}. Correct the grade.")
    if needs_reason and not (grade.reason or "").strip():
        raise BadRequest(
            f"reason: expected one for the {grade.eye or 'not stated'} eye, because an answer is overruled or readers "
            "are decided between, got none. Say why."
        )
    if len(grade.reason or "") > LONGEST_REASON:
        raise BadRequest(
            f"reason: expected at most {LONGEST_REASON} letters, got {len(grade.reason or '')}. Shorten it."
        )


def agrees_with(grade: EyeGrade, answer: Mapping[str, Any]) -> bool:
    """Return whether a reader's answer for an eye is the one that was shown."""
    if "grade" in answer["columns"]:
        is_answered = answer["tone"] != "unknown"
        return bool(grade.grade == (answer["columns"]["grade"] if is_answered else None))
    return grade.label == (", ".join(answer["labels"]) if answer["labels"] else answer["decision"])


def _values(readings: Mapping[str | None, EyeReading]) -> dict[str | None, tuple[int | None, str | None]]:
    return {eye: (reading.grade, reading.label) for eye, reading in readings.items()}


def _reader(readings: Mapping[str | None, EyeReading]) -> int:
    """Return the user who made the last of readings."""
    return max(readings.values(), key=lambda reading: reading.id).user_id
