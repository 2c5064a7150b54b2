"""From photographs to patients: the worst eye, and what nobody could grade."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fundoscope.clinic.commissioning.cohort import answers_of, patients_of
from fundoscope.decide.referral import decide_photo
from fundoscope.runtime.answers import answer_patients
from fundoscope.tables import check_manifest, check_predictions, join


def rows_of(*photographs: dict[str, object]) -> pd.DataFrame:
    """Joined rows of photographs with `grade`, `p_referable` and whatever else; the patient is 'a' unless said."""
    told = [{"image": f"{at}.jpg", "patient": "a", **each} for at, each in enumerate(photographs)]
    mine = ("image", "patient", "eye", "grade", "dme", "sha256")
    manifest = pd.DataFrame([{key: each[key] for key in mine if key in each} for each in told])
    answers = pd.DataFrame([{key: value for key, value in each.items() if key not in mine[1:]} for each in told])
    answers = answers.rename(columns={"answered": "grade"})
    return join(check_predictions(answers, path="predictions.csv"), check_manifest(manifest, path="manifest.csv")).rows


def test_the_worst_eye_and_the_largest_score_speak_for_the_patient():
    rows = rows_of(
        {"eye": "left", "grade": 0, "p_referable": 0.7},
        {"eye": "right", "grade": 3, "p_referable": 0.2},
        {"patient": "b", "eye": "left", "grade": 1, "p_referable": 0.1},
    )
    patients, flow = patients_of(rows, answers_of(rows))

    assert patients.scores.tolist() == [0.7, 0.1]
    assert patients.referable.tolist() == [True, False]
    assert patients.threatening.tolist() == [True, False]
    assert (flow.patients, flow.referable, flow.threatening, flow.without_reference) == (2, 1, 1, 0)


def test_an_eye_with_one_gradable_photograph_is_graded_and_one_without_is_not():
    rows = rows_of(
        {"eye": "left", "grade": 0, "p_referable": 0.7, "status": "ungradable"},
        {"eye": "left", "grade": 0, "p_referable": 0.2, "status": "graded"},
        {"patient": "b", "eye": "left", "grade": 0, "p_referable": 0.1, "status": "graded"},
        {"patient": "b", "eye": "right", "grade": 0, "p_referable": None, "status": "unreadable"},
    )
    patients, flow = patients_of(rows, answers_of(rows))

    assert patients.ungradable.tolist() == [False, True]
    assert patients.scores.tolist() == [0.2, 0.1]
    assert (flow.not_graded, flow.ungradable) == (2, 1)


def test_at_every_threshold_the_patients_referred_are_those_that_grading_refers(rng):
    """The rule of commissioning is the rule of `fundoscope grade`, cannot grade counted as refer."""
    listed = [
        {
            "patient": f"p{at // 4}",
            "eye": ["left", "right", "left", "right"][at % 4] if rng.uniform() < 0.8 else None,
            "grade": 0,
            "p_referable": round(float(rng.uniform()), 2),
            "status": "ungradable" if rng.uniform() < 0.3 else "graded",
        }
        for at in range(120)
    ]
    rows = rows_of(*listed)
    patients, _ = patients_of(rows, answers_of(rows))
    for threshold in (0.0, 0.31, 0.5, 0.9):
        told = [
            {
                **each,
                "source": None,
                "decision": "cannot grade"
                if each["status"] == "ungradable"
                else ("refer" if each["p_referable"] >= threshold else "rescreen"),
            }
            for each in listed
        ]
        expected = [answer.decision != "rescreen" for answer in answer_patients(told)]
        assert (patients.answered(ungradable_refers=True) >= threshold).tolist() == expected


def test_at_every_threshold_refused_photographs_count_as_a_release_refers_them(rng):
    """A release refers a photograph that it could not grade from the threshold of gradable ones on."""
    listed = [
        {
            "patient": f"p{at // 3}",
            "eye": "left",
            "grade": 0,
            "p_referable": round(float(rng.uniform()), 2),
            "status": "ungradable" if rng.uniform() < 0.4 else "graded",
        }
        for at in range(90)
    ]
    rows = rows_of(*listed)
    patients, _ = patients_of(rows, answers_of(rows, grade_refers=True))
    for threshold in (0.0, 0.31, 0.5, 0.9):
        answered = [
            row
            | {
                "source": None,
                "decision": decide_photo(row["p_referable"], row["status"] == "graded", threshold),
            }
            for row in listed
        ]
        expected = [answer.decision != "rescreen" for answer in answer_patients(answered)]
        assert (patients.answered(ungradable_refers=True) >= threshold).tolist() == expected


def test_a_patient_with_an_eye_that_nobody_graded_counts_only_if_known_to_be_referable():
    rows = rows_of(
        {"eye": "left", "grade": 0, "p_referable": 0.1},
        {"eye": "right", "grade": None, "p_referable": 0.1},
        {"patient": "b", "eye": "left", "grade": 2, "p_referable": 0.9},
        {"patient": "b", "eye": "right", "grade": None, "p_referable": 0.1},
    )
    patients, flow = patients_of(rows, answers_of(rows))

    assert patients.referable.tolist() == [True]
    assert (flow.patients, flow.without_reference) == (2, 1)


def test_macular_oedema_counts_only_where_it_is_asked_for():
    rows = rows_of({"grade": 1, "dme": 2, "p_referable": 0.1}, {"patient": "b", "grade": 1, "dme": 1, "p_referable": 0})

    assert not patients_of(rows, answers_of(rows))[0].referable.any()
    with_oedema = patients_of(rows, answers_of(rows), oedema=True)[0]
    assert (with_oedema.referable.tolist(), with_oedema.threatening.tolist()) == ([True, False], [True, False])


def test_two_names_for_the_same_picture_are_one_patient():
    rows = rows_of(
        {"grade": 3, "p_referable": 0.9, "sha256": "a" * 64},
        {"patient": "b", "grade": 3, "p_referable": 0.9, "sha256": "a" * 64},
    )

    assert patients_of(rows, answers_of(rows))[1].patients == 1


@pytest.mark.parametrize(
    ("answer", "read_from", "score"),
    [
        ({"p_referable": 0.4, "answered": 1}, "p_referable", 0.4),
        ({"p0": 0.5, "p1": 0.2, "p2": 0.1, "p3": 0.1, "p4": 0.1}, "p0 to p4", 0.3),
        ({"answered": 3}, "grade", 3.0),
    ],
)
def test_any_systems_answer_will_do(answer, read_from, score):
    found = answers_of(rows_of({"grade": 2, **answer}))

    assert found.read_from == read_from
    assert found.scores == pytest.approx(np.array([score]))
    assert (found.fixed == 2.0) == (read_from == "grade")


def test_a_referable_grade_refers_whatever_the_threshold_where_the_system_does_so():
    rows = rows_of(
        {"grade": 2, "predicted_grade": 2, "p_referable": 0.4}, {"grade": 0, "predicted_grade": 1, "p_referable": 0.4}
    )

    assert answers_of(rows).scores.tolist() == [0.4, 0.4]
    assert answers_of(rows, grade_refers=True).scores.tolist() == [np.inf, 0.4]
    only_grades = answers_of(rows.drop(columns="p_referable"), grade_refers=True)
    assert (only_grades.scores.tolist(), only_grades.grade_refers, only_grades.fixed) == ([2.0, 1.0], False, 2.0)
