"""A supervised run: folds with out-of-fold predictions, a final fit with the predictions of its validation rows.

A part that is finished is not done again, so a killed run continues where it was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fundoscope.run_folder import RunFolder
from fundoscope.tables import read_table, write_table
from fundoscope.training.batches.rows import Report, Rows, to_learn, training_rows
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.processes import processes, wait_for_all
from fundoscope.training.loop.progress import ProgressOfFits, RunProgress
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.runs.crossfit import cross_fit_answers
from fundoscope.training.runs.domains import train_domains
from fundoscope.training.runs.fits import build_network, fit_network
from fundoscope.training.runs.folder import fold_networks, write_place
from fundoscope.training.runs.held_out import check_folds, check_held_out
from fundoscope.training.runs.predict import answer, write_reference_set
from fundoscope.training.runs.record import (
    divide,
    folds_of,
    record_held_out_rows,
    record_left_out_rows,
    record_training_rows,
    usable_rows,
)
from fundoscope.training.runs.retinascan_modes import check_modes, grade_by_modes, write_modes
from fundoscope.training.runs.teachers import check_teachers


def train_supervised(experiment: Experiment, run: Path, *, say: Report, progress: RunProgress | None) -> None:
    """Do everything a supervised experiment asks for but its export.

    The network is built once before any photograph is prepared, which takes hours where there are many.

    Raises:
        BadCheckpoint: If the weights that training starts from are not there or do not fit, or a teacher is no run.
        BadExperiment: If a teacher answers something else, or the manifest is not given or has no rows of the splits
            asked for.
        BadTable: If the manifest or a photograph cannot be read.
    """
    if experiment.fit.compare_modes:
        check_modes(experiment)
    if not RunFolder(run).final.weights.is_file():
        build_network(experiment)
        check_teachers(experiment)
    if experiment.domains.protocol != "none":
        train_domains(experiment, run, say=say, progress=progress)
    else:
        _train_together(experiment, run, say, progress)


def cross_validate(
    experiment: Experiment,
    rows: Rows,
    run: Path,
    *,
    say: Report = lambda line: None,
    progress: RunProgress | None = None,
) -> pd.DataFrame:
    """Fit every fold and write `out_of_fold.csv`: no photograph is graded by a network that saw its patient."""
    path = RunFolder(run).out_of_fold
    if path.is_file():
        return read_table(path)
    owner = folds_of(rows, run, experiment.data)
    tables, modes = [], []
    folders = {int(path.name.removeprefix("fold")): path for path in fold_networks(experiment, run)}
    sizes = [int((owner != fold).sum()) for fold in folders]
    sizes += [len(rows)] if experiment.fit.final else []
    fits = ProgressOfFits(progress, sizes, _epochs(experiment))
    for number, (fold, folder) in enumerate(folders.items()):
        held_out, train = (rows.take(np.flatnonzero(chosen)) for chosen in (owner == fold, owner != fold))
        say(f"fold {fold + 1} of {experiment.data.folds}: {len(train)} train, {len(held_out)} held out")
        network = fit_network(experiment, to_learn(experiment, train), held_out, folder, progress=fits.of(number))
        tables.append(answer(network, experiment, train, held_out, fold=fold))
        if experiment.fit.compare_modes:
            modes.append((held_out, grade_by_modes(experiment, network, folder, train, held_out)))
    frame = pd.concat(tables, ignore_index=True)
    order = np.concatenate([np.flatnonzero(owner == int(table["fold"].iloc[0])) for table in tables])
    frame = cross_fit_answers(frame, rows.targets[order], experiment)
    if processes().rank == 0:
        write_modes(modes, run)
        write_table(frame, path)
    wait_for_all()
    return frame


def _epochs(experiment: Experiment) -> int:
    return experiment.fit.epochs + experiment.fit.rebalance_epochs


def _final(
    experiment: Experiment, rows: Rows, held_out: Rows | None, run: Path, say: Report, progress: RunProgress | None
) -> GradingNetwork:
    """The fit on all training rows; with validation rows, their predictions too."""
    say(f"fitting on all {len(rows)} training photographs")
    files = RunFolder(run)
    folder = files.final.path
    trained = len(rows) * (experiment.data.folds - 1) if experiment.data.folds else 0  # by the networks of the folds
    fits = ProgressOfFits(progress, [trained, len(rows)], _epochs(experiment))
    network = fit_network(experiment, to_learn(experiment, rows), held_out, folder, progress=fits.of(1))
    write_reference_set(network, experiment, rows, folder)
    if held_out is not None and processes().rank == 0:
        if experiment.fit.compare_modes:
            modes = grade_by_modes(experiment, network, folder, rows, held_out)
            write_modes([(held_out, modes)], run)
        write_table(answer(network, experiment, rows, held_out), files.predictions)
    return network


def _usable(
    experiment: Experiment, splits: tuple[str, ...], run: Path, say: Report, progress: RunProgress | None
) -> tuple[Rows, Rows]:
    """Prepared rows of splits that are used, and those that the release would not grade."""
    rows = training_rows(experiment, splits, say, progress)
    return usable_rows(rows, run, experiment.data, say, splits=splits)


def _check(experiment: Experiment, rows: Rows, held_out: Rows | None) -> None:
    """Make sure before a run is begun that its held-out photographs can set what they are to set."""
    if experiment.data.folds:
        check_folds(experiment, rows.targets, divide(rows, experiment.data))
    elif held_out is not None and experiment.fit.export:
        check_held_out(experiment, held_out.targets)


def _train_together(experiment: Experiment, run: Path, say: Report, progress: RunProgress | None) -> None:
    """The run of an experiment without a protocol: all sources are one."""
    rows, left_out = _usable(experiment, experiment.data.train, run, say, progress)
    held_out, others = None, []
    if experiment.data.validate and not experiment.data.folds:
        held_out, of_validation = _usable(experiment, experiment.data.validate, run, say, progress)
        others.append(of_validation)
    if not RunFolder(run).training_rows.is_file():
        _check(experiment, rows, held_out)
    record_left_out_rows([left_out, *others], run)
    rows = record_training_rows(rows, run, experiment.data)
    held_out = None if held_out is None else record_held_out_rows(held_out, run)
    write_place(experiment, run)
    if experiment.data.folds:
        cross_validate(experiment, rows, run, say=say, progress=progress)
    if experiment.fit.final or not experiment.data.folds:
        _final(experiment, rows, held_out, run, say, progress)
