"""From run folders to heatmaps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.heatmaps.explainers import Explainer
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.explanation.explain import overlay
from fundoscope.runtime.explanation.stored import Request, write_explained
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.runs.explainer import read_explainer, read_side_by_side


@pytest.fixture(scope="module")
def retina(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A painted retina, and beside it its mirror image."""
    photo = paint_retina(RetinaSpec(side_px=300, grade=3), rng=np.random.default_rng(2)).photo
    path = tmp_path_factory.mktemp("retina") / "eye.png"
    Image.fromarray(photo).save(path)
    Image.fromarray(photo[:, ::-1]).save(path.with_name("mirrored.png"))
    return path


@pytest.fixture(scope="module")
def mirrored_run(
    folded: Experiment, untrained_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run of a network that averages its answer with that for the mirror image."""
    mirrored = replace(folded, network=replace(folded.network, flip_average=True))
    return untrained_run(mirrored, tmp_path_factory.mktemp("mirrored") / "run")


def test_flipping_the_photograph_flips_the_map_and_keeps_the_answer(mirrored_run: Path, retina: Path):
    explainer = read_explainer([mirrored_run], ["grad-cam", "layer-cam"], layers=["blocks.2"])

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


def test_several_runs_are_explained_by_their_mean_answer(folded_runs: tuple[Path, Path], retina: Path):
    runs = folded_runs
    both, *alone = (read_explainer(some, ["grad-cam"]).explain(retina) for some in (runs, runs[:1], runs[1:]))

    np.testing.assert_allclose(both.reading.raw, np.mean([each.reading.raw for each in alone], axis=0), atol=1e-5)
    explainer = read_explainer(runs, ["grad-cam", "eigen-cam"], layers=["blocks.2"], target="cut:2")
    assert isinstance(explainer, Explainer)
    assert explainer.name.startswith("tiny (seed 1 ")
    assert explainer.request == Request(
        network=explainer.name, methods=("grad-cam", "eigen-cam"), layers=("blocks.2",), target="cut:2"
    )


def test_integrated_gradients_say_what_they_miss(folded_runs: tuple[Path, Path], retina: Path):
    methods = ["integrated-gradients", "grad-cam"]
    found = read_explainer(folded_runs[:1], methods, target="cut:2").explain(retina)

    assert found.maps["integrated-gradients"].shape == (64, 64)
    assert list(found.residuals) == ["integrated-gradients"]
    assert np.isfinite(found.residuals["integrated-gradients"])


def test_what_cannot_be_read_or_graded_is_said_and_not_explained(folded_runs: tuple[Path, Path], tmp_path: Path):
    explainer = read_explainer(folded_runs[:1], ["grad-cam"])
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "torn.png").write_bytes(b"no picture")

    black, torn = explainer.explain(tmp_path / "black.png"), explainer.explain(tmp_path / "torn.png")

    assert (black.reading.status, torn.reading.status) == ("ungradable", "unreadable")
    assert black.maps == torn.maps == {}
    assert "torn.png" in torn.reading.reason
    assert torn.pixels is None


def test_what_the_runs_cannot_answer_is_refused(
    folded: Experiment, folded_runs: tuple[Path, Path], mirrored_run: Path, tmp_path: Path
):
    run = folded_runs[0]
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "experiment.json").write_text(json.dumps(folded.to_dict()), encoding="utf-8")

    for runs, methods, options, said in (
        ([run], ["x-ray"], {}, "--method: expected among grad-cam, .* got 'x-ray'. Name another"),
        ([run], ["occlusion"], {"layers": ["blocks.2"]}, "--layer: expected beside a method that takes layers"),
        ([run], ["grad-cam"], {"target": "cut"}, "target: expected answer, expected, grade:K"),
        ([run, mirrored_run], ["grad-cam"], {}, "expected the experiment of .* got one that differs in"),
    ):
        with pytest.raises(BadRequest, match=said):
            read_explainer(runs, methods, **options)
    with pytest.raises(BadCheckpoint, match=r"final/network\.safetensors is missing; finish it"):
        read_explainer([tmp_path / "begun"], ["grad-cam"])


@pytest.fixture(scope="module")
def transformer_run(
    folded: Experiment, untrained_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run of a transformer that takes photographs in another size, cut to the field."""
    size = {"depth": 2, "embed_dim": 24, "num_heads": 2}
    network = replace(folded.network, backbone="vit_tiny_patch16_224", size=size)
    other = replace(folded, network=network, recipe=replace(folded.recipe, side=96, crop="circle"))
    return untrained_run(other, tmp_path_factory.mktemp("transformer") / "run")


def test_networks_side_by_side_are_explained_as_each_is_alone(mirrored_run: Path, transformer_run: Path, retina: Path):
    methods = ["grad-cam", "grad-rollout"]
    both = read_side_by_side([[mirrored_run], [transformer_run]], methods)
    alone = {
        "mobilenetv2_035": read_explainer([mirrored_run], methods[:1]).explain(retina),
        "vit_tiny_patch16_224": read_explainer([transformer_run], methods).explain(retina),
    }

    found = both.explain(retina)

    # A network without attention leaves out what follows attention.
    expected = {f"{label}.{name}": (each, name) for label, each in alone.items() for name in each.maps}
    assert tuple(found.maps) == tuple(expected) == both.map_names
    assert len(found.maps) == 3
    for key, (each, name) in expected.items():
        np.testing.assert_allclose(found.maps[key], each.maps[name], atol=1e-6)
        assert (found.reading_of(key).side, found.reading_of(key).placement) == (
            each.reading.side,
            each.reading.placement,
        )
        assert f"{key.partition('.')[0]}: {each.answer}" in found.answer
    assert found.reading.side == 64


def test_maps_of_other_networks_are_drawn_and_stored_by_their_own_recipe(
    mirrored_run: Path, transformer_run: Path, retina: Path, tmp_path: Path
):
    both = read_side_by_side([[mirrored_run], [transformer_run]], ["grad-cam"])

    row = write_explained(both.explain(retina), "eye.png", tmp_path, "eye", both.request, None)

    key = "vit_tiny_patch16_224.grad-cam"
    assert isinstance(both, Explainer)
    assert both.request == Request(network=both.name, methods=both.map_names, layers=(), target="answer")
    assert list(row["methods"]) == ["mobilenetv2_035.grad-cam", key]
    alone = read_explainer([transformer_run], ["grad-cam"]).explain(retina)
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / f"eye.{key}.png")), overlay(alone.reading, alone.maps["grad-cam"])
    )
    with np.load(tmp_path / "eye.npz") as stored:
        assert {name: stored[name].shape for name in stored if "field" in name} == {
            "field": (64, 64),
            "mobilenetv2_035.grad-cam.field": (64, 64),
            f"{key}.field": (96, 96),
        }


def test_networks_of_one_kind_are_told_apart_and_one_that_can_nothing_is_refused(
    mirrored_run: Path, folded_runs: tuple[Path, Path]
):
    twice = read_side_by_side([[mirrored_run], [folded_runs[0]]], ["grad-cam"])

    assert list(twice.explainers) == ["mobilenetv2_035-1", "mobilenetv2_035-2"]
    with pytest.raises(
        BadRequest, match=r"run: expected a transformer for rollout, got mobilenetv2_035\. Give a method"
    ):
        read_side_by_side([[mirrored_run]], ["rollout"])
