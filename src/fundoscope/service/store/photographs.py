"""Photographs and the cases that they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import new_uid, now
from fundoscope.service.store.models import ACCEPTED, PENDING, Answer, Case, Photograph

WAITING_URGENCY: Final = 199_999
"""Rank of a case that waits: before those that nobody need act on, behind all others (`work.answers.urgency_of`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a photograph that was submitted: from its file, and from whoever sent it."""

    sha256: str
    name: str
    size: int
    kind: str
    source: str | None = None
    patient: str | None = None
    patient_raw: str | None = None
    eye: str | None = None
    taken: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    sop_uid: str | None = None
    accession: str | None = None


def find_photograph(session: Session, sha256: str) -> Photograph | None:
    """Return a photograph by its hash; None where it was never accepted."""
    return session.execute(select(Photograph).where(Photograph.sha256 == sha256)).scalar_one_or_none()


def add_photograph(session: Session, facts: Facts, *, sender: str) -> Photograph:
    """Add a photograph that is not there yet, to the case of its examination, which then waits for an answer.

    Args:
        session: Of `Database.writing`.
        facts: Its bytes lie in `PhotographFiles` already.
        sender: Name of the user.
    """
    moment = now()
    case = _case_of(session, facts, moment)
    photograph = Photograph(
        sha256=facts.sha256,
        case_id=case.id,
        name=facts.name,
        size=facts.size,
        kind=facts.kind,
        source=facts.source,
        patient=facts.patient,
        patient_raw=facts.patient_raw,
        eye=facts.eye,
        taken=facts.taken,
        study_uid=facts.study_uid,
        series_uid=facts.series_uid,
        sop_uid=facts.sop_uid,
        accession=facts.accession,
        state=ACCEPTED,
        received=moment,
        sender=sender,
    )
    session.add(photograph)
    append_entry(session, sender, "photograph accepted", facts.sha256, case=case.uid)
    return photograph


def _case_of(session: Session, facts: Facts, moment: str) -> Case:
    """Return the case that a photograph belongs to: an existing one is set back to waiting."""
    day = (facts.taken or moment)[:10]
    key = _case_key(facts, day)
    case = session.execute(select(Case).where(Case.key == key)).scalar_one_or_none() or _same_day(session, facts, day)
    if case is None:
        case = Case(
            uid=new_uid(),
            key=key,
            patient=facts.patient,
            source=facts.source,
            study_uid=facts.study_uid,
            day=day,
            created=moment,
        )
        session.add(case)
    case.state, case.decision, case.answer, case.release = PENDING, None, None, None
    case.urgency, case.changed = WAITING_URGENCY, moment
    session.flush()
    return case


def _same_day(session: Session, facts: Facts, day: str) -> Case | None:
    """Return the case of a patient's day if either side names no study: a camera's JPEG beside the DICOM file."""
    if facts.patient is None:
        return None
    source = Case.source.is_(None) if facts.source is None else Case.source == facts.source
    query = select(Case).where(Case.patient == facts.patient, source, Case.day == day).order_by(Case.id)
    if facts.study_uid is not None:
        query = query.where(Case.study_uid.is_(None))
    return session.execute(query).scalars().first()


def _case_key(facts: Facts, day: str) -> str:
    """Return the key of an examination; a photograph of an unknown patient is an examination of its own."""
    if facts.patient is None:
        parts: list[str | None] = ["photograph", facts.sha256]
    else:
        parts = ["patient", facts.source, facts.patient, facts.study_uid or day]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def waiting_photographs(session: Session) -> list[tuple[str, str]]:
    """Return hash and sender of all photographs that wait for an answer, in the order in which they came."""
    query = select(Photograph).where(Photograph.state == ACCEPTED).order_by(Photograph.id)
    return [(photograph.sha256, photograph.sender) for photograph in session.execute(query).scalars()]


def photographs_of(session: Session, case: Case) -> list[Photograph]:
    """Return the photographs of a case, in the order in which they came."""
    return list(
        session.execute(select(Photograph).where(Photograph.case_id == case.id).order_by(Photograph.id)).scalars()
    )


def case_of(session: Session, photograph: Photograph) -> Case:
    """Return the case that a photograph belongs to."""
    return session.get_one(Case, photograph.case_id)


def answers_of(session: Session, photographs: Sequence[Photograph], release: str) -> dict[int, Answer]:
    """Return what a release answered to photographs, by `Photograph.id`."""
    numbers = [photograph.id for photograph in photographs]
    query = select(Answer).where(Answer.photograph_id.in_(numbers), Answer.release == release)
    return {answer.photograph_id: answer for answer in session.execute(query).scalars()}


def latest_answer(session: Session, photograph: Photograph) -> Answer | None:
    """Return the answer of the release that graded a photograph last; None where it waits."""
    query = select(Answer).where(Answer.photograph_id == photograph.id).order_by(Answer.id.desc()).limit(1)
    return session.execute(query).scalar_one_or_none()


def count_by_state(session: Session) -> dict[str, int]:
    """Return how many photographs there are in each state."""
    rows = session.execute(select(Photograph.state, func.count()).group_by(Photograph.state)).all()
    return {state: count for state, count in rows}
