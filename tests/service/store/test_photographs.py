"""Photographs, and the cases that they are put into."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from fundoscope.service.store.cases import find_case, search_cases
from fundoscope.service.store.database import Database
from fundoscope.service.store.models import ANSWERED, PENDING, Answer, Case, LogEntry
from fundoscope.service.store.photographs import (
    Facts,
    add_photograph,
    count_by_state,
    find_photograph,
    latest_answer,
    photographs_of,
    waiting_photographs,
)


def facts(number: int, **changes) -> Facts:
    plain = Facts(sha256=f"{number:064x}", name=f"{number}.jpg", size=1000, kind="JPEG", taken="2026-03-01T09:00:00")
    return replace(plain, **changes)


def add(database: Database, *photographs: Facts) -> list[str]:
    """Add photographs; return the identifiers of their cases."""
    with database.writing() as session:
        added = [add_photograph(session, photograph, sender="camera") for photograph in photographs]
        session.flush()
        return [session.get_one(Case, one.case_id).uid for one in added]


def test_photographs_of_one_patient_and_day_are_one_case(database):
    first, second, other = add(
        database, facts(1, patient="p", eye="left"), facts(2, patient="p", eye="right"), facts(3, patient="q")
    )

    assert first == second != other
    with database.reading() as session:
        case = find_case(session, first)
        assert [one.sha256 for one in photographs_of(session, case)] == [f"{1:064x}", f"{2:064x}"]


@pytest.mark.parametrize(
    "change",
    [
        {"patient": "P"},
        {"taken": "2026-03-02T09:00:00", "study_uid": None},
        {"study_uid": "1.2.3"},
        {"source": "another hospital"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_patient_day_study_or_institution_is_another_case(database, change):
    plain = {"patient": "p", "study_uid": "1.2"}
    first, second = add(database, facts(1, **plain), facts(2, **(plain | change)))

    assert first != second


def test_a_study_is_one_case_whatever_the_day(database):
    first, second = add(
        database,
        facts(1, patient="p", study_uid="1.2", taken="2026-03-01T23:59:00"),
        facts(2, patient="p", study_uid="1.2", taken="2026-03-02T00:01:00"),
    )

    assert first == second


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_a_photograph_without_a_study_joins_the_study_of_the_patients_day(database, order):
    photographs = [
        facts(1, patient="p"),
        facts(2, patient="p", study_uid="1.2"),
        facts(3, patient="p", study_uid="1.2"),
    ]

    assert len(set(add(database, *(photographs[at] for at in order)))) == 1


def test_photographs_of_unknown_patients_are_never_one_case(database):
    uids = add(database, *(facts(number, study_uid="1.2") for number in range(5)))

    assert len(set(uids)) == 5


def test_a_new_photograph_sets_its_case_back_to_waiting(database):
    add(database, facts(1, patient="p"))
    with database.writing() as session:
        case = session.execute(select(Case)).scalar_one()
        case.state, case.decision, case.answer, case.release = "agreed", "rescreen", {"decision": "rescreen"}, "r"

    add(database, facts(2, patient="p"))

    with database.reading() as session:
        case = session.execute(select(Case)).scalar_one()
        assert (case.state, case.decision, case.answer, case.release) == (PENDING, None, None, None)


def test_a_photograph_is_there_once(database):
    add(database, facts(1))

    with pytest.raises(IntegrityError, match=r"(?i)unique"):
        add(database, facts(1, patient="another"))
    with database.reading() as session:
        assert count_by_state(session) == {"accepted": 1}


def test_a_photograph_has_one_answer_of_a_release(database):
    add(database, facts(1))
    with database.writing() as session:
        photograph = find_photograph(session, facts(1).sha256)
        photograph.state = ANSWERED
        for release, decision in (("r1", "refer"), ("r2", "rescreen")):
            session.add(_answer(photograph.id, release, decision))

    with pytest.raises(IntegrityError, match=r"(?i)unique"), database.writing() as session:
        session.add(_answer(photograph.id, "r1", "rescreen"))
    with database.reading() as session:
        assert latest_answer(session, photograph).decision == "rescreen"
        assert waiting_photographs(session) == []


def _answer(photograph: int, release: str, decision: str) -> Answer:
    return Answer(
        photograph_id=photograph,
        release=release,
        status="graded",
        decision=decision,
        row={"grade": 2, "patient": None},
        seconds=0.1,
        created="2026-01-01",
    )


def test_photographs_wait_in_the_order_in_which_they_came(database):
    add(database, *(facts(number) for number in (5, 3, 9)))

    with database.reading() as session:
        assert waiting_photographs(session) == [(f"{number:064x}", "camera") for number in (5, 3, 9)]


def test_what_is_not_there_is_none(database):
    with database.reading() as session:
        assert find_photograph(session, "0" * 64) is None
        assert find_case(session, "x") is None


def test_no_patient_and_no_file_name_is_in_the_log(database):
    add(database, facts(1, patient="Doe Jane", patient_raw=" Doe Jane", name="Doe_Jane_1950.jpg"))

    with database.reading() as session:
        content = str(session.execute(text("SELECT * FROM audit_log")).all())
        assert session.execute(select(LogEntry.subject)).scalars().all() == [facts(1).sha256]
    assert "Doe" not in content


@pytest.mark.parametrize(
    ("query", "patients"),
    [
        ("", ["Doe_100%", "Roe\\x", "roe"]),
        ("oe", ["Doe_100%", "Roe\\x", "roe"]),
        ("ROE", ["Roe\\x", "roe"]),
        ("%", ["Doe_100%"]),
        ("_", ["Doe_100%"]),
        ("\\", ["Roe\\x"]),
        ("2026-03-01", ["Doe_100%", "Roe\\x", "roe"]),
        ("2026", []),
        ("' OR 1=1 --", []),
    ],
)
def test_a_search_is_for_a_part_of_the_name_as_it_is_typed_or_a_day(database, query, patients):
    add(database, facts(1, patient="Doe_100%"), facts(2, patient="Roe\\x"), facts(3, patient="roe"))

    with database.reading() as session:
        page = search_cases(session, query=query)
        assert sorted(str(case.patient) for case in page.cases) == patients


def test_cases_are_listed_by_urgency_and_in_pages(database):
    add(database, *(facts(number, patient=f"p{number}") for number in range(7)))
    with database.writing() as session:
        for number, case in enumerate(session.execute(select(Case).order_by(Case.id)).scalars()):
            case.urgency = 100 - number

    with database.reading() as session:
        pages = [search_cases(session, page=number, size=3) for number in (1, 2, 3, 4)]
    names = [[case.patient for case in page.cases] for page in pages]
    assert names == [["p6", "p5", "p4"], ["p3", "p2", "p1"], ["p0"], []]
    assert {(page.total, page.pages) for page in pages} == {(7, 3)}
