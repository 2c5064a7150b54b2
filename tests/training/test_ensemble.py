from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
pytest.importorskip("onnx", reason="needs the train extra")

from safetensors.torch import save_file
from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.data.split import fold_by_patient
from fundoscope.decide.heads import expected_grade, probabilities
from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release
from fundoscope.tables import read_table, write_table
from fundoscope.training.config import Experiment
from fundoscope.training.ensemble import read_finished
from fundoscope.training.export import CHOSEN_LIMIT, export_run
from fundoscope.training.fit import WEIGHTS, build_network
from fundoscope.training.graph import HALF_TOLERANCE, ReleaseGraph
from fundoscope.training.objectives.supervised import Normalise
from fundoscope.training.predict import answer
from fundoscope.training.run import note_photographs, training_rows


def finished(experiment: Experiment, run: Path, seed: int) -> Path:
    """A run folder as training leaves it, of a network nobody trained: only what exporting reads is of interest."""
    experiment = replace(experiment, seed=seed)
    torch.manual_seed(seed)
    network = build_network(experiment).eval()
    with torch.no_grad():
        for weight in network.head.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    (run / "final").mkdir(parents=True)
    save_file(network.state_dict(), run / "final" / WEIGHTS)
    (run / "experiment.json").write_text(json.dumps(experiment.to_dict()), encoding="utf-8")
    rows = training_rows(experiment, ("train",), lambda _: None)
    note_photographs(rows, run)
    folds = fold_by_patient(rows.frame, folds=2)["fold"].to_numpy(int)
    tables = [answer(network, experiment, rows, rows.take(np.flatnonzero(folds == k)), fold=k) for k in (0, 1)]
    write_table(pd.concat(tables, ignore_index=True), run / "out_of_fold.csv")
    return run


@pytest.fixture
def folded(tiny: Experiment) -> Experiment:
    return replace(tiny, data=replace(tiny.data, folds=2))


def two_runs(experiment: Experiment, folder: Path) -> list[Path]:
    return [finished(experiment, folder / f"s{seed}", seed) for seed in (1, 2)]


@pytest.mark.parametrize(("head", "loss"), [("coral", "coral"), ("softmax", "cross_entropy")])
def test_the_release_of_two_runs_answers_the_mean_of_both_and_shows_what_moved_it(
    folded: Experiment, tmp_path: Path, head: str, loss: str
):
    experiment = replace(folded, network=replace(folded.network, head=head), loss=replace(folded.loss, name=loss))
    runs = two_runs(experiment, tmp_path)
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


def test_held_out_predictions_are_matched_by_photograph_and_calibrated_across_folds(folded: Experiment, tmp_path: Path):
    runs = two_runs(folded, tmp_path)
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


def test_of_one_network_nothing_is_averaged(folded: Experiment, tmp_path: Path):
    run = finished(folded, tmp_path / "s1", 1)
    network = read_finished([run]).networks[0]

    alone = ReleaseGraph(network, Normalise(folded.recipe))

    twice = ReleaseGraph([network, network], Normalise(folded.recipe))
    canvases = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for one, both in zip(alone(canvases)[::2], twice(canvases)[::2], strict=True):
            torch.testing.assert_close(one, both)


def test_runs_that_are_not_one_experiment_are_not_averaged(folded: Experiment, tmp_path: Path):
    first = finished(folded, tmp_path / "s1", 1)
    same = finished(folded, tmp_path / "again", 1)
    other = finished(replace(folded, fit=replace(folded.fit, epochs=3)), tmp_path / "other", 2)
    voting = replace(folded, release=replace(folded.release, neighbours=3))
    voters = [finished(voting, tmp_path / f"v{seed}", seed) for seed in (1, 2)]

    with pytest.raises(BadRequest, match=r"another seed, got one that differs in fit\.epochs"):
        read_finished([first, other])
    with pytest.raises(BadRequest, match=r"again: expected another seed than the others', got 1 again"):
        read_finished([first, same])
    with pytest.raises(BadRequest, match=r"expected runs whose head grades, got release\.neighbours = 3"):
        read_finished(voters)
    with pytest.raises(BadRequest, match="expected the folder of the release of several runs"):
        export_run([first, other])


def test_runs_with_other_folds_or_photographs_are_not_averaged(folded: Experiment, tmp_path: Path):
    runs = two_runs(folded, tmp_path)
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


def test_half_the_bits_are_half_the_file_and_the_same_answers(folded: Experiment, tmp_path: Path):
    chosen = replace(folded, fit=replace(folded.fit, keep="best"))
    runs = two_runs(chosen, tmp_path)

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
        whole = ReleaseGraph(networks, Normalise(folded.recipe))(torch.from_numpy(opened.golden["canvases"]))[0].numpy()
    assert 0 < np.abs(whole - opened.golden["raw"]).max() < HALF_TOLERANCE
    assert opened.golden["raw"].dtype == np.float32
    assert CHOSEN_LIMIT in opened.release.limits, "its epoch was chosen on what it is calibrated on"
