from __future__ import annotations

import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.runtime.output.patients import patient_table, write_patients
from fundoscope.runtime.tasks import DR_GRADE, TASKS


def row(patient, eye, decision, grade=None, **more):
    plain = {"source": None, "status": "graded", "reason": "", "image": f"{patient}-{eye}.jpg", "release": "r@1"}
    return plain | {"patient": patient, "eye": eye, "decision": decision, "grade": grade, "taken": None} | more


def table(*rows):
    frame = patient_table(rows, DR_GRADE)
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def test_a_patient_is_one_row_with_answer_eyes_grades_and_next_step():
    (patient,) = table(
        row("P", "left", "rescreen", 0, taken="2026-03-02T08:00:00"),
        row("P", "right", "refer", 3, taken="2026-03-01T08:00:00"),
        row("P", "right", "refer", 2),
    )

    assert patient == {
        **{"patient": "P", "source": None, "answer": "refer", "grade": 3},
        **{"left": "rescreen", "left_grade": 0, "right": "refer", "right_grade": 3},
        **{"not_stated": None, "not_stated_grade": None, "missing_eye": None},
        **{"next_step": "refer", "interval": "within 3 months", "within_months": 3, "photograph_now": None},
        **{"reason": None, "examined_first": "2026-03-01", "examined_last": "2026-03-02"},
        **{"photographs": 3, "image": "P-left.jpg", "release": "r@1"},
    }


def test_the_worst_patients_come_first_and_every_photograph_of_an_unknown_patient_has_a_row():
    rows = [
        row("healthy", "left", "rescreen", 0),
        row("healthy", "right", "rescreen", 0),
        row(None, None, "rescreen", 0, image="a.jpg"),
        row(None, None, "refer", 2, image="b.jpg"),
        row("severe", "left", "refer", 3),
    ]

    patients = table(*rows)

    assert [(patient["patient"], patient["photographs"]) for patient in patients] == [
        *(("severe", 1), (None, 1), (None, 1), ("healthy", 2))
    ]


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        ([row("P", "left", "rescreen", 0)], "rescreen"),
        ([row("P", "left", "rescreen", 0), row("P", "right", "cannot grade")], "cannot grade"),
        ([row("P", None, "rescreen", 0), row("P", None, "rescreen", 0)], "rescreen"),
        ([row(None, "left", "rescreen", 0)], "rescreen"),
        ([row(None, None, "rescreen", 0)], "rescreen"),
    ],
)
def test_a_patient_of_whom_an_eye_lacks_an_answer_is_photographed_and_has_no_grade(rows, answer):
    (patient,) = table(*rows)

    assert (patient["answer"], patient["next_step"], patient["interval"]) == (answer, "photograph", "now")
    assert patient["photograph_now"]
    assert patient["grade"] is None


def test_a_patient_with_both_eyes_healthy_comes_back_at_the_interval_of_mild_retinopathy():
    (patient,) = table(row("P", "left", "rescreen", 0), row("P", "right", "rescreen", 0))

    assert (patient["answer"], patient["next_step"], patient["interval"]) == ("rescreen", "rescreen", "6 to 12 months")


def test_the_reason_names_the_photographs_without_an_answer():
    (patient,) = table(
        row("P", "left", "cannot grade", status="unreadable", reason="P-left.jpg: expected a picture, got a letter."),
        row("P", "right", "cannot grade", status="ungradable", reason="too dark"),
    )

    assert patient["reason"] == "P-left.jpg: expected a picture, got a letter. P-right.jpg: too dark"
    assert patient["photograph_now"] == "left, right"


def test_signs_are_listed_for_patient_and_eyes_and_have_no_next_step():
    rows = [row("P", eye, "") | {"sign_drusen": 1, "sign_cups": int(eye == "left")} for eye in ("left", "right")]
    frame = patient_table(rows, TASKS["signs"])

    assert list(frame["labels"]) == ["drusen; cups"]
    assert list(frame["right_labels"]) == ["drusen"]
    assert frame["next_step"].isna().all()
    assert "grade" not in frame


def test_the_table_is_written_in_the_format_of_its_suffix(tmp_path):
    rows = [row("007", "left", "refer", 4), row("=1+1", "left", "refer", 4)]
    write_patients(tmp_path / "p.csv", rows, DR_GRADE)
    with pytest.raises(BadTable, match="expected a name ending in"):
        write_patients(tmp_path / "p.xls", rows, DR_GRADE)

    read = pd.read_csv(tmp_path / "p.csv", dtype=str)

    assert list(read["patient"]) == ["007", "'=1+1"]
    assert list(read["grade"]) == ["4", "4"]
