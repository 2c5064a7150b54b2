"""A run's experiment, written and read; `fundoscope.run_folder` has the names, `record` the rows it learns from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fundoscope.errors import BadCheckpoint, BadExperiment, BadRequest
from fundoscope.files import write_text
from fundoscope.run_folder import FitFolder, RunFolder
from fundoscope.training.experiment.file import experiment_from_dict, with_overrides
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.processes import processes

PLACES: Final = ("data.manifest", "data.cache")
"""Keys that say where something lies: they may change between two attempts, for its content is compared."""

LATER: Final = ("fit.final", "fit.export")
"""Keys that only add to a run: they may be given when it is resumed."""

BESIDE_A_FIT: Final = (*PLACES, *LATER, "name", "data.only_folds")
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
    """Return the experiment of a run whose manifest or cache lies elsewhere now, or that more is asked of.

    Raises:
        BadExperiment: If anything else is to be changed: a run goes on as it was begun.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key not in (*PLACES, *LATER):
            raise BadExperiment(
                f"{override!r}: expected with --resume none but {', '.join((*PLACES, *LATER))}, for a run goes on as "
                f"it was begun, got {key}. Leave it out, or train in another folder (NAME --run)"
            )
    return with_overrides(experiment, overrides) if overrides else experiment


def fold_networks(experiment: Experiment, run: Path) -> list[Path]:
    """The folders of the folds that the experiment runs."""
    return [RunFolder(run).fold(fold).path for fold in experiment.data.only_folds or range(experiment.data.folds)]


def claim_run(experiment: Experiment, run: Path) -> None:
    """Write the resolved experiment, or refuse a folder that holds another one.

    The manifest and the cache may lie elsewhere than when the run was begun (`record` compares the rows), and a final
    fit or an export may be asked for that was not. A run that was refused before it recorded its rows binds nobody.

    Raises:
        BadCheckpoint: If the folder holds a run of another experiment.
        BadRequest: If nothing can be written there.
    """
    try:
        if not _is_begun(run) and RunFolder(run).experiment.is_file():
            write_place(experiment, run)
            return
        _claim(experiment, RunFolder(run).experiment, run, may_differ=(*PLACES, *LATER))
    except OSError as problem:
        raise BadRequest(
            f"{run}: expected a folder that a run can be written into, got: {problem.strerror or problem}. "
            "Give another with --run"
        ) from None


def _is_begun(run: Path) -> bool:
    """Whether a run has recorded what it learns from, or has a fit."""
    files = RunFolder(run)
    records = (files.training_rows, files.held_out_rows, files.photographs)
    return any(path.exists() for path in (*records, files.final.path)) or bool(files.folds())


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
    """Write where the manifest lies now and what is asked in addition, once the rows were found to be the run's."""
    if processes().rank == 0 and read_run(run) != experiment:
        _write(experiment, RunFolder(run).experiment)


def check_final(experiment: Experiment, run: Path) -> None:
    """Make sure that a run has its final network.

    Raises:
        BadCheckpoint: If it has none, or will never have one; the message says what gives it one.
    """
    folded = bool(experiment.data.folds) or experiment.domains.protocol != "none"
    if folded and not experiment.fit.final and not RunFolder(run).final.weights.is_file():
        if experiment.domains.protocol == "single_source":
            raise BadCheckpoint(
                f"{run}: expected a run with a final network, got one of domains.protocol = 'single_source', which has "
                "none. Train with domains.protocol=leave_one_out and fit.final=true in another folder"
            )
        raise BadCheckpoint(
            f"{run}: expected a run with a final network, got one with fit.final = false, which fits the folds alone. "
            f"Add it: fundoscope train --resume {run} fit.final=true"
        )
    check_finished(experiment, run, RunFolder(run).final.weights)


def check_finished(experiment: Experiment, run: Path, needed: Path) -> None:
    """Make sure that a file of a finished run is there.

    Raises:
        BadCheckpoint: If it is not, or the experiment never makes it; the message says what does.
    """
    if needed.is_file():
        return
    if needed == RunFolder(run).predictions and not experiment.data.validate:
        raise BadCheckpoint(
            f"{run}: expected held-out predictions, which a release is calibrated on, got a run without data.validate "
            "and data.folds, which makes none. Train with one of them in another folder"
        )
    raise BadCheckpoint(f"{run}: {needed.relative_to(run)} is missing; finish it: fundoscope train --resume {run}")


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
        advice = "Give another folder with --run, or continue that one with --resume"
        if (folder.parent / path.name).is_file():  # a fit in the folder of its run
            advice = f"Restore {folder.parent / path.name} to what {path} says, or train in another folder (--run)"
        raise BadCheckpoint(
            f"{folder}: holds a run of another experiment (it differs in {', '.join(differs)}). {advice}"
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
