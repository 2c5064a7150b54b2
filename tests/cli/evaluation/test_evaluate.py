"""`fundoscope evaluate`, from the command line to its exit status."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.cli import main
from fundoscope.tables import write_table


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the program; exit status, standard output with its white space evened, standard error likewise."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fundoscope", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), " ".join(shown.out.split()), " ".join(shown.err.split())

    return run


@pytest.fixture
def clinic(tmp_path: Path, rng) -> tuple[Path, Path]:
    """Predictions and manifest of 60 photographs of 30 patients; half of the test patients are in train too."""
    grades = np.arange(60) % 5
    shares = rng.dirichlet(np.ones(5), 60)
    shares[np.arange(60), grades] += 0.5
    shares /= shares.sum(axis=1, keepdims=True)
    predictions = pd.DataFrame({f"p{k}": shares[:, k] for k in range(5)})
    predictions = predictions.assign(
        image=[f"{k}.jpg" for k in range(60)],
        status="graded",
        grade=shares.argmax(axis=1),
        decision=np.where(shares[:, 2:].sum(axis=1) > 0.4, "refer", "rescreen"),
    )
    predictions.loc[3, ["status", "decision"]] = ["ungradable", "cannot grade"]
    manifest = pd.DataFrame(
        {
            "image": [f"{k}.jpg" for k in range(61)],
            "patient": [f"{k % 30:03d}" for k in range(61)],
            "grade": [*grades, 0],
            "split": ["train"] * 15 + ["test"] * 45 + ["val"],
        }
    )
    write_table(predictions, tmp_path / "predictions.csv")
    write_table(manifest, tmp_path / "manifest.csv")
    return tmp_path / "predictions.csv", tmp_path / "manifest.csv"


def test_prints_every_figure_with_its_interval_and_the_human_line(run, clinic):
    status, out, _ = run(*clinic, "--resamples", 200)

    assert status == 0
    for words in (
        "60 photographs of 30 patients; 1 ungradable (not counted in grades and AUROC), 0 unreadable",
        "Without a match: 0 predictions, 1 photographs of the manifest",
        "quadratic kappa",
        "linear kappa",
        "unweighted kappa",
        "mean absolute error",
        "exactly one grade off",
        "AUROC, any retinopathy (grade >= 1)",
        "AUROC, sight-threatening",
        "sensitivity of the decision",
        "two human graders on the same 1,593 photographs",
        "quadratic kappa 0.554, linear 0.438, unweighted 0.332, exact agreement 59.8%",
        "Decisions, referable:",
        "Intervals: 95%, BCa (fewer than 100 patients) or percentile bootstrap by patient, 200 resamples, seed 0;",
        "ECE: 15 bins of equal width",
        "not a medical device",
    ):
        assert words in out, words


def test_the_answer_as_json_is_the_file_of_the_report(run, clinic, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["fundoscope", "evaluate", *map(str, clinic), "--json", "--report", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit):
        main()

    shown = capsys.readouterr()
    assert shown.out == (tmp_path / "out" / "evaluation.json").read_text()
    answer = json.loads(shown.out)
    assert answer["data"]["predictions"] == "predictions.csv"
    assert len(answer["data"]["manifest_sha256"]) == 64
    assert (answer["schema"], answer["split"], answer["seed"], answer["resamples"]) == (1, None, 0, 2000)
    assert answer["statistics"]["quadratic_kappa"]["low"] < answer["statistics"]["quadratic_kappa"]["high"]


def test_one_split_and_only_patients_of_no_other(run, clinic):
    _, everyone, _ = run(*clinic, "--split", "test", "--resamples", 100)
    _, unseen, _ = run(*clinic, "--split", "test", "--unseen-patients", "--resamples", 100)

    assert "45 photographs of 30 patients" in everyone
    # Patients 000 to 014 have a photograph in train (000 in val as well), 015 to 029 are in test alone.
    assert "30 photographs of 15 patients" in unseen
    assert "(split test, only patients of no other split)" in unseen
    assert "Without a match: 0 predictions" in everyone


def test_a_photograph_that_lies_in_another_split_under_another_patient_counts_as_seen(run, clinic):
    predictions, manifest = clinic
    frame = pd.read_csv(manifest, dtype=object).assign(sha256=[f"{k:064x}" for k in range(61)])
    frame.loc[59, "sha256"] = frame.loc[0, "sha256"]
    write_table(frame, manifest)

    _, out, _ = run(predictions, manifest, "--split", "test", "--unseen-patients", "--resamples", 100)

    # The photograph makes patient 029 one with 000, who is in train: 029's other photograph counts as seen, too.
    assert "28 photographs of 14 patients" in out


@pytest.mark.parametrize("column", ["duplicate_group", "eye_group"])
def test_a_picture_or_an_eye_that_the_audit_found_in_another_split_counts_as_seen(run, clinic, column):
    predictions, manifest = clinic
    frame = pd.read_csv(manifest, dtype=object).assign(**{column: None})
    frame.loc[[0, 16 + 29], column] = "e1"
    write_table(frame, manifest)

    _, out, _ = run(predictions, manifest, "--split", "test", "--unseen-patients", "--resamples", 100)

    assert "28 photographs of 14 patients" in out


def test_says_that_intervals_are_too_narrow_where_patients_are_not_known(run, clinic):
    predictions, manifest = clinic
    write_table(pd.read_csv(manifest, dtype=object).drop(columns="patient"), manifest)

    _, out, _ = run(predictions, manifest, "--resamples", 100)

    assert "60 photographs have no patient and count as one patient each: intervals are too narrow" in out


def test_ungradable_photographs_are_counted_in_when_asked(run, clinic):
    _, out, _ = run(*clinic, "--include-ungradable", "--resamples", 100)

    assert "1 ungradable (counted where they have probabilities)" in out
    assert "Grades are compared on 60 photographs" in out


def test_a_foreign_table_of_grades_says_what_cannot_be_computed(run, clinic, tmp_path):
    table = tmp_path / "theirs.csv"
    table.write_text("image,grade\n" + "".join(f"{k}.jpg,{k % 4}\n" for k in range(60)))

    status, out, _ = run(table, clinic[1], "--resamples", 100)

    assert status == 0
    assert "AUROC, referable (grade >= 2) n/a the predictions have no probability of it" in out


def test_what_a_person_can_mend_is_one_line_and_status_two(run, clinic, tmp_path):
    predictions, manifest = clinic
    other = tmp_path / "other.csv"
    other.write_text("image,grade\nelsewhere/z.jpg,1\n")
    cases = (
        ((other, manifest), "got none among 1 rows (the first is elsewhere/z.jpg). Write image as the manifest does"),
        ((tmp_path / "no.csv", manifest), "expected a table, got nothing"),
        ((predictions, predictions, "--split", "test"), "expected rows of split test, got splits: none"),
        ((predictions, manifest, "--split", "dev"), "expected rows of split dev, got splits: test, train, val"),
        ((predictions, manifest, "--unseen-patients"), "--unseen-patients: expected --split beside it, got none"),
        ((predictions, manifest, "--split", "train", "--unseen-patients"), "patients who are in split train only"),
    )
    for arguments, words in cases:
        status, _, err = run(*arguments)
        assert (status, words in err) == (2, True), (arguments, err)
        assert "Traceback" not in err


def test_a_grade_of_nine_is_named_by_its_row(run, clinic):
    predictions, manifest = clinic
    manifest.write_text("image,grade\n0.jpg,9\n")

    status, _, err = run(predictions, manifest)

    assert status == 2
    assert "row 2, column grade: expected one of 0, 1, 2, 3, 4, got '9'" in err


def test_bca_and_predictive_values_are_asked_for_by_name(run, clinic):
    status, out, _ = run(*clinic, "--resamples", 100, "--interval", "bca", "--prevalence", 0.1)

    assert status == 0
    for words in (
        "95%, BCa bootstrap by patient, 100 resamples",
        "PPV of the decision, referable, at the given prevalence",
        "DeLong interval of AUROC, referable (grade >= 2) (Obuchowski 1997, photographs clustered in patients)",
        "Wilson interval of sensitivity of the decision, referable",
        "best sensitivity, referable, where specificity is 95 %",
        "balanced accuracy",
        "log loss",
    ):
        assert words in out, words


def test_the_confusion_matrix_shows_shares_of_each_row(run, clinic):
    _, out, _ = run(*clinic, "--resamples", 100)

    assert "%)" in out.split("reference \\ answered")[1]
    assert "at the given prevalence" not in out


def test_signs_of_the_manifest_that_a_table_answers_are_shown(run, clinic):
    predictions, manifest = clinic
    listed = pd.read_csv(manifest, dtype=object).assign(sign_ma=[str(k % 2) for k in range(61)])
    write_table(listed, manifest)
    write_table(
        pd.read_csv(predictions, dtype=object).assign(p_ma=[str(k % 2 / 2 + 0.2) for k in range(60)]), predictions
    )

    status, out, _ = run(predictions, manifest, "--resamples", 100)

    assert status == 0
    assert "ma 60 30 1.00" in out


def test_a_report_is_a_page_and_the_numbers_behind_it(run, clinic, drawing, tmp_path):
    status, _, err = run(*clinic, "--resamples", 100, "--report", tmp_path / "out", "--split", "test")

    assert status == 0
    assert f"Written: {tmp_path / 'out' / 'index.html'}" in err
    page = (tmp_path / "out" / "index.html").read_text()
    assert "predictions.csv against manifest.csv (split test)" in page
    answer = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {"subgroups", "flow", "errors", "curves", "abstention", "version"} <= set(answer)
    assert answer["flow"][0] == {
        "name": "listed",
        "words": "in the manifest",
        "photographs": 45,
        "patients": 30,
        "leaves": False,
    }


def test_photographs_are_divided_by_any_column_and_small_groups_are_marked(run, clinic):
    predictions, manifest = clinic
    write_table(pd.read_csv(manifest, dtype=object).assign(nurse=["Ada"] * 50 + ["Bo"] * 11), manifest)

    status, out, _ = run(predictions, manifest, "--by", "nurse", "--resamples", 100)
    wrong, _, err = run(predictions, manifest, "--by", "doctor", "--resamples", 100)

    assert status == 0
    assert "nurse n patients kappa AUROC sens. spec." in out
    assert "AUROC, sens., spec.: referable (grade >= 2)." in out
    assert "(few)" in out
    assert wrong == 2
    assert "--by doctor: expected a column of 1 to 40 different values, got no such column" in err


def test_groups_are_measured_where_they_are_asked_for_and_nowhere_else(run, clinic):
    predictions, manifest = clinic
    write_table(pd.read_csv(manifest, dtype=object).assign(sex=["female", "male"] * 30 + ["male"]), manifest)
    asked = {
        arguments: run(predictions, manifest, "--resamples", 100, *arguments)[1]
        for arguments in ((), ("--subgroups",), ("--by", "split"), ("--json",))
    }

    assert "--subgroups, --by COLUMN, or --report" in asked[()]
    assert "female 30" not in asked[()]
    assert "female 30" in asked[("--subgroups",)]
    assert "split n patients" not in asked[("--subgroups",)]
    assert "split n patients" in asked[("--by", "split")]
    assert "female 30" in asked[("--by", "split")]
    assert [each["column"] for each in json.loads(asked[("--json",)])["subgroups"]] == ["sex"]
    assert asked[()].split("quadratic kappa")[1] == asked[("--subgroups",)].split("quadratic kappa")[1]


def test_the_labels_that_an_audit_doubts_are_counted_among_the_mistakes(run, clinic, tmp_path):
    review = tmp_path / "review.csv"
    review.write_text("image,given,suggested\n" + "".join(f"{k}.jpg,{k % 5},0\n" for k in range(60)))

    _, out, _ = run(*clinic, "--review", review, "--resamples", 100)

    assert "grades differ from the reference:" in out
    assert "and 59 in all" in out


def test_a_papers_table_is_printed_instead_of_ours(run, clinic):
    status, out, _ = run(*clinic, "--preset", "densenet-study", "--resamples", 100)

    assert status == 0
    assert "DenseNet study 95% interval" in out
    assert "sensitivity = TP / (TP + FN)" in out
    assert "two human graders on the same 1,593 photographs" in out
    assert "Brier" not in out


def test_the_words_of_the_command_line_are_the_presets():
    from fundoscope.cli.evaluation.evaluate import PresetName
    from fundoscope.evaluation.presets import PRESETS

    assert [each.value for each in PresetName] == list(PRESETS)


def test_a_report_without_matplotlib_says_what_to_install(run, clinic, tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.axes", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("figures", "drawing", "comparison_figures"):
        monkeypatch.delitem(sys.modules, f"fundoscope.evaluation.report.{name}", raising=False)
        monkeypatch.delattr(f"fundoscope.evaluation.report.{name}", raising=False)

    status, _, err = run(*clinic, "--report", tmp_path / "out")

    assert status == 2
    assert "research" in err


def test_figures_that_count_macular_oedema_stand_beside_those_of_the_grade_where_it_is_known(run, clinic):
    predictions, manifest = clinic
    listed = pd.read_csv(manifest, dtype=object)
    listed["dme"] = [("0", "1", "2", None)[k // 5 % 4] for k in range(61)]
    write_table(listed, manifest)

    status, out, _ = run(predictions, manifest, "--resamples", 100, "--subgroups", "--by", "split")
    answer = json.loads(run(predictions, manifest, "--resamples", 100, "--json")[1])

    assert status == 0
    # Of 15 photographs with each value, those of grades 0 and 1 are two in five.
    assert "Referable or DME: grade >= 2 or dme 2; 42 photographs are positive, 12 negative (6 with dme 1" in out
    assert "6 unknown (dme blank, grade below 2) and left out: sensitivities may be optimistic." in out
    for words in (
        "AUROC, referable or DME (grade >= 2 or dme 2)",
        "sensitivity of the decision, sight-threatening or DME",
        "Decisions, not referable or DME:",
        "or DME: referable or DME",
    ):
        assert words in out, words
    assert answer["or_dme"]["referable_or_dme"]["unknown"] == 6
    assert answer["statistics"]["decision_referable_or_dme_sensitivity"]["low"] > 0
    assert "or_dme" not in " ".join(json.loads(run(predictions, clinic[1], "--json")[1])["curves"]["reliability"])
