"""What is said of patients: the worst eye decides, and who lacks an eye or an answer is counted."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.evaluation.test_summary import evaluation_of

from fundoscope.evaluation.patients.figures import patient_figures
from fundoscope.evaluation.patients.outcomes import UNKNOWN, outcomes_of, with_unanswered
from fundoscope.evaluation.report.words import patient_lines


def photographs(*rows):
    """A joined table; each row is (patient, eye, reference grade, P(referable), status, decision)."""
    frame = pd.DataFrame(rows, columns=["patient", "eye", "grade", "p_referable", "status", "decision"])
    frame["image"] = [f"{at}.jpg" for at in frame.index]
    frame["predicted_grade"] = pd.array(
        [
            None if status != "graded" else int(p >= 0.5) * 2
            for p, status in zip(frame["p_referable"], frame["status"], strict=True)
        ],
        dtype="Int64",
    )
    return frame.assign(grade=frame["grade"].astype("Int64"))


CLINIC = (
    ("worst eye", "left", 0, 0.1, "graded", "rescreen"),
    ("worst eye", "right", 3, 0.9, "graded", "refer"),
    ("missed", "left", 2, 0.2, "graded", "rescreen"),
    ("missed", "right", 0, 0.1, "graded", "rescreen"),
    ("blurred", "left", 0, 0.1, "graded", "rescreen"),
    ("blurred", "right", 2, 0.3, "ungradable", "cannot grade"),
    ("full of blood", "left", 4, 0.9, "ungradable", "cannot grade, refer"),
    ("full of blood", "right", 1, 0.1, "graded", "rescreen"),
    ("well", "left", 0, 0.1, "graded", "rescreen"),
    ("well", "right", 1, 0.2, "graded", "rescreen"),
    ("one eye", "left", 0, 0.1, "graded", "rescreen"),
    ("unread eye", "left", 0, 0.1, "graded", "rescreen"),
    ("unread eye", "right", None, 0.1, "graded", "rescreen"),
    (None, "left", 4, 0.1, "graded", "rescreen"),
)


def test_the_worst_eye_decides_for_reference_answer_and_score():
    outcomes = outcomes_of(photographs(*CLINIC))

    assert outcomes.reference.tolist() == [3, 2, 2, 4, 1, 0, UNKNOWN]
    assert outcomes.decision == (
        *("refer", "rescreen", "cannot grade", "cannot grade, refer"),
        *("rescreen", "rescreen", "rescreen"),
    )
    assert outcomes.ungraded_eye.tolist() == [False, False, True, True, False, False, False]
    assert outcomes.one_eye.tolist() == [False] * 5 + [True, False]
    np.testing.assert_array_equal(outcomes.scores, [0.9, 0.2, np.nan, np.nan, 0.2, 0.1, 0.1])
    assert outcomes.answered.tolist() == [2, 0, -1, -1, 0, 0, 0]


def test_patients_who_cannot_be_graded_are_counted_as_referred_and_left_out_beside_it():
    figures = patient_figures(photographs(*CLINIC), resamples=100)

    estimates = {name: interval.estimate for name, interval in figures.intervals.items()}
    assert (estimates["sensitivity"], estimates["specificity"]) == (3 / 4, 1)
    assert (estimates["sensitivity_graded"], estimates["specificity_graded"]) == (1 / 2, 1)
    assert figures.counts == {
        "patients": 7,
        "without_reference": 1,
        "referable": 4,
        "ungraded_eye": 2,
        "one_eye": 1,
    }
    assert figures.decisions["referable"] == {"refer": 1, "cannot grade, refer": 1, "cannot grade": 1, "rescreen": 1}
    assert figures.decisions["without_reference"]["rescreen"] == 1
    assert figures.intervals["sensitivity"].low < 0.75 < figures.intervals["sensitivity"].high


def test_an_eye_without_a_reference_leaves_its_patient_out_unless_the_other_is_referable():
    rows = [("p", "left", 3, 0.9, "graded", "refer"), ("p", "right", None, 0.1, "graded", "rescreen")]

    assert outcomes_of(photographs(*rows)).reference.tolist() == [3]
    assert outcomes_of(photographs(("p", "left", 1, *rows[0][3:]), rows[1])).reference.tolist() == [UNKNOWN]


def test_oedema_makes_a_patient_positive_and_unknown_oedema_no_patient_negative():
    rows = photographs(
        ("oedema", "left", 0, 0.1, "graded", "rescreen"),
        ("none", "left", 0, 0.1, "graded", "rescreen"),
        ("not known", "left", 0, 0.1, "graded", "rescreen"),
        ("grade", "left", 3, 0.1, "graded", "refer"),
    ).assign(dme=pd.array([2, 0, None, None], dtype="Int64"))

    assert outcomes_of(rows).referable_or_dme.tolist() == [1, 0, UNKNOWN, 1]
    assert patient_figures(rows, resamples=100).intervals["sensitivity_or_dme"].estimate == 0.5


def test_a_foreign_table_of_grades_is_decided_by_them_and_a_refusal_that_was_referred_stays_referred():
    rows = photographs(*CLINIC[:2], ("refused", "left", 3, 0.9, "ungradable", "refer"))
    bare = rows.drop(columns=["decision"])

    assert outcomes_of(rows).decision == ("refer", "cannot grade, refer")
    assert outcomes_of(bare).decision == ("refer", "cannot grade")


def test_of_a_system_of_scores_alone_no_decision_on_patients_is_reported():
    """Counted as "cannot grade", which is referred, everybody would be found."""
    clinic = photographs(*CLINIC)
    scores = clinic[clinic["status"] == "graded"].drop(columns=["decision", "predicted_grade"])

    figures = patient_figures(scores, resamples=100)

    assert figures.decisions == {}
    assert set(figures.intervals) == {"referable_auroc"}
    assert not any("decision" in line.lower() for line in patient_lines(figures))


@pytest.mark.parametrize("kept", ["decision", "predicted_grade"])
def test_a_decision_or_a_grade_of_any_photograph_is_a_decision_on_patients(kept):
    clinic = photographs(*CLINIC)
    clinic = clinic.drop(columns={"decision", "predicted_grade"} - {kept})

    figures = patient_figures(clinic, resamples=100)

    assert {"sensitivity", "specificity"} <= set(figures.intervals)


def test_a_system_that_could_grade_nobody_decided_so():
    nobody = photographs(("a", "left", 2, None, "ungradable", "cannot grade"), ("b", "left", 0, None, "unreadable", ""))

    figures = patient_figures(nobody, resamples=100)

    assert figures.decisions["referable"]["cannot grade"] == 1


def test_no_names_no_patients():
    assert outcomes_of(photographs(*CLINIC).assign(patient=None)) is None
    assert patient_figures(photographs(*CLINIC).assign(patient=None)) is None
    assert patient_lines(None) == []


def test_auroc_is_that_of_the_highest_score_and_repeating_photographs_changes_nothing(rng):
    count = 120
    rows = photographs(
        *(
            (
                f"p{at // 2}",
                ("left", "right")[at % 2],
                int(rng.integers(5)),
                round(float(rng.uniform()), 3),
                "graded",
                "",
            )
            for at in range(count)
        )
    )
    by_patient = rows.groupby("patient", sort=False)
    expected = roc_auc_score(by_patient["grade"].max().to_numpy(int) >= 2, by_patient["p_referable"].max())

    once = patient_figures(rows, resamples=100)
    again = patient_figures(pd.concat([rows, rows], ignore_index=True), resamples=100)

    assert once.intervals["referable_auroc"].estimate == pytest.approx(expected)
    assert again == once


def test_an_evaluation_reports_patients_in_its_record_and_in_sentences():
    rows = photographs(*CLINIC)
    evaluation = evaluation_of(rows, with_subgroups=False, with_curves=False, resamples=100)

    record = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))["patient_level"]
    assert record["counts"]["ungraded_eye"] == 2
    assert record["statistics"]["sensitivity"]["estimate"] == 0.75
    first, *others = patient_lines(evaluation.patients)
    assert first.startswith("Patients, by the worst eye: 7, 4 referable; 1 left out")
    assert any("cannot grade as refer): sensitivity 0.750" in line for line in others)
    assert any("refer 1; cannot grade, refer 1; cannot grade 1; rescreen 1" in line for line in others)


def test_an_eye_without_a_prediction_is_not_graded_and_keeps_its_reference():
    listed = photographs(
        ("half predicted", "left", 0, 0.1, "graded", "rescreen"),
        ("half predicted", "right", 3, 0.9, "graded", "refer"),
        ("not predicted", "left", 2, 0.9, "graded", "refer"),
        (None, "left", 4, 0.9, "graded", "refer"),
    )
    chosen = listed[["image", "patient", "eye", "grade"]]
    for matched in (listed.iloc[:1], listed.iloc[:1].drop(columns=["status", "decision"])):
        outcomes = outcomes_of(with_unanswered(matched, chosen))

        assert outcomes.reference.tolist() == [3]
        assert outcomes.decision == ("cannot grade",)
        assert outcomes.ungraded_eye.tolist() == [True]
        assert outcomes.answered.tolist() == [-1]
        assert np.isnan(outcomes.scores).tolist() == [True]
    pd.testing.assert_frame_equal(with_unanswered(listed, chosen), listed)
    figures = evaluation_of(listed.iloc[:1], listed=listed).patients
    assert figures is not None
    assert figures.counts["ungraded_eye"] == 1
    assert figures.decisions["referable"]["cannot grade"] == 1
