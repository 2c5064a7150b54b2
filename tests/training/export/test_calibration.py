"""The sets of grades of an exported release: from scores whose temperature and cuts are of other patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fundoscope.decide.heads import probabilities

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.training.export.calibration import Calibrating, fit_grade_sets


@pytest.fixture
def run(rng) -> tuple[np.ndarray, pd.DataFrame]:
    """Cut logits of 300 photographs of 150 patients, and the reference."""
    grades = rng.integers(0, 5, size=300)
    raw = 3 * (grades + rng.normal(size=300) - 0.5)[:, None] - 3 * np.arange(4)
    return raw, pd.DataFrame({"grade": grades, "unit": np.arange(300) // 2})


def test_half_of_the_patients_set_thresholds_that_hold_for_the_others(run):
    raw, reference = run
    calibrating, mine = Calibrating("coral", "kappa"), np.arange(300) < 150
    sets = fit_grade_sets(calibrating, raw[mine], reference[mine], pd.DataFrame({"image": range(150)}))
    answers = calibrating.apply(calibrating.fit(raw[mine], reference["grade"].to_numpy()[mine]), raw[~mine])
    held = sets.thresholds.sets(answers[:, :5], answers=answers[:, 5].astype(np.int64))

    assert not sets.thresholds.out_of_fold
    assert held[np.arange(150), reference["grade"].to_numpy()[~mine]].mean() > 0.82
    assert held.sum(axis=1).mean() < 4.5


def test_only_folds_make_the_sets_those_of_the_folds_networks(run):
    raw, reference = run
    folded = pd.DataFrame({"fold": np.arange(300) // 2 % 3})

    assert fit_grade_sets(Calibrating("coral", "rounded"), raw, reference, folded).thresholds.out_of_fold
    assert fit_grade_sets(Calibrating("coral", "rounded"), raw, reference, folded).thresholds.patients == 150


def test_votes_are_read_as_they_are(run):
    given = probabilities("coral", run[0])
    read = Calibrating(None, "rounded")
    found = read.fit(given, run[1]["grade"].to_numpy())

    assert found == (None, (0.5, 1.5, 2.5, 3.5))
    np.testing.assert_array_equal(read.apply(found, given)[:, :5], given)
