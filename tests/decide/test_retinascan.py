"""Its temperatures calibrate, its thresholds grade, and the one never does the other's work."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fundoscope.decide.calibrate import fit_temperature
from fundoscope.decide.cut_thresholds import fit_cut_thresholds
from fundoscope.decide.retinascan import RetinaScanCalibration, fit_retinascan


@pytest.fixture
def outputs(rng):
    grades = np.arange(200) % 5
    scores = 4 * np.eye(5)[grades] + rng.normal(size=(200, 5)) * 2
    return scores, grades[:, None] - np.arange(4) - 0.5 + rng.normal(size=(200, 4)), grades


def test_its_parts_are_those_that_stand_alone(outputs):
    scores, logits, grades = outputs

    fitted = fit_retinascan(scores, logits, grades)

    assert fitted.prototype_temperature == fit_temperature("prototype", scores, grades)
    assert fitted.thresholds == tuple(fit_cut_thresholds(logits, grades))


def test_the_ordinal_temperature_changes_probabilities_and_no_grade(outputs):
    scores, logits, grades = outputs
    fitted = fit_retinascan(scores, logits, grades)
    hotter = replace(fitted, ordinal_temperature=10 * fitted.ordinal_temperature)

    assert (hotter.grade(logits) == fitted.grade(logits)).all()
    assert (hotter.cut_probabilities(logits) != fitted.cut_probabilities(logits)).any()
    assert (hotter.prototype_probabilities(scores) == fitted.prototype_probabilities(scores)).all()


def test_it_comes_back_from_json(outputs):
    fitted = fit_retinascan(*outputs)

    assert RetinaScanCalibration.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prototype_temperature": 0.0}, "prototype_temperature must be a number above 0, got 0"),
        ({"thresholds": [0.0]}, "thresholds must be 4 finite numbers"),
        ({"more": 1}, "expected the keys .*, got more"),
    ],
)
def test_a_damaged_one_is_refused(change, message):
    whole = {"prototype_temperature": 1.0, "ordinal_temperature": 1.0, "thresholds": [0.0] * 4}

    with pytest.raises(ValueError, match=message):
        RetinaScanCalibration.from_dict(whole | change)
