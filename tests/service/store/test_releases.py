"""The active release: a service begins with one, and another takes its place only when somebody says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fundoscope.errors import BadRequest
from fundoscope.runtime.tasks import TASKS
from fundoscope.service.store.models import Answer, Case, LogEntry, Photograph
from fundoscope.service.store.releases import (
    activate,
    active_release,
    begin_look_back,
    begin_with,
    finished_look_backs,
    last_activation,
    last_look_back,
    photographs_without,
)


@pytest.fixture
def opened(grader):
    """The tiny release."""
    return grader.opened


@pytest.fixture
def other(grader):
    """Another release of the same task."""
    return replace(grader.opened, digest="b" * 64)


def answered_case(session, release: str, *, number: int = 1) -> Photograph:
    """Add a case of one photograph that a release has answered."""
    case = Case(
        uid=f"{number:032x}",
        key=f"{number:064x}",
        created="t",
        changed="t",
        answer={"decision": "refer"},
        release=release,
    )
    session.add(case)
    session.flush()
    photograph = Photograph(
        sha256=f"{number:064x}",
        case_id=case.id,
        name="a",
        size=1,
        kind="JPEG",
        state="answered",
        received="t",
        sender="s",
    )
    session.add(photograph)
    session.flush()
    answer = {"status": "graded", "decision": "refer", "row": {}, "seconds": 0.1, "created": "t"}
    session.add(Answer(photograph_id=photograph.id, release=release, **answer))
    session.flush()
    return photograph


def test_the_first_start_activates_the_release_and_says_so_in_the_log(database, opened):
    with database.writing() as session:
        begin_with(session, opened)
        begin_with(session, opened)

    with database.reading() as session:
        assert active_release(session) == opened.name
        entries = session.query(LogEntry).filter_by(action="release activated").all()
        assert [(entry.actor, entry.subject, entry.detail["reason"]) for entry in entries] == [
            ("system", opened.name, "first start")
        ]


def test_another_release_is_refused_once_cases_are_answered_and_the_words_say_what_to_run(database, opened, other):
    with database.writing() as session:
        begin_with(session, opened)
        answered_case(session, opened.name)

    with (
        pytest.raises(
            BadRequest, match=r"expected the active one, tiny@.* 1 cases .* look-back --release .* activate --release"
        ),
        database.writing() as session,
    ):
        begin_with(session, other)

    with database.reading() as session:
        assert active_release(session) == opened.name


def test_another_release_may_take_the_place_of_one_that_has_answered_nothing(database, opened, other):
    with database.writing() as session:
        begin_with(session, opened)
        begin_with(session, other)

    with database.reading() as session:
        assert active_release(session) == other.name


def test_a_database_of_an_earlier_version_has_the_release_of_its_latest_answer(database, opened, other):
    with database.writing() as session:
        answered_case(session, opened.name)
    with database.reading() as session:
        assert (active_release(session), last_activation(session)) == (opened.name, None)

    with pytest.raises(BadRequest, match="expected the active one, tiny@"), database.writing() as session:
        begin_with(session, other)
    with database.writing() as session:
        begin_with(session, opened)

    with database.reading() as session:
        assert last_activation(session).release == opened.name


def test_answers_of_a_look_back_make_no_release_the_active_one(database, opened, other):
    with database.writing() as session:
        photograph = answered_case(session, opened.name)
        answer = {"status": "graded", "decision": "refer", "row": {}, "seconds": 0.1, "created": "t"}
        session.add(Answer(photograph_id=photograph.id, release=other.name, **answer))

    with database.reading() as session:
        assert active_release(session) == opened.name


def test_an_interrupted_look_back_is_continued_and_one_that_has_ended_is_not(database, opened, other):
    with database.writing() as session:
        begin_with(session, opened)
        answered_case(session, opened.name)
        first = begin_look_back(session, other, actor="ann")
        assert begin_look_back(session, other, actor="bo").id == first.id
        first.finished = "t"
        assert begin_look_back(session, other, actor="ann").id != first.id


def test_a_look_back_needs_an_active_release_another_one_and_the_same_task(database, opened, other):
    with database.writing() as session:
        with pytest.raises(BadRequest, match="look-back: expected a service with an active release"):
            begin_look_back(session, other, actor="ann")
        begin_with(session, opened)
        with pytest.raises(BadRequest, match="--release: expected another release than the active one"):
            begin_look_back(session, opened, actor="ann")
        signs = replace(other, task=TASKS["signs"])
        with pytest.raises(BadRequest, match="expected a release of the task dr-grade"):
            begin_look_back(session, signs, actor="ann")


def test_photographs_that_wait_are_left_to_the_active_release(database, opened, other):
    with database.writing() as session:
        begin_with(session, opened)
        answered = answered_case(session, opened.name)
        waiting = answered_case(session, opened.name, number=2)
        waiting.state = "accepted"
        session.flush()

        assert [one.sha256 for one in photographs_without(session, other.name)] == [answered.sha256]
        assert photographs_without(session, opened.name) == []


def test_an_activation_names_what_was_active_before(database, opened, other):
    with database.writing() as session:
        activate(session, opened, actor="ann", reason="r")
        activate(session, other, actor="bo", reason="s")

    with database.reading() as session:
        last = session.query(LogEntry).order_by(LogEntry.id.desc()).first()
        assert (last.detail["before"], last.subject, last.actor) == (opened.name, other.name, "bo")


def test_the_last_look_back_is_the_one_that_ended_last(database, opened, other):
    with database.writing() as session:
        begin_with(session, opened)
        first = begin_look_back(session, other, actor="ann")
        second = begin_look_back(session, replace(opened, digest="c" * 64), actor="ann")
        second.finished, first.finished = "2026-01-01", "2026-01-02"
        session.flush()

        assert last_look_back(session).id == first.id
        assert [one.id for one in finished_look_backs(session)] == [first.id, second.id]
