"""What is done beside a fit's steps: its time is taken, and its last weights are kept for averaging."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import fundoscope.training.guard

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save_file
from torch import nn

from fundoscope.files import replacing

SNAPSHOTS = "snapshots"
"""Folder, in a fit's, of the weights after each of the last epochs, where they are kept."""


def write_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, whole or not at all."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with replacing(path) as fresh:
        save_file(state, str(fresh))


class Timing(Callback):
    """How long the epochs of this attempt took, validation left out."""

    def __init__(self) -> None:
        self.seconds, self.photographs, self._since = 0.0, 0, 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the photographs and read the clock."""
        self.photographs += len(batch["grade"])
        self._read()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What the validation took is not counted."""
        self._since = time.perf_counter()

    def to_dict(self, device: str) -> dict[str, Any]:
        """As `timing.json` holds it; of this process alone."""
        told: dict[str, Any] = {"seconds": round(self.seconds, 3), "photographs": self.photographs}
        return told | {"threads": torch.get_num_threads(), "device": device}

    def _read(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now


class Snapshots(Callback):
    """Keeps the weights after each of the last epochs, for averaging (Izmailov et al., UAI 2018; RetinaScan)."""

    def __init__(self, network: nn.Module, folder: Path, first_epoch: int) -> None:
        self.network, self.folder, self.first_epoch = network, folder, first_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write this epoch's weights, if it is one of the last."""
        if trainer.current_epoch >= self.first_epoch and trainer.is_global_zero:
            write_weights(self.network, self.folder / f"epoch{trainer.current_epoch:03}.safetensors")
