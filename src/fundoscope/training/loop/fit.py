"""One fit: an objective, rows to train on, and a folder that a killed run continues from."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fundoscope.training.torchvision_shim

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor, nn

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.training.batches.items import Augmented
from fundoscope.training.batches.loader import ResumableLoader, evaluation_loader
from fundoscope.training.batches.rows import Rows
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.callbacks import SNAPSHOTS, Checkpoints, Snapshots, Timing, write_weights
from fundoscope.training.loop.processes import Processes, processes, wait_for_all
from fundoscope.training.networks.backbone import takes_one_side
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.objectives.optimiser import build_optimiser, rate_factor, side_at
from fundoscope.training.objectives.supervised import Supervised
from fundoscope.training.objectives.validation import MONITOR, figures

# Lightning's notes on hardware and its own products are not this program's to pass on.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

log = logging.getLogger("fundoscope.training")

QUIET = (
    "Found .* in eval mode at the start of training",  # the frozen parts
    ".*isinstance.treespec, LeafSpec.. is deprecated",  # between Lightning and torch
    "You defined a `validation_step` but have no",  # a fit on all rows has nothing left to validate on
    "Checkpoint directory .* exists and is not empty",  # a resumed fit
)
"""Warnings of Lightning's about what is meant to be so."""

WEIGHTS = "network.safetensors"
"""File of a finished fit: the network's weights, fp32."""

TIMING = "timing.json"
"""Beside it: seconds and photographs of all attempts together, and of each with its steps; see `callbacks.Timing`."""


class Course(L.LightningModule):
    """Hands an objective's steps, optimiser and validation to Lightning."""

    def __init__(self, experiment: Experiment, objective: Supervised, loader: ResumableLoader) -> None:
        super().__init__()
        self.experiment, self.target = experiment, target_of(experiment.data)
        self.objective = objective
        self.loader = loader
        self._seen: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: Mapping[str, Tensor], index: int) -> Tensor:
        """The objective's loss on one batch."""
        fit = self.experiment.fit
        share = min(1.0, self.current_epoch / fit.epochs)
        self.objective.rebalance(self.current_epoch >= fit.epochs)
        losses = self.objective.step(batch, side=side_at(share, fit.sides), share=share)
        self.log("rate", self.trainer.optimizers[0].param_groups[-1]["lr"])
        self.log_dict({f"train/{k}": v for k, v in losses.items()}, prog_bar=True, batch_size=len(batch["grade"]))
        return losses["loss"]

    def validation_step(self, batch: Mapping[str, Tensor], index: int) -> None:
        """Collect raw outputs; they are judged together."""
        raw, _ = self.objective.grade(batch["canvas"])
        self._seen.append((raw.cpu(), batch["grade"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Figures of all validation photographs."""
        raw = torch.cat([raw for raw, _ in self._seen]).double().numpy()
        grades = torch.cat([grades for _, grades in self._seen]).numpy()
        self._seen.clear()
        found = figures(self.target, self.experiment.network.head, raw, grades)
        self.log_dict(found, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW, Adam or SGD with a schedule by step."""
        config, fit = self.experiment.optimiser, self.experiment.fit
        network = self.objective.network
        # Asked here, where the other processes are known; Lightning's own estimate would set up the
        # loader before a checkpoint could tell it where to continue.
        steps = fit.epochs * -(-len(self.loader) // fit.accumulate)
        rest = nn.ModuleList([part for name, part in network.named_children() if name != "backbone"])
        optimiser = build_optimiser(network.backbone, rest, config)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: rate_factor(step, steps, config) if step < steps else fit.rebalance_rate
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(
    experiment: Experiment, train: Rows, validate: Rows | None, folder: Path, *, progress: bool = True
) -> GradingNetwork:
    """Train a network, or continue or reload what the folder already holds.

    Args:
        experiment: The whole experiment; also decides the seed.
        train: Rows to learn from.
        validate: Rows to watch, or None.
        folder: Receives checkpoints, logs and, when finished, the weights.
        progress: Show a progress bar.

    Returns:
        The trained network in evaluation mode.

    Raises:
        BadCheckpoint: If a checkpoint in the folder cannot be continued from.
    """
    settings = experiment.fit
    if settings.threads:
        torch.set_num_threads(settings.threads)
    L.seed_everything(experiment.seed, verbose=False)
    network = build_network(experiment)
    if (folder / WEIGHTS).is_file():
        return load_network(experiment, folder)
    objective = Supervised(experiment, network, torch.tensor(train.targets))
    data = Augmented(train, experiment.augment, experiment.seed)
    loader = ResumableLoader(data, batch=settings.batch, workers=settings.workers, sampling=experiment.sampling)
    course = Course(experiment, objective, loader).to(memory_format=torch.channels_last)
    course.train()
    if (started := processes()).world > 1:
        _warn_of_batch_statistics(network, started)
    watched = evaluation_loader(validate, batch=settings.batch) if validate is not None and len(validate) else None
    beside: list[Callback] = [Timing(folder / TIMING)]
    if settings.snapshots:
        first = settings.epochs + settings.rebalance_epochs - settings.snapshots
        beside.append(Snapshots(network, folder / SNAPSHOTS, first))
    trainer = _trainer(experiment, folder, watched is not None, progress, beside)
    _run(trainer, course, loader, watched, folder / "checkpoints" / "last.ckpt")
    if trainer.interrupted:
        raise KeyboardInterrupt
    if settings.keep == "best" and watched is not None:
        wait_for_all()
        _take_best(course, folder)
    if trainer.is_global_zero:
        write_weights(network, folder / WEIGHTS)
    wait_for_all()
    return network.eval()


def build_network(experiment: Experiment) -> GradingNetwork:
    """The network of an experiment, with the weights that it starts from.

    Raises:
        BadExperiment: If its parts do not fit one another.
        BadCheckpoint: If the weights do not fit.
    """
    others = [side for _, side in experiment.fit.sides if side != experiment.recipe.side]
    if others and takes_one_side(experiment.network):
        raise BadExperiment(
            f"fit.sides: expected none but recipe.side = {experiment.recipe.side} for {experiment.network.backbone}, "
            f"which takes pictures of one size only, got {others[0]}. Leave fit.sides out"
        )
    outputs = target_of(experiment.data).outputs
    return GradingNetwork(experiment.network, experiment.lesions, side=experiment.recipe.side, outputs=outputs)


def _run(trainer: L.Trainer, course: Course, loader: ResumableLoader, watched: Any, last: Path) -> None:
    """Fit, from the last checkpoint where there is one."""
    try:
        with warnings.catch_warnings():
            for known in QUIET:
                warnings.filterwarnings("ignore", known)
            trainer.fit(course, loader, watched, ckpt_path=last if last.is_file() else None, weights_only=True)
    except (RuntimeError, KeyError) as error:
        if last.is_file() and ("state_dict" in str(error) or isinstance(error, KeyError)):
            raise BadCheckpoint(
                f"{last}: cannot be continued from, it belongs to another experiment ({error}). "
                "Give another run folder, or delete this one to start anew"
            ) from error
        raise


def load_network(experiment: Experiment, folder: Path) -> GradingNetwork:
    """The network of a finished fit, in evaluation mode."""
    from dataclasses import replace

    from fundoscope.training.networks.checkpoints import load_weights, read_safetensors

    bare = replace(experiment.network, weights="", prototypes="")
    network = build_network(replace(experiment, network=bare))
    load_weights(network, read_safetensors(folder / WEIGHTS), where=str(folder / WEIGHTS))
    return network.eval()


def _trainer(experiment: Experiment, folder: Path, watched: bool, progress: bool, beside: list[Callback]) -> L.Trainer:
    settings, monitor = experiment.fit, MONITOR[target_of(experiment.data).kind]
    callbacks: list[Callback] = [
        *beside,
        Checkpoints(folder / "checkpoints", settings.checkpoint_steps),
    ]
    if settings.ema:
        callbacks.append(EMAWeightAveraging(decay=settings.ema))
    if watched and settings.keep == "best":
        callbacks.append(
            ModelCheckpoint(
                dirpath=folder / "checkpoints",
                filename="best",
                monitor=monitor,
                mode="max",
                enable_version_counter=False,
            )
        )
    if watched and settings.patience:
        callbacks.append(EarlyStopping(monitor, mode="max", patience=settings.patience))
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=1))
    log = _fresh_log(folder)
    loggers: list[Logger] = [CSVLogger(folder, name=None, version=log), *_tensorboard(folder, log)]
    started = processes()
    return L.Trainer(
        accelerator="auto",
        strategy="ddp" if started.world > 1 else "auto",
        devices=started.on_each_node if started.world > 1 else "auto",
        num_nodes=started.nodes,
        max_epochs=settings.epochs + settings.rebalance_epochs,
        precision=settings.precision,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        callbacks=callbacks,
        logger=loggers,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=settings.validate_every,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _warn_of_batch_statistics(network: nn.Module, started: Processes) -> None:
    """Say what several processes compute differently from one."""
    alone = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training]
    if alone and started.rank == 0:
        log.warning(
            "%d batch norms: each of the %d processes takes the statistics of its own batches, so the result differs "
            "from one process's. network.frozen_batch_norm = true avoids it.",
            len(alone),
            started.world,
        )


def _fresh_log(folder: Path) -> str:
    """Name of this attempt's log folder; a resumed fit must not overwrite what the killed one wrote."""
    attempts = len(list(folder.glob("log*")))
    return f"log{attempts + 1}" if attempts else "log"


def _tensorboard(folder: Path, log: str) -> list[Logger]:
    try:
        return [TensorBoardLogger(folder, name=None, version=log)]
    except ModuleNotFoundError:  # the CSV log holds the same numbers
        return []


def _take_best(course: Course, folder: Path) -> None:
    """Load the weights with the best validation kappa."""
    best = folder / "checkpoints" / "best.ckpt"
    course.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
