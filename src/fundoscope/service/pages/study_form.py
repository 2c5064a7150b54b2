"""The form in which a study is made: its values, and the study that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from fundoscope.errors import BadRequest
from fundoscope.runtime.release import OpenRelease
from fundoscope.service.store.accounts import all_users
from fundoscope.service.store.models import CASE_STATES, PENDING, User
from fundoscope.service.store.studies.study import READER_ROLE, StudyPlan
from fundoscope.service.work.studies.cases import Choice, choose_cases, contents_of, with_references
from fundoscope.service.work.studies.references import read_references

STATES: Final = tuple(state for state in CASE_STATES if state != PENDING)
"""States of cases that a study may have; the others wait for answers."""

FIELDS: Final[Mapping[str, str]] = {
    "name": "",
    "query": "",
    "state": "",
    "most": "",
    "cases": "",
    "sittings": "1",
    "washout": "28",
    "references": "",
}
"""Fields with one value each, and what stands in them at first."""

TICKS: Final = ("with_unread", "with_answer", "heatmap", "all_readers")
"""Fields that are ticked or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyForm:
    """What was filled in."""

    values: Mapping[str, str]
    ticks: frozenset[str]
    readers: frozenset[str]
    """Names of accounts."""


EMPTY: Final = StudyForm(values=FIELDS, ticks=frozenset({"with_answer"}), readers=frozenset())


def read_form(form: FormData) -> StudyForm:
    """Return what was filled in."""
    return StudyForm(
        # PostgreSQL keeps no text with a zero byte.
        values={name: str(form.get(name, "")).replace("\0", "").strip() for name in FIELDS},
        ticks=frozenset(name for name in TICKS if form.get(name)),
        readers=frozenset(str(name) for name in form.getlist("reader")),
    )


def possible_readers(session: Session) -> list[User]:
    """Return the accounts that may read in studies, by name."""
    return [user for user in all_users(session) if user.role == READER_ROLE and not user.disabled]


def plan_of(session: Session, form: StudyForm, opened: OpenRelease) -> tuple[StudyPlan, int]:
    """Return the study that a form describes, and how many cases of the search have no answer of the release.

    Raises:
        BadRequest: If a number, the cases, the readers or the reference grades are not as they should be.
    """
    values, ticks = form.values, form.ticks
    state = values["state"] if values["state"] in STATES else None
    choice = Choice(
        lines=tuple(line.strip() for line in values["cases"].splitlines() if line.strip()),
        query=values["query"],
        state=state,
        most=_number("at most", values["most"]) if values["most"] else None,
        with_unread="with_unread" in ticks,
    )
    selection = choose_cases(session, choice, opened.name)
    contents = contents_of(session, selection.cases, opened)
    if values["references"]:
        contents = with_references(contents, read_references(values["references"], contents))
    plan = StudyPlan(
        name=values["name"],
        release=opened.name,
        cases=contents,
        readers=_readers(session, form),
        with_answer="with_answer" in ticks,
        heatmap="heatmap" in ticks and opened.heatmap_state[0],
        sittings=_number("sittings", values["sittings"]),
        washout_days=_number("washout", values["washout"]),
    )
    return plan, selection.left_out


def _readers(session: Session, form: StudyForm) -> list[User]:
    possible = possible_readers(session)
    unknown = sorted(form.readers - {user.name for user in possible})
    if unknown:
        raise BadRequest(
            f"readers: expected accounts of the role {READER_ROLE}, got {', '.join(unknown):.200}. Choose among those "
            "of the form."
        )
    return [user for user in possible if "all_readers" in form.ticks or user.name in form.readers]


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise BadRequest(f"{name}: expected a whole number, got {text!r:.40}. Correct the number.")
    return int(text)
