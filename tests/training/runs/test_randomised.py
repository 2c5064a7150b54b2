from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from safetensors.torch import load_file

from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.run_folder import WEIGHTS
from fundoscope.tables import read_table
from fundoscope.training.batches.rows import training_rows
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.runs import randomised as certifying
from fundoscope.training.runs.fits import build_network
from fundoscope.training.runs.randomised import (
    FoldNetworks,
    cascade,
    maps_by,
    read_cross_validated_runs,
    read_method,
    score_by,
    shuffled,
    shuffled_network,
    stage_layers,
)


@pytest.fixture
def own_run(folded_runs: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of a run, for tests that write into it."""
    return shutil.copytree(folded_runs[0], tmp_path / "own")


@pytest.fixture
def canvases() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)


def test_the_networks_of_a_fold_are_one_of_each_run_and_their_mean_is_explained(folded_runs, canvases):
    found = read_cross_validated_runs(folded_runs)

    assert found.folds == (0, 1)
    held = FoldNetworks(found, each_seed=True)
    networks = held.networks(1)
    assert len(networks) == 2
    assert held.networks(1) is networks, "loaded once"
    for network, run in zip(networks, folded_runs, strict=True):
        weights = load_file(run / "fold1" / WEIGHTS)
        assert all(torch.equal(weight, weights[name]) for name, weight in network.state_dict().items())
    judge = held.evaluator(1, "grad-cam", list(canvases))
    assert judge.maps(canvases).shape == (3, 2, 2)
    assert judge.score(canvases).shape == (3,)
    alone = [maps(canvases) for maps in judge.seeds]
    assert not np.allclose(alone[0], alone[1])
    assert judge.shuffled is None
    one = [score_by([network], found.experiment)(canvases) for network in networks]
    both = judge.score(canvases)
    assert (both >= np.minimum(*one) - 1e-6).all()
    assert (both <= np.maximum(*one) + 1e-6).all()
    assert not any(np.allclose(both, alone) for alone in one)


def test_randomising_goes_from_the_head_to_the_first_layer_and_leaves_the_networks_alone(folded, folded_runs, canvases):
    network = read_cross_validated_runs(folded_runs[:1]).networks(0)[0]
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    changed = []

    for name, copies in cascade([network], folded, canvases, seed=3):
        now = copies[0].state_dict()
        changed.append((name, {key for key in before if not torch.equal(before[key], now[key])}))
        assert all(torch.isfinite(weight).all() for weight in now.values())

    assert all(torch.equal(before[name], weight) for name, weight in network.state_dict().items())
    assert [changed[0][0], changed[-1][0]] == ["head", "conv_stem"]
    assert all(key.startswith("head.") for key in changed[0][1])
    assert all(earlier <= later for (_, earlier), (_, later) in itertools.pairwise(changed))
    weights = {name for name, weight in network.named_parameters() if weight.ndim >= 2}
    assert weights <= changed[-1][1]


def test_a_wholly_randomised_network_still_tells_photographs_apart_and_is_drawn_by_its_seed(
    folded, folded_runs, canvases
):
    found = read_cross_validated_runs(folded_runs[:1])
    networks, method = found.networks(0), read_method("grad-cam:blocks.2")

    def last(seed: int) -> np.ndarray:
        ((_, copies),) = cascade(networks, folded, canvases, seed=seed, every=False)
        return maps_by(copies, folded, method)(canvases)

    first = last(0)
    np.testing.assert_array_equal(first, last(0))
    assert not np.allclose(first, last(1))
    assert np.ptp(first[0]) > 0
    held = FoldNetworks(found, every_stage=False)
    stages = [
        maps(canvases)
        for _ in range(2)
        for _, maps in held.evaluator(0, "grad-cam:blocks.2", list(canvases)).randomised()
    ]
    np.testing.assert_array_equal(stages[0], first)
    np.testing.assert_array_equal(stages[1], first)


def test_shuffled_grades_are_the_same_grades_on_other_photographs_and_their_lesions_go_along(folded):
    rows = training_rows(replace(folded, lesions=replace(folded.lesions, weight=0.5)), ("train",), lambda _: None)

    other = shuffled(rows, 0)

    assert sorted(other.grades) == sorted(rows.grades)
    assert (other.grades != rows.grades).any()
    assert other.stored == rows.stored
    order = np.random.default_rng(0).permutation(len(rows))
    assert rows.lesions is not None
    assert other.lesions is not None
    assert all(other.lesions[at] is rows.lesions[order[at]] for at in range(len(rows)))


def test_the_network_that_learnt_shuffled_grades_is_trained_once_for_its_budget(own_run):
    found = read_cross_validated_runs([own_run])

    fold, network = shuffled_network(found, epochs=1)

    (folder,) = own_run.glob("shuffled-*")
    assert (fold, folder.name) == (0, "shuffled-fold0-epochs1-seed0")
    written = (folder / WEIGHTS).stat().st_mtime_ns
    again = shuffled_network(found, epochs=1)[1]
    assert (folder / WEIGHTS).stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_the_network_of_shuffled_grades_learns_from_the_other_folds_alone(folded, folded_runs, monkeypatch):
    """For the budget asked for, not the experiment's; its fold's photographs it never sees, so it may judge them."""
    given = []

    def remembered(experiment, rows, *_, **__):
        given.append((experiment, rows))
        return build_network(experiment).eval()

    monkeypatch.setattr(certifying, "fit_network", remembered)
    found = read_cross_validated_runs(folded_runs)

    fold, network = shuffled_network(found, epochs=5)

    ((experiment, rows),) = given
    others = found.table[found.table["fold"] != fold]
    assert (fold, experiment.fit.epochs) == (0, 5)
    assert sorted(rows.frame["image"]) == sorted(others["image"])
    listed = read_table(found.manifest).set_index("image")["grade"].loc[rows.frame["image"]].to_numpy(int)
    assert sorted(rows.grades) == sorted(listed)
    assert (rows.grades != listed).any()
    held = FoldNetworks(found, shuffled=(fold, network))
    canvases = [rows.stored[0].canvas()]
    assert held.evaluator(0, "grad-cam", canvases).shuffled is not None
    assert held.evaluator(1, "grad-cam", canvases).shuffled is None, "which learnt from that fold's photographs"


def test_runs_that_are_not_cross_validated_alike_are_refused(
    folded: Experiment,
    folded_runs: tuple[Path, Path],
    own_run: Path,
    untrained_run: Callable[..., Path],
    tmp_path: Path,
):
    first, same = own_run, shutil.copytree(folded_runs[0], tmp_path / "again")
    other = untrained_run(replace(folded, fit=replace(folded.fit, epochs=9)), tmp_path / "other", seed=2)
    moved = shutil.copytree(folded_runs[1], tmp_path / "moved")
    table = pd.read_csv(moved / "out_of_fold.csv")
    table.assign(fold=1 - table["fold"]).to_csv(moved / "out_of_fold.csv", index=False)

    with pytest.raises(BadRequest, match="expected another seed than the others', got 1 again"):
        read_cross_validated_runs([first, same])
    with pytest.raises(BadRequest, match=r"with another seed, got one that differs in fit\.epochs"):
        read_cross_validated_runs([first, other])
    with pytest.raises(BadRequest, match="expected runs with the same photographs in the same folds"):
        read_cross_validated_runs([first, moved])
    (first / "fold1" / WEIGHTS).unlink()
    with pytest.raises(BadCheckpoint, match=r"fold1/network\.safetensors is missing; finish it"):
        read_cross_validated_runs([first])
    values = json.loads((same / "experiment.json").read_text()) | {"data": folded.to_dict()["data"] | {"folds": 0}}
    (same / "experiment.json").write_text(json.dumps(values))
    with pytest.raises(BadCheckpoint, match=r"expected a run with folds, .* got data\.folds = 0"):
        read_cross_validated_runs([same])


def test_a_method_is_named_with_its_layers(folded):
    fused = read_method("layer-cam:blocks.2+blocks.4")

    assert (fused.name, fused.layers) == ("layer-cam", ("blocks.2", "blocks.4"))
    assert read_method("grad-cam").layers == ()
    layers = stage_layers(build_network(folded))
    assert layers[-1] == "last"
    assert len(layers) >= 5
    with pytest.raises(BadRequest, match=r"--method: expected among grad-cam, .*, got 'gradcam'"):
        read_method("gradcam")
