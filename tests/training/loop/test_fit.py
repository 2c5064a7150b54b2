"""The loop runs an objective that it does not know: two optimisers, a teacher, noise, and no labels."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from safetensors.torch import load_file
from torch import Tensor, nn

from fundoscope.data.manifest import read_manifest
from fundoscope.photo.recipe import Recipe
from fundoscope.run_folder import WEIGHTS
from fundoscope.training.batches.items import Batch, Shown, TrainingDataset
from fundoscope.training.batches.loader import Batches, ResumableLoader
from fundoscope.training.batches.rows import Rows, load_rows
from fundoscope.training.experiment.sections import Fit
from fundoscope.training.loop.fit import fit
from fundoscope.training.loop.module import ObjectiveModule
from fundoscope.training.objectives.objective import Monitor, Objective, Optimisation, Progress

SIDE = 16


@dataclass(frozen=True)
class MaskedViews:
    """A photograph beside a copy of it that has lost a quarter; nothing of its grade."""

    seed: int
    mixes: bool = False

    def item(self, rows: Rows, place: Shown) -> dict[str, Any]:
        canvas = rows.stored[place.row].canvas()
        rng = np.random.default_rng([self.seed, place.epoch, place.row, place.repeat])
        masked = canvas.copy()
        down, right = SIDE // 2 * rng.integers(0, 2, 2)
        masked[down : down + SIDE // 2, right : right + SIDE // 2] = 0
        return {"canvas": canvas, "masked": masked}


class AdversarialAutoencoder(Objective):
    """Restores photographs against a critic, and follows itself with a teacher: an average of its weights.

    The autoencoder's optimiser has the first turn, the critic's the second. Dropout and noise are drawn by torch.
    """

    def __init__(self, *, epochs: int, seed: int = 3) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Linear(3 * SIDE * SIDE, 12), nn.Dropout(0.5), nn.Linear(12, 3 * SIDE * SIDE))
        self.critic = nn.Linear(3 * SIDE * SIDE, 1)
        self.teacher = nn.Linear(3 * SIDE * SIDE, 12)
        self.teacher.load_state_dict(self.network[0].state_dict())
        self.teacher.requires_grad_(False)
        self.register_buffer("centre", torch.zeros(12))
        self.views, self.epochs, self.monitor = MaskedViews(seed), epochs, Monitor("val/error", "min")
        self.turns: list[tuple[int, bool, bool]] = []
        self.progress: list[Progress] = []

    def optimisers(self, steps_per_epoch: int) -> Sequence[Optimisation]:
        return [
            Optimisation(torch.optim.AdamW(self.network.parameters(), lr=2e-3), lambda step: 0.5 ** (step // 20)),
            Optimisation(torch.optim.SGD(self.critic.parameters(), lr=1e-2), lambda step: 1.0),
        ]

    def step(self, batch: Batch, progress: Progress, *, turn: int = 0) -> dict[str, Tensor]:
        self.turns.append((turn, self.critic.weight.requires_grad, self.network[0].weight.requires_grad))
        whole, restored = flat(batch["canvas"]), self.network(flat(batch["masked"]))
        if turn == 1:
            noisy = whole + 0.01 * torch.randn_like(whole)
            return {"loss": (self.critic(restored.detach()) - self.critic(noisy)).mean()}
        distance = (self.teacher(whole) - self.network[0](whole) - self.centre).square().mean()
        error = (restored - whole).square().mean()
        return {"loss": error + distance - 0.01 * self.critic(restored).mean(), "error": error.detach()}

    def after_step(self, progress: Progress) -> None:
        self.progress.append(progress)
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), self.network[0].parameters(), strict=True):
                slow.lerp_(fast, 0.1)
            self.centre.lerp_(self.network[0].bias.detach(), 0.5)

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        whole = flat(batch["canvas"])
        return {"error": (self.network(whole) - whole).square().mean(dim=1)}

    def validation_figures(self, outputs: Any) -> dict[str, float]:
        return {"val/error": float(outputs["error"].mean()), "val/photographs": float(len(outputs["error"]))}


def flat(canvases: Tensor) -> Tensor:
    return canvases.float().flatten(1) / 255  # (photo, side, side, 3) -> (photo, side * side * 3)


@pytest.fixture(scope="module")
def unlabelled(painted_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """22 photographs that nothing is known of."""
    frame = read_manifest(painted_manifest).drop(columns=["grade", "boxes"]).iloc[:22]
    cache = tmp_path_factory.mktemp("cache")
    return load_rows(frame, painted_manifest.parent, Recipe(side=SIDE, crop="square"), cache=cache, target=None)


def settings(**values: Any) -> Fit:
    return dataclasses.replace(Fit(batch=8, precision="32-true", checkpoint_steps=1), **values)


def batches_of(objective: Objective, rows: Rows, *, batch: int = 8, validated: bool = True) -> Batches:
    held_out = rows.take(np.arange(5))
    validation = torch.utils.data.DataLoader([{"canvas": stored.canvas()} for stored in held_out.stored], batch_size=2)
    loader = ResumableLoader(TrainingDataset(rows, objective.views), batch=batch)
    return Batches(loader, validation if validated else None)


def test_both_optimisers_take_their_turn_and_the_other_s_parameters_get_no_gradient(unlabelled: Rows, tmp_path: Path):
    objective = AdversarialAutoencoder(epochs=2)
    before = {name: value.clone() for name, value in objective.state_dict().items()}

    fit(objective, batches_of(objective, unlabelled), tmp_path, settings(), seed=1)

    assert objective.turns == 6 * [(0, False, True), (1, True, False)]  # three batches of an epoch, twice
    changed = {name for name, value in objective.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before) - {"critic.bias"}  # which cancels in a difference
    written = load_file(tmp_path / WEIGHTS)
    assert {name: value.shape for name, value in written.items()} == {
        name: value.shape for name, value in objective.network.state_dict().items()
    }
    assert not objective.training


def test_progress_counts_a_step_of_all_optimisers_once(unlabelled: Rows, tmp_path: Path):
    objective = AdversarialAutoencoder(epochs=2)

    fit(objective, batches_of(objective, unlabelled), tmp_path, settings(accumulate=2), seed=1)

    seen = [(each.epoch, each.step, each.epochs, each.steps) for each in objective.progress]
    assert seen == [(0, 0, 2, 4), (0, 1, 2, 4), (1, 2, 2, 4), (1, 3, 2, 4)]


def test_losses_figures_and_the_rate_are_logged(unlabelled: Rows, tmp_path: Path):
    objective = AdversarialAutoencoder(epochs=10)

    fit(objective, batches_of(objective, unlabelled), tmp_path, settings(), seed=1)

    log = pd.read_csv(tmp_path / "log" / "metrics.csv")
    steps = log[log["train/loss_0"].notna()]
    assert steps["rate"].tolist() == pytest.approx([2e-3] * 20 + [1e-3] * 10)
    assert steps[["train/error_0", "train/loss_1"]].notna().all().all()
    assert steps["train/error_0"].iloc[-1] < 0.8 * steps["train/error_0"].iloc[0]
    assert log["val/photographs"].dropna().tolist() == [5] * 10
    assert log["val/error"].dropna().iloc[-1] < 0.8 * log["val/error"].dropna().iloc[0]


@pytest.mark.parametrize(
    ("values", "moments"),
    [({}, [(0, 1), (1, 0), (1, 2)]), ({"accumulate": 2, "batch": 4}, [(0, 3), (1, 5)])],
    ids=["every-batch", "accumulated"],
)
def test_a_killed_fit_resumes_to_the_same_weights_teacher_and_buffers(
    unlabelled: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict, moments: list[tuple[int, int]]
):
    """Dropout and noise, too, are drawn as in the undisturbed fit."""
    run, kept = tmp_path / "run", dict[tuple[int, int], Path]()
    step = ObjectiveModule.training_step

    def keep(self: ObjectiveModule, batch: Any, batch_idx: int) -> None:
        moment = (self.current_epoch, batch_idx)
        if moment in moments and moment not in kept:
            kept[moment] = shutil.copytree(run, tmp_path / f"kept{moment}")
        step(self, batch, batch_idx)

    def fitted(folder: Path) -> dict[str, Tensor]:
        objective = AdversarialAutoencoder(epochs=2)
        batches = batches_of(objective, unlabelled, batch=values.get("batch", 8))
        fit(objective, batches, folder, settings(**values), seed=1)
        return objective.state_dict()

    with monkeypatch.context() as patch:
        patch.setattr(ObjectiveModule, "training_step", keep)
        undisturbed = fitted(run)

    assert sorted(kept) == sorted(moments)
    for moment, left_behind in kept.items():
        shutil.rmtree(run)
        resumed = fitted(left_behind.rename(run))
        assert {name for name, value in resumed.items() if not torch.equal(value, undisturbed[name])} == set(), moment


def test_the_weights_of_the_smallest_figure_are_kept_where_smaller_is_better(
    unlabelled: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The error is made to rise after the first epoch."""
    objective = AdversarialAutoencoder(epochs=3)
    states: list[dict[str, Tensor]] = []

    def rising(self: AdversarialAutoencoder, outputs: Any) -> dict[str, float]:
        states.append({name: value.clone() for name, value in self.network.state_dict().items()})
        return {"val/error": float(len(states))}

    monkeypatch.setattr(AdversarialAutoencoder, "validation_figures", rising)
    fit(objective, batches_of(objective, unlabelled), tmp_path, settings(keep="best"), seed=1)

    assert len(states) == 3
    first = load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(first[name], value) for name, value in states[0].items())


def test_the_last_window_of_an_epoch_is_averaged_over_the_batches_it_has(unlabelled: Rows, tmp_path: Path):
    """Three batches, two of them to a step: the third makes a step of its own, and at its own weight."""

    class Constant(AdversarialAutoencoder):
        def optimisers(self, steps_per_epoch: int) -> Sequence[Optimisation]:
            return [Optimisation(torch.optim.SGD(self.critic.parameters(), lr=1.0), lambda step: 1.0)]

        def step(self, batch: Batch, progress: Progress, *, turn: int = 0) -> dict[str, Tensor]:
            return {"loss": self.critic.bias.sum()}

    objective = Constant(epochs=1)
    before = objective.critic.bias.detach().clone()

    fit(objective, batches_of(objective, unlabelled), tmp_path, settings(accumulate=2, clip=0.0), seed=1)

    assert (before - objective.critic.bias).item() == pytest.approx(2.0, abs=1e-5)  # two steps of a gradient of 1


def test_gradients_are_clipped_for_each_optimiser(unlabelled: Rows, tmp_path: Path):
    class Steep(AdversarialAutoencoder):
        def optimisers(self, steps_per_epoch: int) -> Sequence[Optimisation]:
            return [Optimisation(torch.optim.SGD(self.critic.parameters(), lr=1.0), lambda step: 1.0)]

        def step(self, batch: Batch, progress: Progress, *, turn: int = 0) -> dict[str, Tensor]:
            return {"loss": 100 * self.critic.bias.sum()}

    objective = Steep(epochs=1)
    before = objective.critic.bias.detach().clone()

    fit(objective, batches_of(objective, unlabelled), tmp_path, settings(clip=0.5), seed=1)

    assert (before - objective.critic.bias).item() == pytest.approx(3 * 0.5, abs=1e-4)
