from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.errors import BadRequest, BadTable, MissingExtra

run = CliRunner().invoke


def write_run(folder: Path, predictions: str, *, manifest: str, seed: int = 0, keep: str = "last") -> str:
    """A finished run with a copy of the predictions, one fold's log and its weights."""
    fit = folder / "fold0"
    (fit / "log").mkdir(parents=True)
    experiment = {
        "name": "trial",
        "seed": seed,
        "data": {"manifest": manifest, "folds": 2},
        "network": {"backbone": "cnn3", "head": "coral"},
        "fit": {"keep": keep},
    }
    (folder / "experiment.json").write_text(json.dumps(experiment))
    (fit / "log" / "metrics.csv").write_text("epoch,step,train/loss,val/kappa\n0,0,1.5,\n0,0,,0.25\n")
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1000, 20], "data_offsets": [0, 0]}}).encode()
    (fit / "network.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    timing = {"seconds": 30, "photographs": 120, "threads": 2, "device": "cpu"}
    (fit / "timing.json").write_text(json.dumps(timing))
    (folder / "out_of_fold.csv").write_bytes(Path(predictions).read_bytes())
    return str(folder)


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


@pytest.fixture
def runs(tables, tmp_path: Path) -> tuple[str, str]:
    """The same two systems as runs of one recipe with two seeds."""
    right, doubtful, manifest = tables
    return (
        write_run(tmp_path / "runs" / "good_s0", right, manifest=manifest),
        write_run(tmp_path / "runs" / "good_s1", doubtful, manifest=manifest, seed=1),
    )


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
        # Resamples that never differ say nothing of how certain that is.
        assert (entry["difference"], entry["low"], entry["high"]) == (0, None, None)


def test_the_table_says_on_what_it_rests(tables):
    done = run(app, ["compare", *tables, "--resamples", "200"])

    assert "60 photographs of 30 patients that both graded; 200 bootstrap resamples of" in " ".join(done.stdout.split())


def test_a_table_of_one_photograph_is_refused(tables, tmp_path: Path):
    pd.DataFrame({"image": ["0.jpg"], "grade": [0]}).to_csv(tmp_path / "bare.csv", index=False)

    done = run(app, ["compare", str(tmp_path / "bare.csv"), *tables[1:]])

    assert isinstance(done.exception, BadTable)
    assert "that all graded, got 1 (1, 60 by each alone). Compare systems" in str(done.exception)


def test_a_split_that_is_not_there_is_refused(tables):
    done = run(app, ["compare", *tables, "--split", "test"])

    assert isinstance(done.exception, BadTable)
    assert "expected rows of split test, got splits: none" in str(done.exception)


def test_a_third_system_is_compared_with_the_first(tables):
    right, doubtful, manifest = tables

    done = run(app, ["compare", right, doubtful, doubtful, manifest, "--json", "--resamples", "200"])

    answer = json.loads(done.stdout)
    assert answer["systems"] == [right, doubtful, doubtful]
    assert [each["second"] for each in answer["comparisons"]] == [doubtful, doubtful]
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
    assert f"got 1 and the manifest {tables[1]}. Name the manifest last" in str(done.exception)


def test_photographs_without_patient_are_warned_of(tables):
    manifest = Path(tables[2])
    pd.read_csv(manifest).drop(columns="patient").to_csv(manifest, index=False)

    done = run(app, ["compare", *tables, "--resamples", "200"])

    assert "60 photographs have no patient and are taken as independent" in " ".join(done.stdout.split())


def test_runs_are_compared_like_their_tables_without_naming_the_manifest(tables, runs):
    by_runs = json.loads(run(app, ["compare", *runs, "--json", "--resamples", "100"]).stdout)
    by_tables = json.loads(run(app, ["compare", *tables, "--json", "--resamples", "100"]).stdout)

    assert by_runs["statistics"] == by_tables["statistics"]
    assert by_runs["systems"] == list(runs)
    assert "table" not in by_tables


def test_a_run_and_a_table_are_compared_on_the_manifest_that_is_named(tables, runs):
    done = run(app, ["compare", runs[0], tables[1], tables[2], "--json", "--resamples", "100"])

    answer = json.loads(done.stdout)
    assert answer["systems"] == [runs[0], tables[1]]
    assert [each["backbone"] for each in answer["table"]] == ["cnn3", ""]


def test_the_table_says_of_a_run_what_evaluate_says_of_its_predictions(tables, runs):
    compared = json.loads(run(app, ["compare", *runs, "--json", "--resamples", "100"]).stdout)
    evaluated = run(app, ["evaluate", tables[1], tables[2], "--json", "--resamples", "100"])

    second = compared["table"][1]
    statistics = json.loads(evaluated.stdout)["statistics"]
    for name in ("quadratic_kappa", "macro_f1", "referable_auroc", "calibration_error", "grade3_f1"):
        for suffix, key in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            assert second[name + suffix] == statistics[name][key], name
    assert second["confusion"] == json.loads(evaluated.stdout)["confusion"]


def test_the_table_and_the_differences_agree(runs):
    answer = json.loads(run(app, ["compare", *runs, "--json", "--resamples", "100"]).stdout)

    first, second = answer["table"]
    assert first["quadratic_kappa_first_minus_this"] is None
    for name, words in (("quadratic_kappa", "quadratic kappa"), ("any_auroc", "AUROC any"), ("macro_f1", "macro F1")):
        assert second[f"{name}_first_minus_this"] == pytest.approx(first[name] - second[name])
        assert second[f"{name}_first_minus_this_low"] == answer["statistics"][words]["low"]


def test_seeds_of_one_recipe_are_summed_up_apart_from_the_intervals(runs):
    answer = json.loads(run(app, ["compare", *runs, "--json", "--resamples", "100"]).stdout)

    (seeds,) = answer["seeds"]
    kappas = [each["quadratic_kappa"] for each in answer["table"]]
    assert (seeds["recipe"], seeds["runs"]) == ("good", ["good_s0", "good_s1"])
    assert seeds["statistics"]["quadratic_kappa"]["mean"] == pytest.approx(np.mean(kappas))
    assert seeds["statistics"]["quadratic_kappa"]["sd"] == pytest.approx(np.std(kappas, ddof=1))


def test_the_console_shows_recipe_size_speed_and_seeds(runs):
    shown = " ".join(run(app, ["compare", *runs, "--resamples", "100"]).stdout.split())

    for words in ("backbone cnn3", "parameters (millions) 0.02", "photographs per second 4.0", "minutes 0.5"):
        assert words in shown
    assert "good, mean +- standard deviation over 2 (few) seeds:" in shown


def test_a_report_is_a_page_by_itself_with_table_and_figures(runs, drawing, tmp_path: Path):
    done = run(app, ["compare", *runs, "--resamples", "100", "--report", str(tmp_path / "report")])

    assert done.exit_code == 0
    names = {path.name for path in (tmp_path / "report").iterdir()}
    figures = {"curves.png", "confusions.png", "grade_f1.png", "differences.png"}
    assert names == {"comparison.html", "comparison.md", "comparison.csv", *figures}
    page = (tmp_path / "report" / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page
    assert "Over the seeds" in page
    table = pd.read_csv(tmp_path / "report" / "comparison.csv")
    assert table["name"].tolist() == ["good_s0", "good_s1"]
    assert table["quadratic_kappa"][0] == 1.0
    rows = [line for line in (tmp_path / "report" / "comparison.md").read_text().splitlines() if line.startswith("| ")]
    assert "| backbone | cnn3 | cnn3 |" in rows
    assert {line.count("|") for line in rows[: rows.index("| **Recipe** | | |") + 20]} == {4}


def test_tables_alone_can_have_a_report_too(tables, drawing, tmp_path: Path):
    run(app, ["compare", *tables, "--resamples", "100", "--report", str(tmp_path / "report")])

    assert not (tmp_path / "report" / "curves.png").exists()
    assert "Recipe" not in (tmp_path / "report" / "comparison.html").read_text()


def test_a_report_without_matplotlib_says_what_to_install(runs, tmp_path: Path, monkeypatch):
    for name in ("comparison_figures", "drawing"):
        monkeypatch.delitem(sys.modules, f"fundoscope.evaluation.report.{name}", raising=False)
        monkeypatch.delattr(f"fundoscope.evaluation.report.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    done = run(app, ["compare", *runs, "--report", str(tmp_path / "report")])

    assert isinstance(done.exception, MissingExtra)
    assert "the figures of a comparison needs packages" in str(done.exception)


def test_weights_chosen_on_the_photographs_measured_are_told(tables, runs, tmp_path: Path):
    best = write_run(tmp_path / "best", tables[0], manifest=tables[2], keep="best")

    shown = " ".join(run(app, ["compare", *runs, best, "--resamples", "100"]).stdout.split())

    assert "best on the photographs it is evaluated on: its figures are optimistic" in shown
    assert shown.count("optimistic") == 1


def test_photographs_that_one_run_did_not_grade_are_left_out_and_told(runs):
    table = Path(runs[1]) / "out_of_fold.csv"
    pd.read_csv(table).iloc[10:].to_csv(table, index=False)

    done = run(app, ["compare", *runs, "--json", "--resamples", "100"])

    answer = json.loads(done.stdout)
    assert answer["photographs"] == 50
    assert answer["left_out"] == {runs[0]: 10, runs[1]: 0}
    shown = " ".join(run(app, ["compare", *runs, "--resamples", "100"]).stdout.split())
    assert "graded 10 more photographs, which are left out" in shown


def test_runs_on_other_photographs_are_refused(runs):
    table = Path(runs[1]) / "out_of_fold.csv"
    pd.read_csv(table).assign(image=[f"other{n}.jpg" for n in range(60)]).to_csv(table, index=False)

    done = run(app, ["compare", *runs])

    assert isinstance(done.exception, BadTable)
    assert "that all graded, got 0 (60, 0 by each alone). Compare systems on the same photographs" in str(
        done.exception
    )


def test_a_table_before_a_run_needs_its_manifest(tables, runs):
    done = run(app, ["compare", tables[0], runs[0]])

    assert isinstance(done.exception, BadRequest)
    assert "expected a manifest for a table of predictions, got none" in str(done.exception)


def test_one_run_alone_is_no_comparison(runs):
    done = run(app, ["compare", runs[0]])

    assert isinstance(done.exception, BadRequest)
    assert "expected two or more runs or tables of predictions, and a manifest, got 1 and no manifest" in str(
        done.exception
    )


def test_runs_of_one_name_are_told_apart_by_their_path(tables, runs, tmp_path: Path):
    other = write_run(tmp_path / "elsewhere" / "good_s0", tables[1], manifest=tables[2])

    answer = json.loads(run(app, ["compare", runs[0], other, other, "--json", "--resamples", "100"]).stdout)

    assert [each["name"] for each in answer["table"]] == ["runs/good_s0", "elsewhere/good_s0", "elsewhere/good_s0 (2)"]
