"""A fit that leaves the finite numbers stops with a sentence, and nothing that is kept holds such a number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from safetensors.torch import load_file, save_file

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.run_folder import RunFolder
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.module import not_finite
from fundoscope.training.objectives.supervised import Supervised
from fundoscope.training.runs.fits import load_network
from fundoscope.training.train import train


@pytest.fixture
def quick(tiny: Experiment) -> Experiment:
    return replace(tiny, network=replace(tiny.network, backbone="cnn3"))


def test_a_loss_that_is_no_number_stops_the_fit_and_keeps_the_checkpoint_before(
    quick: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    step = Supervised.step

    def poisoned(self: Supervised, batch: Any, progress: Any, *, turn: int = 0) -> dict[str, Any]:
        losses = step(self, batch, progress, turn=turn)
        return losses if progress.step < 4 else {name: loss * float("nan") for name, loss in losses.items()}

    monkeypatch.setattr(Supervised, "step", poisoned)

    with pytest.raises(
        BadExperiment, match=r"got a loss of nan in epoch 2, after 4 steps\. The last checkpoint before is"
    ):
        train(quick, tmp_path / "run")
    final = RunFolder(tmp_path / "run").final
    assert not final.weights.exists()
    kept = torch.load(final.last_checkpoint, weights_only=True)
    assert kept["global_step"] == 4
    assert all(torch.isfinite(value).all() for value in kept["state_dict"].values() if value.is_floating_point())


@pytest.mark.parametrize("at", [2, 5])
def test_weights_that_are_no_numbers_are_neither_kept_nor_validated(
    quick: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
):
    """A finite loss may have gradients that are not; after an epoch's last step nothing would show it."""
    after_step = Supervised.after_step

    def poisoned(self: Supervised, progress: Any) -> None:
        after_step(self, progress)
        if progress.step >= at:
            with torch.no_grad():
                next(self.network.head.parameters()).mul_(float("nan"))

    monkeypatch.setattr(Supervised, "after_step", poisoned)

    with pytest.raises(BadExperiment, match=r"got weights that are no finite numbers \(head\.biases\) in epoch"):
        train(quick, tmp_path / "run")
    assert not RunFolder(tmp_path / "run").final.weights.exists()


def test_a_rate_that_diverges_ends_in_that_sentence(quick: Experiment, tmp_path: Path):
    fast = replace(quick.optimiser, name="sgd", rate=1e30, warmup=0.0)

    with pytest.raises(
        BadExperiment, match=r"training: expected finite losses and weights, got .*Lower optimiser\.rate"
    ):
        train(replace(quick, optimiser=fast), tmp_path / "run")
    assert not RunFolder(tmp_path / "run").final.weights.exists()


def test_no_release_is_made_of_weights_that_are_no_numbers(quick: Experiment, untrained_run: Any, tmp_path: Path):
    final = RunFolder(untrained_run(quick, tmp_path / "run", seed=quick.seed)).final
    state = load_file(final.weights)
    state["head.biases"][1] = float("inf")
    save_file(state, final.weights)

    with pytest.raises(BadCheckpoint, match=r"expected finite weights, got NaN or infinity in 1 of .*head\.biases"):
        load_network(quick, final.path)


def test_the_first_tensor_that_is_not_finite_is_named():
    norm = torch.nn.BatchNorm2d(2)

    assert not not_finite(norm)
    norm.running_var[0] = float("nan")
    assert not_finite(norm) == "running_var"
