"""A run's experiment, written and read; `fundoscope.run_folder` has the names, `record` the rows it learns from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.files import write_text
from fundoscope.run_folder import FitFolder, RunFolder
from fundoscope.training.experiment.file import experiment_from_dict, with_overrides
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.processes import processes

PLACES: Final = ("data.manifest", "data.cache")
"""Keys that say where something lies: they may change between two attempts, for its content is compared."""

BESIDE_A_FIT: Final = (*PLACES, "name", "data.only_folds", "fit.final", "fit.export")
"""Keys that change nothing about a single fit; the section `release` neither."""


def read_run(run: Path) -> Experiment:
    """The experiment of a run folder.

    Raises:
        BadCheckpoint: If the folder holds no run.
    """
    return _read(RunFolder(run).experiment, run)


def _read(path: Path, folder: Path) -> Experiment:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{folder}: expected a run folder with {path.name} ({error})") from error
    if not isinstance(values, dict):
        raise BadCheckpoint(f"{path}: expected the experiment of a run, got {type(values).__name__}. Restore the file")
    return experiment_from_dict(values, where=str(path))


def moved(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    """Return the experiment of a run whose manifest or cache lies elsewhere now.

    Raises:
        BadExperiment: If anything else is to be changed: a run goes on as it was begun.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key not in PLACES:
            raise BadExperiment(
                f"{override!r}: expected with --resume none but {' and '.join(PLACES)}, for a run goes on as it was "
                f"begun, got {key}. Leave it out, or train in another folder (NAME --run)"
            )
    return with_overrides(experiment, overrides) if overrides else experiment


def fold_networks(experiment: Experiment, run: Path) -> list[Path]:
    """The folders of the folds that the experiment runs."""
    return [RunFolder(run).fold(fold).path for fold in experiment.data.only_folds or range(experiment.data.folds)]


def claim_run(experiment: Experiment, run: Path) -> None:
    """Write the resolved experiment, or refuse a folder that holds another one.

    The manifest and the cache may lie elsewhere than when the run was begun (`record` compares the rows).

    Raises:
        BadCheckpoint: If the folder holds a run of another experiment.
    """
    _claim(experiment, RunFolder(run).experiment, run, may_differ=PLACES)


def claim_fit(experiment: Experiment, folder: Path) -> None:
    """Write the experiment beside a fit, or refuse to go on with a fit of another one.

    Raises:
        BadCheckpoint: If the fit was begun with another experiment.
    """
    _claim(experiment, FitFolder(folder).experiment, folder, may_differ=BESIDE_A_FIT, skip=("release",))


def check_fit(experiment: Experiment, folder: Path) -> None:
    """Make sure that a finished fit is of an experiment; one of an earlier version, which kept none, is not asked.

    Raises:
        BadCheckpoint: If the fit was begun with another experiment.
    """
    path = FitFolder(folder).experiment
    if path.is_file():
        _check_same(experiment, path, folder, may_differ=BESIDE_A_FIT, skip=("release",))


def write_place(experiment: Experiment, run: Path) -> None:
    """Write where the manifest and the cache lie now, once the rows were found to be those of the run."""
    if processes().rank == 0 and read_run(run) != experiment:
        _write(experiment, RunFolder(run).experiment)


def _claim(
    experiment: Experiment, path: Path, folder: Path, *, may_differ: Sequence[str], skip: Sequence[str] = ()
) -> None:
    if path.is_file():
        _check_same(experiment, path, folder, may_differ=may_differ, skip=skip)
    elif processes().rank == 0:
        _write(experiment, path)


def _check_same(
    experiment: Experiment, path: Path, folder: Path, *, may_differ: Sequence[str], skip: Sequence[str]
) -> None:
    ours, theirs = _flat(experiment), _flat(_read(path, folder))
    differs = [
        key
        for key in dict.fromkeys((*ours, *theirs))
        if ours.get(key) != theirs.get(key) and key not in may_differ and key.partition(".")[0] not in skip
    ]
    if differs:
        raise BadCheckpoint(
            f"{folder}: holds a run of another experiment (it differs in {', '.join(differs)}). "
            "Give another folder with --run, or continue that one with --resume"
        )


def _flat(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment as a flat dict of `section.key`."""
    flat: dict[str, Any] = {}
    for section, values in experiment.to_dict().items():
        flat |= (
            {f"{section}.{key}": value for key, value in values.items()}
            if isinstance(values, dict)
            else {section: values}
        )
    return flat


def _write(experiment: Experiment, path: Path) -> None:
    write_text(path, json.dumps(experiment.to_dict(), indent=2) + "\n")
