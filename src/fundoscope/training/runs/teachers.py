"""The teachers of a fit: networks of other runs that learnt from the same photographs as it, and from no others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.files import sha256_of
from fundoscope.run_folder import FINAL, FitFolder, RunFolder
from fundoscope.tables import read_table
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.objectives.distillation import Teacher, Teachers
from fundoscope.training.runs.folder import read_run
from fundoscope.training.runs.record import FOLD

ALIKE: Final = ("target", "labels")
"""Keys of the section `data` that say what is learnt."""

RECIPE: Final = ("crop", "margin", "enhance")
"""Keys of the recipe that say what a canvas shows; side, mean and standard deviation may be the teacher's own."""


def check_teachers(experiment: Experiment) -> None:
    """Make sure that the teachers of an experiment are runs that it can learn from.

    Raises:
        BadCheckpoint: If a folder holds no run.
        BadExperiment: If a run answers something else, or sees photographs in another way.
    """
    for name in experiment.distil.teachers:
        _check_alike(experiment, read_run(Path(name)), name)


def read_teachers(
    experiment: Experiment, fit: str, photographs: Sequence[str], *, load: Callable[[Experiment, Path], GradingNetwork]
) -> Teachers | None:
    """Load the networks that teach a fit; None where the experiment has no teachers.

    Args:
        experiment: Of the student.
        fit: Name of the fit's folder, which is also that of the teachers' fits.
        photographs: SHA-256 of the photographs that the fit learns from.
        load: Reads a finished fit of an experiment.

    Raises:
        BadCheckpoint: If a teacher's fit is missing or not finished, or learnt from other photographs: it could know
            those that the student is held against.
        BadExperiment: As `check_teachers`.
    """
    teachers = []
    for name in experiment.distil.teachers:
        run = Path(name)
        theirs = read_run(run)
        _check_alike(experiment, theirs, name)
        folder = FitFolder(run / fit)
        if not folder.weights.is_file():
            raise BadCheckpoint(
                f"{folder.path}: expected a finished fit, which teaches {fit} (distil.teachers), got none. Finish it: "
                f"fundoscope train --resume {run}"
            )
        learnt = learnt_hashes(run, fit)
        if learnt != set(photographs):
            raise BadCheckpoint(
                f"{folder.path}: expected a teacher that learnt from the {len(set(photographs))} photographs of {fit} "
                f"and no others, got one of {len(learnt)}, of which {len(learnt - set(photographs))} are not among "
                "them. Train teachers and student on the same manifest, with the same data.folds and data.fold_salt"
            )
        teachers.append(Teacher(load(theirs, folder.path), theirs.recipe))
    if not teachers:
        return None
    return Teachers(teachers, head=experiment.network.head, temperature=experiment.distil.temperature)


def learnt_hashes(run: Path, fit: str) -> set[str]:
    """Return the SHA-256 of the photographs that a fit of a run learnt from.

    Raises:
        BadCheckpoint: If the run does not say.
    """
    files = RunFolder(run)
    own = FitFolder(run / fit).photographs
    if own.is_file():  # a protocol over sources
        return set(json.loads(own.read_text(encoding="utf-8")))
    if not files.training_rows.is_file():
        raise BadCheckpoint(
            f"{files.training_rows}: expected the rows that the run learnt from, got no such file: the run is of an "
            "earlier version. Train it again to teach by it"
        )
    rows = read_table(files.training_rows)
    if fit == FINAL:
        return set(rows["sha256"])
    folds = pd.to_numeric(rows[FOLD]) if FOLD in rows else pd.Series(dtype=float)
    if folds.empty or folds.isna().any():
        raise BadCheckpoint(
            f"{files.training_rows}: expected the fold of every row ({FOLD}), got rows without: the run is of an "
            "earlier version, or has no folds. Train it again to teach by it"
        )
    return set(rows.loc[folds != int(fit.removeprefix("fold")), "sha256"])


def teacher_records(experiment: Experiment) -> list[dict[str, Any]]:
    """Return of each teacher of a final fit its run's name, backbone, what it started from, and its network's hash.

    Teachers that learnt from others are followed by these: the licences of all bind what was learnt from them.

    Raises:
        BadCheckpoint: If a folder holds no run.
    """
    records = []
    for name in experiment.distil.teachers:
        run = Path(name)
        weights = RunFolder(run).final.weights
        taught = read_run(run)
        theirs = taught.network
        records.append(
            {
                "run": run.name,
                "backbone": theirs.backbone,
                "started_from_weights": bool(theirs.weights),
                "weights_licence": theirs.weights_licence,
                "network_sha256": sha256_of(weights) if weights.is_file() else "",
            }
        )
        records += [record for record in teacher_records(taught) if record not in records]
    return records


def _check_alike(experiment: Experiment, theirs: Experiment, name: str) -> None:
    """Refuse a teacher that answers something else than the student, or is shown photographs in another way."""
    pairs = {
        "network.head": (experiment.network.head, theirs.network.head),
        "network.eyes": (experiment.network.eyes, theirs.network.eyes),
        **{f"data.{key}": (getattr(experiment.data, key), getattr(theirs.data, key)) for key in ALIKE},
        **{f"recipe.{key}": (getattr(experiment.recipe, key), getattr(theirs.recipe, key)) for key in RECIPE},
    }
    for key, (own, other) in pairs.items():
        if own != other:
            raise BadExperiment(
                f"distil.teachers: expected runs with {key} {own!r}, as the student has it, got {name} with {other!r}. "
                "Name another run, or change the student"
            )
