from __future__ import annotations

import pytest

from fundoscope.grades import GRADES
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.runtime.tasks.follow_up import MONTHS_BY_GRADE, NextStep, referral, rescreening
from fundoscope.runtime.tasks.task import Finding


def test_every_grade_has_an_interval_and_a_worse_one_no_longer_interval():
    months = [MONTHS_BY_GRADE[grade] for grade in range(GRADES)]

    assert sorted(months, reverse=True) == months
    assert len(MONTHS_BY_GRADE) == GRADES


@pytest.mark.parametrize(
    ("grade", "interval"),
    [
        (0, "3 to 6 months"),
        (1, "3 to 6 months"),
        (2, "3 to 6 months"),
        (3, "within 3 months"),
        (4, "within 1 month"),
        (None, "within 1 month"),
    ],
)
def test_the_worst_grade_says_when_a_patient_is_referred(grade, interval):
    assert (referral(grade).action, referral(grade).interval) == ("refer", interval)


def test_the_next_screening_is_that_of_mild_retinopathy_which_may_have_been_missed():
    assert rescreening().interval == "6 to 12 months"
    assert NextStep(action="photograph", months=(0, 0)).interval == "now"


@pytest.mark.parametrize(
    ("eyes", "grades", "interval"),
    [
        (("refer", "rescreen"), (3, 0), "within 3 months"),
        (("refer", "refer"), (2, 4), "within 1 month"),
        (("refer", "cannot grade, refer"), (2, None), "within 1 month"),
        (("refer", "cannot grade"), (2, None), "3 to 6 months"),
        (("refer", "rescreen"), (1, 0), "3 to 6 months"),
    ],
)
def test_an_eye_referred_without_a_grade_makes_no_referral_later(eyes, grades, interval):
    findings = [Finding(decision=decision) for decision in eyes]

    step = DR_GRADE.next_step("refer", findings, [{"grade": grade} for grade in grades])

    assert (step.action, step.interval) == ("refer", interval)


@pytest.mark.parametrize(("decision", "action"), [("cannot grade", "photograph"), ("rescreen", "rescreen")])
def test_only_graded_patients_are_rescreened(decision, action):
    assert DR_GRADE.next_step(decision, [Finding(decision=decision)], [{"grade": None}]).action == action
