"""One supervised fit of a run: a grading network, trained on rows, or loaded where it is finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fundoscope.training.torchvision_shim

import lightning as L
import torch

from fundoscope.errors import BadExperiment
from fundoscope.run_folder import FitFolder
from fundoscope.training.batches.items import TrainingDataset
from fundoscope.training.batches.loader import Batches, ResumableLoader, evaluation_loader
from fundoscope.training.batches.rows import Rows, check_fellows
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.fit import fit
from fundoscope.training.loop.progress import FitProgress
from fundoscope.training.networks.backbone import takes_one_side
from fundoscope.training.networks.checkpoints import load_weights, read_safetensors
from fundoscope.training.networks.depthwise import speed_up_depthwise
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.objectives.supervised import Supervised
from fundoscope.training.runs.folder import check_fit, claim_fit
from fundoscope.training.runs.teachers import read_teachers


def fit_network(
    experiment: Experiment, train: Rows, held_out: Rows | None, folder: Path, *, progress: FitProgress | None = None
) -> GradingNetwork:
    """Train a network, or continue or reload what the folder already holds.

    Args:
        experiment: The whole experiment; also decides the seed.
        train: Rows to learn from.
        held_out: Rows to validate on, or None.
        folder: Receives checkpoints, logs and, when finished, the weights.
        progress: Called after each step.

    Returns:
        The trained network in evaluation mode.

    Raises:
        BadCheckpoint: If a checkpoint in the folder cannot be continued from, or is of another experiment; as
            `read_teachers`.
        BadTable: If both eyes are to be shown and no row has the other eye of its patient.
    """
    claim_fit(experiment, folder)
    settings = experiment.fit
    if settings.threads:
        torch.set_num_threads(settings.threads)
    L.seed_everything(experiment.seed, verbose=False)
    if FitFolder(folder).weights.is_file():
        return load_network(experiment, folder)
    network = build_network(experiment)
    speed_up_depthwise(network)
    check_fellows(train)
    photographs = [stored.sha256 for stored in train.stored]
    teachers = read_teachers(experiment, folder.name, photographs, load=load_network)
    objective = Supervised(experiment, network, torch.tensor(train.targets), teachers=teachers)
    data = TrainingDataset(train, objective.views)
    loader = ResumableLoader(data, batch=settings.batch, workers=settings.workers, sampling=experiment.sampling)
    validation = None if held_out is None or not len(held_out) else evaluation_loader(held_out, batch=settings.batch)
    fit(objective, Batches(loader, validation), folder, settings, seed=experiment.seed, progress=progress)
    return network.eval()


def build_network(experiment: Experiment) -> GradingNetwork:
    """Return the network of an experiment, with the weights that it starts from.

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


def load_network(experiment: Experiment, folder: Path) -> GradingNetwork:
    """Return the network of a finished fit, in evaluation mode.

    Raises:
        BadCheckpoint: If its weights are not there or do not fit, or are of another experiment.
    """
    check_fit(experiment, folder)
    bare = replace(experiment.network, weights="", prototypes="")
    network = build_network(replace(experiment, network=bare))
    weights = FitFolder(folder).weights
    load_weights(network, read_safetensors(weights), where=str(weights))
    return network.eval()
