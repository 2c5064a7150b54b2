"""How much of a run's training is done: optimiser steps of one fit, and shares of all fits of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import fundoscope.training.torchvision_shim

import lightning as L
from lightning.pytorch.callbacks import Callback

from fundoscope.training.loop.module import ObjectiveModule, steps_taken

RunProgress = Callable[[str, int, int], object]
"""Called as `progress(what, done, total)` while a run goes on."""

FitProgress = Callable[[int, int], object]
"""Called as `progress(steps_done, steps_in_all)` while one fit goes on."""

TRAINING: Final = "training"
"""What `RunProgress` calls the fits; it counts photographs, each once for every epoch of every fit."""


class StepProgress(Callback):
    """Reports the optimiser steps of a fit."""

    def __init__(self, progress: FitProgress) -> None:
        self.progress = progress

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report the steps that are done."""
        if trainer.is_global_zero and isinstance(pl_module, ObjectiveModule):
            self.progress(steps_taken(trainer), pl_module.objective.epochs * pl_module.steps_per_epoch)


@dataclass(frozen=True, slots=True)
class ProgressOfFits:
    """Progress of all fits of a run, each of which takes time in proportion to the photographs it learns from."""

    progress: RunProgress | None
    photographs: Sequence[int]
    """How many each fit learns from, in the order of the fits."""
    epochs: int
    """How often each learns from all of them."""

    def of(self, number: int) -> FitProgress | None:
        """Return what fit `number` reports its steps to; None where nothing is reported."""
        if self.progress is None:
            return None
        progress, mine = self.progress, self.epochs * self.photographs[number]
        before, total = (self.epochs * sum(counts) for counts in (self.photographs[:number], self.photographs))

        def report(done: int, steps: int) -> None:
            progress(TRAINING, before + mine * min(done, steps) // max(1, steps), total)

        return report
