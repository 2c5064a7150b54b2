from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.files import sha256_of
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.part_file import PartFile
from fundoscope.runtime.release import open_release

MILD = ("--disturbances", "jpeg,gamma", "--doses", "1,2", "--threads", 1, "--resamples", 100)
ONE = ("--disturbances", "jpeg", "--doses", "1", "--threads", 1, "--resamples", 100)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 painted retinas of 24 patients, half of them referable."""
    return painted(tmp_path_factory.mktemp("stress"), side_px=160)


def painted(folder: Path, *, side_px: int) -> Path:
    rows = []
    for number in range(24):
        grade = 3 if number % 2 else 0
        retina = paint_retina(RetinaSpec(side_px=side_px, grade=grade), rng=np.random.default_rng(number))
        Image.fromarray(retina.photo).save(folder / f"{number:02}.png")
        rows.append({"image": f"{number:02}.png", "patient": f"p{number}", "grade": grade})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


Stress = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stress(run_verb) -> Stress:
    def run(*arguments: object) -> tuple[int, str, str]:
        status, out, err = run_verb("stress", *arguments)
        return int(status), out, err

    return run


def test_a_release_is_stressed_into_a_table_a_summary_and_a_page(stress, tiny_release, manifest, tmp_path):
    status, out, err = stress(tiny_release, manifest, "--out", tmp_path / "out", *MILD)

    assert status == 0, err
    frame = pd.read_csv(tmp_path / "out" / "stress.csv")
    assert len(frame) == 24 * (1 + 2 * 2)
    assert set(frame["release"]) == {open_release(tiny_release).name}
    summary = json.loads((tmp_path / "out" / "stress.json").read_text())
    assert summary["photographs"] == 24
    assert summary["conditions"] == 4
    assert "AUROC referable, mean of the two" in out
    assert f"{summary['means']['auroc']['criterion']['estimate']:.3f}" in out
    assert summary["means"]["overall"]["clean"]["estimate"] is not None
    assert "Note: a part of the stress set" in err
    assert not list((tmp_path / "out").glob("*.part.jsonl"))


def test_the_table_fits_a_terminal_of_80_columns(stress, tiny_release, manifest, tmp_path, monkeypatch, capsys):
    import sys

    from fundoscope.cli import main

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["fundoscope", "stress", *map(str, (tiny_release, manifest, *MILD))])
    with pytest.raises(SystemExit):
        main()
    lines = capsys.readouterr().out.splitlines()

    assert any(line.startswith("gamma") for line in lines)
    assert max(map(len, lines)) <= 80


def test_nothing_that_exists_is_written_over(stress, tiny_release, manifest, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stress.json").write_text("mine")

    status, _, err = stress(tiny_release, manifest, "--out", tmp_path / "out", *ONE)

    assert status == 2
    assert "stress.json: expected a name that is free, got a file that exists" in err
    assert (tmp_path / "out" / "stress.json").read_text() == "mine"


def test_an_interrupted_run_goes_on_where_it_stopped(stress, tiny_release, manifest, tmp_path, monkeypatch):
    kept = PartFile.append
    done: list[str] = []

    def interrupted(part: PartFile, entry: dict[str, Any]) -> None:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(entry["row"]["image"])
        kept(part, entry)

    monkeypatch.setattr(PartFile, "append", interrupted)
    status, _, err = stress(tiny_release, manifest, "--out", tmp_path / "out", *ONE)
    assert status == 130
    assert "give the same command again to continue" in err
    more: list[str] = []
    monkeypatch.setattr(PartFile, "append", lambda part, entry: (more.append(entry["row"]["image"]), kept(part, entry)))
    status, _, err = stress(tiny_release, manifest, "--out", tmp_path / "out", *ONE)
    monkeypatch.undo()

    assert status == 0, err
    assert len(done) == 5
    assert len(more) == 19
    assert not set(done) & set(more)
    stress(tiny_release, manifest, "--out", tmp_path / "whole", *ONE)
    assert (tmp_path / "out" / "stress.csv").read_bytes() == (tmp_path / "whole" / "stress.csv").read_bytes()


def test_an_unfinished_run_of_other_conditions_is_not_mixed_in(stress, tiny_release, manifest, tmp_path, monkeypatch):
    def interrupted(part: PartFile, entry: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PartFile, "append", interrupted)
    stress(tiny_release, manifest, "--out", tmp_path / "out", *MILD)
    monkeypatch.undo()

    status, _, err = stress(tiny_release, manifest, "--out", tmp_path / "out", "--doses", "1", "--threads", 1)

    assert status == 2
    assert "expected an unfinished run of the same release and options, got another's" in err


def test_a_finished_test_is_shown_again_and_compared_with_another(stress, tiny_release, manifest, tmp_path):
    _, first, _ = stress(tiny_release, manifest, "--out", tmp_path / "out", *MILD)

    status, again, err = stress(tmp_path / "out", "--resamples", 100)
    assert status == 0, err
    figures = "AUROC referable, mean of the two"
    assert again.split(figures)[1][:20] == first.split(figures)[1][:20]
    assert again.split("jpeg")[1][:30] == first.split("jpeg")[1][:30]
    status, out, err = stress(tmp_path / "out", "--against", tmp_path / "out", "--json", "--resamples", 100)
    assert status == 0, err
    assert json.loads(out)["against"]["differences"]["auroc criterion"]["estimate"] == 0.0
    twice = (tmp_path / "out", tmp_path / "out")
    status, again, err = stress(*twice, "--against", twice[0], "--against", twice[1], "--json", "--resamples", 100)
    assert status == 0, err
    assert json.loads(again)["differences"]["overall criterion"]["estimate"] == 0.0
    status, _, err = stress(*twice, "--resamples", 100)
    assert status == 2
    assert "expected --against beside several finished stress tests, got none" in err
    status, _, err = stress(tmp_path / "out", "--copy", tmp_path / "copy")
    assert status == 2
    assert "--copy: expected none with a finished stress test, got one" in err
    status, _, err = stress(tmp_path / "out", "--split", "train")
    assert status == 2
    assert "--split: expected none with a finished stress test, got one" in err


def test_a_copy_carries_the_figures_and_says_what_it_learnt_from(stress, write_tiny_release, manifest, tmp_path):
    learnt = [sha256_of(manifest.parent / f"{number:02}.png") for number in (3, 4, 5)]
    release = write_tiny_release(tmp_path / "release", training={"backbone": "tiny", "training_sha256": learnt})

    status, _, err = stress(release, manifest, "--copy", tmp_path / "copy", *ONE)

    assert status == 0, err
    assert "Warning: graded by the release, which learnt from 3 of these photographs: the figures flatter it" in err
    copy = open_release(tmp_path / "copy")
    assert copy.release.evaluation["stress"]["photographs"] == 24
    assert "learnt from 3 of these photographs" in copy.release.evaluation["stress"]["graded by"]
    assert "## Under stress" in copy.card
    assert "learnt from 3 of these photographs" in copy.card
    assert copy.model == open_release(release).model


def test_a_copy_is_not_written_over_what_is_there(stress, tiny_release, manifest, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "letter.txt").write_text("dear")

    status, _, err = stress(tiny_release, manifest, "--copy", tmp_path / "copy", *ONE)

    assert status == 2
    assert "copy: expected a new or empty folder for the copy, got one in use" in err


@pytest.mark.parametrize(("words", "message"), [
    (("--disturbances", "glare"), "--disturbances: expected names among camera_specks"),
    (("--doses", "1,six"), "--doses: expected numbers from 1 to 5, got 1 0"),
    (("--against", "nowhere"), "nowhere: expected the folder of a finished stress test, got none"),
])  # fmt: skip
def test_requests_that_cannot_be_met_are_refused_before_anything_is_graded(
    stress, tiny_release, manifest, words, message
):
    status, _, err = stress(tiny_release, manifest, *words)

    assert status == 2
    assert message in err


def test_figures_of_another_stress_set_or_of_too_few_photographs_are_refused_before_anything_is_graded(
    stress, tiny_release, manifest, tmp_path, monkeypatch
):
    stress(tiny_release, manifest, "--out", tmp_path / "other", *ONE)
    table = pd.read_csv(tmp_path / "other" / "stress.csv").assign(stress_set="stress-0@abc")
    table.to_csv(tmp_path / "other" / "stress.csv", index=False)
    pd.read_csv(manifest).iloc[:12].to_csv(manifest.with_name("few.csv"), index=False)
    monkeypatch.setattr("fundoscope.evaluation.stress.measure.measure", None)  # whatever is graded now is a fault

    status, _, err = stress(tiny_release, manifest, "--against", tmp_path / "other", *ONE)
    assert status == 2
    assert "expected two of one stress set, got stress-1@" in err
    status, _, err = stress(tiny_release, manifest.with_name("few.csv"), *ONE)
    assert status == 2
    assert "few.csv: expected at least 10 photographs with and 10 without referable disease, got 6 and 6" in err


def test_a_release_alone_or_of_both_eyes_is_refused(stress, tiny_release, pair_release, manifest):
    status, _, err = stress(tiny_release)
    assert status == 2
    assert "stress: expected a release and a manifest, got 1 paths" in err
    status, _, err = stress(pair_release, manifest)
    assert status == 2
    assert "expected a release that grades single eyes, got one of both" in err


def test_the_networks_of_a_runs_folds_are_stressed_out_of_fold(stress, training_extra, untrained_run, tmp_path):
    from fundoscope.training.experiment.file import experiment_from_dict
    from fundoscope.training.export.release import export_run

    large = painted(tmp_path, side_px=320)  # a run's releases have the gate of all releases
    pd.read_csv(large).assign(split="train").to_csv(large, index=False)
    experiment = experiment_from_dict(
        {
            "name": "tiny",
            "data": {"manifest": str(large), "cache": str(tmp_path / "cache"), "folds": 2,
                     "keep_ungradable": True},
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "mobilenetv2_035", "dropout": 0.0},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true", "final": True},
            "release": {"cuts": "median"},
        },
        where="the test",
    )  # fmt: skip
    run = untrained_run(experiment, tmp_path / "run")

    exported = export_run(run, tmp_path / "exported")
    copied = ("--copy", tmp_path / "copy", "--release", exported)
    status, out, err = stress(run, "--out", tmp_path / "out", *copied, *ONE)

    assert status == 0, err
    assert "the networks of the folds of run, each photograph by those that never saw it" in out
    frame = pd.read_csv(tmp_path / "out" / "stress.csv")
    assert set(frame["fold"]) == {0, 1}
    assert frame["release"].str.contains("out-of-fold@").all()
    assert "networks of the folds of run" in open_release(tmp_path / "copy").release.evaluation["stress"]["graded by"]
    status, _, err = stress(run, "--copy", tmp_path / "other", *ONE)
    assert status == 2
    assert "--copy: expected --release beside it, got none" in err
