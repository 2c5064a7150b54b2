"""A whole run: folds with out-of-fold predictions, a final fit, an exported release. Each part once.

    RUN/experiment.json          the experiment, resolved
    RUN/photographs.json         hashes of the photographs it may learn from
    RUN/fold0/ ...               one fit each: checkpoints, log, network.safetensors
    RUN/out_of_fold.csv          predictions for every photograph by a network that never saw its patient
    RUN/final/                   the fit on all training rows (or the only fit, where there are no folds)
    RUN/predictions.csv          predictions for the validation rows of the only fit
    RUN/modes.csv                RetinaScan's seven ways of grading, where they are compared
    RUN/release/                 the exported release

With a `domains.protocol` the parts are those of `training.domains`. A part that is finished is not done again, so a
killed run continues where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fundoscope.data.manifest import read_manifest
from fundoscope.data.split import fold_by_patient
from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.files import write_text
from fundoscope.tables import read_table, write_table
from fundoscope.training.batches.loader import Rows, load_rows
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment, experiment_from_dict
from fundoscope.training.loop.fit import fit
from fundoscope.training.loop.processes import processes, wait_for_all
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import resolved_recipe
from fundoscope.training.objectives.losses import grade_source_weights
from fundoscope.training.runs.crossfit import cross_fit
from fundoscope.training.runs.predict import answer, keep_voters
from fundoscope.training.runs.retinascan_modes import check_modes, grade_by_modes, write_modes

Report = Callable[[str], None]
"""Called with one line about what is being done."""


def train(experiment: Experiment, run: Path, *, say: Report = lambda line: None, progress: bool = True) -> None:
    """Do everything the experiment asks for, continuing what the run folder already holds.

    Raises:
        BadExperiment: If the manifest is not given or has no rows of the splits asked for.
        BadCheckpoint: If the folder holds a run of another experiment.
        BadTable: If the manifest or a photograph cannot be read.
    """
    if experiment.fit.compare_modes:
        check_modes(experiment)
    experiment = resolved_recipe(experiment)
    _claim(experiment, run)
    if experiment.domains.protocol != "none":
        from fundoscope.training.runs.domains import train_domains

        train_domains(experiment, run, say=say, progress=progress)
    else:
        _train_together(experiment, run, say, progress)
    wait_for_all()
    if experiment.fit.export and processes().rank == 0:
        from fundoscope.training.export.release import export_run

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
    path = experiment.data.manifest
    frame = listed(experiment)
    chosen = frame[frame["split"].isin(splits)] if "split" in frame else frame.iloc[:0]
    if chosen.empty:
        found = sorted(frame["split"].dropna().unique()) if "split" in frame else "no column split"
        raise BadExperiment(f"{path}: expected rows with split in {splits}, found {found}")
    say(f"preparing {len(chosen)} photographs of {path} ({', '.join(splits)})")
    return prepared(experiment, chosen.reset_index(drop=True))


def listed(experiment: Experiment) -> pd.DataFrame:
    """The manifest.

    Raises:
        BadExperiment: If none is given, or the column that names the sources is not in it.
        BadTable: If it cannot be read.
    """
    if not experiment.data.manifest:
        raise BadExperiment("data.manifest: expected the path of a manifest, got none. Add data.manifest=FILE")
    frame = read_manifest(Path(experiment.data.manifest))
    by = experiment.domains.by
    if by not in frame and by != "source":
        raise BadExperiment(
            f"domains.by: expected a column of {experiment.data.manifest}, got {by!r}, which it lacks. "
            f"It has {', '.join(frame.columns)}"
        )
    return frame


def prepared(experiment: Experiment, frame: pd.DataFrame) -> Rows:
    """Rows of the manifest, prepared; `source` is what the experiment says names the sources.

    Raises:
        BadTable: If a row has no grade or a photograph cannot be read.
    """
    by = experiment.domains.by
    rows = load_rows(
        frame.assign(source=frame[by]) if by in frame else frame,
        Path(experiment.data.manifest).parent,
        experiment.recipe,
        cache=experiment.data.cache,
        lesions=experiment.lesions.weight > 0,
        target=target_of(experiment.data),
    )
    return replace(rows, eyes=experiment.network.eyes, fellow_dropout=experiment.network.fellow_dropout)


def to_learn(experiment: Experiment, rows: Rows) -> Rows:
    """Training rows with what the loss asks for beside their grade: weights by source, twins.

    Raises:
        BadExperiment: If weights by source are asked for and a row has none.
    """
    weights = None
    if experiment.loss.class_weights == "grade_source":
        if "source" not in rows.frame or rows.frame["source"].isna().any():
            raise BadExperiment(
                "loss.class_weights 'grade_source': expected a source for every training row of the manifest, got rows "
                "without one. Fill the column (or domains.by's), or change loss.class_weights"
            )
        weights = grade_source_weights(rows.grades, rows.frame["source"].to_numpy(object).astype(str))
    return replace(rows, weights=weights, twins=experiment.contrast.weight > 0)


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
    tables, modes = [], []
    for folder in fold_networks(experiment, run):
        fold = int(folder.name.removeprefix("fold"))
        held_out, train = (rows.take(np.flatnonzero(chosen)) for chosen in (owner == fold, owner != fold))
        say(f"fold {fold + 1} of {experiment.data.folds}: {len(train)} train, {len(held_out)} held out")
        network = fit(experiment, to_learn(experiment, train), held_out, folder, progress=progress)
        tables.append(answer(network, experiment, train, held_out, fold=fold))
        if experiment.fit.compare_modes:
            modes.append((held_out, grade_by_modes(experiment, network, folder, train, held_out)))
    frame = pd.concat(tables, ignore_index=True)
    if target_of(experiment.data).kind == "grade":
        order = np.concatenate([np.flatnonzero(owner == int(table["fold"].iloc[0])) for table in tables])
        release, head = experiment.release, experiment.network.head
        votes = release.neighbours > 0
        frame = cross_fit(
            frame, rows.grades[order], head, sensitivity=release.sensitivity, cuts=release.cuts, votes=votes
        )
    if processes().rank == 0:
        write_modes(modes, run)
        write_table(frame, path)
    wait_for_all()
    return frame


def _final(experiment: Experiment, rows: Rows, run: Path, say: Report, progress: bool) -> GradingNetwork:
    """The fit on all training rows; with validation rows, their predictions too."""
    held_out = None
    if experiment.data.validate and not experiment.data.folds:
        held_out = training_rows(experiment, experiment.data.validate, say)
    say(f"fitting on all {len(rows)} training photographs")
    network = fit(experiment, to_learn(experiment, rows), held_out, run / "final", progress=progress)
    keep_voters(network, experiment, rows, run / "final")
    if held_out is not None and processes().rank == 0:
        if experiment.fit.compare_modes:
            modes = grade_by_modes(experiment, network, run / "final", rows, held_out)
            write_modes([(held_out, modes)], run)
        write_table(answer(network, experiment, rows, held_out), run / "predictions.csv")
    return network


def _train_together(experiment: Experiment, run: Path, say: Report, progress: bool) -> None:
    """The run of an experiment without a protocol: all sources are one."""
    rows = training_rows(experiment, experiment.data.train, say)
    note_photographs(rows, run)
    if experiment.data.folds:
        cross_validate(experiment, rows, run, say=say, progress=progress)
    if experiment.fit.final or not experiment.data.folds:
        _final(experiment, rows, run, say, progress)


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
    if processes().rank == 0:
        write_text(path, json.dumps(experiment.to_dict(), indent=2) + "\n")


def note_photographs(rows: Rows, run: Path) -> None:
    """Record which photographs were learnt from, so that nobody is later measured on them unawares."""
    hashes = sorted(stored.sha256 for stored in rows.stored)
    if processes().rank == 0:
        write_text(run / "photographs.json", json.dumps(hashes, indent=0) + "\n")
