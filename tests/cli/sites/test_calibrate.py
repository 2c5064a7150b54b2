"""`fundoscope calibrate`, from the command line to the calibrated copy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.decide.calibrate import answered_grades
from fundoscope.decide.heads import exceedance, expected_grade, probabilities
from fundoscope.decide.referral import SCORE_TOLERANCE
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release
from fundoscope.tables import write_table

COUNT = 160


@pytest.fixture
def run(run_verb, monkeypatch, tmp_path):
    """Run `calibrate`, or another verb, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, verb: str = "calibrate") -> tuple[int, str, str]:
        return run_verb(verb, *arguments)

    return run


@pytest.fixture
def tables(tmp_path: Path, rng) -> tuple[Path, Path]:
    """Out-of-fold predictions by cut logits, twice as sure as they should be, of 80 patients with two eyes."""
    at = np.arange(COUNT)
    grades = rng.integers(0, 5, size=COUNT)
    centre = (grades + rng.logistic(size=COUNT) / 2)[:, None]
    raw = 4 * (centre - np.arange(4) - 0.5)
    shares = probabilities("coral", raw)
    predictions = pd.DataFrame(
        {"image": [f"{each}.jpg" for each in at], "fold": at // 2 % 4, "release": "study", "quality": "good"}
        | {f"raw{k}": raw[:, k] for k in range(4)}
        | {f"p{k}": shares[:, k] for k in range(5)}
    )
    manifest = pd.DataFrame(
        {
            "image": predictions["image"],
            "sha256": [f"{each:064x}" for each in at],
            "patient": (at // 2).astype(str),
            "grade": grades,
            "camera": np.where(at < 100, "A", "B"),
        }
    )
    write_table(predictions, tmp_path / "predictions.csv")
    write_table(manifest, tmp_path / "manifest.csv")
    return tmp_path / "predictions.csv", tmp_path / "manifest.csv"


@pytest.fixture
def release(tmp_path: Path, tables, write_tiny_release) -> Path:
    """The tiny release, as if it had learned from the tables' photographs."""
    learned = pd.read_csv(tables[1])["sha256"].tolist()
    return Path(
        write_tiny_release(tmp_path / "release", training={"training_sha256": learned, "experiment": {"name": "study"}})
    )


def test_a_table_alone_gives_figures_sets_and_a_file(run, tables, tmp_path):
    status, out, err = run(*tables, "--method", "vector", "--by", "camera", "--alpha", 0.2)

    assert status == 0
    for words in (
        "Calibrated by vector on 160 photographs of 80 patients (0 left out",
        "Log loss: before",
        "Calibration error of the likeliest grade: before",
        "Brier score: before",
        "the earlier ones are on another scale",
        "Sets of grades at 80%",
        "camera A: threshold",
        "nothing is promised: grade 0",
        "not a medical device",
    ):
        assert words in out, words
    assert "warning: The sets were calibrated on the networks of folds" in err
    written = json.loads((tmp_path / "calibration.json").read_text())
    assert written["calibrator"]["kind"] == "vector scaling"
    assert written["conformal"]["by"] == "camera"
    assert written["figures_cross_fitted"]["log_loss"]["change"]["high"] < 0
    assert written["coverage_cross_fitted"]["all"]["estimate"] == pytest.approx(0.8, abs=0.1)


def test_the_same_tables_give_the_same_answer(run, tables):
    assert run(*tables, "--json")[1] == run(*tables, "--json")[1]


def test_photographs_that_may_have_been_trained_on_are_refused_unless_they_are_said_to_be_new(run, tables, tmp_path):
    predictions = pd.read_csv(tables[0]).drop(columns="fold")
    write_table(predictions, tmp_path / "plain.csv")
    status, _, err = run(tmp_path / "plain.csv", tables[1])
    assert (status, "expected an out-of-fold prediction" in err) == (2, True)

    # The manifest's own folds vouch for nothing.
    write_table(pd.read_csv(tables[1], dtype=str).assign(fold=1), tmp_path / "folded.csv")
    assert run(tmp_path / "plain.csv", tmp_path / "folded.csv")[0] == 2

    status, _, err = run(tmp_path / "plain.csv", tables[1], "--held-out", "--out", tmp_path / "new")
    assert status == 0
    assert "networks of folds" not in err
    assert (tmp_path / "new" / "calibration.json").is_file()


@pytest.mark.parametrize("method", ["temperature", "cuts"])
def test_a_calibrated_copy_verifies_and_grades_with_what_was_fitted(run, tables, release, tmp_path, method):
    before = {path.name: path.read_bytes() for path in release.iterdir()}
    status, out, err = run(*tables, "--release", release, "--out", tmp_path / "copy", "--method", method, "--json")

    assert status == 0
    written = json.loads(out)
    assert {path.name: path.read_bytes() for path in release.iterdir()} == before
    assert ", verified" in err
    assert verify_release(tmp_path / "copy").passed
    copy = open_release(tmp_path / "copy")
    assert copy.release.grade_cuts == tuple(written["grade_cuts"])
    assert copy.operating_point.threshold == written["threshold"]
    assert (copy.calibrator is None) == (method == "temperature")
    assert copy.release.calibration["temperature"] == (written["temperature"] or 1.0)
    assert copy.grade_sets.thresholds.threshold == written["conformal"]["threshold"]
    assert any("networks of folds" in limit for limit in copy.release.limits)
    assert "Calibrated anew" in copy.card
    assert json.loads((tmp_path / "copy" / "calibration.json").read_text()) == written

    photo = paint_retina(RetinaSpec(side_px=320, grade=2), rng=np.random.default_rng(1)).photo
    Image.fromarray(photo).save(tmp_path / "eye.png")
    row = json.loads(run(tmp_path / "eye.png", "--release", tmp_path / "copy", "--json", verb="grade")[1])
    graded = row["photographs"][0]
    assert str(graded["grade"]) in graded["grades_set"].split()
    by_grade = np.array([[graded[f"p{k}"] for k in range(5)]])
    assert graded["grade"] == answered_grades(by_grade, tuple(written["grade_cuts"]))[0]


def test_threshold_and_cuts_are_points_of_the_new_scale(run, tables, release, tmp_path):
    arguments = ("--release", release, "--json", "--sensitivity", 0.8, "--method", "temperature")
    status, out, _ = run(*tables, *arguments)
    written = json.loads(out)
    raw, grades = pd.read_csv(tables[0]).filter(like="raw").to_numpy(), pd.read_csv(tables[1])["grade"].to_numpy()
    given = probabilities("coral", raw, temperature=written["temperature"])

    assert status == 0
    assert written["temperature"] == pytest.approx(2, abs=0.5)
    scores = exceedance(given, 2)
    assert np.isclose(scores, written["threshold"] + SCORE_TOLERANCE, rtol=1e-9).any()
    assert (scores[grades >= 2] >= written["threshold"] - 1e-12).mean() == pytest.approx(0.8, abs=0.02)
    cuts = written["grade_cuts"]
    assert not cuts or expected_grade(given).min() < cuts[0] < cuts[3] < 4


def test_a_threshold_by_risk_control_says_what_it_promises_and_grades_in_the_copy(run, tables, release, tmp_path):
    arguments = (*tables, "--release", release, "--out", tmp_path / "copy", "--max-missed", 0.1)
    status, out, err = run(*arguments, "--missed-unit", "photograph")

    assert status == 0, err
    promise = "a threshold set as this one misses at most 10.0% of the referable photographs"
    assert promise in out
    assert "set by risk control, misses" in out
    copy = open_release(tmp_path / "copy")
    written = json.loads((tmp_path / "copy" / "calibration.json").read_text())
    assert copy.operating_point.threshold == written["risk_control"]["threshold"] == written["threshold"]
    assert any(promise in limit for limit in copy.release.limits)
    for other in (("--sensitivity", 0.9), ("--preset", "retinascan")):
        status, _, err = run(*tables, "--max-missed", 0.1, *other)
        assert (status, f"--max-missed: expected it without {other[0]}, got both" in err) == (2, True), err


def test_calibrating_again_starts_from_the_head_and_leaves_nothing_stale(run, tables, release, tmp_path):
    assert run(*tables, "--release", release, "--out", tmp_path / "first", "--method", "platt")[0] == 0
    second = run(*tables, "--release", tmp_path / "first", "--out", tmp_path / "second", "--method", "temperature")
    assert second[0] == 0

    arguments = ("--release", release, "--json", "--method", "temperature")
    again, straight = open_release(tmp_path / "second"), run(*tables, *arguments)[1]
    assert again.calibrator is None
    assert again.release.calibration["temperature"] == json.loads(straight)["temperature"]
    assert sum("networks of folds" in limit for limit in again.release.limits) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "camera", "--out", "copy"), "--by camera: expected quality"),
        (("--out", "."), "expected a new or empty folder"),
        (("--preset", "retinascan"), "--preset retinascan: expected no --release"),
        (("--by", "site"), "expected a column site"),
    ],
)
def test_what_cannot_be_done_is_said(run, tables, release, arguments, message):
    status, _, err = run(*tables, "--release", release, *arguments)

    assert (status, message in err) == (2, True), err


def test_retinascans_preset_is_written_and_names_its_columns(run, tables, tmp_path, rng):
    status, _, err = run(*tables, "--preset", "retinascan")
    assert (status, "the cut logits in cut0 to cut3" in err) == (2, True)

    given = pd.read_csv(tables[0])
    cuts = {f"cut{k}": given[f"raw{k}"] for k in range(4)}
    scores = {f"raw{k}": 3 * given[f"p{k}"] + rng.normal(size=COUNT) for k in range(5)}
    write_table(given.assign(**cuts, **scores), tmp_path / "both.csv")
    status, out, _ = run(tmp_path / "both.csv", tables[1], "--preset", "retinascan")
    assert status == 0
    assert "which changes no grade" in out
    assert "Thresholds of the cut logits" in out
    assert len(json.loads((tmp_path / "calibration.json").read_text())["thresholds"]) == 4


def test_by_default_the_method_with_the_least_loss_on_other_patients_is_taken_and_said(run, tables):
    status, out, err = run(*tables, "--json")
    written = json.loads(out)

    assert status == 0, err
    losses = written["log_loss_by_method"]
    assert set(losses) == {"none", "temperature", "vector", "platt", "isotonic", "cuts"}
    assert losses[written["method"]] == min(losses.values())
    named = {
        method: json.loads(run(*tables, "--json", "--method", method)[1])["figures_cross_fitted"]["log_loss"]["after"]
        for method in losses
    }
    for method, loss in losses.items():
        assert named[method]["estimate"] == pytest.approx(loss), method
    assert "Chosen by the log loss on other patients: none" in run(*tables)[1]


def test_a_release_can_be_read_by_the_mean_of_its_cuts_and_grades_so(run, tables, release, tmp_path):
    arguments = ("--release", release, "--out", tmp_path / "copy", "--method", "temperature", "--score", "mean")
    status, out, err = run(*tables, *arguments, "--json")
    written = json.loads(out)

    assert status == 0, err
    copy = open_release(tmp_path / "copy")
    score = copy.grading.readout.referral
    assert score.to_dict() == written["referral_score"] == copy.release.calibration["referral_score"]
    raw = pd.read_csv(tables[0]).filter(like="raw").to_numpy()
    mean = 1 / (1 + np.exp(-(score.slope * raw.mean(axis=1) + score.intercept)))
    assert exceedance(copy.grading.head_probabilities(raw), 2) == pytest.approx(mean, abs=1e-9)
    assert run("--help", verb="calibrate")[0] == 0
    # Calibrated again, it keeps its score.
    again = run(*tables, "--release", tmp_path / "copy", "--json", "--method", "temperature")[1]
    assert json.loads(again)["referral_score"] == written["referral_score"]


def test_a_score_that_nothing_would_read_is_refused(run, tables, release):
    for arguments in (
        ("--method", "temperature"),
        ("--release", release),
        ("--release", release, "--method", "vector"),
    ):
        status, _, err = run(*tables, *arguments, "--score", "mean")
        assert (status, "--score mean: expected it with --release and --method temperature" in err) == (2, True), err
