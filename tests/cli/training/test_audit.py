"""`fundoscope audit`: its exit status, what it prints and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadRequest, BadTable
from fundoscope.painting import RetinaSpec, paint_retina


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three painted retinas, one of them twice, all in training."""
    for seed in range(3):
        photo = paint_retina(RetinaSpec(side_px=300, grade=2), rng=np.random.default_rng(seed)).photo
        Image.fromarray(photo).save(tmp_path / f"{seed}.jpg", quality=90)
    Image.fromarray(photo).save(tmp_path / "again.jpg", quality=70)
    rows = pd.DataFrame({"image": ["0.jpg", "1.jpg", "2.jpg", "again.jpg"], "grade": 2, "split": "train"})
    rows.to_csv(tmp_path / "m.csv", index=False)
    return tmp_path


def run(folder: Path, *arguments: object):
    words = ["audit", folder / "m.csv", "--release", "none", "--cache", folder / "cache", *arguments]
    return CliRunner().invoke(app, list(map(str, words)))


def test_it_says_what_it_found_and_nothing_blocks(folder):
    result = run(folder)

    assert result.exit_code == 0
    assert "4 photographs, 0 unreadable. 2 in 1 duplicate groups" in result.output
    assert "again.jpg" in result.output
    assert "Nothing blocks training." in result.output


def test_where_pictures_of_eyes_are_kept_is_said_and_they_need_not_be(folder, monkeypatch):
    monkeypatch.setenv("FUNDOSCOPE_CACHE", str(folder / "user"))
    words = ["audit", str(folder / "m.csv"), "--release", "none"]

    without = CliRunner().invoke(app, [*words, "--no-cache"])
    assert "No fingerprints are kept." in without.stderr
    assert not (folder / "user").exists()
    kept = CliRunner().invoke(app, words)
    assert f"are kept in {folder / 'user' / 'audit'}" in kept.stderr
    assert "with --no-cache none are kept" in kept.stderr
    both = run(folder, "--no-cache")
    assert (type(both.exception), str(both.exception)[:10]) == (BadRequest, "--no-cache")


def test_a_picture_on_two_sides_blocks(folder):
    rows = pd.read_csv(folder / "m.csv")
    rows.loc[3, "split"] = "test"
    rows.to_csv(folder / "m.csv", index=False)

    result = run(folder)

    assert result.exit_code == 1
    assert "Something blocks training." in result.output


def test_a_program_gets_json_and_the_manifest_its_groups(folder):
    result = run(folder, "--json", "--write-groups", "--report", folder / "report")

    answer = json.loads(result.stdout)
    assert answer["counts"]["duplicate_groups"] == 1
    groups = read_manifest(folder / "m.csv")["duplicate_group"]
    assert groups.notna().tolist() == [False, False, True, True]
    assert (folder / "report" / "index.html").is_file()


def test_a_review_is_written_filled_in_and_read_back(folder):
    shares = {f"p{k}": [0.05 if k else 0.8, *[0.8 if k == 2 else 0.05] * 3] for k in range(5)}
    images = ["0.jpg", "1.jpg", "2.jpg", "again.jpg"]
    pd.DataFrame({"image": images, **shares, "fold": [0, 1, 0, 1]}).to_csv(folder / "p.csv", index=False)

    assert run(folder, "--predictions", folder / "p.csv", "--review", folder / "review.csv").exit_code == 0
    review = pd.read_csv(folder / "review.csv")
    assert review["image"].tolist() == ["0.jpg"]
    review.assign(reader="AB", reviewed_grade=0).to_csv(folder / "review.csv", index=False)
    words = ["data", "correct", str(folder / "m.csv"), str(folder / "review.csv"), "-o", str(folder / "better.csv")]
    result = CliRunner().invoke(app, words)

    assert "1 labels read again, 1 of them changed" in result.output
    better = read_manifest(folder / "better.csv")
    assert better["grade"].tolist() == [0, 2, 2, 2]
    assert (better["grade_original"].iloc[0], better["grade_by"].iloc[0]) == (2, "AB")


def test_a_review_without_predictions_is_refused(folder):
    assert isinstance(run(folder, "--review", folder / "r.csv").exception, BadRequest)


def test_predictions_without_folds_doubt_labels_only_if_they_are_said_to_be_held_out(folder):
    shares = {f"p{k}": [0.05 if k else 0.8, *[0.8 if k == 2 else 0.05] * 3] for k in range(5)}
    pd.DataFrame({"image": ["0.jpg", "1.jpg", "2.jpg", "again.jpg"], **shares}).to_csv(folder / "p.csv", index=False)
    given = ("--predictions", folder / "p.csv", "--review", folder / "review.csv")

    refused, heard = run(folder, *given), run(folder, *given, "--held-out")

    assert isinstance(refused.exception, BadTable)
    assert "--held-out" in str(refused.exception)
    assert heard.exit_code == 0
    assert pd.read_csv(folder / "review.csv")["image"].tolist() == ["0.jpg"]


def test_held_out_without_predictions_is_refused(folder):
    refused = run(folder, "--held-out").exception
    assert isinstance(refused, BadRequest)
    assert "--held-out: expected --predictions beside it" in str(refused)


def test_reports_and_reviews_are_written_over_only_if_that_was_asked_for_and_inputs_never(folder):
    shares = {f"p{k}": [0.05 if k else 0.8, *[0.8 if k == 2 else 0.05] * 3] for k in range(5)}
    pd.DataFrame({"image": ["0.jpg", "1.jpg", "2.jpg", "again.jpg"], **shares}).to_csv(folder / "p.csv", index=False)
    (folder / "review.csv").write_text("precious")
    (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text("precious")
    given = ("--predictions", folder / "p.csv", "--held-out")
    for option, name in (("--review", "review.csv"), ("--report", "report")):
        refused = run(folder, *given, option, folder / name)
        assert isinstance(refused.exception, BadRequest), refused.output
        assert "expected a name that is free, got a file that exists" in str(refused.exception)
    assert (folder / "review.csv").read_text() == (folder / "report" / "index.html").read_text() == "precious"
    for name in ("p.csv", "m.csv"):
        refused = run(folder, *given, "--review", folder / name, "--replace")
        assert "got one that this run reads" in str(refused.exception)

    done = run(folder, *given, "--review", folder / "review.csv", "--report", folder / "report", "--replace")

    assert done.exit_code == 0, done.output
    assert (folder / "review.csv").read_text() != "precious" != (folder / "report" / "index.html").read_text()
