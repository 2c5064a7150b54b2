"""The active release of a service, and look-backs: what another release would answer to the archive.

The release of the last activation is the active one; it alone answers what is sent. A look-back keeps the answers of
another release beside those of the active one, and the cases whose answers differ once all were compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest
from fundoscope.runtime.release import OpenRelease
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import now
from fundoscope.service.store.models import ACCEPTED, Answer, Case, Photograph, ReleaseSeen
from fundoscope.service.store.release_models import Activation, ChangedCase, LookBack

FIRST_START = "first start"
"""Reason of the activation of the release that a service began with."""


def active_release(session: Session) -> str | None:
    """Return the name of the active release; None before the first start.

    A service of a version that did not note it is taken to have the release by which a case was answered last: answers
    to photographs may be those of a look-back.
    """
    query = select(Activation.release).order_by(Activation.id.desc()).limit(1)
    noted = session.execute(query).scalar_one_or_none()
    latest = select(Case.release).where(Case.answer.is_not(None)).order_by(Case.changed.desc(), Case.id.desc()).limit(1)
    return noted or session.execute(latest).scalar_one_or_none()


def last_activation(session: Session) -> Activation | None:
    """Return the last activation; None before the first start."""
    return session.execute(select(Activation).order_by(Activation.id.desc()).limit(1)).scalar_one_or_none()


def begin_with(session: Session, opened: OpenRelease) -> None:
    """Note the release that a service starts with: the active one, or the first.

    Args:
        session: Of `Database.writing`.
        opened: The release.

    Raises:
        BadRequest: If another release is active and has answered: answers would change unseen.
    """
    active = active_release(session)
    answered = session.execute(select(func.count()).select_from(Case).where(Case.answer.is_not(None))).scalar_one()
    if active not in (None, opened.name) and (answered or session.execute(select(Answer.id).limit(1)).first()):
        raise BadRequest(
            f"release: expected the active one, {active}, because {answered} cases of this service are answered, got "
            f"{opened.name}. See what would change with: fundoscope service look-back --release {opened.path}, then "
            f"activate it with: fundoscope service activate --release {opened.path}. Until then start with the active "
            "release."
        )
    last = last_activation(session)
    if last is None or last.release != opened.name:
        activate(session, opened, actor="system", reason=FIRST_START)


def activate(
    session: Session, opened: OpenRelease, *, actor: str, look_back: LookBack | None = None, reason: str | None = None
) -> None:
    """Make a release the active one, without any check of what it changes.

    Args:
        session: Of `Database.writing`.
        opened: The release.
        actor: Who activates it.
        look_back: A finished one of this release.
        reason: Why there is none.
    """
    earlier = active_release(session)
    note_release(session, opened)
    number = None if look_back is None else look_back.id
    session.add(Activation(release=opened.name, look_back_id=number, reason=reason, actor=actor, moment=now()))
    append_entry(session, actor, "release activated", opened.name, before=earlier, look_back=number, reason=reason)


def note_release(session: Session, opened: OpenRelease) -> None:
    """List a release among those that have answered, unless it is."""
    if session.execute(select(ReleaseSeen.id).where(ReleaseSeen.name == opened.name)).scalar_one_or_none() is None:
        session.add(ReleaseSeen(name=opened.name, digest=opened.digest, task=opened.task.name, first_used=now()))
        session.flush()


def task_of(session: Session, release: str) -> str | None:
    """Return the name of the task of a release that has answered; None of another."""
    return session.execute(select(ReleaseSeen.task).where(ReleaseSeen.name == release)).scalar_one_or_none()


def begin_look_back(session: Session, opened: OpenRelease, *, actor: str) -> LookBack:
    """Return the look-back of a release against the active one: the one that was interrupted, or a new one.

    Args:
        session: Of `Database.writing`.
        opened: The release that looks back.
        actor: Who begins it.

    Raises:
        BadRequest: If it is the active release, answers another task, or nothing was answered yet.
    """
    active = active_release(session)
    if active is None:
        raise BadRequest(
            "look-back: expected a service with an active release, got one that has never run. Start it first."
        )
    if active == opened.name:
        raise BadRequest(f"--release: expected another release than the active one, got {active}. Name the new one.")
    task = task_of(session, active)
    if task not in (None, opened.task.name):
        raise BadRequest(
            f"--release: expected a release of the task {task}, as the active one, got one of {opened.task.name}: "
            "their answers cannot be compared. Activate it with a reason (--without-look-back), or begin a new service."
        )
    note_release(session, opened)
    query = select(LookBack).where(
        LookBack.release == opened.name, LookBack.against == active, LookBack.finished.is_(None)
    )
    look_back = session.execute(query.order_by(LookBack.id.desc()).limit(1)).scalar_one_or_none()
    if look_back is None:
        look_back = LookBack(release=opened.name, against=active, actor=actor, begun=now())
        session.add(look_back)
        session.flush()
        append_entry(session, actor, "look-back begun", opened.name, against=active, look_back=look_back.id)
    return look_back


def photographs_without(session: Session, release: str) -> list[Photograph]:
    """Return the answered photographs of answered cases that a release has not answered, in the order they came."""
    has_answer = select(Answer.id).where(Answer.photograph_id == Photograph.id, Answer.release == release).exists()
    query = (
        select(Photograph)
        .join(Case, Case.id == Photograph.case_id)
        .where(Case.answer.is_not(None), Photograph.state != ACCEPTED, ~has_answer)
    )
    return list(session.execute(query.order_by(Photograph.id)).scalars())


def answered_cases(session: Session) -> list[Case]:
    """Return all cases that have an answer, the oldest first."""
    return list(session.execute(select(Case).where(Case.answer.is_not(None)).order_by(Case.id)).scalars())


def last_look_back(session: Session, release: str | None = None, against: str | None = None) -> LookBack | None:
    """Return the last look-back that is finished; of a release, or against one, where they are named."""
    query = select(LookBack).where(LookBack.finished.is_not(None))
    if release is not None:
        query = query.where(LookBack.release == release)
    if against is not None:
        query = query.where(LookBack.against == against)
    latest_first = (LookBack.finished.desc(), LookBack.id.desc())
    return session.execute(query.order_by(*latest_first).limit(1)).scalar_one_or_none()


def finished_look_backs(session: Session) -> list[LookBack]:
    """Return all look-backs that are finished, the latest first."""
    query = select(LookBack).where(LookBack.finished.is_not(None))
    return list(session.execute(query.order_by(LookBack.finished.desc(), LookBack.id.desc())).scalars())


def activation_by(session: Session, look_back: LookBack) -> Activation | None:
    """Return the activation that a look-back led to; None: it led to none."""
    query = select(Activation).where(Activation.look_back_id == look_back.id).order_by(Activation.id.desc()).limit(1)
    return session.execute(query).scalar_one_or_none()


def count_left(session: Session, look_back: LookBack) -> int:
    """Return how many changed cases nobody has dealt with."""
    query = select(func.count()).select_from(ChangedCase)
    query = query.where(ChangedCase.look_back_id == look_back.id, ChangedCase.done.is_(None))
    return session.execute(query).scalar_one()


def is_answered_otherwise(session: Session, case: Case, release: str) -> bool:
    """Return whether the last look-back of a release found another answer than a case has."""
    latest = last_look_back(session, release=release)
    if latest is None or case.release == release:
        return False
    query = select(ChangedCase.id).where(ChangedCase.look_back_id == latest.id, ChangedCase.case_id == case.id)
    return session.execute(query).first() is not None


def changes_of(session: Session, look_back: LookBack) -> Sequence[tuple[ChangedCase, Case]]:
    """Return the cases whose answer a look-back changes, the most harmful change first."""
    query = (
        select(ChangedCase, Case)
        .join(Case, Case.id == ChangedCase.case_id)
        .where(ChangedCase.look_back_id == look_back.id)
        .order_by(ChangedCase.rank, Case.urgency, ChangedCase.id)
    )
    return [(change, case) for change, case in session.execute(query)]
