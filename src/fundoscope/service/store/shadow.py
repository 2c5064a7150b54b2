"""Shadow mode: whether answers are kept without being shown, the plan that this follows, and who looked at figures.

A period begins when a service starts in shadow mode and ends when it starts with shadow mode switched off; a start that
says nothing of it changes nothing. Each state of the readings of which figures were shown is one look at them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import now
from fundoscope.service.store.models import Case
from fundoscope.service.store.release_models import ShadowLook, ShadowPeriod


@dataclass(frozen=True, slots=True)
class ShadowStart:
    """What a start made of shadow mode."""

    is_on: bool
    """Whether answers are hidden from now on."""
    shown_from_now: int = 0
    """Cases answered in shadow mode whose answers this start makes visible."""


def present_period(session: Session) -> ShadowPeriod | None:
    """Return the period that has not ended; None where answers are shown."""
    query = select(ShadowPeriod).where(ShadowPeriod.ended.is_(None)).order_by(ShadowPeriod.id.desc()).limit(1)
    return session.execute(query).scalar_one_or_none()


def is_shadow(session: Session) -> bool:
    """Return whether answers are kept and shown to nobody: whatever shows one asks this first."""
    return present_period(session) is not None


def was_never_shown(session: Session, case: Case) -> bool:
    """Return whether nobody can have seen an answer for a case: it came in the present shadow mode, without a break."""
    if not case.shadow:
        return False
    began: str | None = None
    for period in session.execute(select(ShadowPeriod).order_by(ShadowPeriod.id.desc())).scalars():
        # Another plan or release ends a period and begins the next at one moment.
        if period.ended is not None and period.ended != began:
            break
        began = period.began
    return began is not None and case.created >= began


def last_period(session: Session) -> ShadowPeriod | None:
    """Return the last period, ended or not; None where there was none."""
    return session.execute(select(ShadowPeriod).order_by(ShadowPeriod.id.desc()).limit(1)).scalar_one_or_none()


def start_shadow(
    session: Session, release: str, *, wanted: bool | None, planned: int | None, default: int
) -> ShadowStart:
    """Switch shadow mode on or off, or leave it as it is.

    Args:
        session: Of `Database.writing`.
        release: The release that the service starts with.
        wanted: True: on; False: off; None: as it was.
        planned: Referable patients to be read before figures are shown; None: as planned before, or the default.
        default: The number where none was ever named.

    Raises:
        BadRequest: If a plan is lowered, by which figures would be looked at earlier than was planned, or made for no
            shadow mode.
    """
    period = present_period(session)
    if planned is not None and (wanted is False or (period is None and wanted is None)):
        raise BadRequest("--shadow-patients: expected --shadow beside it, got none. Give both, or neither.")
    if wanted is False:
        return _end(session, period)
    if period is None and wanted is None:
        return ShadowStart(is_on=False)
    earlier = last_period(session)
    is_same = earlier is not None and earlier.release == release
    number = planned or (earlier.planned if earlier is not None and is_same else default)
    if earlier is not None and is_same and number < earlier.planned:
        raise BadRequest(
            f"--shadow-patients: expected at least {earlier.planned}, as was planned on {earlier.began[:10]}, got "
            f"{number}. A plan that is lowered looks at the figures too early: keep it, or raise it."
        )
    if period is not None and period.release == release and period.planned == number:
        return ShadowStart(is_on=True)
    moment = now()
    if period is not None:
        period.ended = moment
    session.add(ShadowPeriod(release=release, planned=number, began=moment))
    append_entry(session, "system", "shadow mode on", release, planned=number)
    return ShadowStart(is_on=True)


def _end(session: Session, period: ShadowPeriod | None) -> ShadowStart:
    if period is None:
        return ShadowStart(is_on=False)
    period.ended = now()
    query = select(func.count()).select_from(Case).where(Case.shadow, Case.answer.is_not(None))
    cases = session.execute(query).scalar_one()
    append_entry(session, "system", "shadow mode off", period.release, cases=cases)
    return ShadowStart(is_on=False, shown_from_now=cases)


def note_look(session: Session, release: str, readings: int, *, actor: str) -> int:
    """Note that figures were looked at; return how many looks there were, this one included.

    Args:
        session: Of `Database.writing`.
        release: Whose answers the figures are of.
        readings: Id of the last reading that they are of: another look at the same readings is the same look.
        actor: Who looks.
    """
    query = select(ShadowLook).where(ShadowLook.release == release, ShadowLook.readings == readings)
    if session.execute(query).scalar_one_or_none() is None:
        session.add(ShadowLook(release=release, readings=readings, actor=actor, moment=now()))
        append_entry(session, actor, "shadow figures shown", release, readings=readings)
    return count_looks(session, release)


def count_looks(session: Session, release: str) -> int:
    """Return how many looks there were at the figures of a release."""
    query = select(func.count()).select_from(ShadowLook).where(ShadowLook.release == release)
    return session.execute(query).scalar_one()
