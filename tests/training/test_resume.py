"""A fit that was killed, whenever that was, ends as if nothing had happened, and tells the time of all its attempts."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from safetensors.torch import load_file

from fundoscope.errors import BadCheckpoint
from fundoscope.run_folder import TIMING
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop import callbacks
from fundoscope.training.loop.callbacks import read_attempts
from fundoscope.training.loop.module import ObjectiveModule
from fundoscope.training.train import train

Moment = tuple[str, int, int]
"""What it was about to do (step or validation), in which epoch, with which batch."""


def with_fit(experiment: Experiment, **values: object) -> Experiment:
    faster = dataclasses.replace(experiment.optimiser, rate=1e-3, warmup=0.0)
    return dataclasses.replace(experiment, fit=dataclasses.replace(experiment.fit, **values), optimiser=faster)


def train_and_keep(
    experiment: Experiment, run: Path, moments: Iterable[Moment], monkeypatch: pytest.MonkeyPatch
) -> dict[Moment, Path]:
    """Train, and beside it keep what lay on the disk at these moments: all that a run killed then leaves behind."""
    wanted, kept = set(moments), dict[Moment, Path]()

    def keep(*moment: Any) -> None:
        if moment in wanted:
            kept[moment] = shutil.copytree(run, run.with_name("-".join(map(str, moment))))

    step, look = ObjectiveModule.training_step, ObjectiveModule.validation_step

    def training_step(self: ObjectiveModule, batch: Any, index: int) -> Any:
        keep("step", self.current_epoch, index)
        return step(self, batch, index)

    def validation_step(self: ObjectiveModule, batch: Any, index: int) -> Any:
        keep("validation", self.current_epoch, index)
        return look(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectiveModule, "training_step", training_step)
        patch.setattr(ObjectiveModule, "validation_step", validation_step)
        train(experiment, run)
    assert kept.keys() == wanted
    return kept


def go_on(experiment: Experiment, run: Path, kept: Path) -> None:
    """Put back what was on the disk, and continue."""
    shutil.rmtree(run)
    kept.rename(run)
    train(experiment, run)


def written(run: Path) -> dict[str, dict[str, Any]]:
    return {path.name: load_file(path) for path in (run / "final").rglob("*.safetensors")}


def assert_same(first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]], when: Moment) -> None:
    assert first.keys() == second.keys(), when
    for name, state in first.items():
        differ = [key for key, value in state.items() if not torch.equal(value, second[name][key])]
        assert not differ, (when, name, differ[:3])


def each_epoch_is_worse(module: ObjectiveModule) -> None:
    module._outputs.clear()
    module.log("val/kappa", -float(module.current_epoch))


@pytest.mark.parametrize(
    ("settings", "moments"),
    [
        (
            {"epochs": 1, "rebalance_epochs": 1, "snapshots": 2, "ema": 0.9},
            [("validation", 0, 0), ("step", 1, 1), ("validation", 1, 0)],
        ),
        ({"epochs": 2, "snapshots": 2, "batch": 4, "accumulate": 2, "checkpoint_steps": 3}, [("step", 1, 1)]),
    ],
    ids=["rebalanced", "accumulated"],
)
def test_a_fit_killed_at_any_moment_ends_with_the_same_weights_and_snapshots(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict, moments: list[Moment]
):
    """While it validates an epoch's last step is done, but its snapshot is not there yet."""
    tiny, run = with_fit(tiny, **settings), tmp_path / "run"
    kept = train_and_keep(tiny, run, moments, monkeypatch)
    whole = written(run)
    assert len(whole) == 3

    for moment in moments:
        go_on(tiny, run, kept[moment])
        assert_same(whole, written(run), moment)


def test_the_best_epoch_is_kept_though_the_fit_was_killed_while_it_was_validated_or_right_after(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first of two epochs is the best."""
    tiny, run = with_fit(tiny, epochs=2, keep="best"), tmp_path / "run"
    monkeypatch.setattr(ObjectiveModule, "on_validation_epoch_end", each_epoch_is_worse)
    kept = train_and_keep(tiny, run, [("validation", 0, 0), ("step", 1, 0)], monkeypatch)
    whole = written(run)

    for moment, left in kept.items():
        go_on(tiny, run, left)
        assert_same(whole, written(run), moment)


def test_a_run_that_was_moved_before_it_is_resumed_keeps_the_best_epoch(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed in the second of three epochs, of which the first is the best."""
    tiny, run = with_fit(tiny, epochs=3, keep="best"), tmp_path / "run"
    monkeypatch.setattr(ObjectiveModule, "on_validation_epoch_end", each_epoch_is_worse)
    left_behind = train_and_keep(tiny, run, [("step", 1, 1)], monkeypatch)["step", 1, 1]
    undisturbed = written(run)

    shutil.rmtree(run)
    moved = left_behind.rename(tmp_path / "moved")
    train(tiny, moved)

    assert_same(undisturbed, written(moved), ("step", 1, 1))


@pytest.mark.parametrize(("checkpoint_steps", "begins"), [(1, 2), (50, 0)])
def test_the_time_of_a_killed_fit_is_that_of_all_its_attempts(
    tiny: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_steps: int, begins: int
):
    """Killed after two of three steps, in the middle of an epoch, with a checkpoint or too early for one."""
    monkeypatch.setattr(callbacks, "RECORD_EVERY_SECONDS", 0.0)
    tiny, run = with_fit(tiny, epochs=1, checkpoint_steps=checkpoint_steps), tmp_path / "run"
    since = time.perf_counter()
    kept = train_and_keep(tiny, run, [("step", 0, 2)], monkeypatch)
    whole = json.loads((run / "final" / TIMING).read_text())
    go_on(tiny, run, kept["step", 0, 2])
    elapsed = time.perf_counter() - since

    told = json.loads((run / "final" / TIMING).read_text())

    assert [(each["first_step"], each["last_step"]) for each in whole["attempts"]] == [(0, 3)]
    assert [(each["first_step"], each["last_step"]) for each in told["attempts"]] == [(0, 2), (begins, 3)]
    assert [each["epochs"] for each in told["attempts"]] == [0, 1]
    assert [each["photographs"] for each in told["attempts"]] == [16, 20 - 8 * begins]
    assert told["photographs"] == 36 - 8 * begins
    assert told["seconds"] == pytest.approx(sum(each["seconds"] for each in told["attempts"]))
    assert 0 < whole["seconds"] <= whole["attempts"][0]["seconds_with_validation"]
    assert 0 < told["seconds"] < elapsed
    first, second = (datetime.fromisoformat(each["started"]) for each in told["attempts"])
    assert first <= second


def test_an_attempt_told_by_an_earlier_version_is_counted(tmp_path: Path):
    (tmp_path / TIMING).write_text('{"seconds": 5.5, "photographs": 60, "threads": 2, "device": "cpu"}')

    assert read_attempts(tmp_path / TIMING) == [{"seconds": 5.5, "photographs": 60, "threads": 2, "device": "cpu"}]
    assert read_attempts(tmp_path / "none.json") == []


@pytest.mark.parametrize("text", ["{", "[]", '{"attempts": [{}]}', '{"seconds": -1, "photographs": 1}'])
def test_a_time_that_cannot_be_added_to_is_refused(tmp_path: Path, text: str):
    (tmp_path / TIMING).write_text(text)

    with pytest.raises(BadCheckpoint, match=r"timing\.json: expected attempts with seconds and photographs, got: "):
        read_attempts(tmp_path / TIMING)
