"""Releases of signs and of classes: trained, exported, verified and graded with, like those that grade retinopathy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.decide.binary import sign_probabilities
from fundoscope.errors import BadRelease
from fundoscope.evaluation.signs import evaluate_signs
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.release import open_release
from fundoscope.runtime.tasks import SIGNS as SIGNS_TASK
from fundoscope.tables import join, read_table
from fundoscope.tables.pair import check_signs

SIGNS = ("haemorrhage", "exudate")


@pytest.fixture(scope="module")
def retinas_manifest(training_extra: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 painted retinas of 12 patients; the signs follow the painted grade and are unknown for some."""
    folder = tmp_path_factory.mktemp("retinas")
    rng, rows = np.random.default_rng(12), []
    for number in range(24):
        grade = (number // 2) % 5
        painted = paint_retina(RetinaSpec(side_px=260, grade=grade, eye=("left", "right")[number % 2]), rng=rng)
        Image.fromarray(painted.photo).save(folder / f"{number:02}.png")
        rows.append(
            {
                "image": f"{number:02}.png",
                "patient": f"p{number // 2:02}",
                "eye": ("left", "right")[number % 2],
                "sign_haemorrhage": int(grade >= 2),
                "sign_exudate": None if number % 7 == 3 else int(grade >= 3),
                "lesions": "many" if grade >= 3 else "few" if grade else "none",
                "split": "train",
            }
        )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def trained(manifest: Path, run: Path, *, head: str, loss: str, **data: object) -> Path:
    """A small network in two folds, then on all, and its release."""
    from fundoscope.training.experiment.file import experiment_from_dict
    from fundoscope.training.train import train

    experiment = experiment_from_dict(
        {
            "name": "small",
            "data": {"manifest": str(manifest), "cache": str(run.parent / "cache"), "folds": 2} | data,
            "recipe": {"side": 64},
            "network": {"backbone": "cnn3", "head": head},
            "loss": {"name": loss},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true", "final": True, "export": True},
        },
        where="the test",
    )
    train(experiment, run)
    return run


@pytest.fixture(scope="module")
def signs_run(retinas_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("signs") / "run"
    labels = [f"sign_{name}" for name in SIGNS]
    return trained(retinas_manifest, run, head="signs", loss="binary_cross_entropy", target="signs", labels=labels)


@pytest.fixture(scope="module")
def classes_run(retinas_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("classes") / "run"
    labels = ["none", "few", "many"]
    return trained(retinas_manifest, run, head="softmax", loss="cross_entropy", target="lesions", labels=labels)


def test_a_signs_release_says_what_it_answers_and_nothing_of_grades(signs_run: Path):
    described = json.loads((signs_run / "release" / "release.json").read_text())

    assert (described["task"], described["head"], described["labels"]) == ("signs", "signs", list(SIGNS))
    assert set(described["calibration"]["temperatures"]) == set(SIGNS)
    assert set(described["operating_point"]["thresholds"]) == set(SIGNS)
    assert described["operating_point"]["name"] == "out-of-fold sensitivity 90% for each sign"
    assert described["conformal"] == {}
    assert described["gate"] == SIGNS_TASK.gate.to_dict()
    words = json.dumps({key: described[key] for key in ("labels", "intended_use", "limits")})
    words += (signs_run / "release" / "MODEL_CARD.md").read_text()
    assert "etinopathy" not in words
    assert "referr" not in words.lower()
    assert "no grade" in words


@pytest.mark.parametrize("run", ["signs_run", "classes_run"])
def test_it_is_verified_and_described_on_the_command_line(request, run_verb, run: str):
    release = request.getfixturevalue(run) / "release"

    status, out, _ = run_verb("verify", release)
    assert (status, "FAILED" in out) == (0, False)
    assert "passed golden canvas" in " ".join(out.split())
    status, out, _ = run_verb("info", release)
    assert status == 0
    assert "grade cuts" not in out


def test_a_signs_release_grades_a_manifest_into_its_own_columns(
    run_verb, signs_run: Path, retinas_manifest: Path, tmp_path: Path
):
    Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(tmp_path / "black.png")
    opened = open_release(signs_run / "release")

    status, out, _ = run_verb(
        "grade", retinas_manifest.parent, tmp_path / "black.png", "--release", signs_run / "release",
        "--out", tmp_path / "signs.csv", "--report", tmp_path / "report",
    )  # fmt: skip

    table = read_table(tmp_path / "signs.csv")
    assert status == 0
    assert list(table.columns) == [
        *("image", "sha256", "source", "patient", "patient_raw", "eye", "taken", "study_uid", "series_uid"),
        *("sop_uid", "accession", "position", "graded_at"),
        *("status", "reason", "quality"),
        *("q_field_size", "q_sharpness", "q_exposure", "q_contrast", "q_vessels", "raw0", "raw1"),
        *("p_haemorrhage", "p_exudate", "sign_haemorrhage", "sign_exudate"),
        *("dust_map", "retouched", "patient_note", "fold", "release"),
    ]
    assert set(table["status"]) == {"graded", "ungradable"}
    graded = table[table["status"] == "graded"]
    temperatures = list(opened.release.calibration["temperatures"].values())
    shares = sign_probabilities(graded[["raw0", "raw1"]].to_numpy(float), temperatures)
    assert graded[["p_haemorrhage", "p_exudate"]].to_numpy(float) == pytest.approx(shares, abs=1e-5)
    thresholds = list(opened.release.operating_point["thresholds"].values())
    assert (graded[["sign_haemorrhage", "sign_exudate"]].to_numpy(int) == (shares >= thresholds)).all()
    black = table[table["image"].str.endswith("black.png")].iloc[0]
    assert black[["sign_haemorrhage", "p_exudate"]].isna().all()
    assert "signs present" in out
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Report on signs in retinal photographs" in page
    for word in ("Referable", "Referred", "rescreen", "Grade ", "grade 0", "iabetic"):
        assert word not in page, word


def test_the_json_of_a_patient_lists_the_signs_found(run_verb, signs_run: Path, retinas_manifest: Path):
    status, out, _ = run_verb("grade", retinas_manifest.parent, "--release", signs_run / "release", "--json")

    summary = json.loads(out)
    assert status == 0
    for patient in summary["patients"]:
        rows = [row for row in summary["photographs"] if row["patient"] == patient["patient"]]
        found = {name for name in SIGNS if any(row[f"sign_{name}"] == 1 for row in rows)}
        assert set(patient["labels"]) == found
        assert (patient["decision"] == "signs present") == bool(found)


def test_held_out_signs_can_be_evaluated_each_by_itself(signs_run: Path, retinas_manifest: Path):
    path = signs_run / "out_of_fold.csv"
    table, manifest = read_table(path), pd.read_csv(retinas_manifest)

    assert set(table["sign_haemorrhage"].astype(int)) <= {0, 1}
    checked = check_signs(table, manifest.columns, path=path)
    rows = join(checked, manifest, predictions_path=path, manifest_path=retinas_manifest).rows
    figures = evaluate_signs(rows, resamples=50)
    assert {name: sign.photographs for name, sign in figures.items()} == {"haemorrhage": 24, "exudate": 21}


def test_a_classes_release_answers_with_a_class(run_verb, classes_run: Path, retinas_manifest: Path, tmp_path: Path):
    status, _, _ = run_verb(
        "grade", retinas_manifest.parent, "--release", classes_run / "release",
        "--out", tmp_path / "classes.csv", "--report", tmp_path / "report",
    )  # fmt: skip

    table = read_table(tmp_path / "classes.csv")
    assert status == 0
    shares = table[["p_none", "p_few", "p_many"]].to_numpy(float)
    graded = (table["status"] == "graded").to_numpy()
    assert graded.sum() > 12
    assert shares[graded].sum(axis=1) == pytest.approx(1, abs=1e-5)
    likeliest = np.array(["none", "few", "many"])[shares[graded].argmax(axis=1)]
    assert table.loc[graded, "predicted_lesions"].tolist() == likeliest.tolist()
    assert "Lesions: " in (tmp_path / "report" / "index.html").read_text()


def test_clinic_verbs_that_need_grades_refuse_a_signs_release(signs_run: Path):
    opened = open_release(signs_run / "release")

    with pytest.raises(BadRelease, match=r"expected a release that grades retinopathy \(task dr-grade\), got one of"):
        _ = opened.operating_point


def test_a_sign_that_is_nowhere_held_out_makes_no_release(signs_run: Path, tmp_path: Path):
    from fundoscope.run_folder import RunFolder
    from fundoscope.training.export.release import export_run

    run = Path(shutil.copytree(signs_run, tmp_path / "run"))
    rows = pd.read_csv(RunFolder(run).training_rows)
    rows.assign(sign_exudate=0).to_csv(RunFolder(run).training_rows, index=False)

    with pytest.raises(BadRelease, match="held-out photographs with and without exudate, which set its threshold"):
        export_run(run, tmp_path / "release")
