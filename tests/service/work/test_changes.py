"""Changes of answers: which matter, how harmful they are, and which answer people's readings fit."""

from __future__ import annotations

import itertools

import pytest

from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.service.store.accounts import account_of_token, add_token, add_user
from fundoscope.service.store.models import Case, Photograph
from fundoscope.service.store.readings import EyeGrade, add_reading
from fundoscope.service.work.answers import case_document
from fundoscope.service.work.changes import change_of, reading_document

STATUS = {"refer": "graded", "rescreen": "graded", "cannot grade": "ungradable", "cannot grade, refer": "ungradable"}


def document(*eyes: tuple[str, int | None]) -> dict:
    """Return the answer for a patient with these decisions and grades, left eye first."""
    rows = [
        {"image": side, "sha256": side, "patient": "P", "source": None, "eye": side, "decision": decision}
        | {"grade": grade, "status": STATUS[decision], "p_referable": None, "patient_raw": None}
        for side, (decision, grade) in zip(("left", "right"), eyes, strict=False)
    ]
    return case_document(answer_patients(rows, DR_GRADE)[0], rows, DR_GRADE)


REFER, RESCREEN, REFUSED = document(("refer", 2)), document(("rescreen", 1)), document(("cannot grade", None))


def test_what_sends_somebody_home_is_the_most_harmful_and_what_refers_more_comes_after_it():
    pairs = [(REFER, RESCREEN), (REFUSED, RESCREEN), (REFER, REFUSED), (REFUSED, REFER), (RESCREEN, REFER)]
    pairs += [(RESCREEN, REFUSED), (document(("refer", 4)), REFER), (RESCREEN, document(("rescreen", 0)))]

    changes = [change_of(before, after) for before, after in pairs]

    ranks = [change.rank for change in changes if change is not None]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(pairs)
    assert [change.kind for change in changes if change is not None][:2] == [
        "refer becomes rescreen",
        "cannot grade becomes rescreen",
    ]


@pytest.mark.parametrize("answer", [REFER, RESCREEN, REFUSED])
def test_the_same_answer_is_no_change(answer):
    assert change_of(answer, answer | {"notes": ["another note"]}) is None


def test_an_eye_that_changes_within_the_patients_decision_is_a_change():
    before, after = document(("refer", 2), ("refer", 2)), document(("refer", 2), ("rescreen", 0))

    change = change_of(before, after)

    assert before["decision"] == after["decision"] == "refer"
    assert change is not None
    assert change.kind == "another grade or next step"


def test_a_patient_who_is_no_longer_urgent_is_named_so():
    change = change_of(document(("refer", 3)), document(("refer", 2)))

    assert change is not None
    assert change.kind == "no longer sight-threatening"


@pytest.fixture
def reader(database):
    """A function that has a case read, and returns what that says of two answers."""
    numbers = itertools.count(1)

    def read(before: dict, after: dict, *readings: int | None, shown: bool = False) -> dict | None:
        number = next(numbers)
        with database.writing() as session:
            facts = {"uid": f"{number:032x}", "key": f"{number:064x}", "created": "t", "changed": "t"}
            case = Case(**facts, answer=before, state="unread", release="r")
            session.add(case)
            session.flush()
            photograph = {"name": "a", "size": 1, "kind": "JPEG", "state": "answered", "received": "t", "sender": "s"}
            session.add(Photograph(sha256=facts["key"], case_id=case.id, eye="left", **photograph))
            session.flush()
            for role, grade in zip(("first", "second"), readings, strict=False):
                name = f"{role}{number}"
                add_user(session, name, "read", None, actor="test")
                account = account_of_token(session, add_token(session, name, "t", actor="test"))
                grades = [EyeGrade(eye="left", grade=grade, reason="because")]
                add_reading(session, case, account, role, grades, shown=shown)
            return reading_document(session, case, before, after)

    return read


@pytest.mark.parametrize(
    ("before", "after", "grade", "agrees"),
    [
        (REFER, RESCREEN, 3, "before"),
        (REFER, RESCREEN, 0, "after"),
        (REFER, RESCREEN, None, "neither"),
        (REFER, REFUSED, None, "after"),
        (REFER, document(("refer", 3)), 3, "after"),
        (REFER, document(("refer", 3)), 4, "neither"),
        (document(("refer", 3)), document(("refer", 4)), 3, "before"),
    ],
)
def test_readings_are_compared_by_decision_where_that_changes_and_else_by_grade(reader, before, after, grade, agrees):
    assert reader(before, after, grade)["agrees_with"] == agrees


def test_readers_who_differ_support_neither_and_a_case_that_nobody_read_has_no_reading(reader):
    assert reader(REFER, RESCREEN, 1, 3)["agrees_with"] == "readers differ"
    assert reader(REFER, RESCREEN) is None


def test_a_reading_after_the_answer_could_be_seen_says_so(reader):
    assert reader(REFER, RESCREEN, 2, shown=True)["answer_shown"] is True
    assert reader(REFER, RESCREEN, 2)["answer_shown"] is False
