from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
pytest.importorskip("onnx", reason="needs the train extra")

from fundoscope.errors import BadRelease
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release
from fundoscope.tables import read_table
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.sections import Network
from fundoscope.training.export import graph as graph_module
from fundoscope.training.export.graph import PlainGraph, ReleaseGraph, check_parity, release_graph, run_onnx, to_onnx
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.train import train

TRANSFORMER = {"depth": 1, "embed_dim": 24, "num_heads": 2}


@pytest.fixture
def normalise(tiny) -> Normalise:
    return Normalise(tiny.recipe)


@pytest.fixture
def canvases(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("backbone", "size", "heatmap"),
    [
        ("cnn3", {}, "grad-cam"),
        ("resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}, "grad-cam"),
        ("densenet121", {"growth_rate": 4, "block_config": [1, 1, 1, 1]}, "grad-cam"),
        ("vit_tiny_patch16_224", TRANSFORMER, "none"),
        ("vgg16", {"cfg": [4, "M", 8, "M"], "num_features": 16}, "none"),
        ("mobilenetv3_small_050", {}, "none"),
    ],
)
def test_a_heatmap_is_exported_only_where_its_closed_form_holds(
    backbone: str, size: dict, heatmap: str, normalise: Normalise, canvases: np.ndarray
):
    network = GradingNetwork(Network(backbone=backbone, size=size), side=64)

    assert release_graph(network, normalise, canvases[:1]).heatmap == heatmap


@pytest.mark.parametrize("flip_average", [False, True])
def test_the_graph_without_a_heatmap_is_the_network(normalise: Normalise, canvases: np.ndarray, flip_average: bool):
    torch.manual_seed(0)
    settings = Network(
        backbone="vit_tiny_patch16_224", size=TRANSFORMER, flip_average=flip_average, second_head="softmax"
    )
    network = GradingNetwork(settings, side=64)
    graph = release_graph(network, normalise, canvases)

    model = to_onnx(graph, 64)

    given = run_onnx(model, canvases)
    assert list(given) == ["raw", "features"]
    with torch.inference_mode():
        raw, features = network.grade(normalise(torch.from_numpy(canvases)))
    np.testing.assert_allclose(given["raw"], raw.numpy(), atol=1e-5)
    np.testing.assert_allclose(given["features"], features.numpy(), atol=1e-4)
    check_parity(graph, model, canvases, "coral")


def test_parity_is_asked_of_a_graph_without_a_heatmap_too(
    normalise: Normalise, canvases: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    network = GradingNetwork(Network(backbone="vit_tiny_patch16_224", size=TRANSFORMER), side=64)
    graph = PlainGraph(network, normalise)
    with torch.inference_mode():
        raw, features = (each.numpy() for each in graph(torch.from_numpy(canvases)))

    monkeypatch.setattr(graph_module, "run_onnx", lambda *_: {"raw": raw + 2e-4, "features": features})
    with pytest.raises(BadRelease, match=r"raw outputs within 0\.0001"):
        check_parity(graph, b"", canvases, "coral")


def test_a_heatmap_forced_on_other_pooling_is_refused(normalise: Normalise, canvases: np.ndarray):
    network = GradingNetwork(Network(backbone="vit_tiny_patch16_224", size=TRANSFORMER), side=64)

    with pytest.raises(BadRelease, match="layers in between"):
        check_parity(ReleaseGraph(network, normalise), b"", canvases, "coral")


def test_a_transformer_s_release_verifies_grades_and_names_what_it_started_from(painted_manifest: Path, tmp_path: Path):
    prototypes = tmp_path / "prototypes.npz"
    np.savez(prototypes, prototypes=np.eye(5, 16, dtype=np.float32))
    experiment = experiment_from_dict(
        {
            "name": "tiny",
            "data": {
                "manifest": str(painted_manifest),
                "cache": str(tmp_path / "cache"),
                "folds": 2,
                "keep_ungradable": True,
            },
            "recipe": {"side": 64, "crop": "square"},
            "network": {
                "backbone": "vit_tiny_patch16_224",
                "size": TRANSFORMER,
                "trainable": ["last stage"],
                "head": "prototype",
                "projection": 16,
                "prototypes": str(prototypes),
            },
            "loss": {"name": "cross_entropy"},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true", "final": True, "export": True},
        },
        where="the test",
    )

    train(experiment, tmp_path / "run")

    release = json.loads((tmp_path / "run" / "release" / "release.json").read_text())
    assert release["heatmap"] == "grad-rollout"
    assert len(release["training"]["prototypes_sha256"]) == 64
    assert any("not where lesions are" in limit for limit in release["limits"])
    assert verify_release(tmp_path / "run" / "release").passed
    reading = Grader.open(tmp_path / "run" / "release").grade(painted_manifest.parent / "00.png")
    assert reading.status in ("graded", "ungradable")


def test_a_release_says_which_grades_are_left_by_patients_and_of_which_networks(painted_manifest: Path, tmp_path: Path):
    experiment = experiment_from_dict(
        {
            "name": "tiny",
            "data": {
                "manifest": str(painted_manifest),
                "cache": str(tmp_path / "cache"),
                "folds": 2,
                "keep_ungradable": True,
            },
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "cnn3"},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true", "final": True, "export": True},
        },
        where="the test",
    )

    train(experiment, tmp_path / "run")

    opened = open_release(tmp_path / "run" / "release")
    sets = opened.grade_sets
    assert sets is not None
    assert (sets.thresholds.alpha, sets.from_answer, sets.thresholds.out_of_fold) == (0.1, True, True)
    manifest = read_table(painted_manifest)
    answered = read_table(tmp_path / "run" / "out_of_fold.csv")["image"]
    assert sets.thresholds.patients == manifest[manifest["image"].isin(answered)]["patient"].nunique()
    assert set(sets.thresholds.warnings()) <= set(opened.release.limits)
    assert any("networks of folds" in limit for limit in opened.release.limits)
