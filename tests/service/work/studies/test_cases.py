"""Cases of a study: which are chosen, and what is kept of them."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from fundoscope.errors import BadRequest
from fundoscope.service.store.models import PENDING, Case, StudyCase
from fundoscope.service.work.studies.cases import Choice, choose_cases, contents_of, release_answer

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "study_cases.py")))


def names(session, **choice: object) -> list[str]:
    return sorted(case.patient for case in choose_cases(session, Choice(**choice), made.RELEASE).cases)


@pytest.fixture
def filled(database):
    """A database with cases in several states."""
    with database.writing() as session:
        for number in range(6):
            made.add_case(session, f"A{number}", {"left": number % 5})
        made.add_case(session, "B", {"left": 1}, state="agreed")
        made.add_case(session, "waits", {"left": 1}).state = PENDING
        made.add_case(session, "earlier", {"left": 1}).release = "other@2"
    return database


def test_a_search_gives_the_answered_cases_and_counts_the_others(filled):
    with filled.reading() as session:
        selection = choose_cases(session, Choice(), made.RELEASE)

        assert sorted(case.patient for case in selection.cases) == ["A0", "A1", "A2", "A3", "A4", "A5", "B"]
        assert selection.left_out == 2
        assert names(session, query="a1") == ["A1"]
        assert names(session, state="agreed") == ["B"]


def test_a_sample_is_of_the_search_and_is_not_always_its_first(filled):
    with filled.reading() as session:
        sample = names(session, query="A", most=3)

        assert len(sample) == len(set(sample)) == 3
        assert set(sample) <= {f"A{number}" for number in range(6)}
        assert names(session, query="A", most=100) == [f"A{number}" for number in range(6)]


def test_a_list_names_cases_by_identifier_photograph_or_patient_and_each_counts_once(filled):
    with filled.reading() as session:
        (uid,) = session.query(Case.uid).filter(Case.patient == "A1").one()
        sha256 = made.content_of(session.query(Case).filter(Case.patient == "A2").one(), "A2").photographs[0]["sha256"]

        assert names(session, lines=(uid, sha256.upper(), "B", "A1")) == ["A1", "A2", "B"]


def test_every_line_that_names_no_answered_case_is_named(filled):
    with (
        filled.reading() as session,
        pytest.raises(BadRequest, match="cases: expected lines") as problem,
    ):
        choose_cases(session, Choice(lines=("A1", "nobody", "waits", "earlier")), made.RELEASE)

    assert "'nobody': no case, photograph or patient" in str(problem.value)
    assert "'waits': not answered by tiny@1" in str(problem.value)
    assert "'earlier': not answered by tiny@1" in str(problem.value)
    assert "'A1'" not in str(problem.value)


def test_a_list_or_a_search_of_too_many_is_refused(filled, monkeypatch):
    monkeypatch.setattr("fundoscope.service.work.studies.cases.MOST_CASES", 3)
    with filled.reading() as session:
        with pytest.raises(BadRequest, match="cases: expected at most 3 lines, got 4"):
            choose_cases(session, Choice(lines=("A1",) * 4), made.RELEASE)
        with pytest.raises(BadRequest, match="cases: expected at most 3, got"):
            choose_cases(session, Choice(), made.RELEASE)


@pytest.mark.parametrize("choice", [{}, {"lines": ("A0", "new")}])
def test_cases_that_nobody_has_read_are_taken_only_if_that_is_allowed(filled, choice):
    with filled.writing() as session:
        made.add_case(session, "new", {"left": 3}, state="unread")

        with pytest.raises(BadRequest, match="got 1 that nobody has, whose patients would wait"):
            names(session, **choice)
        assert "new" in names(session, with_unread=True, **choice)


def test_a_study_keeps_the_answers_of_its_photographs_as_they_are_shown(running, retinas):
    for path, eye in zip(retinas[:2], ("left", "right"), strict=True):
        assert running.send((path.name, path.read_bytes()), patient="P", eye=eye).status_code == 202
    assert running.send(("broken.jpg", b"\xff\xd8\xff broken"), patient="P", eye="left").status_code == 202
    running.wait()
    opened = running.service.grader.opened
    with running.service.database.reading() as session:
        case = session.query(Case).filter(Case.patient == "P").one()
        (content,) = contents_of(session, [case], opened)

    assert [photograph["eye"] for photograph in content.photographs][:2] == ["left", "right"]
    assert content.answer["eyes"] == case.answer["eyes"]
    for photograph in content.photographs:
        assert photograph["has_picture"] is (photograph["name"] != "broken.jpg")
        assert (photograph["presentation"] is None) is not photograph["has_picture"]
        assert photograph["name"] not in photograph["reason"]
    assert [photograph["has_picture"] for photograph in content.photographs] == [True, True, False]
    bars = content.photographs[0]["presentation"]["bars"]
    assert all(bar["words"].endswith("%") for bar in bars)


def test_cases_of_one_patient_form_a_cluster_and_those_of_nobody_known_none(running, retinas):
    for path, fields in zip(
        retinas[2:6],
        ({"patient": "Q", "taken": "2026-01-01"}, {"patient": "Q", "taken": "2026-02-01"}, {}, {}),
        strict=True,
    ):
        assert running.send((path.name, path.read_bytes()), eye="left", **fields).status_code == 202
    running.wait()
    with running.service.database.reading() as session:
        cases = session.query(Case).filter((Case.patient == "Q") | Case.patient.is_(None)).order_by(Case.id).all()
        clusters = [content.cluster for content in contents_of(session, cases, running.service.grader.opened)]

    assert clusters[0] == clusters[1]
    assert len(set(clusters)) == 3


@pytest.mark.parametrize(
    ("answers", "grade", "decision", "referred"),
    [
        ([2], 2, "refer", True),
        ([1], 1, "rescreen", False),
        ([None], None, "cannot grade", True),
        ([0, 3], 3, "refer", True),
        ([None, 0], 0, "rescreen", False),
    ],
)
def test_the_answer_for_an_eye_is_that_of_the_worse_photograph(answers, grade, decision, referred):
    case = StudyCase(answer={"eyes": [made.eye_answer(None, one) for one in answers]}, photographs=[])

    answer = release_answer(case, "unknown")

    assert (answer.grade, answer.decision, answer.referred) == (grade, decision, referred)
