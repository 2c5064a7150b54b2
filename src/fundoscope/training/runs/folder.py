"""A run's experiment and the photographs it learns from, written and read; `fundoscope.run_folder` has the names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fundoscope.errors import BadCheckpoint
from fundoscope.files import write_text
from fundoscope.run_folder import RunFolder
from fundoscope.tables import read_table, write_table
from fundoscope.training.batches.rows import Rows
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.processes import processes


def read_run(run: Path) -> Experiment:
    """The experiment of a run folder.

    Raises:
        BadCheckpoint: If the folder holds no run.
    """
    path = RunFolder(run).experiment
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{run}: expected a run folder with {path.name} ({error})") from error
    return experiment_from_dict(values, where=str(path))


def fold_networks(experiment: Experiment, run: Path) -> list[Path]:
    """The folders of the folds that the experiment runs."""
    return [RunFolder(run).fold(fold).path for fold in experiment.data.only_folds or range(experiment.data.folds)]


def claim_run(experiment: Experiment, run: Path) -> None:
    """Write the resolved experiment, or refuse a folder that holds another one."""
    path = RunFolder(run).experiment
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
    """Record what is learnt from: the hashes, so that nobody is later measured on them unawares, and the rows.

    A release says from the rows what it was trained on; the manifest may have changed since.

    Raises:
        BadCheckpoint: If the run was begun with other photographs, or with others of their labels.
    """
    hashes = [stored.sha256 for stored in rows.stored]
    begun = RunFolder(run).training_rows
    if begun.is_file():
        _check_same_rows(begun, dict(zip(hashes, _labels(rows.frame, rows), strict=True)), rows)
        return
    if processes().rank != 0:
        return
    write_text(RunFolder(run).photographs, json.dumps(sorted(hashes), indent=0) + "\n")
    write_table(rows.frame.assign(sha256=hashes), RunFolder(run).training_rows)


def _check_same_rows(begun: Path, labels: Mapping[str, tuple[str, ...]], rows: Rows) -> None:
    """Refuse to continue a run with other photographs or labels than it was begun with."""
    frame = read_table(begun)
    before = dict(zip(frame["sha256"].astype(str), _labels(frame, rows), strict=True))
    if before == labels:
        return
    differing = sorted(key for key in before.keys() | labels.keys() if before.get(key) != labels.get(key))
    images = dict(zip(frame["sha256"].astype(str), frame["image"].astype(str), strict=True))
    first = differing[0]
    raise BadCheckpoint(
        f"{begun}: expected the photographs and labels that the run was begun with, got {len(differing)} that differ, "
        f"the first {images.get(first, first)}. Restore the manifest, or train in another folder (--run)"
    )


def _labels(frame: pd.DataFrame, rows: Rows) -> list[tuple[str, ...]]:
    """Return what each row is to be learnt as, written alike whether it comes from a manifest or from the run."""
    columns = [] if rows.target is None else [name for name in rows.target.columns if name in frame]
    return [tuple(_text(value) for value in values) for values in frame[columns].itertuples(index=False, name=None)]


def _text(value: object) -> str:
    """Return a cell as text: whole numbers without a decimal point, blanks as nothing."""
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)
