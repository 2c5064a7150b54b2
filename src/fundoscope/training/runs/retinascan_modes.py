"""RetinaScan's seven ways of grading with one trained network, side by side, each on photographs it was not fitted to.

The network has prototypes and, beside them, cut logits (`network.second_head`). What RetinaScan's own comparison got
wrong is put right: thresholds are tuned on one half of the held-out patients and judged on the other; test-time
augmentation turns and mirrors whole photographs, with dropout off; no temperature is tuned for grades that it cannot
change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.special import expit
from torch import Tensor

from fundoscope.arrays import Grades
from fundoscope.data.split import fold_by_patient
from fundoscope.decide.cut_thresholds import count_passed, fit_cut_thresholds, smooth
from fundoscope.decide.heads import probabilities
from fundoscope.decide.neighbours import Neighbours, Voting, neighbour_probabilities
from fundoscope.errors import BadExperiment
from fundoscope.evaluation.statistics.agreement import agreement_statistics, confusions
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, widened
from fundoscope.run_folder import FitFolder, RunFolder
from fundoscope.tables import patient_keys, write_table
from fundoscope.training.batches.loader import evaluation_loader
from fundoscope.training.batches.rows import Rows
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.networks.checkpoints import read_safetensors
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.heads import Prototype
from fundoscope.training.networks.normalisation import Normalise

STATISTICS: Final = ("accuracy", "quadratic_kappa", "mean_absolute_error", "within_one")
"""Of `evaluation.agreement`, for each way of grading; what RetinaScan calls off-by-one is `within_one`."""

TURNS: Final = tuple((quarter, mirrored) for quarter in range(4) for mirrored in (False, True))
"""The eight ways in which a square picture can lie."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a network gave for each row, fp32."""

    scores: Float[np.ndarray, "photo grade"]
    """Of the prototypes."""
    cuts: Float[np.ndarray, "photo cut"]
    """Logits of `grade > k`."""
    projected: Float[np.ndarray, "photo projection"]
    """What the prototypes are compared with."""


def check_modes(experiment: Experiment) -> None:
    """Make sure that there is a network to compare ways of grading with.

    Raises:
        BadExperiment: If it has no prototypes, no cuts beside them, or no snapshots to average.
    """
    network = experiment.network
    if network.head != "prototype" or network.second_head not in ("coral", "cumulative"):
        raise BadExperiment(
            "fit.compare_modes: expected network.head 'prototype' and network.second_head 'cumulative' or 'coral', "
            f"got {network.head!r} and {network.second_head!r}"
        )
    if not experiment.fit.snapshots:
        raise BadExperiment("fit.compare_modes: expected fit.snapshots of at least 1, to average; got 0")


def grade_by_modes(
    experiment: Experiment, network: GradingNetwork, folder: Path, train: Rows, held_out: Rows
) -> dict[str, Grades]:
    """Grades of the held-out rows by each way of grading.

    Args:
        experiment: One that `check_modes` lets pass.
        network: The trained network.
        folder: Of its fit, with the snapshots.
        train: What it learnt from: the neighbours.
        held_out: What is graded; two of its patients at least.
    """
    now, training = look(network, experiment, held_out), look(network, experiment, train)
    snapshots = [read_safetensors(path) for path in sorted(FitFolder(folder).snapshots.glob("*.safetensors"))]
    views = [look(network, experiment, held_out, turn=turn) for turn in TURNS]
    shares = probabilities(str(experiment.network.second_head), now.cuts)
    zero = np.zeros(now.cuts.shape[1])
    release = experiment.release
    voting = Voting(release.neighbours or Voting().k, release.neighbour_metric, release.neighbour_weights)
    neighbours = Neighbours(training.projected, train.grades, np.array([stored.sha256 for stored in train.stored]))
    snapshot_cuts = [look(with_weights(network, state), experiment, held_out).cuts for state in snapshots]
    averaged = look(with_weights(network, mean_of(snapshots)), experiment, held_out).cuts
    return {
        "cuts": count_passed(now.cuts, zero),
        "cuts, thresholds tuned on other patients": _tuned(now.cuts, held_out),
        "cuts, weights averaged over snapshots": count_passed(averaged, zero),
        "cuts, predictions averaged over snapshots": count_passed(
            _mean(expit(cuts) for cuts in snapshot_cuts), zero + 0.5
        ),
        f"{voting.k} nearest photographs": neighbour_probabilities(now.projected, neighbours, voting).argmax(axis=1),
        "cuts, averaged over eight views": count_passed(_mean(expit(view.cuts) for view in views), zero + 0.5),
        "cuts, smoothed over grades": smooth(shares).argmax(axis=1),
        "prototypes": now.scores.argmax(axis=1),
    }


def look(network: GradingNetwork, experiment: Experiment, rows: Rows, *, turn: tuple[int, bool] = (0, False)) -> Looked:
    """Scores, cut logits and projections in fp32, in the order of the rows, of pictures turned by quarters."""
    head, network = network.head, network.eval()
    assert isinstance(head, Prototype)
    device = next(network.parameters()).device
    normalise = Normalise(experiment.recipe).to(device)
    outputs: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.inference_mode():
        for batch in evaluation_loader(rows, batch=experiment.fit.batch):
            pictures = normalise(batch["canvas"].to(device)).rot90(turn[0], (2, 3))
            output = network(pictures.flip(-1) if turn[1] else pictures)
            outputs.append((output.raw, output.second, head.project(output.features)))
    scores, cuts, projected = (torch.cat(part).float().cpu().numpy() for part in zip(*outputs, strict=True))
    return Looked(scores, cuts, projected)


def with_weights(network: GradingNetwork, state: dict[str, Tensor]) -> GradingNetwork:
    """A copy of a network with other weights."""
    from copy import deepcopy

    other = deepcopy(network)
    other.load_state_dict(state)
    return other


def mean_of(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average of several states' weights, tensor by tensor; counters are the last one's."""
    return {
        key: torch.stack([state[key] for state in states]).mean(dim=0) if last.is_floating_point() else last
        for key, last in states[-1].items()
    }


def write_modes(graded: Sequence[tuple[Rows, dict[str, Grades]]], run: Path) -> None:
    """Write `RUN/modes.csv`: the held-out rows of all fits together, with their grades by each way of grading."""
    if not graded:
        return
    frame = pd.concat([rows.frame for rows, _ in graded], ignore_index=True)
    grades = np.concatenate([rows.grades for rows, _ in graded])
    modes = {name: np.concatenate([each[name] for _, each in graded]) for name in graded[0][1]}
    write_table(modes_table(frame, grades, modes), RunFolder(run).modes)


def modes_table(rows: pd.DataFrame, grades: Grades, modes: dict[str, Grades], *, seed: int = 0) -> pd.DataFrame:
    """A row for each way of grading, with the statistics' intervals by patient (2,000 draws, 95 %)."""
    patients = pd.factorize(pd.Series(patient_keys(rows), dtype=object))[0]
    table = []
    for name, answered in modes.items():
        intervals = _intervals(grades, answered, patients, seed)
        entry: dict[str, object] = {"mode": name, "photographs": len(grades)}
        for statistic in STATISTICS:
            interval = intervals[statistic]
            entry |= {
                statistic: interval.estimate, f"{statistic}_low": interval.low, f"{statistic}_high": interval.high
            }  # fmt: skip
        table.append(entry)
    return pd.DataFrame(table)


def _intervals(grades: Grades, answered: Grades, patients: Int[np.ndarray, " photo"], seed: int) -> dict[str, Interval]:
    intervals = patient_intervals(
        lambda weights: agreement_statistics(confusions(weights, grades, answered)),
        patients,
        rng=np.random.default_rng(seed),
    )
    apart, everyone = np.abs(grades - answered), np.ones(len(grades), dtype=bool)
    rates = {"accuracy": Rate(apart == 0, everyone), "within_one": Rate(apart <= 1, everyone)}
    return widened(intervals, rates, patients)


def _tuned(cuts: Float[np.ndarray, "photo cut"], rows: Rows) -> Grades:
    """Grades by thresholds that were fitted on the other half of the patients."""
    half = fold_by_patient(rows.frame, folds=2)["fold"].to_numpy(int)
    grades = np.zeros(len(rows), dtype=np.int64)
    for mine in (0, 1):
        thresholds = fit_cut_thresholds(cuts[half != mine], rows.grades[half != mine])
        grades[half == mine] = count_passed(cuts[half == mine], thresholds)
    return grades


def _mean(arrays: Iterable[Float[np.ndarray, "photo cut"]]) -> Float[np.ndarray, "photo cut"]:
    return np.asarray(np.mean(list(arrays), axis=0))
