"""Grading as a task: the words and columns that tables, terminal and report show."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.decide.heads import probabilities
from fundoscope.decide.referral import DECISIONS
from fundoscope.runtime.runnable import runnable
from fundoscope.runtime.tasks import DR_GRADE, TASKS
from fundoscope.runtime.tasks.task import Evidence, Task


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
    assert answerer.console(answer.columns()) == {"grade": "2 moderate non-proliferative", "P(referable)": "0.99"}


def test_the_report_draws_every_grade_and_the_referral_threshold(answerer):
    shown = answerer.present(answerer.answer(evidence(6.0, 5.0, -5.0, -6.0)).columns())

    assert shown.heading == "Grade 2: moderate non-proliferative"
    assert [bar.alert for bar in shown.bars] == [False, False, True, True, True, True]
    assert [bar.chosen for bar in shown.bars] == [False, False, True, False, False, False]
    assert (shown.bars[-1].label, shown.bars[-1].threshold) == ("Referable (grade 2 or higher)", 0.5)
    assert "Referred from 50 % (the mark on the last bar)." in shown.note


def test_what_is_not_gradable_has_probabilities_that_decide_nothing(answerer):
    answer = answerer.answer(evidence(6.0, 5.0, -5.0, -6.0, gradable=False))
    shown = answerer.present(answer.columns())

    assert (answer.grade, answer.decision) == (None, "cannot grade")
    assert (shown.heading, shown.brief) == ("Not graded", "not graded")
    assert "these probabilities decide nothing" in shown.caution
    assert len(shown.bars) == 6
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


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_s_words_are_complete_sentences(task: Task):
    words = task.words

    assert "not a medical device" in words.intended_use
    sentences = [
        words.patient_rule,
        words.scale[1],
        *words.limits,
        *(each.meaning for each in words.decisions.values()),
    ]
    assert all(sentence.endswith(".") for sentence in sentences)
    assert any(each.tone == "unknown" for each in words.decisions.values())
    if task is not DR_GRADE:
        assert not any("refer" in sentence.lower() for sentence in sentences[2:])
