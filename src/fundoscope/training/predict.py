"""A trained network on rows of a manifest, as a predictions table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fundoscope.decide.heads import exceedance, probabilities
from fundoscope.grades import REFERABLE
from fundoscope.training.config import Experiment
from fundoscope.training.loader import Rows, still_loader
from fundoscope.training.network import GradingNetwork
from fundoscope.training.objectives.supervised import Normalise

CARRIED = ("image", "sha256", "source", "patient", "eye", "taken")
"""Columns of the manifest that a predictions table repeats."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a network gave for each row."""

    raw: np.ndarray
    """(photo, outputs), fp32."""
    features: np.ndarray
    """(photo, features), fp32."""


def run_network(network: GradingNetwork, experiment: Experiment, rows: Rows) -> Outputs:
    """Raw outputs and features in fp32, in the order of the rows."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # torch's stub lacks it
    normalise = Normalise(experiment.recipe).to(device)
    raw, features = [], []
    with torch.inference_mode():
        for batch in still_loader(rows, batch=experiment.fit.batch):
            given, pooled = network.grade(normalise(batch["canvas"].to(device)))
            raw.append(given.float().cpu().numpy())
            features.append(pooled.float().cpu().numpy())
    return Outputs(np.concatenate(raw), np.concatenate(features))


def predictions_table(rows: Rows, outputs: Outputs, experiment: Experiment, *, fold: int | None = None) -> pd.DataFrame:
    """Predictions in the columns of `fundoscope.tables`, uncalibrated (temperature 1).

    Args:
        rows: The rows that were run.
        outputs: What the network gave for them.
        experiment: Names the head and the release column.
        fold: The fold these rows were held out of the training of; None: not out-of-fold.
    """
    given = probabilities(experiment.network.head, outputs.raw.astype(np.float64))
    frame = rows.frame.reindex(columns=list(CARRIED)).reset_index(drop=True)
    frame["sha256"] = [stored.sha256 for stored in rows.stored]
    frame["status"] = "graded"
    for k in range(outputs.raw.shape[1]):
        frame[f"raw{k}"] = outputs.raw[:, k]
    for k in range(given.shape[1]):
        frame[f"p{k}"] = given[:, k]
    frame["p_referable"] = exceedance(given, REFERABLE)
    frame["grade"] = given.argmax(axis=1)
    frame["fold"] = pd.array([fold] * len(frame), dtype="Int64")
    frame["release"] = experiment.name
    return frame
