from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
pytest.importorskip("onnx", reason="needs the train extra")

from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.decide.heads import expected_grade, probabilities
from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release
from fundoscope.tables import read_table, write_table
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.export.claims import CHOSEN_LIMIT
from fundoscope.training.export.graph import HALF_TOLERANCE, ReleaseGraph
from fundoscope.training.export.release import export_run
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.runs.ensemble import read_finished


@pytest.fixture(scope="module")
def small(folded: Experiment) -> Experiment:
    """Three convolutions, which are exported in a tenth of the time."""
    return replace(folded, network=replace(folded.network, backbone="cnn3"))


@pytest.fixture(scope="module")
def two_runs(
    small: Experiment, untrained_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Two seeds of it, for tests that only read."""
    folder = tmp_path_factory.mktemp("runs")
    return [untrained_run(small, folder / f"s{seed}", seed=seed) for seed in (1, 2)]


@pytest.fixture
def own_runs(two_runs: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of them, for tests that change one."""
    return [shutil.copytree(run, tmp_path / "own" / run.name) for run in two_runs]


@pytest.mark.parametrize(("head", "loss"), [("coral", "coral"), ("softmax", "cross_entropy")])
def test_the_release_of_two_runs_answers_the_mean_of_both_and_shows_what_moved_it(
    small: Experiment, untrained_run: Callable[..., Path], tmp_path: Path, head: str, loss: str
):
    experiment = replace(small, network=replace(small.network, head=head), loss=replace(small.loss, name=loss))
    runs = [untrained_run(experiment, tmp_path / f"s{seed}", seed=seed) for seed in (1, 2)]
    held_out = tmp_path / "held_out.csv"

    export_run(runs, tmp_path / "mean", held_out=held_out)

    opened = open_release(tmp_path / "mean")
    assert verify_release(opened.path).passed
    alone = [read_finished([run]).networks[0] for run in runs]
    canvases = opened.golden["canvases"]
    pictures = Normalise(experiment.recipe)(torch.from_numpy(canvases))
    maps = [network.maps(pictures).detach().requires_grad_() for network in alone]
    raws = [network.head(network.pool(each)) for network, each in zip(alone, maps, strict=True)]
    mean = (raws[0] + raws[1]) / 2
    np.testing.assert_allclose(opened.golden["raw"], mean.detach().numpy(), atol=1e-4)
    score = mean.sum() if head == "coral" else mean.max(dim=1).values.sum()
    slopes = torch.autograd.grad(score, maps)
    heat = sum((each * slope).sum(dim=1) for each, slope in zip(maps, slopes, strict=True)).relu().detach().numpy()
    heat /= np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-6)
    np.testing.assert_allclose(opened.golden["heatmap"], heat, atol=1e-3)
    assert opened.golden["features"].shape[1] == 2 * alone[0].features
    told = read_table(held_out).set_index("image")
    first, second = (read_table(run / "out_of_fold.csv").set_index("image").loc[told.index] for run in runs)
    np.testing.assert_allclose(told["raw0"], (first["raw0"] + second["raw0"]) / 2)
    assert [each["seed"] for each in opened.release.training["networks"]] == [1, 2]
    assert "(mean of 2 networks)" in opened.card
    assert opened.release.training["experiment"]["data"]["manifest"] == "manifest.csv", "not where it lay"
    assert CHOSEN_LIMIT not in opened.release.limits


def test_held_out_predictions_are_matched_by_photograph_and_calibrated_across_folds(own_runs: list[Path]):
    runs = own_runs
    expected = read_finished(runs).answers
    table = read_table(runs[1] / "out_of_fold.csv")

    write_table(table.iloc[::-1], runs[1] / "out_of_fold.csv")

    found = read_finished(runs).answers
    pd.testing.assert_frame_equal(found, expected)
    shares = found[[f"p{k}" for k in range(5)]].to_numpy(float)
    raw = found[[f"raw{k}" for k in range(4)]].to_numpy(float)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert not np.allclose(shares, probabilities("coral", raw)), "each fold has the other's temperature"
    assert expected_grade(shares).shape == (len(found),)
    assert set(found["decision"]) <= {"refer", "rescreen"}


def test_of_one_network_nothing_is_averaged(small: Experiment, two_runs: list[Path]):
    network = read_finished(two_runs[:1]).networks[0]

    alone = ReleaseGraph(network, Normalise(small.recipe))

    twice = ReleaseGraph([network, network], Normalise(small.recipe))
    canvases = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for one, both in zip(alone(canvases)[::2], twice(canvases)[::2], strict=True):
            torch.testing.assert_close(one, both)


def test_runs_that_are_not_one_experiment_are_not_averaged(
    small: Experiment, two_runs: list[Path], untrained_run: Callable[..., Path], tmp_path: Path
):
    first = two_runs[0]
    same = shutil.copytree(first, tmp_path / "again")
    other = untrained_run(replace(small, fit=replace(small.fit, epochs=3)), tmp_path / "other", seed=2)
    voting = replace(small, release=replace(small.release, neighbours=3))
    voters = [untrained_run(voting, tmp_path / f"v{seed}", seed=seed) for seed in (1, 2)]

    with pytest.raises(BadRequest, match=r"another seed, got one that differs in fit\.epochs"):
        read_finished([first, other])
    with pytest.raises(BadRequest, match=r"again: expected another seed than the others', got 1 again"):
        read_finished([first, same])
    with pytest.raises(BadRequest, match=r"expected runs whose head grades, got release\.neighbours = 3"):
        read_finished(voters)
    with pytest.raises(BadRequest, match="expected the folder of the release of several runs"):
        export_run([first, other])


def test_runs_with_other_folds_or_photographs_are_not_averaged(own_runs: list[Path]):
    runs = own_runs
    table = read_table(runs[1] / "out_of_fold.csv")

    write_table(table.assign(fold=1 - table["fold"]), runs[1] / "out_of_fold.csv")
    with pytest.raises(BadRequest, match="expected runs with the same folds"):
        read_finished(runs)
    write_table(table.iloc[1:], runs[1] / "out_of_fold.csv")
    with pytest.raises(BadRequest, match="held out the same photographs"):
        read_finished(runs)
    (runs[1] / "photographs.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BadRequest, match="runs on the same photographs"):
        read_finished(runs)
    (runs[1] / "out_of_fold.csv").unlink()
    with pytest.raises(BadCheckpoint, match=r"out_of_fold\.csv is missing; finish it"):
        read_finished(runs)


def test_half_the_bits_are_half_the_file_and_the_same_answers(
    small: Experiment, untrained_run: Callable[..., Path], tmp_path: Path
):
    chosen = replace(small, fit=replace(small.fit, keep="best"))
    runs = [untrained_run(chosen, tmp_path / f"s{seed}", seed=seed) for seed in (1, 2)]

    result = CliRunner().invoke(
        app, ["export", *map(str, runs), "--out", str(tmp_path / "r"), "--half", "--held-out", str(tmp_path / "h.csv")]
    )

    assert result.exit_code == 0, result.output
    assert verify_release(tmp_path / "r").passed
    assert len(read_table(tmp_path / "h.csv")) == 20
    opened, networks = open_release(tmp_path / "r"), read_finished(runs).networks
    stored = sum(weight.numel() for each in networks for weight in each.state_dict().values())
    assert len(opened.model) < 0.6 * 4 * stored
    with torch.inference_mode():
        whole = ReleaseGraph(networks, Normalise(small.recipe))(torch.from_numpy(opened.golden["canvases"]))[0].numpy()
    assert 0 < np.abs(whole - opened.golden["raw"]).max() < HALF_TOLERANCE
    assert opened.golden["raw"].dtype == np.float32
    assert CHOSEN_LIMIT in opened.release.limits, "its epoch was chosen on what it is calibrated on"
