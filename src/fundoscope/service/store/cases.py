"""Cases: found one by one, searched, and listed by urgency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fundoscope.service.store.models import Case
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.study import hidden_cases

PAGE: Final = 50
"""Cases on one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of cases, the most urgent first."""

    cases: tuple[Case, ...]
    total: int
    """Cases that fit the search, on all pages."""
    page: int
    """From 1."""
    size: int

    @property
    def pages(self) -> int:
        """How many pages there are; 1 where no case fits."""
        return max(1, -(-self.total // self.size))


def find_case(session: Session, uid: str) -> Case | None:
    """Return a case by its identifier."""
    return session.execute(select(Case).where(Case.uid == uid)).scalar_one_or_none()


def search_cases(
    session: Session,
    *,
    query: str = "",
    state: str | None = None,
    page: int = 1,
    size: int = PAGE,
    hidden_from: int | None = None,
) -> Page:
    """Return a page of cases, the most urgent first, and of equal ones the oldest; in shadow mode the oldest first.

    Args:
        session: Of `Database.reading`.
        query: Part of the patient's name or number, whatever its case, or a day; empty: all.
        state: One of `models.CASE_STATES`; None: all.
        page: From 1.
        size: Cases on a page.
        hidden_from: A user from whom the cases of open studies are hidden (`studies.hidden_cases`); None: nobody.
    """
    wanted = select(Case)
    if query.strip():
        part = query.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        wanted = wanted.where(Case.patient.ilike(f"%{part}%", escape="\\") | (Case.day == query.strip()))
    if hidden_from is not None:
        wanted = wanted.where(Case.id.not_in(hidden_cases(hidden_from)))
    if state is not None:
        wanted = wanted.where(Case.state == state)
    total = session.execute(select(func.count()).select_from(wanted.subquery())).scalar_one()
    # The order by urgency would tell the answers.
    order = (Case.id,) if is_shadow(session) else (Case.urgency, Case.id)
    rows = session.execute(wanted.order_by(*order).offset((page - 1) * size).limit(size)).scalars()
    return Page(cases=tuple(rows), total=total, page=page, size=size)
