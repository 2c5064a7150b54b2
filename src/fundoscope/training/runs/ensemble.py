"""What is exported: a finished run, or several of one experiment whose networks are averaged.

Networks that differ in nothing but their seed make different errors; the mean of their raw outputs makes fewer
(Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017). Their held-out predictions are averaged in the same way, fold by
fold, so that what is calibrated and reported is the mean's, and no photograph is graded by a network that saw it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from fundoscope.data.manifest import read_manifest, with_hashes
from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.files import sha256_of
from fundoscope.run_folder import RunFolder
from fundoscope.tables import read_table
from fundoscope.tables.patients import unit_keys
from fundoscope.training.batches.rows import listed
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.runs.crossfit import cross_fit_answers
from fundoscope.training.runs.fits import load_network
from fundoscope.training.runs.folder import check_final, check_finished, read_run
from fundoscope.training.runs.record import left_out_hashes

MAY_DIFFER: Final = {"": ("name", "seed"), "data": ("cache",), "fit": ("export",)}
"""Keys of an experiment, by section, in which runs that are averaged may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a release is made of."""

    experiment: Experiment
    """Of the first run."""
    networks: list[GradingNetwork]
    answers: pd.DataFrame
    """Predictions for photographs that the networks, or their like, never saw."""
    reference: pd.DataFrame
    """What each of them was to be learnt as, in the manifest's columns, and the number `unit` of its patient."""
    kind: str
    """Whether these are `out-of-fold` or of the `validation` rows."""
    where: Path
    """The table of the first run."""
    photographs: list[str]
    """SHA-256 of what was learnt from."""
    training_rows: pd.DataFrame
    """The manifest's rows of these photographs, as they were when training began."""
    left_out: int
    """Photographs that were not used, for the release would not grade them."""
    runs: list[dict[str, Any]]
    """Of each run its `seed` and its network's SHA-256."""


def read_finished(runs: Sequence[Path]) -> Finished:
    """Read what runs have left behind, and average it where there are several.

    Raises:
        BadCheckpoint: If a run is not finished.
        BadRequest: If several runs differ in more than their seed, or the release would grade by neighbours.
    """
    experiment = check_alike(runs)
    if len(runs) > 1 and experiment.release.neighbours:
        raise BadRequest(
            f"{runs[1]}: expected runs whose head grades, got release.neighbours = {experiment.release.neighbours}. "
            "Neighbours are not averaged: export each run alone"
        )
    folded = bool(experiment.data.folds) or experiment.domains.protocol != "none"
    folders = [RunFolder(run) for run in runs]
    tables_of = [folder.out_of_fold if folded else folder.predictions for folder in folders]
    for run, table in zip(runs, tables_of, strict=True):
        check_final(experiment, run)
        check_finished(experiment, run, table)
    photographs = [json.loads(folder.photographs.read_text(encoding="utf-8")) for folder in folders]
    if any(each != photographs[0] for each in photographs):
        raise BadRequest("export: expected runs on the same photographs, got others. Train them on one manifest")
    tables = [read_table(path) for path in tables_of]
    reference = held_out_reference(experiment, folders[0], tables[0])
    return Finished(
        experiment=experiment,
        networks=[load_network(read_run(folder.path), folder.final.path) for folder in folders],
        answers=tables[0] if len(runs) == 1 else average(tables, reference, experiment),
        reference=reference,
        kind="out-of-fold" if folded else "validation",
        where=tables_of[0],
        photographs=photographs[0],
        training_rows=_training_rows(experiment, folders[0], photographs[0]),
        left_out=len(left_out_hashes(runs[0])),
        runs=[
            {"seed": read_run(folder.path).seed, "network_sha256": sha256_of(folder.final.weights)}
            for folder in folders
        ],
    )


def _training_rows(experiment: Experiment, run: RunFolder, photographs: Sequence[str]) -> pd.DataFrame:
    """Return the rows that a run learnt from; of runs from before these were kept, those that the manifest has now.

    Raises:
        BadCheckpoint: If they are not the rows of its photographs.
    """
    table = run.training_rows if run.training_rows.is_file() else Path(experiment.data.manifest)
    if table == run.training_rows:
        rows = read_table(table)
    else:
        rows = with_hashes(listed(experiment), Path(experiment.data.manifest).parent)
        rows = rows[rows["sha256"].isin(photographs)].reset_index(drop=True)
    if sorted(rows["sha256"].astype(str)) != sorted(photographs):
        raise BadCheckpoint(
            f"{table}: expected a row for each of the {len(photographs)} photographs that {run.path} learnt from, got "
            f"{len(rows)}. Restore the file as it was when the run was trained, or train again"
        )
    return rows


def average(tables: Sequence[pd.DataFrame], reference: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """One predictions table of the mean raw outputs, each fold's temperature, cuts and threshold from the other folds.

    Args:
        tables: Held-out predictions of runs that differ in their seed; the rows may stand in any order.
        reference: What each row of the first was to be learnt as, in the columns of the manifest.
        experiment: Says what head it is and how grades and threshold are set.

    Raises:
        BadRequest: If the tables are not of the same photographs in the same folds.
    """
    first, head, target = tables[0], experiment.network.head, target_of(experiment.data)
    columns = [f"raw{k}" for k in range(target.task.outputs(head, target.names))]
    aligned = []
    for table in tables:
        by_image = table.set_index("image")
        if set(by_image.index) != set(first["image"]) or not by_image.index.is_unique:
            raise BadRequest("export: expected runs that held out the same photographs, got others. Train them alike")
        rows = by_image.loc[first["image"]]
        if not rows["fold"].reset_index(drop=True).equals(first["fold"].reset_index(drop=True)):
            raise BadRequest(
                "export: expected runs with the same folds, got photographs in different ones. "
                "Give them the same data.folds and data.fold_salt, and the same manifest"
            )
        aligned.append(rows[columns].to_numpy(np.float64))
    raw = np.mean(aligned, axis=0)
    answers = first.assign(
        **dict(zip(columns, raw.T, strict=True)),
        **target.task.table(head, raw, target.names, column=target.column),
    )
    if first["fold"].isna().any():
        return answers
    return cross_fit_answers(answers, target.values(reference), experiment)


def check_alike(runs: Sequence[Path]) -> Experiment:
    """The experiment of runs that differ in nothing but their seed, as the first of them names it.

    Raises:
        BadCheckpoint: If a folder holds no run.
        BadRequest: If a run is of another experiment, or of a seed that is among them already.
    """
    experiment, seeds = read_run(runs[0]), {read_run(runs[0]).seed}
    for run in runs[1:]:
        _check_same(run, runs[0], experiment)
        if read_run(run).seed in seeds:
            raise BadRequest(
                f"{run}: expected another seed than the others', got {read_run(run).seed} again. Train with seed=N"
            )
        seeds.add(read_run(run).seed)
    return experiment


def _check_same(run: Path, first: Path, experiment: Experiment) -> None:
    """Refuse a run that is not the first with another seed."""
    ours, theirs = _comparable(experiment), _comparable(read_run(run))
    differs = sorted(key for key in ours if ours[key] != theirs[key])
    if differs:
        raise BadRequest(
            f"{run}: expected the experiment of {first} with another seed, got one that differs in "
            f"{', '.join(differs)}. Networks of different experiments are not averaged: take each alone"
        )


def _comparable(experiment: Experiment) -> dict[str, Any]:
    """The experiment as a flat dict of `section.key`, without what may differ."""
    flat: dict[str, Any] = {}
    for section, values in experiment.to_dict().items():
        if isinstance(values, dict):
            flat |= {f"{section}.{k}": v for k, v in values.items() if k not in MAY_DIFFER.get(section, ())}
        elif section not in MAY_DIFFER[""]:
            flat[section] = values
    return flat


def held_out_reference(experiment: Experiment, run: RunFolder, answers: pd.DataFrame) -> pd.DataFrame:
    """Return what each held-out prediction was to be learnt as, in the manifest's columns, and its patient's `unit`."""
    rows, table = _held_out_rows(experiment, run)
    strangers = sorted(set(answers["image"]) - set(rows["image"]))
    if strangers:
        raise BadCheckpoint(
            f"{table}: expected a row for each of the {len(answers)} held-out predictions of {run.path}, got none for "
            f"{len(strangers)}, the first is {strangers[0]}. Restore the file as it was when the run was trained, or "
            "train again"
        )
    unit = pd.factorize(pd.Series(unit_keys(rows), index=rows.index, dtype=object))[0]
    columns = [*target_of(experiment.data).columns, "unit"]
    return rows.assign(unit=unit).set_index("image").loc[answers["image"], columns].reset_index(drop=True)


def _held_out_rows(experiment: Experiment, run: RunFolder) -> tuple[pd.DataFrame, Path]:
    """Return the rows that a run kept of its held-out photographs, and their table; of older runs the manifest's."""
    if run.held_out_rows.is_file():
        return read_manifest(run.held_out_rows), run.held_out_rows
    if experiment.data.folds and run.training_rows.is_file():
        return read_manifest(run.training_rows), run.training_rows
    return listed(experiment), Path(experiment.data.manifest)
