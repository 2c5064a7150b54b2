from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.clinic.calibration.from_tables import (
    calibrate_as_retinascan,
    calibrate_tables,
    default_sensitivity,
    write_calibrated,
)
from fundoscope.clinic.calibration.source import Settings
from fundoscope.clinic.commissioning.provenance import OWN, UNCHECKED
from fundoscope.decide.heads import probabilities
from fundoscope.decide.retinascan import fit_retinascan
from fundoscope.errors import BadTable
from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.release import OpenRelease, open_release
from fundoscope.runtime.verification import verify_release
from fundoscope.tables import write_table
from fundoscope.tables.pair import Pair, read_pair

DAY = date(2031, 2, 3)
SETTINGS = Settings(method="temperature")
COUNT = 160


@pytest.fixture
def pair(tmp_path: Path, rng) -> Pair:
    """Predictions of 80 patients with two photographs each, by cut logits twice too large; one is ungradable."""
    at = np.arange(COUNT)
    grades = rng.integers(0, 5, size=COUNT)
    raw = 4 * ((grades + rng.logistic(size=COUNT) / 2)[:, None] - np.arange(4) - 0.5)
    by_grade = probabilities("coral", raw)
    rows = pd.DataFrame({"image": [f"{number}.jpg" for number in at], "sha256": [f"{number:064x}" for number in at]})
    columns = {f"raw{k}": raw[:, k] for k in range(4)} | {f"p{k}": by_grade[:, k] for k in range(5)}
    status = np.where(at == 9, "ungradable", "graded")
    write_table(rows.assign(**columns, status=status), tmp_path / "predictions.csv")
    write_table(rows.assign(patient=at // 2, grade=grades), tmp_path / "manifest.csv")
    return read_pair(tmp_path / "predictions.csv", tmp_path / "manifest.csv")


def with_columns(pair: Pair, **columns: object) -> Pair:
    write_table(pd.read_csv(pair.predictions).assign(**columns), pair.predictions)
    return read_pair(pair.predictions, pair.manifest)


@pytest.fixture
def release(write_tiny_release, tmp_path) -> OpenRelease:
    """A release that was trained on other photographs."""
    training = {"backbone": "tiny", "training_sha256": [f"{10**6:064x}"]}
    return open_release(write_tiny_release(tmp_path / "release", training=training))


def test_predictions_that_may_be_in_sample_are_refused_unless_somebody_vouches_for_them(pair):
    with pytest.raises(BadTable, match="expected an out-of-fold prediction"):
        calibrate_tables(pair, SETTINGS, day=DAY)

    calibrated = calibrate_tables(pair, SETTINGS, held_out=True, day=DAY)

    assert calibrated.record["basis"] == UNCHECKED
    assert (calibrated.record["photographs"], calibrated.record["left_out"]) == (COUNT - 1, 1)
    assert calibrated.record["data"] == pair.data
    assert calibrated.record["date"] == "2031-02-03"


def test_out_of_fold_predictions_need_nobody_to_vouch_for_them(pair):
    folded = with_columns(pair, fold=np.arange(COUNT) // 2 % 4)

    calibrated = calibrate_tables(folded, SETTINGS, day=DAY)

    assert calibrated.record["basis"] == "out-of-fold predictions"
    assert calibrated.calibration.own_folds


def test_a_release_is_calibrated_on_its_own_predictions_of_other_patients_and_its_copy_verifies(
    pair, release, tmp_path
):
    signed = with_columns(pair, release=release.name)

    calibrated = calibrate_tables(signed, SETTINGS, release=release, day=DAY)
    copy = write_calibrated(release, tmp_path / "copy", calibrated)

    assert (calibrated.record["basis"], calibrated.record["data"]["release"]) == (OWN, release.name)
    assert calibrated.calibration.fit.readout.temperature == pytest.approx(2, abs=0.5)
    assert copy.release.calibration["temperature"] == calibrated.calibration.fit.readout.temperature
    assert verify_release(copy.path).passed


def test_the_seed_decides_folds_and_bootstrap_samples(pair):
    first, again, other = (
        calibrate_tables(pair, SETTINGS, held_out=True, seed=seed, day=DAY).record for seed in (0, 0, 1)
    )

    assert first == again
    assert first["figures_cross_fitted"] != other["figures_cross_fitted"]


@pytest.mark.parametrize("unit", ["patient", "photograph"])
def test_by_risk_control_no_more_of_the_diseased_are_missed_than_was_allowed(pair, unit):
    settings = Settings(method="temperature", max_missed=0.15, missed_unit=unit)

    calibrated = calibrate_tables(pair, settings, held_out=True, day=DAY)

    risk = calibrated.calibration.risk
    assert risk is not None
    assert (risk.alpha, risk.unit, risk.cut) == (0.15, unit, "referable")
    assert calibrated.calibration.threshold == risk.threshold
    # Of the n diseased that set it so many may be missed: n/(n + 1) * missed + 1/(n + 1) <= alpha.
    assert risk.patients / (risk.patients + 1) * risk.missed + 1 / (risk.patients + 1) <= 0.15
    assert risk.missed > 0
    by_sensitivity = calibrate_tables(pair, Settings(method="temperature"), held_out=True, day=DAY)
    assert by_sensitivity.calibration.risk is None
    assert not any("risk control" in warning for warning in by_sensitivity.calibration.warnings())
    assert by_sensitivity.calibration.threshold != risk.threshold


def test_too_few_diseased_patients_refer_everybody_and_the_warning_says_so(pair):
    settings = Settings(method="temperature", max_missed=0.005)

    calibration = calibrate_tables(pair, settings, held_out=True, day=DAY).calibration

    assert calibration.threshold == 0
    assert any("too few to promise that at most 0.5% are missed" in warning for warning in calibration.warnings())
    assert any("set on cross-fitted probabilities" in warning for warning in calibration.warnings())


def test_a_release_says_which_sensitivity_it_is_for(release, tmp_path):
    point = release.operating_point.to_dict() | {"sensitivity": 0.8}
    tuned = copy_release(release, tmp_path / "tuned", replace(release.release, operating_point=point), {})

    assert release.operating_point.sensitivity is None
    assert [default_sensitivity(which) for which in (None, release, tuned)] == [0.9, 0.9, 0.8]


def test_retinascans_preset_needs_both_heads_and_is_cross_fitted(pair, rng):
    with pytest.raises(BadTable, match="the cut logits in cut0 to cut3"):
        calibrate_as_retinascan(pair, held_out=True)
    rows = pd.read_csv(pair.predictions)
    cuts = {f"cut{k}": rows[f"raw{k}"] + 3 for k in range(4)}
    scores = {f"raw{k}": 3 * rows[f"p{k}"] + rng.normal(size=COUNT) for k in range(5)}

    calibrated = calibrate_as_retinascan(with_columns(pair, **(cuts | scores)), held_out=True)

    gradable = np.arange(COUNT) != 9
    scores_of, cuts_of = (np.column_stack(list(columns.values()))[gradable] for columns in (scores, cuts))
    assert calibrated.calibration == fit_retinascan(scores_of, cuts_of, pair.rows["grade"].to_numpy(int)[gradable])
    assert calibrated.record["thresholds"] == list(calibrated.calibration.thresholds)
    assert calibrated.figures["quadratic_kappa"]["change"].estimate > 0
