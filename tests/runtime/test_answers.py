from __future__ import annotations

import pytest

from fundoscope.runtime.answers import answer_patients, with_notes, worst_first
from fundoscope.runtime.tasks import DR_GRADE, TASKS


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


def test_an_eye_whose_refused_photograph_shows_disease_is_referred_whatever_the_other_photographs_say():
    rows = [row("P", "left", "rescreen"), row("P", "left", "cannot grade, refer"), row("P", "right", "cannot grade")]
    (answer,) = answer_patients(rows)

    assert [eye.decision for eye in answer.eyes] == ["cannot grade, refer", "cannot grade"]
    assert answer.decision == "cannot grade, refer"


def test_one_good_photograph_of_an_eye_is_enough():
    rows = [row("P", "left", "cannot grade"), row("P", "left", "rescreen"), row("P", "right", "rescreen")]
    (answer,) = answer_patients(rows)

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


@pytest.mark.parametrize(
    ("eyes", "missing"),
    [
        (("left",), ("right",)),
        (("right", "right"), ("left",)),
        ((None, None), (None,)),
        (("left", None), (None,)),
        (("left", "right", None), ()),
    ],
)
def test_a_patient_waits_for_the_next_screening_only_if_both_eyes_were_looked_at(eyes, missing):
    """Of a photograph whose eye is not known the other eye may be the one that nobody photographed."""
    (answer,) = answer_patients([row("P", eye, "rescreen") for eye in eyes])

    assert answer.missing == missing
    assert answer.decision == "rescreen"
    assert answer.next_step.action == ("photograph" if missing else "rescreen")
    assert answer.next_step.eyes == missing


@pytest.mark.parametrize("decision", ["refer", "cannot grade, refer"])
def test_a_missing_eye_takes_no_referral_back(decision):
    (answer,) = answer_patients([row("P", "left", decision)])

    assert answer.decision == decision
    assert (answer.next_step.action, answer.next_step.eyes) == ("refer", ("right",))


def test_eyes_without_an_answer_are_photographed_whatever_the_others_say():
    (answer,) = answer_patients([row("P", "left", "refer") | {"grade": 2}, row("P", "right", "cannot grade")])

    assert (answer.next_step.interval, answer.next_step.eyes) == ("3 to 6 months", ("right",))


def test_a_photograph_of_an_unknown_patient_is_answered_and_sends_nobody_to_the_next_screening():
    (answer,) = answer_patients([row(None, "left", "rescreen")])

    assert answer.decision == "rescreen"
    assert (answer.next_step.action, answer.next_step.interval) == ("photograph", "now")


def test_the_missing_eye_of_a_patient_without_signs_is_named():
    (answer,) = answer_patients([{"patient": "P", "source": None, "eye": "left", "sign_x": 0}], TASKS["signs"])

    assert (answer.decision, answer.missing, answer.next_step) == ("no sign found", ("right",), None)


def test_patients_of_two_sources_are_two_even_if_named_alike():
    answers = answer_patients([row("1", "left", "refer", "here"), row("1", "left", "rescreen", "there")])

    assert len(answers) == 2


def note_of(*rows):
    (answer,) = answer_patients([{"status": "graded", **each} for each in rows])
    return answer.notes


@pytest.mark.parametrize(("eye", "missing"), [("left", "right"), ("right", "left")])
def test_a_patient_with_one_eye_photographed_is_answered_with_a_word_about_it(eye, missing):
    assert note_of(row("P", eye, "rescreen"), row("P", eye, "rescreen")) == (
        f"One eye only: no photograph of the {missing} eye.",
    )


def test_a_patient_with_both_eyes_photographed_needs_no_word():
    assert note_of(row("P", "left", "rescreen"), row("P", "right", "rescreen"), row("P", None, "rescreen")) == ()


@pytest.mark.parametrize("eyes", [(None, None), (None,), ("left", None)])
def test_where_an_eye_is_not_known_the_answer_says_so(eyes):
    (note,) = note_of(*(row("P", eye, "rescreen") for eye in eyes))

    assert note.startswith(f"Eye not known of {eyes.count(None)} photograph")


def test_an_unreadable_photograph_of_an_eye_that_another_answers_is_named():
    unread = row("P", "left", "cannot grade") | {"status": "unreadable"}

    notes = note_of(unread, row("P", "left", "rescreen"), row("P", "right", "rescreen"))

    assert notes == ("1 of 2 photographs of the left eye could not be read.",)


def test_the_rows_of_a_table_hold_their_patients_notes():
    rows = [row("P", "left", "refer"), row("Q", "left", "refer"), row("Q", "right", "refer"), row(None, None, "refer")]

    notes = [each["patient_note"] for each in with_notes(rows, DR_GRADE)]

    assert notes == ["One eye only: no photograph of the right eye.", None, None, None]


def graded(patient, grade, decision):
    return [row(patient, eye, decision) | {"grade": grade} for eye in ("left", "right")]


def test_patients_are_sorted_worst_first_and_one_that_cannot_be_graded_before_healthy_ones():
    rows = [
        *graded("healthy", 0, "rescreen"),
        *graded("moderate", 2, "refer"),
        *graded("dark", None, "cannot grade"),
        *graded("proliferative", 4, "refer"),
        *graded("blood", None, "cannot grade, refer"),
    ]

    answers = worst_first(answer_patients(rows), rows, DR_GRADE)

    assert [answer.patient for answer in answers] == ["proliferative", "blood", "moderate", "dark", "healthy"]


def test_what_cannot_be_assessed_for_signs_comes_before_what_shows_none():
    signs, eyes = TASKS["signs"], ("left", "right")
    rows = [
        {"patient": str(patient), "source": None, "eye": eye, "sign_x": sign}
        for patient, sign in enumerate((0, None, 1))
        for eye in eyes
    ]

    assert [answer.patient for answer in worst_first(answer_patients(rows, signs), rows, signs)] == ["2", "1", "0"]
