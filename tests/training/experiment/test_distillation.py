"""What can be learnt from teachers, and what is refused."""

from __future__ import annotations

import pytest

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.file import experiment_from_dict

TAUGHT = {"name": "student", "distil": {"teachers": ["a", "b"]}}


def test_teachers_are_off_unless_they_are_named():
    assert experiment_from_dict({"name": "alone"}, where="the test").distil.teachers == ()
    assert experiment_from_dict(TAUGHT, where="the test").distil.teachers == ("a", "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"network": {"head": "corn"}, "loss": {"name": "corn"}},
            "expected network.head softmax or coral or cumul",
        ),
        ({"contrast": {"weight": 0.5}, "augment": {"blur": 0.5}}, "expected none with contrast.weight"),
        ({"network": {"eyes": 2}}, "expected none with network.eyes"),
        ({"augment": {"mixup": 0.4}}, "expected none with augment.mixup, augment.cutmix"),
        ({"distil": {"teachers": ["a", "a"]}}, "expected every run once, got a, a"),
        ({"distil": {"teachers": ["a"], "weight": 0}}, "distil.weight: expected"),
        ({"distil": {"teachers": ["a"], "temperature": 0}}, "distil.temperature: expected"),
        ({"distil": {"teachers": ["a"], "view": "other"}}, "distil.view: expected"),
    ],
)
def test_what_teachers_cannot_teach_is_refused(change, message):
    with pytest.raises(BadExperiment, match=message):
        experiment_from_dict({**TAUGHT, **change}, where="the test")
