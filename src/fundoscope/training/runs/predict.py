"""A trained network on rows of a manifest, as a predictions table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fundoscope.decide.neighbours import NEIGHBOURS, Neighbours, Voting, neighbour_probabilities, write_neighbours
from fundoscope.runtime.tasks.dr_grade import grade_columns
from fundoscope.runtime.tasks.task import Table
from fundoscope.training.batches.loader import evaluation_loader
from fundoscope.training.batches.rows import Rows
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Release
from fundoscope.training.loop.processes import processes
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise

CARRIED = ("image", "sha256", "source", "patient", "eye", "taken")
"""Columns of the manifest that a predictions table repeats."""


CUT_HEADS = ("coral", "cumulative")
"""Second heads whose raw output goes into the table beside the first's, as `cut0` to `cut3` (RetinaScan has both)."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """A network's outputs for each row."""

    raw: np.ndarray
    """(photo, outputs), fp32."""
    features: np.ndarray
    """(photo, features), fp32."""
    second: np.ndarray | None = None
    """(photo, outputs of the second head), fp32; None without one."""


def run_network(network: GradingNetwork, experiment: Experiment, rows: Rows) -> Outputs:
    """Return raw outputs and features in fp32, in the order of the rows."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module: Any = network  # torch's stub of `to` does not know memory_format beside a device
    module.to(device, memory_format=torch.channels_last).eval()
    normalise = Normalise(experiment.recipe).to(device)
    raw, features, second = [], [], []
    with torch.inference_mode():
        for batch in evaluation_loader(rows, batch=experiment.fit.batch):
            output, pooled, beside = network.grade_twice(normalise(batch["canvas"].to(device)))
            raw.append(output.float().cpu().numpy())
            features.append(pooled.float().cpu().numpy())
            second.extend([] if beside is None else [beside.float().cpu().numpy()])
    return Outputs(np.concatenate(raw), np.concatenate(features), np.concatenate(second) if second else None)


def answer(
    network: GradingNetwork, experiment: Experiment, train: Rows, rows: Rows, *, fold: int | None = None
) -> pd.DataFrame:
    """Predict rows by a trained network, in the columns of `fundoscope.tables`, uncalibrated (temperature 1).

    Args:
        network: The network.
        experiment: Says what was learnt, by which head, and whether neighbours vote.
        train: What it learnt from; these are the neighbours.
        rows: The rows to predict.
        fold: The fold these rows were held out of the training of; None: not out-of-fold.
    """
    outputs = run_network(network, experiment, rows)
    target, voting = target_of(experiment.data), voting_of(experiment.release)
    if voting is not None:
        votes = neighbour_probabilities(outputs.features, neighbours_of(network, experiment, train), voting)
        return predictions_table(rows, outputs, grade_columns(votes), experiment, fold=fold)
    raw = outputs.raw.astype(np.float64)
    columns = target.task.table(experiment.network.head, raw, target.names, column=target.column)
    return predictions_table(rows, outputs, columns, experiment, fold=fold)


def voting_of(release: Release) -> Voting | None:
    """Return how neighbours vote; None where the head grades."""
    if not release.neighbours:
        return None
    return Voting(release.neighbours, release.neighbour_metric, release.neighbour_weights)


def neighbours_of(network: GradingNetwork, experiment: Experiment, train: Rows) -> Neighbours:
    """Return the training photographs, as the network sees them, with their grades."""
    features = run_network(network, experiment, train).features
    return Neighbours(features, train.grades, np.array([stored.sha256 for stored in train.stored]))


def write_reference_set(network: GradingNetwork, experiment: Experiment, train: Rows, folder: Path) -> None:
    """Write `neighbours.npz` into a fit's folder, where the release will grade by neighbours."""
    if experiment.release.neighbours and processes().rank == 0:
        write_neighbours(folder / NEIGHBOURS, neighbours_of(network, experiment, train))


def predictions_table(
    rows: Rows, outputs: Outputs, columns: Table, experiment: Experiment, *, fold: int | None = None
) -> pd.DataFrame:
    """Return predictions in the columns of `fundoscope.tables`.

    Args:
        rows: The rows that were run.
        outputs: What the network gave for them.
        columns: The task's columns (`Task.table`).
        experiment: Names the release column.
        fold: The fold these rows were held out of the training of; None: not out-of-fold.
    """
    frame = _carried(rows, outputs)
    if outputs.second is not None and experiment.network.second_head in CUT_HEADS:
        for k, logits in enumerate(outputs.second.T):
            frame[f"cut{k}"] = logits
    for name, values in columns.items():
        frame[name] = values
    frame["fold"] = pd.array([fold] * len(frame), dtype="Int64")
    frame["release"] = experiment.name
    return frame


def _carried(rows: Rows, outputs: Outputs) -> pd.DataFrame:
    """Return what a table says of each photograph before any answer, and the network's raw output."""
    frame = rows.frame.reindex(columns=list(CARRIED)).reset_index(drop=True)
    frame["sha256"] = [stored.sha256 for stored in rows.stored]
    frame["status"] = "graded"
    for k in range(outputs.raw.shape[1]):
        frame[f"raw{k}"] = outputs.raw[:, k]
    return frame
