"""Reports on their way to an archive: which cases have an answer that was not sent yet, and when to try again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import now
from fundoscope.service.store.models import Answer, Case, Delivery, LogEntry, Photograph
from fundoscope.service.store.photographs import photographs_of
from fundoscope.service.store.shadow import is_shadow

WAITING: Final = "waiting"
SENT: Final = "sent"
REFUSED: Final = "refused"
SUPERSEDED: Final = "superseded"

LONGEST_PAUSE_SECONDS: Final = 3600.0


SENDING_BEGAN: Final = "sending began"
"""Action of the audit log when a destination was first named."""


def begin_sending(session: Session, destination: str) -> str:
    """Return since when answers are sent to a destination: since it was first named, which is now if it is new.

    Args:
        session: Of `Database.writing`.
        destination: Where to.
    """
    query = select(LogEntry.moment).where(LogEntry.action == SENDING_BEGAN, LogEntry.subject == destination)
    query = query.order_by(LogEntry.id).limit(1)
    if session.execute(query).scalar_one_or_none() is None:
        append_entry(session, "system", SENDING_BEGAN, destination)
    return session.execute(query).scalar_one()


def answered_cases(session: Session, destination: str, release: str, *, limit: int, since: str = "") -> list[Case]:
    """Return cases that a release has answered and that were not compared with their deliveries since they changed.

    None while the service runs in shadow mode, and never those that were answered in it.

    Args:
        session: Of the database.
        destination: Where answers are sent.
        release: The one that answered.
        limit: Most cases to return.
        since: Cases none of whose photographs it answered at this moment or later are left out.
    """
    if is_shadow(session):
        return []
    is_compared = exists().where(
        Delivery.case_id == Case.id, Delivery.destination == destination, Delivery.case_changed == Case.changed
    )
    is_new = exists().where(
        Photograph.case_id == Case.id,
        Answer.photograph_id == Photograph.id,
        Answer.release == release,
        Answer.created >= since,
    )
    query = select(Case).where(Case.answer.is_not(None), Case.release == release, ~Case.shadow, ~is_compared, is_new)
    return list(session.execute(query.order_by(Case.id).limit(limit)).scalars())


def add_delivery(session: Session, case: Case, destination: str, release: str, *, settle: float) -> None:
    """Note that a case's answer is to be sent, unless it was noted for the same photographs and release.

    Args:
        session: Of `Database.writing`.
        case: The case.
        destination: Where to.
        release: Of the answer.
        settle: Seconds until the first attempt, in which further photographs of the case may come.
    """
    if case.answer is None or case.release != release or case.shadow:
        return
    key = delivery_key(session, case, release)
    query = select(Delivery).where(
        Delivery.case_id == case.id, Delivery.destination == destination, Delivery.key == key
    )
    delivery = session.execute(query).scalar_one_or_none()
    if delivery is not None:
        # Readings change a case, too, and photographs that came again; the answer is that which was noted.
        delivery.case_changed = case.changed
        if delivery.state == SUPERSEDED:
            delivery.state, delivery.due, delivery.changed = WAITING, _after(settle), now()
        return
    moment = now()
    session.add(
        Delivery(
            case_id=case.id,
            destination=destination,
            key=key,
            case_changed=case.changed,
            state=WAITING,
            attempts=0,
            due=_after(settle),
            created=moment,
            changed=moment,
        )
    )


def delivery_key(session: Session, case: Case, release: str) -> str:
    """Return the hash of a release and of the photographs that a case has."""
    hashes = sorted(photograph.sha256 for photograph in photographs_of(session, case))
    return hashlib.sha256(json.dumps([release, *hashes]).encode()).hexdigest()


def due_deliveries(session: Session, destination: str, *, limit: int) -> Sequence[Delivery]:
    """Return the deliveries whose next attempt is due, those that wait longest first; none in shadow mode."""
    if is_shadow(session):
        return []
    query = select(Delivery).where(
        Delivery.destination == destination, Delivery.state == WAITING, Delivery.due <= now()
    )
    return session.execute(query.order_by(Delivery.due, Delivery.id).limit(limit)).scalars().all()


def end_delivery(session: Session, delivery: Delivery, state: str, *, fault: str | None = None, files: int = 0) -> None:
    """Note that nothing remains to be done.

    Args:
        session: Of `Database.writing`.
        delivery: Of another session.
        state: `SENT`, `REFUSED` or `SUPERSEDED`.
        fault: Why nothing, or not all, was sent.
        files: Objects that were sent.
    """
    kept = session.get_one(Delivery, delivery.id)
    kept.state, kept.fault, kept.changed = state, fault, now()
    if state == SUPERSEDED:
        return
    case = session.get_one(Case, kept.case_id)
    # The fault stays out of the log: it may repeat what a photograph's file says.
    action = "results sent" if state == SENT else "results cannot be sent"
    append_entry(session, "system", action, case.uid, destination=kept.destination, objects=files)


def postpone_delivery(session: Session, delivery: Delivery, *, fault: str, first_pause: float) -> None:
    """Note that an attempt failed; the pause until the next doubles, up to an hour. The first failure is logged.

    Args:
        session: Of `Database.writing`.
        delivery: Of another session.
        fault: Why it failed.
        first_pause: Seconds until the second attempt.
    """
    kept = session.get_one(Delivery, delivery.id)
    pause = min(LONGEST_PAUSE_SECONDS, first_pause * 2 ** min(kept.attempts, 20))
    kept.attempts += 1
    kept.due = _after(pause)
    kept.fault, kept.changed = fault, now()
    if kept.attempts == 1:
        case = session.get_one(Case, kept.case_id)
        append_entry(session, "system", "results not sent yet", case.uid, destination=kept.destination)


def _after(seconds: float) -> str:
    """Return a moment to come as the tables have it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
