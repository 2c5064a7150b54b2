"""What a release of classes says, what is refused, and how photographs make an eye and a patient."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.errors import BadRelease
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.runnable import runnable
from fundoscope.runtime.tasks import CLASSES
from fundoscope.runtime.tasks.task import Evidence

CHANGES = {
    "task": "classes",
    "head": "softmax",
    "labels": ["normal", "amd", "dme"],
    "calibration": {"temperature": 2.0},
    "operating_point": {},
    "column": "label",
    "descriptions": ["clear", "drusen", "swollen"],
}


@pytest.fixture
def answerer(tiny, tmp_path):
    return runnable(tiny["tiny_description"](**CHANGES), tmp_path).answerer


def evidence(*logits: float, gradable: bool = True) -> Evidence:
    return Evidence(raw=np.array([logits]), features=np.zeros(8, np.float32), quality="good", gradable=gradable)


def test_the_likeliest_class_is_answered(answerer):
    answer = answerer.answer(evidence(0.0, 2 * np.log(2), 0.0))

    assert answer.probabilities == pytest.approx((0.25, 0.5, 0.25))
    assert (answer.predicted, answer.decision, answer.brief()) == ("amd", "classified", "amd")
    assert answer.words() == "label amd, probability 0.50"
    assert list(answer.columns()) == ["p_normal", "p_amd", "p_dme", "predicted_label"]
    shown = answerer.present(answer.columns())
    assert (shown.heading, shown.sentences) == ("Label: amd", ("drusen.",))
    assert [bar.chosen for bar in shown.bars] == [False, True, False]


def test_what_is_not_gradable_has_no_class(answerer):
    answer = answerer.answer(evidence(9.0, 0.0, 0.0, gradable=False))

    assert (answer.predicted, answer.decision) == (None, "cannot assess")
    assert answer.columns()["predicted_label"] is None
    assert answerer.present(answer.columns()).heading == "Not assessed"
    assert answerer.present(answerer.unanswered.columns()).bars == ()


def test_a_patient_has_the_classes_of_all_photographs():
    def row(patient: str, eye: str, predicted: str | None) -> dict[str, str | None]:
        return {"patient": patient, "eye": eye, "source": None, "predicted_label": predicted}

    whole, half = answer_patients(
        [
            row("A", "left", "amd"),
            row("A", "right", "normal"),
            row("A", "right", None),
            row("B", "left", "dme"),
            row("B", "right", None),
        ],
        CLASSES,
    )

    assert (whole.decision, whole.finding.labels) == ("classified", ("amd", "normal"))
    assert (half.decision, half.finding.labels) == ("cannot assess", ("dme",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "coral"}, "head must be one of softmax, got 'coral'"),
        ({"column": ""}, "column must be the name of the column that is answered"),
        ({"calibration": {"temperature": 1.0, "grade_cuts": []}}, "calibration must be a temperature"),
        ({"calibration": {"temperature": -1}}, "calibration.temperature must be a number from 0.001 to 1000, got -1"),
        (
            {"calibration": {"temperature": "hot"}},
            "calibration.temperature must be a number from 0.001 to 1000, got 'hot'",
        ),
    ],
)
def test_what_does_not_suit_classes_is_refused(tiny, tmp_path, changes, message):
    with pytest.raises(BadRelease, match=f"{message}.*newer version"):
        runnable(tiny["tiny_description"](**(CHANGES | changes)), tmp_path)


def test_before_calibration_the_likeliest_class_is_answered():
    raw = np.array([[0.0, np.log(2), 0.0], [3.0, 0.0, 1.0]])

    table = CLASSES.table("softmax", raw, ("normal", "amd", "dme"), column="label")

    assert list(table) == ["p_normal", "p_amd", "p_dme", "predicted_label"]
    assert table["p_amd"][0] == pytest.approx(0.5)
    assert table["predicted_label"].tolist() == ["amd", "normal"]
    assert CLASSES.decisions("softmax", raw).tolist() == [1, 0]
    assert CLASSES.likeliest("softmax", raw[1:], ("normal", "amd", "dme"), column="label").predicted == "normal"
