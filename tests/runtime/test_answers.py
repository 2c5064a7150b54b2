from __future__ import annotations

import pytest

from fundoscope.runtime.answers import answer_patients


def row(patient, eye, decision, source=None):
    return {"patient": patient, "eye": eye, "decision": decision, "source": source}


def test_the_worst_eye_decides_for_the_patient():
    (answer,) = answer_patients([row("P", "left", "rescreen"), row("P", "right", "refer")])

    assert answer.decision == "refer"
    assert [(eye.eye, eye.decision, eye.photographs) for eye in answer.eyes] == [
        ("left", "rescreen", (0,)),
        ("right", "refer", (1,)),
    ]


def test_an_eye_that_cannot_be_graded_is_not_healthy():
    (answer,) = answer_patients([row("P", "left", "rescreen"), row("P", "right", "cannot grade")])

    assert answer.decision == "cannot grade"


def test_one_good_photograph_of_an_eye_is_enough():
    (answer,) = answer_patients([row("P", "left", "cannot grade"), row("P", "left", "rescreen")])

    assert answer.decision == "rescreen"


def test_a_photograph_whose_eye_is_not_stated_counts_as_an_eye_of_its_own():
    """Were the two taken for one eye, the blurred one would be excused by the other."""
    (answer,) = answer_patients([row("P", None, "cannot grade"), row("P", None, "rescreen")])

    assert len(answer.eyes) == 2
    assert answer.decision == "cannot grade"


@pytest.mark.parametrize("patients", [(None, None), ("P", "Q")])
def test_photographs_of_different_or_unknown_patients_are_not_thrown_together(patients):
    answers = answer_patients([row(patients[0], "left", "refer"), row(patients[1], "left", "rescreen")])

    assert [answer.decision for answer in answers] == ["refer", "rescreen"]


def test_patients_of_two_sources_are_two_even_if_named_alike():
    answers = answer_patients([row("1", "left", "refer", "here"), row("1", "left", "rescreen", "there")])

    assert len(answers) == 2
