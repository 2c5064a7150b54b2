"""A run's folds grade as the release of the run would, each the photographs that its networks never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")
pytest.importorskip("onnx", reason="needs onnx (the train extra)")

from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.evaluation.stress.measure import System
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.recipe import prepare
from fundoscope.run_folder import RunFolder
from fundoscope.tables import read_table
from fundoscope.training.batches.cache import Stored, recipe_key
from fundoscope.training.export.out_of_fold import OutOfFoldSystem, open_out_of_fold


@pytest.fixture(scope="module")
def system(folded_runs: tuple[Path, Path]) -> OutOfFoldSystem:
    return open_out_of_fold(folded_runs)


@pytest.fixture
def retina() -> np.ndarray:
    return paint_retina(RetinaSpec(side_px=256, grade=3), rng=np.random.default_rng(4)).photo


def test_every_photograph_has_the_fold_that_held_it_out(system, folded_runs):
    table = read_table(RunFolder(folded_runs[0]).out_of_fold)

    assert dict(system.folds) == dict(zip(table["sha256"], table["fold"].astype(int), strict=True))
    assert isinstance(system, System)
    assert "out-of-fold@" in system.name


def test_raw_outputs_are_the_mean_of_the_runs_out_of_fold_predictions(system, folded, folded_runs):
    tables = [read_table(RunFolder(run).out_of_fold).set_index("sha256") for run in folded_runs]
    sha256 = list(tables[0].index)[3]
    fold = int(tables[0].loc[sha256, "fold"])
    cache = Path(folded.data.cache) / recipe_key(folded.recipe)
    canvas = Stored(cache / f"{sha256[:32]}.npz", sha256).canvas()

    raw = system.graders[fold]._network.run(canvas[None]).raw[0]

    names = [f"raw{number}" for number in range(len(raw))]
    assert raw == pytest.approx(
        np.mean([table.loc[sha256, names].to_numpy(float) for table in tables], axis=0), abs=1e-4
    )


def test_the_two_folds_have_networks_and_calibrations_of_their_own(system, retina):
    first, second = (system.grade(retina, fold) for fold in (0, 1))
    temperatures = [system.graders[fold].opened.release.calibration["temperature"] for fold in (0, 1)]

    assert first["raw0"] != second["raw0"]
    assert temperatures[0] != temperatures[1]
    assert first["release"] == second["release"] == system.name
    assert first["status"] == "graded"


def test_what_a_fold_learnt_from_is_the_others_photographs(system):
    for fold, grader in system.graders.items():
        learnt = set(grader.opened.release.training["training_sha256"])

        assert learnt == {sha256 for sha256, of in system.folds.items() if of != fold}


def test_pictures_pass_the_gate_of_a_release_first(system):
    answer = system.grade(np.zeros((120, 120, 3), np.uint8), 0)

    assert answer["status"] == "ungradable"
    assert answer["grade"] is None


def test_there_is_no_answer_without_a_fold(system, retina):
    with pytest.raises(ValueError, match=r"fold must be one of \[0, 1\], got None"):
        system.grade(retina, None)


def test_runs_without_folds_or_of_other_tasks_are_refused(tiny, folded, folded_runs, untrained_run, tmp_path: Path):
    run = untrained_run(tiny, tmp_path / "run")
    with pytest.raises(BadCheckpoint, match="expected a run with folds"):
        open_out_of_fold([run])
    with pytest.raises(BadRequest, match="expected another seed than the others', got 1 again"):
        open_out_of_fold([folded_runs[0], folded_runs[0]])


def test_preparation_is_that_of_the_runs_recipe(system, folded, retina):
    canvas = prepare(retina, folded.recipe).canvas

    assert system.decode_px == folded.recipe.decode_px
    assert system.graders[0]._network.run(canvas[None]).raw[0].tolist() == pytest.approx(
        [system.grade(retina, 0)[f"raw{number}"] for number in range(4)], abs=1e-5
    )


def test_a_release_of_other_runs_is_told_from_that_of_these(system, folded_runs, tmp_path):
    training = {
        "training_sha256": list(system.folds),
        "backbone": system.backbone,
        "networks": [{"seed": seed} for seed in (1, 2)],
    }
    theirs = replace(system.graders[0].opened.release, training=training)

    assert system.differences(theirs) == []
    of_one_run = replace(theirs, training={**training, "networks": [{"seed": 1}]})
    assert system.differences(of_one_run) == ["networks"]
    other = replace(theirs, head="softmax", training={**training, "backbone": "another"})
    assert system.differences(other) == ["head", "backbone"]
    assert system.differences(system.graders[0].opened.release) == ["training photographs", "backbone", "networks"]
