"""Cases: no answer while a photograph waits, and the order in which they are listed."""

from __future__ import annotations

import itertools

import pytest

from fundoscope.grades import DECISIONS
from fundoscope.runtime.answers import answer_patients, worst_first
from fundoscope.runtime.language.texts import IN_ENGLISH
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.service.store.models import Case, Photograph
from fundoscope.service.store.photographs import WAITING_URGENCY
from fundoscope.service.work.answers import case_document, refresh_case, urgency_of

STATUS = {"refer": "graded", "rescreen": "graded", "cannot grade": "ungradable", "cannot grade, refer": "ungradable"}


def row(patient: str, eye: str | None, decision: str, grade: int | None = None, image: str = "a") -> dict:
    """Return a row of the predictions table as far as answers need it."""
    row = {"image": image, "sha256": image, "patient": patient, "source": None, "eye": eye, "decision": decision}
    return row | {"grade": grade, "status": STATUS[decision], "p_referable": None, "patient_raw": None}


def rows() -> list[dict]:
    """Return patients with all pairs of decisions and grades, one eye or two."""
    eyes = [("refer", grade) for grade in (2, 3, 4)] + [("rescreen", grade) for grade in (0, 1)]
    eyes += [("cannot grade", None), ("cannot grade, refer", None)]
    pairs = list(itertools.product(eyes, [*eyes, None]))
    return [
        row(f"P{number}", side, *eye)
        for number, pair in enumerate(pairs)
        for side, eye in zip(("left", "right"), pair, strict=True)
        if eye is not None
    ]


def test_cases_are_listed_as_reports_list_patients():
    table = rows()
    answers = answer_patients(table, DR_GRADE)

    ranked = sorted(answers, key=lambda answer: urgency_of(answer, table, DR_GRADE))

    assert [answer.patient for answer in ranked] == [answer.patient for answer in worst_first(answers, table, DR_GRADE)]


def test_a_case_that_waits_stands_before_those_that_nobody_need_act_on_and_behind_all_others():
    table = rows()
    for answer in answer_patients(table, DR_GRADE):
        is_clear = DR_GRADE.words.decisions[answer.decision].tone == "clear"
        assert (urgency_of(answer, table, DR_GRADE) > WAITING_URGENCY) is is_clear


def test_the_document_says_what_is_missing_and_what_comes_next():
    (answer,) = answer_patients([row("P", "left", "rescreen", 0)], DR_GRADE)

    document = case_document(answer, [row("P", "left", "rescreen", 0)], DR_GRADE)

    assert document["decision"] == "rescreen"
    assert document["missing_eyes"] == ["right"]
    assert document["next_step"]["action"] == "photograph"
    assert document["next_step"]["eyes"] == ("right",)
    assert document["notes"] == [IN_ENGLISH("note.one_eye.right")]
    assert [eye["eye"] for eye in document["eyes"]] == ["left"]


@pytest.mark.parametrize("decision", DECISIONS)
def test_every_decision_has_a_rank(decision: str):
    table = [row("P", "left", decision)]

    assert urgency_of(answer_patients(table, DR_GRADE)[0], table, DR_GRADE) >= 0


def test_a_case_has_no_answer_while_one_of_its_photographs_waits(start, tmp_path, retinas):
    with start(tmp_path / "s") as own:
        own.send(("a.jpg", retinas[0].read_bytes()), patient="P", eye="left")
        own.wait()
        with own.service.database.reading() as session:
            before = session.query(Case).one()
        assert before.state == "unread"
        assert before.answer is not None

        own.service.work.stop()
        own.service.work.queue._is_closed = False  # accepts again, and nobody grades
        own.send(("b.jpg", retinas[1].read_bytes()), patient="P", eye="right")
        with own.service.database.writing() as session:
            case = session.query(Case).one()
            refresh_case(session, case, own.service.grader)
            assert (case.state, case.answer, case.decision, case.release) == ("pending", None, None, None)
            assert [one.state for one in session.query(Photograph)] == ["answered", "accepted"]
