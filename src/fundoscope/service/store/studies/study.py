"""Reader studies: made once from cases as they are then, with their readers, and closed.

While a study is open its cases are hidden from its readers everywhere else in the service (`hidden_cases`), because
those pages show the answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, defer

from fundoscope.errors import BadRequest
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import new_uid, now
from fundoscope.service.store.models import (
    PENDING,
    UNREAD,
    Case,
    EyeReading,
    LogEntry,
    Photograph,
    Study,
    StudyCase,
    StudyReader,
    StudyView,
    User,
)
from fundoscope.service.store.shadow import is_shadow

READER_ROLE: Final = "read"
"""The role (`accounts.ROLES`) of a study's readers: who administers the service sees all answers."""

LONGEST_NAME: Final = 100
LEAST_CASES: Final = 2
MOST_SITTINGS: Final = 5
MOST_WASHOUT_DAYS: Final = 730

ALONE: Final = "alone"
WITH_ANSWER: Final = "with answer"
STAGES: Final = (ALONE, WITH_ANSWER)
"""Stages in which a case is graded: before the answer is shown, and after."""

UNREAD_STATES: Final = (PENDING, UNREAD)
"""States of cases that nobody has read; a case gets there again when a photograph arrives."""

CASE_SHOWN: Final = "case shown"
"""Action of the audit log when somebody opened the page of a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseContent:
    """What a study keeps of a case."""

    case: Case
    cluster: str
    photographs: list[dict[str, Any]]
    answer: dict[str, Any]
    references: Mapping[str, int]
    """Reference grade by eye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """What a study is made of."""

    name: str
    release: str
    cases: Sequence[CaseContent]
    readers: Sequence[User]
    with_answer: bool = True
    heatmap: bool = False
    sittings: int = 1
    washout_days: int = 28


def create_study(session: Session, plan: StudyPlan, account: Account) -> Study:
    """Make a study.

    Args:
        session: Of `Database.writing`.
        plan: What it is made of.
        account: Who makes it, for the log.

    Raises:
        BadRequest: If its name is taken or is none, a number is out of its range, it has too few cases, or a reader may
            not read in a study.
    """
    _check_plan(session, plan)
    study = Study(
        uid=new_uid(),
        name=plan.name,
        release=plan.release,
        with_answer=plan.with_answer,
        heatmap=plan.with_answer and plan.heatmap,
        sittings=plan.sittings,
        washout_days=plan.washout_days,
        created=now(),
    )
    session.add(study)
    session.flush()
    for content in plan.cases:
        session.add(
            StudyCase(
                uid=new_uid(),
                study_id=study.id,
                case_id=content.case.id,
                cluster=content.cluster,
                photographs=content.photographs,
                answer=content.answer,
                references=dict(content.references),
            )
        )
    append_entry(
        session,
        account.name,
        "study created",
        study.uid,
        name=study.name,
        release=study.release,
        cases=[content.case.uid for content in plan.cases],
        sittings=study.sittings,
        washout_days=study.washout_days,
        with_answer=study.with_answer,
        heatmap=study.heatmap,
        references=sum(len(content.references) for content in plan.cases),
        references_sha256=_hash_of_references(plan.cases),
    )
    for reader in plan.readers:
        enrol_reader(session, study, reader, account)
    return study


def _hash_of_references(contents: Sequence[CaseContent]) -> str:
    """Return the hash that the log keeps of reference grades, by which a later change of them is seen."""
    grades = sorted((content.case.uid, sorted(content.references.items())) for content in contents)
    return hashlib.sha256(json.dumps(grades).encode()).hexdigest()


def _check_plan(session: Session, plan: StudyPlan) -> None:
    if not 1 <= len(plan.name) <= LONGEST_NAME:
        raise BadRequest(
            f"name: expected 1 to {LONGEST_NAME} letters, got {len(plan.name)}. Give the study a name of that length."
        )
    if session.execute(select(Study).where(Study.name == plan.name)).scalar_one_or_none() is not None:
        raise BadRequest(f"name: expected a new one, got {plan.name!r}, which is a study's. Choose another name.")
    if not 1 <= plan.sittings <= MOST_SITTINGS:
        raise BadRequest(f"sittings: expected 1 to {MOST_SITTINGS}, got {plan.sittings}. Correct the number.")
    if not 0 <= plan.washout_days <= MOST_WASHOUT_DAYS:
        raise BadRequest(
            f"washout: expected 0 to {MOST_WASHOUT_DAYS} days, got {plan.washout_days}. Correct the number."
        )
    if len(plan.cases) < LEAST_CASES:
        raise BadRequest(f"cases: expected at least {LEAST_CASES}, got {len(plan.cases)}. Choose more cases.")
    if not plan.readers:
        raise BadRequest("readers: expected at least one account of the role read, got none. Name a reader.")


def enrol_reader(session: Session, study: Study, user: User, account: Account) -> StudyReader:
    """Make a user a reader of a study; from now on its cases are hidden from them everywhere else.

    Raises:
        BadRequest: If the study is closed, the user is one of its readers already, reads cases of it in another open
            study, which may show their answers, or is none who reads.
    """
    if study.closed is not None:
        raise BadRequest(f"study {study.name}: expected one that is open, got one that is closed. Make another study.")
    if user.role != READER_ROLE or user.disabled:
        state = "a disabled account" if user.disabled else f"one of the role {user.role}"
        raise BadRequest(
            f"readers: expected an account of the role {READER_ROLE}, got {user.name}, {state}. Make an account of the "
            "role read for who reads in a study: who administers the service sees the answers."
        )
    if is_reader(session, study, user.id):
        raise BadRequest(f"readers: expected somebody new, got {user.name}, who reads in it. Name another account.")
    cases = cases_of(session, study)
    other = _overlapping(session, cases, user)
    if other is not None:
        raise BadRequest(
            f"readers: expected somebody who reads none of the cases in another open study, got {user.name}, who reads "
            f"some in the study {other}. Close that study first, or choose other cases or readers."
        )
    opened = opened_before(session, cases, user)
    reader = StudyReader(study_id=study.id, user_id=user.id, opened_before=opened, enrolled=now())
    session.add(reader)
    append_entry(session, account.name, "study reader enrolled", study.uid, reader=user.name, opened_before=opened)
    return reader


def _overlapping(session: Session, cases: Sequence[StudyCase], user: User) -> str | None:
    """Return the name of an open study in which a user reads one of these cases; None: there is none."""
    numbers = [case.case_id for case in cases]
    query = hidden_cases(user.id).where(StudyCase.case_id.in_(numbers)).with_only_columns(Study.name).limit(1)
    return session.execute(query).scalar_one_or_none()


def opened_before(session: Session, cases: Sequence[StudyCase], user: User) -> int:
    """Return of how many cases a user may know the answer.

    These are the cases whose page the user opened, as the audit log says, in which they made a reading, or whose answer
    another study showed to them.
    """
    numbers = {case.case_id for case in cases}
    rows = session.execute(select(Case.id, Case.uid).where(Case.id.in_(numbers))).all()
    id_of = {uid: number for number, uid in rows}
    shown = select(LogEntry.subject).where(LogEntry.actor == user.name, LogEntry.action == CASE_SHOWN)
    opened = {id_of[uid] for uid in session.execute(shown).scalars() if uid in id_of}
    read = select(EyeReading.case_id).where(EyeReading.user_id == user.id, EyeReading.case_id.in_(numbers))
    shown_in_study = (
        select(StudyCase.case_id)
        .join(StudyView, StudyView.study_case_id == StudyCase.id)
        .where(StudyView.user_id == user.id, StudyView.stage == WITH_ANSWER, StudyCase.case_id.in_(numbers))
    )
    return len(opened.union(session.execute(read).scalars(), session.execute(shown_in_study).scalars()))


def close_study(session: Session, study: Study, account: Account) -> None:
    """Close a study: nobody grades in it any more, its readers see its result, and its cases elsewhere again.

    Raises:
        BadRequest: If it is closed.
    """
    if study.closed is not None:
        raise BadRequest(f"study {study.name}: expected one that is open, got one that is closed. See its result.")
    study.closed = now()
    append_entry(session, account.name, "study closed", study.uid)


def find_study(session: Session, uid: str) -> Study | None:
    """Return a study by its identifier."""
    return session.execute(select(Study).where(Study.uid == uid)).scalar_one_or_none()


def all_studies(session: Session, *, user_id: int | None = None) -> list[Study]:
    """Return studies, the newest first: all, or those that a user reads in."""
    query = select(Study).order_by(Study.id.desc())
    if user_id is not None:
        query = query.join(StudyReader, StudyReader.study_id == Study.id).where(StudyReader.user_id == user_id)
    return list(session.execute(query).scalars())


def cases_of(session: Session, study: Study) -> list[StudyCase]:
    """Return the cases of a study."""
    query = select(StudyCase).where(StudyCase.study_id == study.id).order_by(StudyCase.id)
    return list(session.execute(query).scalars())


def keys_of(session: Session, study: Study) -> list[StudyCase]:
    """Return the cases of a study without what is large in them, which is fetched when it is asked for."""
    large = (StudyCase.photographs, StudyCase.answer, StudyCase.references)
    query = select(StudyCase).where(StudyCase.study_id == study.id).order_by(StudyCase.id)
    return list(session.execute(query.options(*map(defer, large))).scalars())


def count_cases(session: Session, study: Study) -> int:
    """Return how many cases a study has."""
    return session.execute(select(func.count()).where(StudyCase.study_id == study.id)).scalar_one()


def readers_of(session: Session, study: Study) -> list[tuple[StudyReader, User]]:
    """Return the readers of a study and their accounts, by name."""
    query = (
        select(StudyReader, User)
        .join(User, User.id == StudyReader.user_id)
        .where(StudyReader.study_id == study.id)
        .order_by(User.name)
    )
    return [(reader, user) for reader, user in session.execute(query).all()]


def is_reader(session: Session, study: Study, user_id: int) -> bool:
    """Return whether a user reads in a study."""
    query = select(StudyReader.id).where(StudyReader.study_id == study.id, StudyReader.user_id == user_id)
    return session.execute(query).first() is not None


def hidden_cases(user_id: int) -> Select[int]:
    """Return the query for the cases (`Case.id`) that are hidden from a user: those of open studies they read in."""
    return (
        select(StudyCase.case_id)
        .join(Study, Study.id == StudyCase.study_id)
        .join(StudyReader, StudyReader.study_id == Study.id)
        .where(Study.closed.is_(None), StudyReader.user_id == user_id)
    )


def hidden_numbers(session: Session, user_id: int) -> frozenset[int]:
    """Return the cases (`Case.id`) that are hidden from a user."""
    return frozenset(session.execute(hidden_cases(user_id)).scalars())


def count_hidden_unread(session: Session, user_id: int) -> int:
    """Return how many of the cases that are hidden from a user nobody has read, with the photographs they have now."""
    query = select(func.count()).where(Case.id.in_(hidden_cases(user_id)), Case.state.in_(UNREAD_STATES))
    return session.execute(query).scalar_one()


def unread_cases(session: Session, study: Study) -> list[Case]:
    """Return the cases of a study that nobody has read outside it, with the photographs they have now.

    The most urgent come first, except in shadow mode, in which the order would say something of the answers.
    """
    order = (Case.id,) if is_shadow(session) else (Case.urgency, Case.id)
    numbers = select(StudyCase.case_id).where(StudyCase.study_id == study.id)
    query = select(Case).where(Case.id.in_(numbers), Case.state.in_(UNREAD_STATES)).order_by(*order)
    return list(session.execute(query).scalars())


def hidden_hashes(session: Session, user_id: int) -> frozenset[str]:
    """Return the SHA-256 of the photographs that are hidden from a user, also where they are not those of a case."""
    query = select(Photograph.sha256).where(Photograph.case_id.in_(hidden_cases(user_id)))
    return frozenset(session.execute(query).scalars())


def hiding_study(session: Session, user_id: int, *, case: str | None = None, sha256: str | None = None) -> str | None:
    """Return the name of the study for which a case, or a photograph's, is hidden from a user; None: it is not.

    Args:
        session: Of `Database.reading`.
        user_id: Who asks for it.
        case: Identifier of a case.
        sha256: Hash of a photograph.
    """
    wanted = select(Case.id).where(Case.uid == case) if case is not None else None
    if sha256 is not None:
        wanted = select(Photograph.case_id).where(Photograph.sha256 == sha256)
    if wanted is None:
        return None
    query = hidden_cases(user_id).where(StudyCase.case_id.in_(wanted)).with_only_columns(Study.name).limit(1)
    return session.execute(query).scalar_one_or_none()


def hidden_words(subject: str, study: str) -> str:
    """Return the sentence that refuses what is hidden for a study."""
    return (
        f"{subject}: expected one outside the open studies that you read in, got one of the study {study}. Read it in "
        "the study; its answer is shown here again when the study is closed."
    )
