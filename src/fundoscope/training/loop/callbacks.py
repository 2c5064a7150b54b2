"""What is done beside a fit's steps: checkpoints, its time, and its last weights, which are kept for averaging."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final

import fundoscope.training.torchvision_shim

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from safetensors.torch import save_file
from torch import nn

from fundoscope.errors import BadCheckpoint
from fundoscope.files import replacing, write_text
from fundoscope.training.loop.module import ObjectiveModule, size_of, steps_taken

RECORD_EVERY_SECONDS: Final = 10.0
"""At most this much of the time of a killed attempt goes unrecorded; less where checkpoints come more often."""


def write_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, whole or not at all."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with replacing(path) as fresh:
        save_file(state, str(fresh))


class MovableCheckpoint(ModelCheckpoint):
    """A checkpoint whose folder may have been moved or renamed since it was written.

    Lightning compares absolute paths, and forgets the best figure so far where they differ: a moved fit that keeps its
    best weights would then take the first ones after it for the best.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state as if it had been written where the folder is now."""
        moved = {**state_dict, "dirpath": self.dirpath}
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            moved[key] = self._here(state_dict.get(key, ""))
        moved["best_k_models"] = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(moved)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / PurePath(path).name) if path else path


class Checkpoints(MovableCheckpoint):
    """The checkpoint that a killed fit continues from, which holds all that was done up to it.

    After an epoch's last batch come its validation, what is kept by it, and its snapshot; who continues from a
    checkpoint in between never does them. One that falls there is written after the next step instead, unless an epoch
    has no other batch. None is written where gradients are gathered for a step to come: no checkpoint holds these.
    """

    def __init__(self, folder: Path, every_steps: int) -> None:
        super().__init__(
            dirpath=folder, filename="last", every_n_train_steps=1, save_top_k=1, enable_version_counter=False
        )
        self.every_steps = every_steps
        self._due, self._steps_before = False, 0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note whether this batch makes a step."""
        self._steps_before = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write it, if one is due."""
        if trainer.global_step == self._steps_before:
            return
        self._due |= steps_taken(trainer) % self.every_steps == 0
        if self._due and (not trainer.is_last_batch or trainer.num_training_batches == 1):
            if isinstance(pl_module, ObjectiveModule):
                pl_module.check_weights()
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self._due = False


class Timing(Callback):
    """How long the epochs took, validation left out, of this attempt and of those that were killed before it.

    Told in a file at the start and end of an attempt, with every checkpoint and epoch, and every
    `RECORD_EVERY_SECONDS`, so that a killed attempt leaves what it took. What it did after its last checkpoint is done
    again: it counts twice, as it was done twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds, self.photographs, self.epochs = 0.0, 0, 0
        self._earlier: list[dict[str, Any]] = []
        self._started, self._first_step = "", 0
        self._begun = self._since = self._told = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; a fit that continues in the middle of an epoch has no start of an epoch."""
        self._earlier = read_attempts(self.path)
        self._started, self._first_step = datetime.now(UTC).isoformat(timespec="seconds"), steps_taken(trainer)
        self._begun = self._since = time.perf_counter()
        self._tell(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What lies between two epochs is not counted."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the photographs and read the clock."""
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        self.photographs += size_of(batch)
        if now - self._told >= RECORD_EVERY_SECONDS:
            self._tell(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What the validation took is not counted."""
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count the epoch."""
        self.epochs += 1
        self._tell(trainer, pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Tell it before the checkpoint is there: the next attempt begins no later than this one is known to reach."""
        self._tell(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell all of it."""
        self._tell(trainer, pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Tell what was done until then."""
        if self._started:
            self._tell(trainer, pl_module)

    def _tell(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._told = time.perf_counter()
        if not trainer.is_global_zero:
            return
        made_on = {"threads": torch.get_num_threads(), "device": pl_module.device.type}
        attempt: dict[str, Any] = {
            "started": self._started,
            "seconds": round(self.seconds, 3),
            "seconds_with_validation": round(self._told - self._begun, 3),
            "photographs": self.photographs,
            "epochs": self.epochs,
            "first_step": self._first_step,
            "last_step": steps_taken(trainer),
            **made_on,
        }
        attempts = [*self._earlier, attempt]
        record = {
            "seconds": round(sum(one["seconds"] for one in attempts), 3),
            "photographs": sum(one["photographs"] for one in attempts),
            **made_on,
            "attempts": attempts,
        }
        write_text(self.path, json.dumps(record, indent=2) + "\n")


def read_attempts(path: Path) -> list[dict[str, Any]]:
    """Read the attempts of a fit so far; a record of an earlier version, which listed none, is one attempt.

    Raises:
        BadCheckpoint: If the file does not tell their times.
    """
    if not path.is_file():
        return []
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        attempts = list(record.get("attempts", [record]))
        if not all(attempt["seconds"] >= 0 and attempt["photographs"] >= 0 for attempt in attempts):
            raise ValueError("a time below 0")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(
            f"{path}: expected attempts with seconds and photographs, got: {error!r}. Delete the file; the time that "
            "they took is lost"
        ) from error
    return attempts


class Snapshots(Callback):
    """Keeps the weights after each of the last epochs, for averaging (Izmailov et al., UAI 2018; RetinaScan)."""

    def __init__(self, network: nn.Module, folder: Path, first_epoch: int) -> None:
        self.network, self.folder, self.first_epoch = network, folder, first_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write this epoch's weights, if it is one of the last."""
        if trainer.current_epoch >= self.first_epoch and trainer.is_global_zero:
            write_weights(self.network, self.folder / f"epoch{trainer.current_epoch:03}.safetensors")
