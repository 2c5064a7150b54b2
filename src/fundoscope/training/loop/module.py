"""An objective as Lightning runs it: the steps of its optimisers, its validation, and what a checkpoint holds."""

from __future__ import annotations

from typing import Any

import fundoscope.training.torchvision_shim

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from fundoscope.errors import BadExperiment
from fundoscope.training.batches.items import Batch
from fundoscope.training.batches.loader import Batches
from fundoscope.training.experiment.sections import Fit
from fundoscope.training.objectives.objective import Objective, Optimisation, Outputs, Progress


class ObjectiveModule(L.LightningModule):
    """Runs an objective: hands it batches, goes backwards, and steps its optimisers in turn.

    Optimisation is manual in Lightning's sense, the same for one optimiser as for several: the gradients of
    `fit.accumulate` batches are averaged, clipped, and followed by one step of each optimiser and its schedule. The
    last window of an epoch is averaged over the batches that it has.
    """

    def __init__(self, objective: Objective, batches: Batches, settings: Fit, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.objective, self.batches = objective, batches
        self.settings, self.seed = settings, seed
        self._outputs: list[Outputs] = []

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return -(-len(self.batches.train) // self.settings.accumulate)

    @property
    def steps_taken(self) -> int:
        """Optimiser steps taken so far; a step of all optimisers counts once (Lightning counts each)."""
        return steps_taken(self.trainer)

    def configure_optimizers(self) -> list[OptimizerLRSchedulerConfig]:
        """Build the objective's optimisers, each with its schedule by step."""
        # Asked here, where the other processes are known; Lightning's own estimate would set up the
        # loader before a checkpoint could tell it where to continue.
        return [_with_schedule(part) for part in self.objective.optimisers(self.steps_per_epoch)]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed what a batch draws (dropout, masks) by its place in the fit, so that a resumed fit draws the same."""
        key = [self.seed, self.current_epoch, batch_idx, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the gradients of a batch, of every optimiser in turn; at the end of a window step them."""
        window, ends = self._window(batch_idx)
        progress = self._progress()
        optimisers = _as_list(self.optimizers())
        for turn, optimiser in enumerate(optimisers):
            if len(optimisers) > 1:
                self.toggle_optimizer(optimiser)
            losses = self.objective.step(batch, progress, turn=turn)
            if not torch.isfinite(losses["loss"]).all():
                raise self._not_finite(f"a loss of {float(losses['loss'].detach().float().mean())}")
            self.manual_backward(losses["loss"] / window)
            if ends:
                optimiser.step()
                optimiser.zero_grad()
            if len(optimisers) > 1:
                self.untoggle_optimizer(optimiser)
            suffix = f"_{turn}" if len(optimisers) > 1 else ""
            logged = {f"train/{name}{suffix}": loss.detach() for name, loss in losses.items()}
            self.log_dict(logged, prog_bar=True, batch_size=size_of(batch))
        self.log("rate", optimisers[0].param_groups[-1]["lr"])
        if ends:
            for schedule in _as_list(self.lr_schedulers()):
                schedule.step()
            self.objective.after_step(progress)

    def check_weights(self) -> None:
        """Make sure that every weight is a finite number: what is kept or validated afterwards would not be.

        Raises:
            BadExperiment: If one is not.
        """
        if name := not_finite(self.objective):
            raise self._not_finite(f"weights that are no finite numbers ({name.removeprefix('network.')})")

    def on_validation_epoch_start(self) -> None:
        """Check the weights before anything is measured, and kept, by them."""
        self.check_weights()

    def _not_finite(self, got: str) -> BadExperiment:
        return BadExperiment(
            f"training: expected finite losses and weights, got {got} in epoch {self.current_epoch + 1}, after "
            f"{self.steps_taken} steps. The last checkpoint before is kept, but resuming would end in the same way. "
            "Lower optimiser.rate, set fit.precision=32-true, or clip gradients (fit.clip), and train in another folder"
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients of the optimiser that is about to step (unscaled already in half precision)."""
        if self.settings.clip:
            self.clip_gradients(optimizer, gradient_clip_val=self.settings.clip, gradient_clip_algorithm="norm")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect what the objective wants to judge; all photographs are judged together."""
        self._outputs.append({name: value.cpu() for name, value in self.objective.validate(batch).items()})

    def on_validation_epoch_end(self) -> None:
        """Log the figures of all held-out photographs."""
        joined = {name: torch.cat([outputs[name] for outputs in self._outputs]) for name in self._outputs[0]}
        self._outputs.clear()
        self.log_dict(self.objective.validation_figures(joined), prog_bar=True)

    def _window(self, batch_idx: int) -> tuple[int, bool]:
        """Return the number of batches of this batch's accumulation window, and whether it is the window's last."""
        batches, accumulate = len(self.batches.train), self.settings.accumulate
        start = batch_idx - batch_idx % accumulate
        window = min(accumulate, batches - start)
        return window, batch_idx == start + window - 1

    def _progress(self) -> Progress:
        return Progress(
            epoch=self.current_epoch,
            epochs=self.objective.epochs,
            step=self.steps_taken,
            steps=self.objective.epochs * self.steps_per_epoch,
        )


def steps_taken(trainer: L.Trainer) -> int:
    """Return the optimiser steps of a fit so far; a step of all optimisers counts once (Lightning counts each)."""
    return int(trainer.global_step // max(1, len(trainer.optimizers)))


def not_finite(module: torch.nn.Module) -> str:
    """Return the name of the first weight or statistic that is not finite; empty where all are."""
    state = module.state_dict().items()
    return next((name for name, value in state if value.is_floating_point() and not torch.isfinite(value).all()), "")


def size_of(batch: Batch) -> int:
    """Return the number of photographs in a batch: the length of its arrays."""
    return len(next(iter(batch.values())))


def _with_schedule(part: Optimisation) -> OptimizerLRSchedulerConfig:
    schedule = torch.optim.lr_scheduler.LambdaLR(part.optimiser, part.rate_factor)
    return {"optimizer": part.optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _as_list(one_or_several: Any) -> list[Any]:
    """Lightning returns the only optimiser or schedule bare."""
    return one_or_several if isinstance(one_or_several, list) else [one_or_several]
