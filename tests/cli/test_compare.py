from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.errors import BadRequest, BadTable

run = CliRunner().invoke


@pytest.fixture
def tables(tmp_path: Path, rng: np.random.Generator) -> tuple[str, str, str]:
    """A system that is right, one that is right for half of the photographs, and the manifest."""
    grades = np.arange(60) % 5
    images = [f"{n}.jpg" for n in range(60)]
    patients = [f"p{n // 2}" for n in range(60)]
    pd.DataFrame({"image": images, "patient": patients, "grade": grades}).to_csv(tmp_path / "manifest.csv", index=False)
    doubtful = np.where(np.arange(60) % 2, grades, rng.integers(0, 5, 60))
    for name, given in (("right", grades), ("doubtful", doubtful)):
        shares = pd.DataFrame(np.eye(5)[given], columns=[f"p{k}" for k in range(5)])
        shares.assign(image=images, grade=given).to_csv(tmp_path / f"{name}.csv", index=False)
    return str(tmp_path / "right.csv"), str(tmp_path / "doubtful.csv"), str(tmp_path / "manifest.csv")


def test_the_better_system_is_better_by_an_interval_above_nought(tables):
    done = run(app, ["compare", *tables, "--json", "--resamples", "200"])

    answer = json.loads(done.stdout)
    kappa = answer["statistics"]["quadratic kappa"]
    assert (answer["photographs"], answer["patients"]) == (60, 30)
    assert kappa["first"] == 1.0
    assert 0 < kappa["low"] <= kappa["difference"] <= kappa["high"]
    assert kappa["difference"] == pytest.approx(kappa["first"] - kappa["second"])


def test_a_system_does_not_differ_from_itself(tables):
    done = run(app, ["compare", tables[1], tables[1], tables[2], "--json", "--resamples", "200"])

    for entry in json.loads(done.stdout)["statistics"].values():
        assert entry["difference"] == entry["low"] == entry["high"] == 0


def test_the_table_says_on_what_it_rests(tables):
    done = run(app, ["compare", *tables, "--resamples", "200"])

    assert "60 photographs of 30 patients that both graded; 200 draws of patients, seed 0." in done.stdout


def test_a_table_without_probabilities_is_refused(tables, tmp_path: Path):
    pd.DataFrame({"image": ["0.jpg"], "grade": [0]}).to_csv(tmp_path / "bare.csv", index=False)

    done = run(app, ["compare", str(tmp_path / "bare.csv"), *tables[1:]])

    assert isinstance(done.exception, BadTable)
    assert "expected p0 to p4, p0 is missing" in str(done.exception)


def test_a_split_that_is_not_there_is_refused(tables):
    done = run(app, ["compare", *tables, "--split", "test"])

    assert isinstance(done.exception, BadTable)
    assert "expected rows of split test, got none" in str(done.exception)


def test_a_third_system_is_compared_with_the_first(tables):
    right, doubtful, manifest = tables

    done = run(app, ["compare", right, doubtful, doubtful, manifest, "--json", "--resamples", "200"])

    answer = json.loads(done.stdout)
    assert answer["systems"] == ["right.csv", "doubtful.csv", "doubtful.csv"]
    assert answer["statistics"] == answer["comparisons"][0]["statistics"]
    assert answer["comparisons"][0]["statistics"]["accuracy"] == answer["comparisons"][1]["statistics"]["accuracy"]
    assert answer["holm_family"] == 10
    assert answer["comparisons"][0]["mcnemar"]["right grade"]["only_second"] == 0
    assert answer["delong"].startswith("Obuchowski 1997")


def test_json_for_two_systems_keeps_the_keys_it_had(tables):
    done = run(app, ["compare", *tables, "--json", "--resamples", "200"])

    answer = json.loads(done.stdout)
    assert {"first", "second", "photographs", "patients", "resamples", "seed", "statistics"} <= set(answer)
    before = {"quadratic kappa", "accuracy", "AUROC any", "AUROC referable", "AUROC sight-threatening"}
    assert before <= set(answer["statistics"])
    assert {"first", "second", "difference", "low", "high"} <= set(answer["statistics"]["AUROC referable"])


def test_a_margin_is_answered_for_either_system(tables):
    done = run(app, ["compare", *tables, "--resamples", "200", "--margin", "quadratic_kappa=0.05"])

    shown = " ".join(done.stdout.split())
    right, doubtful, _ = tables
    assert f"Worse by less than 0.05 in quadratic kappa: {right} yes; {doubtful} not shown." in shown
    assert "Holm: over all 5 tests shown" in shown
    assert "McNemar, right referable (one case for each patient: the worst grade)" in shown


@pytest.mark.parametrize("margin", ["kappa=0.1", "accuracy", "accuracy=0", "accuracy=much"])
def test_a_margin_that_cannot_be_read_is_refused(tables, margin):
    done = run(app, ["compare", *tables, "--margin", margin])

    assert isinstance(done.exception, BadRequest)
    assert "expected METRIC=VALUE with a value above 0" in str(done.exception)


def test_a_missing_manifest_is_noticed(tables):
    done = run(app, ["compare", *tables[:2]])

    assert isinstance(done.exception, BadRequest)
    assert "got 2 tables. Name the manifest last" in str(done.exception)


def test_photographs_without_patient_are_warned_of(tables):
    manifest = Path(tables[2])
    pd.read_csv(manifest).drop(columns="patient").to_csv(manifest, index=False)

    done = run(app, ["compare", *tables, "--resamples", "200"])

    assert "60 photographs have no patient and are taken as independent" in " ".join(done.stdout.split())
