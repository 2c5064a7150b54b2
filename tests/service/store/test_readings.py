"""Readings of people: who may read, what a reading needs, and what becomes of the case."""

from __future__ import annotations

import itertools

import pytest

from fundoscope.errors import BadRequest
from fundoscope.service.access.roles import Role
from fundoscope.service.store.accounts import Account, add_user
from fundoscope.service.store.database import Database
from fundoscope.service.store.models import Case, EyeReading
from fundoscope.service.store.photographs import Facts, add_photograph, case_of
from fundoscope.service.store.readings import EyeGrade, add_reading, possible_roles

ANSWER = {
    "eyes": [
        {"eye": "left", "decision": "refer", "tone": "alert", "labels": None, "columns": {"grade": 2}},
        {"eye": "right", "decision": "cannot grade", "tone": "unknown", "labels": None, "columns": {"grade": None}},
    ]
}


@pytest.fixture
def readers(database: Database) -> dict[str, Account]:
    """Three readers."""
    with database.writing() as session:
        users = {name: add_user(session, name, "read", None, actor="test") for name in ("ann", "bob", "cid")}
        session.flush()
        return {name: Account(user_id=user.id, name=name, role=Role.read) for name, user in users.items()}


def arrive(session, name: str, eye: str) -> Case:
    """Let a photograph arrive and be answered; return its case."""
    sha256 = (name * 64)[:64]
    facts = Facts(sha256=sha256, name=name, size=1, kind="JPEG", patient="P", eye=eye, taken="2026-01-01")
    case = case_of(session, add_photograph(session, facts, sender="test"))
    session.flush()
    return case


def answered(session) -> Case:
    """Return a case of two eyes that is answered."""
    arrive(session, "a", "left")
    case = arrive(session, "b", "right")
    case.answer, case.state, case.release = ANSWER, "unread", "tiny@1"
    session.flush()
    return case


def grades(left: int | None, right: int | None, reason: str | None = None) -> list[EyeGrade]:
    return [EyeGrade(eye="left", grade=left, reason=reason), EyeGrade(eye="right", grade=right, reason=reason)]


def test_two_readers_agree_or_differ_and_a_third_decides(database, readers):
    ann, bob, cid = readers.values()
    with database.writing() as session:
        case = answered(session)
        states = [case.state]
        add_reading(session, case, ann, "first", grades(2, None), shown=True)
        states.append(case.state)
        add_reading(session, case, bob, "second", grades(3, None), shown=False)
        states.append(case.state)
        add_reading(session, case, bob, "second", grades(2, None), shown=False)
        states.append(case.state)
        add_reading(session, case, bob, "second", grades(4, None), shown=False)
        add_reading(session, case, cid, "adjudication", grades(4, 0, "new vessels at the disc"), shown=True)
        states.append(case.state)
        kept = session.query(EyeReading).count()

    assert states == ["unread", "read", "disagreed", "agreed", "adjudicated"]
    assert kept == 10, "none is changed or lost"


def test_who_may_read_in_which_role(database, readers):
    ann, bob, cid = (reader.user_id for reader in readers.values())
    with database.writing() as session:
        case = answered(session)

        def roles() -> list[tuple[str, ...]]:
            return [possible_roles(session, case, user) for user in (ann, bob, cid)]

        assert roles() == [("first",)] * 3
        add_reading(session, case, readers["ann"], "first", grades(2, None), shown=True)
        assert roles() == [("first",), ("second",), ("second",)]
        add_reading(session, case, readers["bob"], "second", grades(1, None), shown=False)
        assert roles() == [(), ("second",), ("adjudication",)]
        add_reading(session, case, readers["cid"], "adjudication", grades(1, None, "scars of laser"), shown=True)
        assert roles() == [(), (), ("adjudication",)]


@pytest.mark.parametrize(
    ("name", "role"), [("ann", "second"), ("bob", "first"), ("bob", "adjudication"), ("ann", "third"), ("cid", "")]
)
def test_nobody_reads_twice_or_decides_alone(database, readers, name: str, role: str):
    with database.writing() as session:
        case = answered(session)
        add_reading(session, case, readers["ann"], "first", grades(2, None), shown=True)

        with pytest.raises(BadRequest, match=r"role: expected .* of this case by \w+, got .* are of two people"):
            add_reading(session, case, readers[name], role, grades(2, None), shown=True)


def test_overruling_an_answer_that_was_shown_needs_a_reason(database, readers):
    for left, right, shown in itertools.product((0, 2, None), (None, 3), (True, False)):
        with database.writing() as session:
            case = session.query(Case).one_or_none() or answered(session)
            overrules = shown and (left != 2 or right is not None)
            if overrules:
                with pytest.raises(BadRequest, match=r"reason: expected one for the \w+ eye, because an answer"):
                    add_reading(session, case, readers["ann"], "first", grades(left, right, " "), shown=shown)
                session.query(EyeReading).delete()
            readings = add_reading(session, case, readers["ann"], "first", grades(left, right, "seen"), shown=shown)

        assert [reading.agrees for reading in readings] == ([left == 2, right is None] if shown else [None, None])


@pytest.mark.parametrize("eyes", [["left"], ["left", "left"], ["left", "right", None], ["right", None], []])
def test_a_reading_is_of_all_eyes_that_were_photographed(database, readers, eyes: list[str | None]):
    with database.writing() as session:
        case = answered(session)
        with pytest.raises(BadRequest, match=r"expected one grade for each eye \(left, right\), got"):
            add_reading(session, case, readers["ann"], "first", [EyeGrade(eye=eye) for eye in eyes], shown=False)

        assert session.query(EyeReading).count() == 0
        assert case.state == "unread"


@pytest.mark.parametrize("grade", [-1, 5, 99])
def test_a_grade_that_is_none_is_refused(database, readers, grade: int):
    with database.writing() as session:
        case = answered(session)
        with pytest.raises(BadRequest, match=f"grade: expected 0 to 4, got {grade}. Correct the grade."):
            add_reading(session, case, readers["ann"], "first", grades(grade, None, "x"), shown=False)


def test_a_case_that_waits_cannot_be_read(database, readers):
    with database.writing() as session:
        case = arrive(session, "a", "left")
        assert possible_roles(session, case, readers["ann"].user_id) == ()
        with pytest.raises(BadRequest, match=r"case \w+: expected one whose photographs are all answered"):
            add_reading(session, case, readers["ann"], "first", grades(1, 1), shown=False)


def test_a_new_photograph_makes_a_read_case_unread(database, readers):
    with database.writing() as session:
        case = answered(session)
        add_reading(session, case, readers["ann"], "first", grades(2, None), shown=True)
        assert case.state == "read"
        arrive(session, "c", "left")
        assert (case.state, case.answer) == ("pending", None)
        case.answer, case.state = ANSWER, "unread"

        assert possible_roles(session, case, readers["bob"].user_id) == ("first",)
        assert session.query(EyeReading).count() == 2, "the reading of fewer photographs is kept"


def test_both_eyes_of_a_reading_have_one_moment_whatever_the_clock_does_meanwhile(database, readers, monkeypatch):
    moments = (f"2026-01-01T00:00:00.{number:03d}+00:00" for number in itertools.count())
    monkeypatch.setattr("fundoscope.service.store.readings.now", lambda: next(moments))
    with database.writing() as session:
        readings = add_reading(session, answered(session), readers["ann"], "first", grades(2, None), shown=False)

    assert len({reading.created for reading in readings}) == 1, "the pages join them by it"
