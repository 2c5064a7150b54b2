"""Photographs that the release would refuse are counted, and left out of a run unless the experiment keeps them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadExperiment
from fundoscope.painting.retina import RetinaSpec, paint_retina
from fundoscope.photo.recipe import Recipe
from fundoscope.run_folder import RunFolder
from fundoscope.runtime.grader import Grader
from fundoscope.tables import read_table
from fundoscope.training.batches.rows import load_rows
from fundoscope.training.batches.targets import GRADE
from fundoscope.training.experiment.file import experiment_from_dict, read_experiment, shipped_experiments
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.export.release import export_run
from fundoscope.training.runs.ensemble import read_finished
from fundoscope.training.train import train

NO_RETINA = ["04.png", "05.png", "13.png"]
"""Two to be trained on, one to be validated on."""


@pytest.fixture(scope="session")
def mixed_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten painted retinas to train on and four to validate on; three of them are replaced by squares of noise."""
    folder, rng, rows = tmp_path_factory.mktemp("mixed"), np.random.default_rng(4), []
    for number in range(14):
        grade, name = (0, 2, 1, 3)[number % 4], f"{number:02}.png"
        picture = paint_retina(RetinaSpec(side_px=260, grade=grade), rng=rng).photo
        if name in NO_RETINA:
            picture = np.full((64, 64, 3), (200, 110, 50), np.uint8) + rng.integers(0, 20, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(picture).save(folder / name)
        rows.append(
            {"image": name, "patient": f"p{number}", "grade": grade, "split": "train" if number < 10 else "val"}
        )
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


@pytest.fixture
def mixed(mixed_manifest: Path, tmp_path: Path) -> Experiment:
    return experiment_from_dict(
        {
            "name": "mixed",
            "data": {"manifest": str(mixed_manifest), "cache": str(tmp_path / "cache")},
            "recipe": {"side": 32, "crop": "square"},
            "network": {"backbone": "cnn3"},
            "fit": {"epochs": 1, "batch": 4, "precision": "32-true"},
        },
        where="the test",
    )


def heard(experiment: Experiment, run: Path) -> list[str]:
    lines: list[str] = []
    train(experiment, run, say=lines.append)
    return lines


def test_photographs_that_the_release_refuses_are_counted_and_left_out(mixed: Experiment, tmp_path: Path):
    lines = heard(mixed, tmp_path / "run")

    told = [line for line in lines if "gradable" in line]
    assert len(told) == 2
    assert re.search(r"2 of 10 photographs \(train\) are not gradable \(.*: 2; 04\.png, 05\.png\): they are", told[0])
    assert re.search(r"1 of 4 photographs \(val\) are not gradable \(.*: 1; 13\.png\)", told[1])
    assert "data.keep_ungradable=true keeps them" in told[0]
    assert len(json.loads(RunFolder(tmp_path / "run").photographs.read_text())) == 8
    assert read_table(RunFolder(tmp_path / "run").predictions)["image"].tolist() == ["10.png", "11.png", "12.png"]
    assert read_table(RunFolder(tmp_path / "run").left_out_rows)["image"].tolist() == NO_RETINA


def test_the_experiment_may_keep_them_and_is_told_what_becomes_of_them(mixed: Experiment, tmp_path: Path):
    mixed = replace(mixed, data=replace(mixed.data, keep_ungradable=True))

    lines = heard(mixed, tmp_path / "run")

    assert any("(data.keep_ungradable), but the release will not grade photographs like them" in line for line in lines)
    assert len(json.loads(RunFolder(tmp_path / "run").photographs.read_text())) == 10
    assert len(read_table(RunFolder(tmp_path / "run").predictions)) == 4
    assert not RunFolder(tmp_path / "run").left_out_rows.exists()


@pytest.mark.parametrize(
    ("keep", "claim"),
    [
        (False, "3 photographs of its data were left out of training and calibration because its quality gate refuses"),
        (True, "2 of the 10 photographs that it was trained on are not gradable by its own quality gate"),
    ],
)
def test_the_release_and_its_card_say_so(
    mixed: Experiment, untrained_run: Callable[..., Path], tmp_path: Path, keep: bool, claim: str
):
    pytest.importorskip("onnx", reason="needs the train extra")
    run = untrained_run(replace(mixed, data=replace(mixed.data, keep_ungradable=keep)), tmp_path / "run")

    release = Grader.open(export_run(run))

    assert [limit for limit in release.opened.release.limits if limit.startswith(claim)]
    assert claim in release.opened.card
    gradable = [release.grade(Path(mixed.data.manifest).parent / name).status for name in ("00.png", "04.png")]
    assert gradable == ["graded", "ungradable"]


def test_a_resumed_run_goes_on_with_what_it_left_out_whatever_the_gate_says_now(
    mixed: Experiment, untrained_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = untrained_run(mixed, tmp_path / "run")
    shutil.rmtree(tmp_path / "cache")
    strict = replace(GRADE.task.gate, field_size=1.0)
    monkeypatch.setattr(type(GRADE.task), "gate", strict)

    train(replace(mixed, seed=1), run)

    finished = read_finished([run])
    assert (len(finished.training_rows), finished.left_out) == (8, 3)


def test_nothing_but_ungradable_photographs_is_refused_in_a_sentence(mixed: Experiment, tmp_path: Path):
    frame = read_manifest(mixed.data.manifest)
    folder = Path(shutil.copytree(Path(mixed.data.manifest).parent, tmp_path / "data"))
    frame[frame["image"].isin(NO_RETINA)].to_csv(folder / "manifest.csv", index=False)
    mixed = replace(mixed, data=replace(mixed.data, manifest=str(folder / "manifest.csv")))

    with pytest.raises(BadExperiment, match=r"got 2 \(train\) of which none is gradable \(.*: 2; 04\.png, 05"):
        train(mixed, tmp_path / "run")
    assert not RunFolder(tmp_path / "run").training_rows.exists()


@pytest.mark.parametrize("crop", ["square", "circle"])
def test_the_cache_remembers_which_are_gradable_and_asks_again_with_another_gate(
    mixed_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crop: str
):
    frame, recipe = read_manifest(mixed_manifest).iloc[:6], Recipe(side=32, crop=crop)

    def ungradable() -> list[str]:
        rows = load_rows(frame, mixed_manifest.parent, recipe, cache=tmp_path)
        stamps.append(max(stored.path.stat().st_mtime_ns for stored in rows.stored))
        return [str(image) for image, stored in zip(rows.frame["image"], rows.stored, strict=True) if stored.ungradable]

    stamps: list[int] = []
    load_rows(frame, mixed_manifest.parent, recipe, cache=tmp_path, target=None)
    assert ungradable() == ["04.png", "05.png"]
    assert ungradable() == ["04.png", "05.png"]
    assert stamps[0] == stamps[1]
    monkeypatch.setattr(type(GRADE.task), "gate", replace(GRADE.task.gate, field_size=1.0))
    assert len(ungradable()) == 6


def test_shipped_experiments_keep_training_on_every_photograph():
    """Three of IDRiD's 413 show too few vessels for the gate; published protocols leave none out."""
    assert all(read_experiment(name).data.keep_ungradable for name in shipped_experiments())
