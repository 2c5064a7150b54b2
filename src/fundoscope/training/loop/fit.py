"""One fit: an objective, batches, and a folder that a killed fit continues from. It knows no objective by name."""

from __future__ import annotations

import logging
import signal
import warnings
from pathlib import Path

import fundoscope.training.torchvision_shim

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import nn

from fundoscope.errors import BadCheckpoint
from fundoscope.run_folder import FitFolder
from fundoscope.training.batches.loader import Batches
from fundoscope.training.experiment.sections import Fit
from fundoscope.training.loop.callbacks import Checkpoints, MovableCheckpoint, Snapshots, Timing, write_weights
from fundoscope.training.loop.module import ObjectiveModule
from fundoscope.training.loop.processes import Processes, processes, wait_for_all
from fundoscope.training.loop.progress import FitProgress, StepProgress
from fundoscope.training.objectives.objective import Monitor, Objective

# Lightning's notes on hardware and its own products are not this program's to pass on.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

log = logging.getLogger("fundoscope.training")

QUIET = (
    "Found .* in eval mode at the start of training",  # the frozen parts
    ".*isinstance.treespec, LeafSpec.. is deprecated",  # between Lightning and torch
    "You defined a `validation_step` but have no",  # a fit on all rows has nothing left to validate on
    "Checkpoint directory .* exists and is not empty",  # a resumed fit
    "Using ModelCheckpoint with manual optimization",  # a checkpoint holds what a step has made
)
"""Warnings of Lightning's about what is meant to be so."""


def fit(
    objective: Objective,
    batches: Batches,
    folder: Path,
    settings: Fit,
    *,
    seed: int,
    progress: FitProgress | None = None,
) -> None:
    """Train an objective's network, or continue where a killed fit was, and write its weights into the folder.

    Args:
        objective: What is minimised; its network is left with the final weights, in evaluation mode.
        batches: What it is minimised on, and the held-out photographs that it is validated on.
        folder: Receives checkpoints, logs and, when finished, the weights (`run_folder.FitFolder`).
        settings: How long, how many at a time, how precisely.
        seed: Of the draws that are made while training (dropout, masks).
        progress: Called after each step.

    Raises:
        BadCheckpoint: If a checkpoint in the folder cannot be continued from.
        BadExperiment: If a loss or a weight is no finite number; the checkpoint before it is kept.
        KeyboardInterrupt: If the user stopped it; the next call continues.
    """
    module = ObjectiveModule(objective, batches, settings, seed).to(memory_format=torch.channels_last)
    module.train()
    if (started := processes()).world > 1:
        _warn_of_batch_statistics(objective, started)
    files = FitFolder(folder)
    trainer = _trainer(module, files, progress)
    _run(trainer, module, files.last_checkpoint)
    if _keeps_best(module):
        wait_for_all()
        _take_best(module, files)
    module.check_weights()
    if trainer.is_global_zero:
        write_weights(objective.network, files.weights)
    wait_for_all()
    objective.eval()


def _run(trainer: L.Trainer, module: ObjectiveModule, last: Path) -> None:
    """Fit, from the last checkpoint where there is one."""
    batches = module.batches
    try:
        with warnings.catch_warnings():
            for message in QUIET:
                warnings.filterwarnings("ignore", message)
            start = last if last.is_file() else None
            handler = signal.getsignal(signal.SIGINT)
            try:
                trainer.fit(module, batches.train, batches.validation, ckpt_path=start, weights_only=True)
            except SystemExit:  # Lightning ends the whole program after Ctrl-C, and ignores the next one
                signal.signal(signal.SIGINT, handler)
                if trainer.interrupted:
                    raise KeyboardInterrupt from None
                raise
    except (RuntimeError, KeyError) as error:
        if last.is_file() and ("state_dict" in str(error) or isinstance(error, KeyError)):
            raise BadCheckpoint(
                f"{last}: cannot be continued from, it belongs to another experiment ({error}). "
                "Give another run folder, or delete this one to start anew"
            ) from error
        raise


def _trainer(module: ObjectiveModule, files: FitFolder, progress: FitProgress | None) -> L.Trainer:
    settings, started = module.settings, processes()
    folder, log = files.path, files.next_log
    loggers: list[Logger] = [CSVLogger(folder, name=None, version=log), *_tensorboard(folder, log)]
    return L.Trainer(
        accelerator="auto",
        strategy="ddp" if started.world > 1 else "auto",
        devices=started.on_each_node if started.world > 1 else "auto",
        num_nodes=started.nodes,
        max_epochs=module.objective.epochs,
        precision=settings.precision,
        callbacks=_callbacks(module, files, progress),
        logger=loggers,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=settings.validate_every,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _callbacks(module: ObjectiveModule, files: FitFolder, progress: FitProgress | None) -> list[Callback]:
    settings, objective = module.settings, module.objective
    callbacks: list[Callback] = [Timing(files.timing)]
    if settings.snapshots:
        callbacks.append(Snapshots(objective.network, files.snapshots, objective.epochs - settings.snapshots))
    callbacks.append(Checkpoints(files.checkpoints, settings.checkpoint_steps))
    if settings.ema:
        callbacks.append(EMAWeightAveraging(decay=settings.ema))
    if _keeps_best(module):
        monitor = _monitor(objective)
        callbacks.append(
            MovableCheckpoint(
                dirpath=files.checkpoints,
                filename=files.best_checkpoint.stem,
                monitor=monitor.figure,
                mode=monitor.mode,
                enable_version_counter=False,
            )
        )
    if module.batches.validation is not None and settings.patience:
        monitor = _monitor(objective)
        callbacks.append(EarlyStopping(monitor.figure, mode=monitor.mode, patience=settings.patience))
    if progress is not None:
        callbacks.append(StepProgress(progress))
    return callbacks


def _keeps_best(module: ObjectiveModule) -> bool:
    return module.settings.keep == "best" and module.batches.validation is not None


def _monitor(objective: Objective) -> Monitor:
    if objective.monitor is None:
        raise ValueError(f"{type(objective).__name__} names no figure that fit.keep or fit.patience could go by")
    return objective.monitor


def _warn_of_batch_statistics(objective: nn.Module, started: Processes) -> None:
    """Say what several processes compute differently from one."""
    norms = [
        part for part in objective.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training
    ]
    if norms and started.rank == 0:
        log.warning(
            "%d batch norms: each of the %d processes takes the statistics of its own batches, so the result differs "
            "from one process's. network.frozen_batch_norm = true avoids it.",
            len(norms),
            started.world,
        )


def _tensorboard(folder: Path, log: str) -> list[Logger]:
    try:
        return [TensorBoardLogger(folder, name=None, version=log)]
    except ModuleNotFoundError:  # the CSV log holds the same numbers
        return []


def _take_best(module: ObjectiveModule, files: FitFolder) -> None:
    """Load the weights with the best validation figure."""
    module.load_state_dict(torch.load(files.best_checkpoint, map_location="cpu", weights_only=True)["state_dict"])
