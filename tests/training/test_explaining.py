"""From run folders to heatmaps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from safetensors.torch import save_file

from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.explain import overlay
from fundoscope.training.config import Experiment
from fundoscope.training.explaining import read_explainer
from fundoscope.training.fit import WEIGHTS, build_network


@pytest.fixture(scope="module")
def retina(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A painted retina, and beside it its mirror image."""
    photo = paint_retina(RetinaSpec(side_px=300, grade=3), rng=np.random.default_rng(2)).photo
    path = tmp_path_factory.mktemp("retina") / "eye.png"
    Image.fromarray(photo).save(path)
    Image.fromarray(photo[:, ::-1]).save(path.with_name("mirrored.png"))
    return path


def finished(experiment: Experiment, run: Path, seed: int = 1) -> Path:
    """What explaining reads of a run folder, of a network nobody trained."""
    experiment = replace(experiment, seed=seed)
    torch.manual_seed(seed)
    network = build_network(experiment).eval()
    with torch.no_grad():
        for weight in network.head.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    (run / "final").mkdir(parents=True)
    save_file(network.state_dict(), run / "final" / WEIGHTS)
    (run / "experiment.json").write_text(json.dumps(experiment.to_dict()), encoding="utf-8")
    return run


@pytest.fixture
def mirrored(tiny: Experiment) -> Experiment:
    return replace(tiny, network=replace(tiny.network, flip_average=True))


def test_flipping_the_photograph_flips_the_map_and_keeps_the_answer(mirrored: Experiment, tmp_path: Path, retina: Path):
    explainer = read_explainer([finished(mirrored, tmp_path / "run")], ["grad-cam", "layer-cam"], layers=["blocks.2"])

    once, turned = explainer.explain(retina), explainer.explain(retina.with_name("mirrored.png"))

    assert once.reading.status == "graded"
    assert "grade" in once.answer
    assert once.answer == turned.answer
    for name, relevance in once.maps.items():
        assert relevance.shape == (8, 8)
        top = relevance.max()
        assert top > 0 or name == "grad-cam"
        np.testing.assert_allclose(turned.maps[name][:, ::-1], relevance, atol=0.15 * top)
    assert not overlay(once.reading, once.maps["layer-cam"])[0, 0, 3]


def test_several_runs_are_explained_by_their_mean_answer(tiny: Experiment, tmp_path: Path, retina: Path):
    runs = [finished(tiny, tmp_path / str(seed), seed) for seed in (1, 2)]
    both, *alone = (read_explainer(some, ["grad-cam"]).explain(retina) for some in (runs, runs[:1], runs[1:]))

    np.testing.assert_allclose(both.reading.raw, np.mean([each.reading.raw for each in alone], axis=0), atol=1e-5)
    assert read_explainer(runs, ["grad-cam"]).name.startswith("tiny (seed 1 ")


def test_integrated_gradients_say_what_they_miss(tiny: Experiment, tmp_path: Path, retina: Path):
    methods = ["integrated-gradients", "grad-cam"]
    found = read_explainer([finished(tiny, tmp_path / "run")], methods, target="cut:2").explain(retina)

    assert found.maps["integrated-gradients"].shape == (64, 64)
    assert list(found.residuals) == ["integrated-gradients"]
    assert np.isfinite(found.residuals["integrated-gradients"])


def test_what_cannot_be_read_or_graded_is_said_and_not_explained(tiny: Experiment, tmp_path: Path):
    explainer = read_explainer([finished(tiny, tmp_path / "run")], ["grad-cam"])
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "torn.png").write_bytes(b"no picture")

    black, torn = explainer.explain(tmp_path / "black.png"), explainer.explain(tmp_path / "torn.png")

    assert (black.reading.status, torn.reading.status) == ("ungradable", "unreadable")
    assert black.maps == torn.maps == {}
    assert "torn.png" in torn.reading.reason
    assert torn.pixels is None


def test_what_the_runs_cannot_answer_is_refused(tiny: Experiment, tmp_path: Path):
    run = finished(tiny, tmp_path / "run")
    other = finished(replace(tiny, network=replace(tiny.network, flip_average=True)), tmp_path / "other")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "experiment.json").write_text(json.dumps(tiny.to_dict()), encoding="utf-8")

    for runs, methods, options, said in (
        ([run], ["x-ray"], {}, "--method: expected among grad-cam, .* got 'x-ray'. Name another"),
        ([run], ["occlusion"], {"layers": ["blocks.2"]}, "--layers: expected beside a method that takes layers"),
        ([run], ["grad-cam"], {"target": "cut"}, "target: expected answer, expected, grade:K"),
        ([run, other], ["grad-cam"], {}, "expected the experiment of .* got one that differs in"),
    ):
        with pytest.raises(BadRequest, match=said):
            read_explainer(runs, methods, **options)
    with pytest.raises(BadCheckpoint, match=r"final/network\.safetensors is missing; finish it"):
        read_explainer([tmp_path / "begun"], ["grad-cam"])
