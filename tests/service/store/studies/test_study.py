"""Reader studies in the database: what they keep, who reads in them, and what is hidden from them meanwhile."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from fundoscope.errors import BadRequest
from fundoscope.service.store.accounts import disable_user, find_user
from fundoscope.service.store.audit_log import append_entry, verify_log
from fundoscope.service.store.cases import search_cases
from fundoscope.service.store.models import Case, LogEntry, StudyCase
from fundoscope.service.store.readings import EyeGrade, add_reading
from fundoscope.service.store.shadow import start_shadow
from fundoscope.service.store.studies.sittings import add_grades, add_view, progress_of
from fundoscope.service.store.studies.study import (
    StudyPlan,
    all_studies,
    cases_of,
    close_study,
    count_hidden_unread,
    create_study,
    enrol_reader,
    hidden_numbers,
    hiding_study,
    opened_before,
    readers_of,
    unread_cases,
)

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "study_cases.py")))


def test_a_study_keeps_its_cases_and_readers_and_stands_in_the_log(database):
    with database.writing() as session:
        uid = made.add_study(session, "ann", "bob", cases=3, sittings=2, washout_days=14).uid
    with database.reading() as session:
        (study,) = all_studies(session)
        cases, readers = cases_of(session, study), readers_of(session, study)
        entries = list(session.execute(select(LogEntry).where(LogEntry.subject == uid)).scalars())
        assert verify_log(session).passed

    assert (study.uid, study.release, study.sittings, study.washout_days) == (uid, made.RELEASE, 2, 14)
    assert [photograph["eye"] for photograph in cases[1].photographs] == ["left", "right"]
    assert [user.name for _, user in readers] == ["ann", "bob"]
    assert [entry.action for entry in entries] == ["study created", "study reader enrolled", "study reader enrolled"]
    assert len(entries[0].detail["cases"]) == 3


def test_the_log_keeps_a_hash_by_which_a_change_of_a_reference_grade_is_seen(database):
    with database.writing() as session:
        case = made.add_case(session, "P", {"left": 1})
        other = made.add_case(session, "Q", {"left": 1})
        reader = made.add_account(session, "ann")
        hashes = []
        for number, grade in enumerate((1, 1, 2)):
            contents = [made.content_of(case, "P", {"left": grade}), made.content_of(other, "Q")]
            readers = [find_user(session, reader.name)]
            plan = StudyPlan(name=f"Trial {number}", release=made.RELEASE, cases=contents, readers=readers)
            study = create_study(session, plan, made.BOSS)
            close_study(session, study, made.BOSS)
            query = select(LogEntry).where(LogEntry.subject == study.uid, LogEntry.action == "study created")
            detail = session.execute(query).scalar_one().detail
            hashes.append(detail["references_sha256"])
            assert detail["references"] == 1

    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("design", "words"),
    [
        ({"name": "Trial"}, "name: expected a new one, got 'Trial'"),
        ({"name": ""}, "name: expected 1 to 100 letters, got 0"),
        ({"name": "a" * 101}, "name: expected 1 to 100 letters, got 101"),
        ({"sittings": 0}, "sittings: expected 1 to 5, got 0"),
        ({"sittings": 6}, "sittings: expected 1 to 5, got 6"),
        ({"washout_days": -1}, "washout: expected 0 to 730 days, got -1"),
        ({"washout_days": 731}, "washout: expected 0 to 730 days, got 731"),
        ({"cases": 1}, "cases: expected at least 2, got 1"),
        ({"readers": []}, "readers: expected at least one account of the role read, got none"),
    ],
)
def test_what_can_be_no_study_is_refused(database, design, words):
    with database.writing() as session:
        made.add_study(session, "ann")
        contents = [
            made.content_of(made.add_case(session, f"Q{number}", {"left": 1}), f"Q{number}") for number in range(2)
        ]
        values = {"name": "Another", "readers": [find_user(session, "ann")]} | design
        contents = contents[: values.pop("cases", 2)]

        with pytest.raises(BadRequest, match=words.replace("(", r"\(")):
            create_study(session, StudyPlan(release=made.RELEASE, cases=contents, **values), made.BOSS)


def test_only_accounts_that_read_and_are_not_disabled_are_enrolled_and_each_once(database):
    with database.writing() as session:
        study = made.add_study(session, "ann")
        made.add_account(session, "chief", "administer")
        made.add_account(session, "camera", "submit")
        made.add_account(session, "gone")
        disable_user(session, "gone", actor="test")

        for name, words in [
            ("chief", "got chief, one of the role administer"),
            ("camera", "got camera, one of the role submit"),
            ("gone", "got gone, a disabled account"),
            ("ann", "expected somebody new, got ann"),
        ]:
            with pytest.raises(BadRequest, match=words):
                enrol_reader(session, study, find_user(session, name), made.BOSS)
        assert [user.name for _, user in readers_of(session, study)] == ["ann"]


def test_cases_that_a_reader_opened_or_read_before_are_counted_once(database):
    with database.writing() as session:
        ann = made.add_account(session, "ann")
        cases = {name: made.add_case(session, name, {"left": 1}, state="unread") for name in ("A", "B", "C", "D")}
        append_entry(session, "ann", "case shown", cases["A"].uid)
        append_entry(session, "ann", "case shown", cases["B"].uid)
        append_entry(session, "bob", "case shown", cases["C"].uid)
        for name in ("B", "D"):
            add_reading(session, cases[name], ann, "first", [EyeGrade(eye="left", grade=1)], shown=True)
        contents = [made.content_of(case, name) for name, case in cases.items()]
        readers = [find_user(session, "ann")]
        plan = StudyPlan(name="Trial", release=made.RELEASE, cases=contents, readers=readers)
        study = create_study(session, plan, made.BOSS)

        ((reader, _),) = readers_of(session, study)

    assert reader.opened_before == 3, "A was opened, D read, B both; C was opened by another"


def test_a_case_whose_answer_another_study_showed_counts_as_opened_and_one_that_was_only_graded_does_not(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=3)
        ((_, user),) = readers_of(session, study)
        ann = made.Account(user_id=user.id, name="ann", role="read")
        for number in range(2):
            progress = progress_of(session, study, ann.user_id)
            add_view(session, progress, ann)
            if number == 0:
                shown = (progress.case.uid, 1, progress.stage)
                add_grades(session, study, ann, shown, {"left": 1, "right": 1})
        first_opened = opened_before(session, cases_of(session, study), user)
        add_grades(session, study, ann, (progress.case.uid, 1, progress.stage), {"left": 1, "right": 1})
        add_view(session, progress_of(session, study, ann.user_id), ann)

        assert first_opened == 1
        assert opened_before(session, cases_of(session, study), user) == 1, "the second case was shown without it"


def test_nobody_reads_a_case_in_two_open_studies(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2)
        cases = [session.get_one(Case, case.case_id) for case in cases_of(session, study)]
        cases.append(made.add_case(session, "new", {"left": 1}))
        contents = [made.content_of(case, case.patient) for case in cases]
        ann = find_user(session, "ann")
        plan = StudyPlan(name="Again", release=made.RELEASE, cases=contents[1:], readers=[ann])

        with pytest.raises(BadRequest, match="got ann, who reads some in the study Trial"), session.begin_nested():
            create_study(session, plan, made.BOSS)
        close_study(session, study, made.BOSS)
        again = create_study(session, plan, made.BOSS)

        assert [user.name for _, user in readers_of(session, again)] == ["ann"]


def test_cases_of_a_study_are_hidden_from_its_readers_until_it_is_closed(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2)
        other = made.add_case(session, "outside", {"left": 0})
        bob = made.add_account(session, "bob")
        ((_, ann),) = readers_of(session, study)
        inside = session.execute(select(StudyCase.case_id)).scalars().first()
        uid = session.get_one(Case, inside).uid
        sha256 = cases_of(session, study)[0].photographs[0]["sha256"]

        assert len(hidden_numbers(session, ann.id)) == 2
        assert hidden_numbers(session, bob.user_id) == frozenset()
        assert hiding_study(session, ann.id, case=uid) == "Trial"
        assert hiding_study(session, ann.id, sha256=sha256) == "Trial"
        assert hiding_study(session, ann.id, case=other.uid) is None
        assert hiding_study(session, bob.user_id, case=uid) is None
        assert [case.uid for case in search_cases(session, hidden_from=ann.id).cases] == [other.uid]
        assert search_cases(session, hidden_from=ann.id).total == 1
        assert search_cases(session, hidden_from=bob.user_id).total == 3

        close_study(session, study, made.BOSS)
        assert hidden_numbers(session, ann.id) == frozenset()
        assert hiding_study(session, ann.id, case=uid) is None


def test_cases_that_nobody_has_read_are_those_that_wait_or_are_unread_and_only_of_open_studies(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=4)
        ((_, user),) = readers_of(session, study)
        cases = [session.get_one(Case, case.case_id) for case in cases_of(session, study)]
        cases[1].state, cases[2].state, cases[3].state = "unread", "pending", "agreed"
        cases[1].urgency, cases[2].urgency = 5, 2
        made.add_case(session, "outside", {"left": 1}, state="unread")
        session.flush()

        assert [case.patient for case in unread_cases(session, study)] == ["P2", "P1"]
        start_shadow(session, made.RELEASE, wanted=True, planned=None, default=100)
        session.flush()
        assert [case.patient for case in unread_cases(session, study)] == ["P1", "P2"], "the order is none of urgency"
        assert count_hidden_unread(session, user.id) == 2
        close_study(session, study, made.BOSS)
        assert count_hidden_unread(session, user.id) == 0


def test_a_case_that_is_hidden_from_a_reader_takes_no_reading_of_theirs(database):
    with database.writing() as session:
        study = made.add_study(session, "ann")
        case = session.get_one(Case, cases_of(session, study)[0].case_id)
        ((_, user),) = readers_of(session, study)
        ann = made.Account(user_id=user.id, name="ann", role="read")

        with pytest.raises(BadRequest, match=r"got one of the study Trial\. Read it in the study"):
            add_reading(session, case, ann, "first", [EyeGrade(eye="left"), EyeGrade(eye="right")], shown=True)


def test_a_closed_study_is_not_closed_again_and_takes_no_reader(database):
    with database.writing() as session:
        study = made.add_study(session, "ann")
        made.add_account(session, "bob")
        close_study(session, study, made.BOSS)

        with pytest.raises(BadRequest, match="study Trial: expected one that is open"):
            close_study(session, study, made.BOSS)
        with pytest.raises(BadRequest, match="study Trial: expected one that is open"):
            enrol_reader(session, study, find_user(session, "bob"), made.BOSS)
