"""Grading as a task: the words and columns that tables, terminal and report show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.decide.heads import probabilities
from fundoscope.decide.referral import OperatingPoint
from fundoscope.errors import BadRelease
from fundoscope.grades import DECISIONS
from fundoscope.runtime.language.texts import LANGUAGES, Texts
from fundoscope.runtime.runnable import runnable
from fundoscope.runtime.tasks import DR_GRADE, TASKS
from fundoscope.runtime.tasks.task import Bar, Evidence, Task, percent_apart


@pytest.fixture
def answerer(tiny, tmp_path):
    return runnable(tiny["tiny_description"](), tmp_path).answerer


def evidence(*logits: float, gradable: bool = True) -> Evidence:
    return Evidence(raw=np.array([logits]), features=np.zeros(8, np.float32), quality="good", gradable=gradable)


def test_a_grade_has_its_columns_and_words(answerer):
    answer = answerer.answer(evidence(6.0, 5.0, -5.0, -6.0))

    given = probabilities("coral", np.array([[6.0, 5.0, -5.0, -6.0]]))[0]
    assert list(answer.columns()) == [*(f"p{k}" for k in range(5)), "p_referable", "grade", "decision", "grades_set"]
    assert answer.probabilities == pytest.approx(tuple(given))
    assert (answer.grade, answer.decision, answer.brief()) == (2, "refer", "grade 2")
    assert answer.words() == "grade 2 moderate non-proliferative, P(referable) 0.99: refer"
    assert answerer.console(answer.columns()) == {"grade": "2 moderate", "P(referable)": "0.99"}


def test_the_report_draws_every_grade_and_the_referral_threshold(answerer):
    shown = answerer.present(answerer.answer(evidence(6.0, 5.0, -5.0, -6.0)).columns())

    assert shown.heading == "Grade 2: moderate non-proliferative"
    assert [bar.alert for bar in shown.bars] == [False, False, True, True, True, True]
    assert [bar.chosen for bar in shown.bars] == [False, False, True, False, False, False]
    assert (shown.bars[-1].label, shown.bars[-1].threshold) == ("Referable (grade 2 or higher)", 0.5)
    assert "Referred from 50 % (the mark on the last bar), or with grade 2 or higher." in shown.note


@pytest.mark.parametrize(
    ("raw", "decision", "caution"),
    [
        ((6.0, -5.0, -5.5, -6.0), "cannot grade", "It does not count as healthy"),
        ((6.0, 5.0, -5.0, -6.0), "cannot grade, refer", "It is referred because"),
    ],
)
def test_what_is_not_gradable_has_no_grade_but_may_be_referred(answerer, raw, decision, caution):
    answer = answerer.answer(evidence(*raw, gradable=False))
    shown = answerer.present(answer.columns())

    assert (answer.grade, answer.grades_set, answer.decision) == (None, None, decision)
    assert (shown.heading, shown.brief) == ("Not graded", "not graded")
    assert caution in shown.caution
    assert answer.words().endswith(decision)
    assert shown.bars == ()
    assert answerer.present(answerer.unanswered.columns()).bars == ()


def test_the_likeliest_grade_is_known_before_any_calibration():
    raw = np.array([[0.1, 2.0, 0.3, 0.0, 0.2]])

    answer = DR_GRADE.likeliest("softmax", raw, DR_GRADE.labels)

    assert (answer.grade, answer.decision) == (1, "")
    assert answer.words().startswith("grade 1 mild non-proliferative, P(referable) ")
    assert not answer.words().endswith(": ")
    assert DR_GRADE.table("softmax", raw, DR_GRADE.labels)["grade"].tolist() == [1]
    assert DR_GRADE.decisions("softmax", raw).tolist() == [1]


def test_every_decision_has_words():
    assert tuple(DR_GRADE.words.decisions) == DECISIONS


@pytest.mark.parametrize("texts", LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_s_words_are_complete_sentences(task: Task, texts: Texts):
    words = task.words
    meanings = [texts(f"{task.name}.{decision}.meaning") for decision in words.decisions]
    others = [texts(f"{task.name}.{key}") for key in ("patient_rule", "scale.text", "not_looked_for")]

    assert "not a medical device" in words.intended_use
    assert all(sentence.endswith(".") for sentence in (*words.limits, *meanings, *others))
    assert all(texts(f"{task.name}.{key}") for key in ("title", "scale", "supported", *words.decisions))
    assert any(decision.tone == "unknown" for decision in words.decisions.values())
    if task is not DR_GRADE:
        assert not any(word in " ".join((*words.limits, *meanings)).lower() for word in ("refer", "deriv"))


@given(
    logits=st.lists(st.floats(-8, 8), min_size=4, max_size=4),
    threshold=st.floats(0, 1),
    cuts=st.just([]) | st.lists(st.floats(0.1, 3.9), min_size=4, max_size=4).map(sorted),
)
@settings(deadline=None)
def test_no_referable_grade_is_answered_rescreen_and_every_answered_grade_is_credible(tiny, logits, threshold, cuts):
    description = tiny["tiny_description"](
        head="cumulative",
        calibration={"temperature": 1.0, "grade_cuts": cuts},
        operating_point=OperatingPoint(name="any", threshold=threshold).to_dict(),
    )
    answer = runnable(description, Path("release")).answerer.answer(evidence(*logits))

    assert answer.decision == "refer" or (answer.grade < 2 and answer.p_referable < threshold)
    side = answer.probabilities[2:] if answer.grade >= 2 else answer.probabilities[:2]
    assert answer.probabilities[answer.grade] >= 0.5 * max(side)
    assert (answer.grade >= 2) == (answer.p_referable >= 0.5) or answer.p_referable == pytest.approx(0.5)
    assert min(answer.probabilities) > 0


@pytest.mark.parametrize(
    "cuts", [[0.5, float("nan"), 2.5, 3.5], [0.5, 1.5, 2.5, float("inf")], [0.5], [2, 1, 3, 4], "no"]
)
def test_cuts_that_are_not_rising_numbers_are_refused(tiny, cuts):
    with pytest.raises(BadRelease, match=r"calibration\.grade_cuts must be 4 rising numbers from 0 to 4"):
        runnable(tiny["tiny_description"](calibration={"temperature": 1.0, "grade_cuts": cuts}), Path("release"))


def test_a_probability_beside_the_threshold_is_shown_apart_from_it():
    assert Bar(label="referable", probability=0.6571, threshold=0.6587).words == "65.7 %"
    assert percent_apart(0.6587, 0.6571) == "65.9 %"
    assert percent_apart(0.5, 0.5) == "50 %"
    assert [Bar(label="grade", probability=share).words for share in (0.0, 0.0004, 0.25, 0.9999, 1.0)] == [
        "0 %",
        "< 1 %",
        "25 %",
        "> 99 %",
        "100 %",
    ]


def test_grades_three_and_four_are_set_apart():
    urgent = [DR_GRADE.is_urgent({"grade": grade}) for grade in (None, float("nan"), 0, 1, 2, 3, 4)]

    assert urgent == [*[False] * 5, True, True]
