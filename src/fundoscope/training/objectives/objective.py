"""The interface between an objective and the training loop.

An objective says what is minimised: what a batch shows of each photograph (`views`), the losses of a step, the
optimisers that follow them, what happens after a step (teachers, queues, centres), and how a fit is validated. The
loop (`training.loop`) knows none by name: it draws batches, calls the objective in the order below, and takes care of
mixed precision, gradient accumulation, clipping, checkpoints, logs and processes.

    optimisers(steps_per_epoch)      once; most have one, adversarial training has two
    for every batch:
        for turn in range(number of optimisers):
            step(batch, progress, turn)     forward pass and loss; the loop goes backwards and steps optimiser `turn`
        after_step(progress)                once all optimisers have stepped
    for every validation:
        validate(batch)                     for every batch of the held-out rows, without gradients
        validation_figures(outputs)         once, with all that `validate` returned

Whatever a fit must remember between steps is a parameter or a buffer of the objective, so that a checkpoint holds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fundoscope.training.batches.items import Batch, Views

Losses = Mapping[str, Tensor]
"""Scalars of one step by name. `loss` is minimised; the others, detached, are logged beside it. With several optimisers
the log adds the turn to each name: `train/loss_0`, `train/loss_1`."""

Outputs = Mapping[str, Tensor]
"""What `validate` returns for one batch; the first axis is the photograph."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit has come."""

    epoch: int
    """Counted from 0."""
    epochs: int
    """Epochs of the whole fit."""
    step: int
    """Optimiser steps taken so far; with several optimisers a step of all of them counts once."""
    steps: int
    """Optimiser steps of the whole fit."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """The validation figure that a fit may stop by or keep its best weights by."""

    figure: str
    """A key of `validation_figures`."""
    mode: Literal["max", "min"]
    """Whether larger or smaller is better."""


@dataclass(frozen=True, slots=True)
class Optimisation:
    """One optimiser with the schedule of its learning rates."""

    optimiser: torch.optim.Optimizer
    """With the peak rate of every parameter group."""
    rate_factor: Callable[[int], float]
    """Factor on the peak rates at a step, counted from 0."""


class Objective(nn.Module, ABC):
    """What is minimised, on which views of the photographs, by which optimisers, and how it is validated."""

    network: nn.Module
    """The network whose weights a finished fit writes."""
    views: Views
    """What a batch shows of each photograph: one view, two views, a mask ..."""
    epochs: int
    """Epochs of a whole fit."""
    monitor: Monitor | None = None
    """The validation figure to stop by or keep the best weights by; None: the objective has none."""

    @abstractmethod
    def optimisers(self, steps_per_epoch: int) -> Sequence[Optimisation]:
        """Return the optimisers, in the order of the turns of a step; each owns parameters of its own."""

    @abstractmethod
    def step(self, batch: Batch, progress: Progress, *, turn: int = 0) -> Losses:
        """Return the losses of a batch that optimiser `turn` follows.

        While it runs, parameters of the other optimisers require no gradient.
        """

    def after_step(self, progress: Progress) -> None:
        """Update what follows the weights without a gradient, for instance the average that a teacher is."""

    @abstractmethod
    def validate(self, batch: Batch) -> Outputs:
        """Return what the validation of one batch of held-out photographs needs, by name."""

    @abstractmethod
    def validation_figures(self, outputs: Outputs) -> dict[str, float]:
        """Return figures over all held-out photographs by name, from the joined outputs of `validate`."""
