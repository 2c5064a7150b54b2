"""A whole run: folds with out-of-fold predictions, a final fit, an exported release. Each part once.

    RUN/experiment.json          the experiment, resolved
    RUN/photographs.json         hashes of the photographs it may learn from
    RUN/fold0/ ...               one fit each: checkpoints, log, network.safetensors
    RUN/out_of_fold.csv          predictions for every photograph by a network that never saw its patient
    RUN/final/                   the fit on all training rows (or the only fit, where there are no folds)
    RUN/predictions.csv          predictions for the validation rows of the only fit
    RUN/release/                 the exported release

A part that is finished is not done again, so a killed run continues where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fundoscope.data.manifest import read_manifest
from fundoscope.data.split import fold_by_patient
from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.files import write_text
from fundoscope.tables import read_table, write_table
from fundoscope.training.config import Experiment, experiment_from_dict
from fundoscope.training.crossfit import cross_fit
from fundoscope.training.fit import fit
from fundoscope.training.loader import Rows, load_rows
from fundoscope.training.network import GradingNetwork
from fundoscope.training.predict import predictions_table, run_network

Report = Callable[[str], None]
"""Called with one line about what is being done."""


def train(experiment: Experiment, run: Path, *, say: Report = lambda line: None, progress: bool = True) -> None:
    """Do everything the experiment asks for, continuing what the run folder already holds.

    Raises:
        BadExperiment: If the manifest is not given or has no rows of the splits asked for.
        BadCheckpoint: If the folder holds a run of another experiment.
        BadTable: If the manifest or a photograph cannot be read.
    """
    _claim(experiment, run)
    rows = training_rows(experiment, experiment.data.train, say)
    _note_photographs(rows, run)
    if experiment.data.folds:
        cross_validate(experiment, rows, run, say=say, progress=progress)
    if experiment.fit.final or not experiment.data.folds:
        _final(experiment, rows, run, say, progress)
    if experiment.fit.export:
        from fundoscope.training.export import export_run

        say("exporting the release")
        export_run(run)


def read_run(run: Path) -> Experiment:
    """The experiment of a run folder.

    Raises:
        BadCheckpoint: If the folder holds no run.
    """
    path = run / "experiment.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{run}: expected a run folder with experiment.json ({error})") from error
    return experiment_from_dict(values, where=str(path))


def training_rows(experiment: Experiment, splits: tuple[str, ...], say: Report) -> Rows:
    """The rows of the manifest that have one of the splits, prepared."""
    if not experiment.data.manifest:
        raise BadExperiment("data.manifest: expected the path of a manifest, got none. Add data.manifest=FILE")
    path = Path(experiment.data.manifest)
    frame = read_manifest(path)
    chosen = frame[frame["split"].isin(splits)] if "split" in frame else frame.iloc[:0]
    if chosen.empty:
        found = sorted(frame["split"].dropna().unique()) if "split" in frame else "no column split"
        raise BadExperiment(f"{path}: expected rows with split in {splits}, found {found}")
    say(f"preparing {len(chosen)} photographs of {path} ({', '.join(splits)})")
    return load_rows(
        chosen.reset_index(drop=True),
        path.parent,
        experiment.recipe,
        cache=experiment.data.cache,
        lesions=experiment.lesions.weight > 0,
    )


def fold_networks(experiment: Experiment, run: Path) -> list[Path]:
    """The folders of the folds that the experiment runs."""
    return [run / f"fold{fold}" for fold in experiment.data.only_folds or range(experiment.data.folds)]


def cross_validate(
    experiment: Experiment, rows: Rows, run: Path, *, say: Report = lambda line: None, progress: bool = True
) -> pd.DataFrame:
    """Fit every fold and write `out_of_fold.csv`: no photograph is graded by a network that saw its patient."""
    path = run / "out_of_fold.csv"
    if path.is_file():
        return read_table(path)
    folded = fold_by_patient(rows.frame, folds=experiment.data.folds, salt=experiment.data.fold_salt)
    owner = folded["fold"].to_numpy(int)
    tables = []
    for folder in fold_networks(experiment, run):
        fold = int(folder.name.removeprefix("fold"))
        held_out = rows.take(np.flatnonzero(owner == fold))
        say(f"fold {fold + 1} of {experiment.data.folds}: {len(rows) - len(held_out)} train, {len(held_out)} held out")
        network = fit(experiment, rows.take(np.flatnonzero(owner != fold)), held_out, folder, progress=progress)
        tables.append(predictions_table(held_out, run_network(network, experiment, held_out), experiment, fold=fold))
    order = np.concatenate([np.flatnonzero(owner == int(table["fold"].iloc[0])) for table in tables])
    frame = pd.concat(tables, ignore_index=True)
    release = experiment.release
    frame = cross_fit(
        frame, rows.grades[order], experiment.network.head, sensitivity=release.sensitivity, cuts=release.cuts
    )
    write_table(frame, path)
    return frame


def _final(experiment: Experiment, rows: Rows, run: Path, say: Report, progress: bool) -> GradingNetwork:
    """The fit on all training rows; with validation rows, their predictions too."""
    held_out = None
    if experiment.data.validate and not experiment.data.folds:
        held_out = training_rows(experiment, experiment.data.validate, say)
    say(f"fitting on all {len(rows)} training photographs")
    network = fit(experiment, rows, held_out, run / "final", progress=progress)
    if held_out is not None:
        outputs = run_network(network, experiment, held_out)
        write_table(predictions_table(held_out, outputs, experiment), run / "predictions.csv")
    return network


def _claim(experiment: Experiment, run: Path) -> None:
    """Write the resolved experiment, or refuse a folder that holds another one."""
    path = run / "experiment.json"
    if path.is_file():
        held = read_run(run)
        if held != experiment:
            ours, theirs = experiment.to_dict(), held.to_dict()
            differs = [key for key in ours if ours[key] != theirs[key]]
            raise BadCheckpoint(
                f"{run}: holds a run of another experiment (it differs in {', '.join(differs)}). "
                "Give another folder with --run, or continue that one with --resume"
            )
        return
    write_text(path, json.dumps(experiment.to_dict(), indent=2) + "\n")


def _note_photographs(rows: Rows, run: Path) -> None:
    """Record which photographs were learnt from, so that nobody is later measured on them unawares."""
    hashes = sorted(stored.sha256 for stored in rows.stored)
    write_text(run / "photographs.json", json.dumps(hashes, indent=0) + "\n")
