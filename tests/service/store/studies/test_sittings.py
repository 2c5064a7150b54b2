"""Sittings of a study: the order, the stages, the washout, and grades that are kept once."""

from __future__ import annotations

import runpy
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from fundoscope.errors import BadRequest
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.database import now
from fundoscope.service.store.models import Case, LogEntry, StudyGrade
from fundoscope.service.store.photographs import Facts, add_photograph
from fundoscope.service.store.studies.sittings import add_grades, add_view, eyes_of, grades_of, order_of, progress_of
from fundoscope.service.store.studies.study import ALONE, WITH_ANSWER, cases_of, close_study, find_study, readers_of

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "study_cases.py")))

BOTH = {"left": 2, "right": None}


def account_of(session, study, name: str) -> Account:
    (user,) = [user for _, user in readers_of(session, study) if user.name == name]
    return Account(user_id=user.id, name=name, role="read")


def grade(session, study, reader: Account, grades=BOTH) -> None:
    """Grade the case that is to be graded now, as its page does."""
    progress = progress_of(session, study, reader.user_id)
    add_view(session, progress, reader)
    add_grades(session, study, reader, (progress.case.uid, progress.sitting, progress.stage), grades)


def test_the_order_is_of_reader_and_sitting_and_stays(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", "bob", cases=12)
        cases = cases_of(session, study)
        ann, bob = (account_of(session, study, name).user_id for name in ("ann", "bob"))

    orders = [[case.uid for case in order_of(study, cases, *of)] for of in ((ann, 1), (ann, 2), (bob, 1))]

    assert orders[0] == [case.uid for case in order_of(study, cases[::-1], ann, 1)]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != [case.uid for case in cases]


def test_each_case_is_graded_alone_then_with_the_answer_and_an_interrupted_session_goes_on(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2)
        ann = account_of(session, study, "ann")
        order = [case.uid for case in order_of(study, cases_of(session, study), ann.user_id, 1)]
    stages = []
    for _ in range(4):
        with database.writing() as session:  # as another session, after a break
            study = find_study(session, study.uid)
            progress = progress_of(session, study, ann.user_id)
            stages.append((progress.case.uid, progress.stage, progress.done))
            grade(session, study, ann)
    with database.reading() as session:
        end = progress_of(session, find_study(session, study.uid), ann.user_id)

    assert stages == [
        (order[0], ALONE, 0),
        (order[0], WITH_ANSWER, 0),
        (order[1], ALONE, 1),
        (order[1], WITH_ANSWER, 1),
    ]
    assert end.finished
    assert end.case is None


def test_without_a_second_stage_a_case_is_finished_when_it_was_graded_alone(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2, with_answer=False)
        ann = account_of(session, study, "ann")
        grade(session, study, ann)
        progress = progress_of(session, study, ann.user_id)

    assert (progress.done, progress.stage) == (1, ALONE)


def test_the_next_sitting_opens_when_the_washout_has_passed(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2, with_answer=False, sittings=2, washout_days=10)
        ann = account_of(session, study, "ann")
        grade(session, study, ann)
        grade(session, study, ann)
        last = datetime.fromisoformat(grades_of(session, study)[-1].created)

        early = progress_of(session, study, ann.user_id, moment=last + timedelta(days=10, milliseconds=-1))
        now = progress_of(session, study, ann.user_id)
        open_ = progress_of(session, study, ann.user_id, moment=last + timedelta(days=10))
        shown = (open_.case.uid, 2, ALONE)
        with pytest.raises(BadRequest, match="case: expected the one that is to be graded now"):
            add_grades(session, study, ann, shown, BOTH)

    assert (early.case, early.opens, early.sitting) == (None, last + timedelta(days=10), 2)
    assert now.case is None
    assert (open_.sitting, open_.done, open_.finished) == (2, 0, False)


def test_a_sitting_that_has_begun_is_not_interrupted_by_its_washout(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2, with_answer=False, sittings=2, washout_days=0)
        ann = account_of(session, study, "ann")
        for _ in range(3):
            grade(session, study, ann)
        study.washout_days = 100
        progress = progress_of(session, study, ann.user_id)

    assert (progress.sitting, progress.done) == (2, 1)
    assert progress.case is not None


def test_grades_that_are_not_those_of_the_case_to_be_graded_are_refused_and_change_nothing(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", "bob", cases=2)
        ann, stranger = account_of(session, study, "ann"), made.add_account(session, "eve")
        first, second = order_of(study, cases_of(session, study), ann.user_id, 1)
        shown = (first.uid, 1, ALONE)

        with pytest.raises(BadRequest, match="case: expected one that was shown before"):
            add_grades(session, study, ann, shown, BOTH)
        add_view(session, progress_of(session, study, ann.user_id), ann)
        for wrong, grades, words in [
            ((second.uid, 1, ALONE), BOTH, "case: expected the one that is to be graded now"),
            ((first.uid, 1, WITH_ANSWER), BOTH, "case: expected the one that is to be graded now"),
            ((first.uid, 2, ALONE), BOTH, "case: expected the one that is to be graded now"),
            (shown, {"left": 2}, r"grades: expected one for each eye \(right, left\), got left"),
            (shown, {}, "got none"),
            (shown, BOTH | {"unknown": 1}, "got left, right, unknown"),
            (shown, {"left": 5, "right": 0}, "grade: expected 0 to 4, got 5"),
            (shown, {"left": -1, "right": 0}, "grade: expected 0 to 4, got -1"),
        ]:
            with pytest.raises(BadRequest, match=words):
                add_grades(session, study, ann, wrong, grades)
        with pytest.raises(BadRequest, match="expected one of its readers, got eve"):
            add_grades(session, study, stranger, shown, BOTH)
        assert grades_of(session, study) == []

        add_grades(session, study, ann, shown, BOTH)
        with pytest.raises(BadRequest, match="perhaps from a second window"):
            add_grades(session, study, ann, shown, {"left": 0, "right": 0})
        close_study(session, study, made.BOSS)
        with pytest.raises(BadRequest, match="expected one that is open"):
            add_grades(session, study, ann, (first.uid, 1, WITH_ANSWER), BOTH)
        kept = {grade.eye: grade.grade for grade in grades_of(session, study)}

    assert kept == BOTH


@pytest.mark.parametrize("deed", ["UPDATE study_grades SET grade = 0", "DELETE FROM study_grades"])
def test_the_database_refuses_to_change_a_grade(database, deed):
    with database.writing() as session:
        study = made.add_study(session, "ann")
        grade(session, study, account_of(session, study, "ann"))

    with (
        database.engine.connect() as connection,
        pytest.raises(DBAPIError, match="of a study are never changed"),
    ):
        connection.execute(text(deed))

    with database.reading() as session:
        assert {kept.grade for kept in session.execute(select(StudyGrade)).scalars()} == {2, None}


def test_the_time_counts_from_the_first_showing_and_every_showing_is_counted(database):
    with database.writing() as session:
        study = made.add_study(session, "ann")
        ann = account_of(session, study, "ann")
        add_view(session, progress_of(session, study, ann.user_id), ann)
        session.flush()
        earlier = (datetime.fromisoformat(now()) - timedelta(seconds=90)).isoformat(timespec="milliseconds")
        session.execute(text("UPDATE study_views SET moment = :moment"), {"moment": earlier})
        grade(session, study, ann)
        kept = grades_of(session, study)

    assert {row.views for row in kept} == {2}
    assert all(90 <= row.seconds < 120 for row in kept)
    assert {row.place for row in kept} == {1}


def test_a_photograph_that_arrives_later_changes_nothing_in_the_study(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2)
        before = [(case.photographs, case.answer, eyes_of(case)) for case in cases_of(session, study)]
        facts = Facts(sha256="f" * 64, name="late.jpg", size=1, kind="JPEG", patient="P0", eye=None, taken="2026-01-01")
        add_photograph(session, facts, sender="test")
        session.flush()
        case = session.get_one(Case, cases_of(session, study)[0].case_id)
        after = [(case.photographs, case.answer, eyes_of(case)) for case in cases_of(session, study)]

    assert case.answer is None, "outside the study the case waits for its answer again"
    assert before == after


def test_each_grade_stands_in_the_log(database):
    with database.writing() as session:
        study = made.add_study(session, "ann")
        grade(session, study, account_of(session, study, "ann"))
        (entry,) = session.execute(select(LogEntry).where(LogEntry.action == "study case graded")).scalars()

    assert (entry.actor, entry.subject, entry.detail["grades"]) == ("ann", study.uid, BOTH)
    assert (entry.detail["sitting"], entry.detail["stage"]) == (1, ALONE)
