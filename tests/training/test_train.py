from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from safetensors.torch import load_file

from fundoscope.decide.neighbours import Voting, neighbour_probabilities
from fundoscope.errors import BadCheckpoint, BadExperiment, BadRelease
from fundoscope.run_folder import TIMING, WEIGHTS
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.verification import verify_release
from fundoscope.tables import read_table
from fundoscope.training.batches.rows import training_rows
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.export import graph as graph_module
from fundoscope.training.export.graph import ReleaseGraph, check_parity, check_pooling
from fundoscope.training.export.release import export_run
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.runs.fits import load_network
from fundoscope.training.runs.predict import neighbours_of, run_network
from fundoscope.training.train import train


def with_(experiment: Experiment, section: str, **values: object) -> Experiment:
    changed = dataclasses.replace(getattr(experiment, section), **values)
    return dataclasses.replace(experiment, **{section: changed})


def weights(folder: Path) -> dict:
    return load_file(folder / WEIGHTS)


def same(first: dict, second: dict) -> bool:
    return all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_run_repeats_itself_and_grades_its_validation_rows(tiny: Experiment, tmp_path: Path, ema: float):
    tiny = with_(tiny, "fit", ema=ema)

    for name in ("first", "second"):
        train(tiny, tmp_path / name)

    assert same(weights(tmp_path / "first" / "final"), weights(tmp_path / "second" / "final"))
    predictions = read_table(tmp_path / "first" / "predictions.csv")
    assert len(predictions) == 4
    assert predictions[["p0", "p1", "p2", "p3", "p4"]].astype(float).sum(axis=1).to_numpy() == pytest.approx(np.ones(4))


def test_folds_give_each_photograph_to_a_network_that_never_saw_its_patient(tiny: Experiment, tmp_path: Path):
    tiny = with_(with_(tiny, "data", folds=2), "fit", epochs=1)

    train(tiny, tmp_path / "run")

    table = read_table(tmp_path / "run" / "out_of_fold.csv")
    assert len(table) == 20
    assert (table.groupby("patient")["fold"].nunique() == 1).all()
    assert len(json.loads((tmp_path / "run" / "photographs.json").read_text())) == 20


KILLED = """
import os, sys
from pathlib import Path
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.loop import module
from fundoscope.training import train as run
import json
step = module.ObjectiveModule.training_step
def deadly(self, batch, index):
    if self.global_step == 4:
        os.kill(os.getpid(), 9)
    return step(self, batch, index)
module.ObjectiveModule.training_step = deadly
run.train(experiment_from_dict(json.loads(sys.argv[1]), where="argv"), Path(sys.argv[2]))
"""


def test_a_killed_run_continues_to_the_same_weights(tiny: Experiment, tmp_path: Path):
    """Killed in the middle of the second of two epochs, which rebalances; the checkpoint is a step old."""
    tiny = with_(with_(tiny, "fit", ema=0.9, epochs=1, rebalance_epochs=1, snapshots=2), "lesions", weight=0.5)
    train(tiny, tmp_path / "whole")

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(tiny.to_dict()), str(tmp_path / "killed")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    assert not (tmp_path / "killed" / "final" / WEIGHTS).exists()
    train(tiny, tmp_path / "killed")

    whole, ended = (sorted((tmp_path / name).rglob("*.safetensors")) for name in ("whole", "killed"))
    assert [path.name for path in ended] == ["network.safetensors", "epoch000.safetensors", "epoch001.safetensors"]
    assert all(same(load_file(first), load_file(second)) for first, second in zip(whole, ended, strict=True))
    first, second = json.loads((tmp_path / "killed" / "final" / TIMING).read_text())["attempts"]
    assert (first["first_step"], first["last_step"], second["first_step"], second["last_step"]) == (0, 4, 4, 6)


def test_a_finished_part_is_not_done_again(tiny: Experiment, tmp_path: Path):
    train(tiny, tmp_path / "run")
    stamp = (tmp_path / "run" / "final" / WEIGHTS).stat().st_mtime_ns

    train(tiny, tmp_path / "run")

    assert (tmp_path / "run" / "final" / WEIGHTS).stat().st_mtime_ns == stamp


def test_a_folder_with_another_experiment_is_refused(tiny: Experiment, tmp_path: Path):
    tiny = with_(tiny, "fit", epochs=1)
    train(tiny, tmp_path / "run")

    with pytest.raises(BadCheckpoint, match=r"holds a run of another experiment \(it differs in seed\)"):
        train(dataclasses.replace(tiny, seed=7), tmp_path / "run")


def test_a_split_that_is_not_there_is_named(tiny: Experiment, tmp_path: Path):
    with pytest.raises(BadExperiment, match=r"expected rows with split in \('tune',\), found \['train', 'val'\]"):
        train(with_(tiny, "data", train=("tune",)), tmp_path / "run")


def test_frozen_parts_stay_as_they_were_loaded(tiny: Experiment, tmp_path: Path):
    from fundoscope.training.networks.grading import GradingNetwork

    tiny = with_(tiny, "network", freeze=("conv_stem", "bn1", "blocks.0"))
    torch.manual_seed(tiny.seed)
    import lightning

    lightning.seed_everything(tiny.seed, verbose=False)
    fresh = GradingNetwork(tiny.network, tiny.lesions).state_dict()

    train(tiny, tmp_path / "run")

    trained = weights(tmp_path / "run" / "final")
    kept = [key for key in trained if key.startswith(("backbone.conv_stem", "backbone.bn1", "backbone.blocks.0"))]
    assert len(kept) > 5
    assert all(torch.equal(trained[key], fresh[key]) for key in kept)
    assert not torch.equal(trained["backbone.blocks.1.0.conv_pw.weight"], fresh["backbone.blocks.1.0.conv_pw.weight"])


@pytest.fixture(scope="module")
def exported(painted_manifest: Path, tmp_path_factory: pytest.TempPathFactory):
    """A run with two folds, a final fit and a release."""
    from fundoscope.training.experiment.file import experiment_from_dict

    folder = tmp_path_factory.mktemp("exported")
    experiment = experiment_from_dict(
        {
            "name": "tiny",
            "data": {
                "manifest": str(painted_manifest),
                "cache": str(folder / "cache"),
                "folds": 2,
                "keep_ungradable": True,
            },
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "mobilenetv2_035", "flip_average": True},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true", "final": True, "export": True},
        },
        where="the test",
    )
    train(experiment, folder / "run")
    return experiment, folder / "run"


def test_a_run_that_asks_for_it_ends_in_a_release_that_verifies_and_grades(exported, painted_manifest: Path):
    _, run = exported

    assert verify_release(run / "release").passed
    reading = Grader.open(run / "release").grade(painted_manifest.parent / "00.png")
    assert reading.status in ("graded", "ungradable")


def test_the_release_names_the_photographs_it_learnt_from(exported):
    _, run = exported

    release = json.loads((run / "release" / "release.json").read_text())
    assert sorted(release["training"]["training_sha256"]) == json.loads((run / "photographs.json").read_text())
    assert release["calibration"]["temperature"] > 0


@pytest.mark.parametrize("head", ["softmax", "regression", "coral"])
def test_the_map_in_the_graph_is_grad_cam_by_autograd(tiny: Experiment, head: str, rng: np.random.Generator):
    """Against the definition: gradient of the score with respect to the last map, averaged, times the map."""
    from fundoscope.training.networks.grading import GradingNetwork

    torch.manual_seed(0)
    settings = dataclasses.replace(tiny.network, head=head, hidden=6)
    network = GradingNetwork(settings).eval()
    canvases = torch.from_numpy(rng.integers(0, 255, (3, 64, 64, 3)).astype(np.uint8))
    graph = ReleaseGraph(network, Normalise(tiny.recipe))

    raw, _, heat = graph(canvases)

    maps = network.maps(Normalise(tiny.recipe)(canvases)).detach().requires_grad_(True)
    scores = network.head(network.pool(maps))
    score = scores.max(dim=1).values if head == "softmax" else scores[:, 0]
    slopes = torch.autograd.grad(score.sum(), maps)[0].mean(dim=(2, 3), keepdim=True)
    expected = (slopes * maps).sum(dim=1).relu()
    expected = expected / expected.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    # Grad-CAM averages the gradient over cells; ours is the pooled feature's: a factor that the maximum takes out.
    torch.testing.assert_close(heat, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(raw, scores)


def test_export_fails_when_the_graph_disagrees_with_torch(exported, monkeypatch: pytest.MonkeyPatch, rng):
    experiment, run = exported
    network = load_network(experiment, run / "final")
    graph = ReleaseGraph(network, Normalise(experiment.recipe))
    canvases = rng.integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
    right = graph_module.run_onnx((run / "release" / "model.onnx").read_bytes(), canvases)

    for change, message in [
        ({"raw": right["raw"] + 2e-4}, r"raw outputs within 0\.0001"),
        ({"heatmap": rng.random(right["heatmap"].shape, np.float32)}, r"correlate >= 0\.999"),
    ]:
        monkeypatch.setattr(graph_module, "run_onnx", lambda *_, change=change: right | change)
        with pytest.raises(BadRelease, match=message):
            check_parity(graph, b"", canvases, "coral")


def test_an_unfinished_run_is_not_exported(tiny: Experiment, tmp_path: Path):
    """Of a run without folds the validation rows' predictions are what it is calibrated on."""
    tiny = with_(tiny, "fit", epochs=1)
    train(tiny, tmp_path / "run")

    with pytest.raises(BadRelease, match="expected photographs of grade 2 or above, which set the referral threshold"):
        export_run(tmp_path / "run")
    (tmp_path / "run" / "predictions.csv").unlink()
    with pytest.raises(BadCheckpoint, match=r"predictions\.csv is missing; finish it"):
        export_run(tmp_path / "run")


def test_a_backbone_with_layers_after_its_pooling_has_no_closed_form(tiny: Experiment, rng):
    """As MobileNetV3 has, which puts a convolution and a nonlinearity there."""
    from fundoscope.training.networks.grading import GradingNetwork

    network = GradingNetwork(dataclasses.replace(tiny.network, backbone="resnet18")).eval()
    canvases = rng.integers(0, 255, (1, 64, 64, 3)).astype(np.uint8)
    graph = ReleaseGraph(network, Normalise(tiny.recipe))
    check_pooling(graph, canvases)

    network.pool = lambda maps: maps.mean(dim=(2, 3)).sqrt()
    with pytest.raises(BadRelease, match="layers in between"):
        check_pooling(graph, canvases)


def test_training_stops_early_and_keeps_the_best(tiny: Experiment, tmp_path: Path):
    """A rate of next to nothing never improves, so patience ends it after the first validations."""
    tiny = with_(tiny, "fit", epochs=9, patience=2, keep="best")

    train(with_(tiny, "optimiser", rate=1e-12), tmp_path / "run")

    log = pd.read_csv(tmp_path / "run" / "final" / "log" / "metrics.csv")
    assert log["val/kappa"].count() == 3
    best = torch.load(tmp_path / "run" / "final" / "checkpoints" / "best.ckpt", weights_only=True)
    kept = weights(tmp_path / "run" / "final")
    assert torch.equal(kept["head.biases"], best["state_dict"]["objective.network.head.biases"])


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_accumulated_passes_make_one_step(tiny: Experiment, tmp_path: Path, name: str):
    tiny = with_(with_(tiny, "fit", epochs=1, batch=4, accumulate=5), "optimiser", name=name, warmup=0.0)

    train(tiny, tmp_path / "run")

    timing = json.loads((tmp_path / "run" / "final" / TIMING).read_text())
    assert timing["photographs"] == 20
    assert [each["last_step"] for each in timing["attempts"]] == [1]


def test_out_of_fold_votes_are_those_of_the_other_folds_photographs(tiny: Experiment, tmp_path: Path):
    """Graded by the nearest: each row's probabilities are votes of 3 of the fold's training photographs."""
    tiny = with_(with_(with_(tiny, "data", folds=2), "fit", epochs=1), "release", neighbours=3)

    train(tiny, tmp_path / "run")

    table = read_table(tmp_path / "run" / "out_of_fold.csv")
    thirds = 3 * table[["p0", "p1", "p2", "p3", "p4"]].astype(float).to_numpy()
    assert thirds == pytest.approx(np.rint(thirds), abs=1e-6)
    rows = training_rows(tiny, ("train",), lambda line: None)
    fold = rows.frame["image"].map(dict(zip(table["image"], table["fold"], strict=True))).to_numpy(int)
    network = load_network(tiny, tmp_path / "run" / "fold0")
    held_out, others = rows.take(np.flatnonzero(fold == 0)), rows.take(np.flatnonzero(fold != 0))
    expected = neighbour_probabilities(
        run_network(network, tiny, held_out).features, neighbours_of(network, tiny, others), Voting(k=3)
    )
    mine = table[table["fold"].astype(int) == 0].set_index("image").loc[held_out.frame["image"]]
    assert mine[["p0", "p1", "p2", "p3", "p4"]].astype(float).to_numpy() == pytest.approx(expected, abs=1e-6)
