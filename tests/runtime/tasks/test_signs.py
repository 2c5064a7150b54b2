"""What a release of signs says, what is refused, and how photographs make an eye and a patient."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.errors import BadRelease
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import open_release
from fundoscope.runtime.runnable import runnable
from fundoscope.runtime.tasks import SIGNS
from fundoscope.runtime.tasks.task import Evidence

LABELS = ["haemorrhage", "drusen", "cup", "scar"]
CHANGES = {
    "task": "signs",
    "head": "signs",
    "labels": LABELS,
    "calibration": {"temperatures": dict.fromkeys(LABELS, 2.0)},
    "operating_point": {"name": "by hand", "thresholds": {"haemorrhage": 0.3, "drusen": 0.5, "cup": 0.7, "scar": 1.0}},
    "intended_use": NOT_A_DEVICE,
}


@pytest.fixture
def answerer(tiny, tmp_path):
    return runnable(tiny["tiny_description"](**CHANGES), tmp_path).answerer


def evidence(*logits: float, gradable: bool = True) -> Evidence:
    return Evidence(raw=np.array([logits]), features=np.zeros(8, np.float32), quality="good", gradable=gradable)


def row(patient: str, eye: str, *present: int | None) -> dict[str, object]:
    cells = {f"sign_{label}": value for label, value in zip(LABELS, present, strict=True)}
    return {"patient": patient, "eye": eye, "source": None} | cells


def test_each_sign_is_present_from_its_own_threshold(answerer):
    logit = 2 * np.log(0.5 / 0.5)  # a probability of a half at temperature 2

    answer = answerer.answer(evidence(logit, logit, logit, 10.0))

    assert answer.probabilities[:3] == pytest.approx((0.5, 0.5, 0.5))
    assert answer.present == (True, True, False, False)
    assert (answer.present_signs, answer.decision) == (("haemorrhage", "drusen"), "signs present")
    assert list(answer.columns()) == [f"p_{label}" for label in LABELS] + [f"sign_{label}" for label in LABELS]
    assert [answer.columns()[f"sign_{label}"] for label in LABELS] == [1, 1, 0, 0]
    assert answer.brief() == "haemorrhage, drusen"


def test_what_is_not_gradable_has_probabilities_that_no_report_shows_and_no_signs(answerer):
    answer = answerer.answer(evidence(9.0, 9.0, 9.0, 9.0, gradable=False))

    assert answer.decision == "cannot assess"
    assert answer.probabilities is not None
    assert [answer.columns()[f"sign_{label}"] for label in LABELS] == [None] * 4
    shown = answerer.present(answer.columns())
    assert (shown.heading, shown.brief, len(shown.bars)) == ("Not assessed", "not assessed", 0)
    assert "does not count as free of signs" in shown.caution


def test_what_could_not_be_read_has_neither(answerer):
    answer = answerer.unanswered

    assert set(answer.columns().values()) == {None}
    assert (answer.decision, answer.words(), answer.brief()) == ("cannot assess", "cannot assess", "")
    assert answerer.present(answer.columns()).bars == ()


def test_the_report_names_what_was_found_and_marks_every_threshold(answerer):
    cells = answerer.answer(evidence(0.0, -9.0, -9.0, -9.0)).columns()

    shown = answerer.present(cells)

    assert shown.heading == "Signs: haemorrhage"
    assert [bar.threshold for bar in shown.bars] == [0.3, 0.5, 0.7, 1.0]
    assert [bar.chosen for bar in shown.bars] == [True, False, False, False]
    assert answerer.console(cells) == {"signs": "haemorrhage 0.50"}


def test_a_sign_in_any_gradable_photograph_is_the_patient_s():
    rows = [
        row("P", "left", 1, 0, 0, 0),
        row("P", "left", None, None, None, None),
        row("P", "right", 0, 0, 1, 0),
    ]

    (answer,) = answer_patients(rows, SIGNS)

    assert answer.decision == "signs present"
    assert answer.finding.labels == ("haemorrhage", "cup")
    assert [eye.finding.labels for eye in answer.eyes] == [("haemorrhage",), ("cup",)]


def test_an_eye_that_could_not_be_assessed_is_not_free_of_signs():
    free, blank = (0, 0, 0, 0), (None, None, None, None)

    half, whole, twice = answer_patients(
        [
            row("half", "left", *free),
            row("half", "right", *blank),
            row("whole", "left", *free),
            row("whole", "right", *free),
            row("twice", "left", *blank),
            row("twice", "left", *free),
            row("twice", "right", *free),
        ],
        SIGNS,
    )

    assert (half.decision, whole.decision, twice.decision) == ("cannot assess", "no sign found", "no sign found")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "coral"}, "head must be one of signs, got 'coral'"),
        ({"labels": [*LABELS, "scar"]}, "labels must be names, each only once"),
        ({"labels": []}, "labels must be names, each only once"),
        ({"calibration": {}}, "calibration.temperatures must be a number for each of haemorrhage, drusen, cup, scar"),
        (
            {"calibration": {"temperatures": dict.fromkeys(LABELS, 0)}},
            "calibration.temperatures.haemorrhage must be a number from 0.001 to 1000, got 0",
        ),
        (
            {"operating_point": {"name": "x", "thresholds": dict.fromkeys(LABELS, 1.5)}},
            "operating_point.thresholds.haemorrhage must be a number above 0 and at most 1, got 1.5",
        ),
        (
            {"operating_point": {"name": "x", "thresholds": dict.fromkeys(LABELS, True)}},
            "operating_point.thresholds.haemorrhage must be a number above 0 and at most 1, got True",
        ),
        (
            {"operating_point": {"thresholds": dict.fromkeys(LABELS, 0.5)}},
            "operating_point.name must be text, got None",
        ),
        ({"conformal": {"alpha": 0.1}}, "conformal must be empty for the task signs"),
        ({"neighbours": {"k": 3}}, "neighbours must be empty for the task signs"),
        ({"descriptions": ["one"]}, "descriptions must be texts of 4 labels, or none"),
    ],
)
def test_what_does_not_suit_signs_is_refused(tiny, tmp_path, changes, message):
    with pytest.raises(BadRelease, match=f"{message}.*newer version"):
        runnable(tiny["tiny_description"](**(CHANGES | changes)), tmp_path)


def test_a_graph_with_another_number_of_signs_is_refused(tiny, tmp_path):
    labels = LABELS[:3]
    numbers = {"temperatures": dict.fromkeys(labels, 1.0)}, {"name": "x", "thresholds": dict.fromkeys(labels, 0.5)}
    folder = tiny["write_tiny_release"](
        tmp_path / "release", **(CHANGES | {"labels": labels, "calibration": numbers[0], "operating_point": numbers[1]})
    )

    with pytest.raises(BadRelease, match=r"raw tensor\(float\) \(any, 3\).*, got .*raw tensor\(float\) \(photo, 4\)"):
        Grader.open(folder)


def test_a_reading_of_signs_has_no_grade(tiny, tmp_path, retinas):
    folder = tiny["write_tiny_release"](tmp_path / "release", **CHANGES)

    reading = Grader.open(folder, threads=1).grade(retinas[0])

    assert reading.status == "graded"
    assert (reading.grade, reading.p_referable, reading.grades_set, reading.grade_name) == (None,) * 4
    assert len(reading.probabilities) == 4
    assert "grade" not in reading.row()
    with pytest.raises(BadRelease, match=r"grades retinopathy \(task dr-grade\), got one of the task signs"):
        _ = open_release(folder).grading


def test_before_calibration_a_sign_is_present_where_that_is_likelier():
    raw = np.array([[0.0, 2.0, -0.1], [-3.0, -4.0, 5.0]])

    table = SIGNS.table("signs", raw, LABELS[:3])

    assert list(table) == ["p_haemorrhage", "p_drusen", "p_cup", "sign_haemorrhage", "sign_drusen", "sign_cup"]
    assert table["p_drusen"] == pytest.approx(1 / (1 + np.exp([-2.0, 4.0])))
    assert np.stack([table[f"sign_{label}"] for label in LABELS[:3]], axis=1).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert SIGNS.decisions("signs", raw).tolist() == [[False, True, False], [False, False, True]]
    likeliest = SIGNS.likeliest("signs", raw[1:], LABELS[:3])
    assert likeliest.present_signs == ("cup",)
    assert likeliest.words() == "haemorrhage 0.05, drusen 0.02, cup 0.99: signs present"


@pytest.mark.parametrize("row", [{}, {"sign_ma": None}, {"sign_ma": float("nan"), "sign_he": 0}])
def test_a_photograph_whose_signs_are_blank_is_not_said_to_have_none(row: dict[str, object]):
    """Blank is None in a row, NaN in a table that was read, or no column at all."""
    assert SIGNS.of_photograph(row).decision == "cannot assess"
