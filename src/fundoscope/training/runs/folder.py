"""A run's experiment and the photographs it learns from, written and read; `fundoscope.run_folder` has the names."""

from __future__ import annotations

import json
from collections import Counter
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

Learnt = Counter[tuple[str, ...]]
"""How often each photograph, by SHA-256, was to be learnt as what: one picture may stand in several rows."""


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
    files, frame = RunFolder(run), rows.frame.assign(sha256=hashes)
    if files.training_rows.is_file():
        before = read_table(files.training_rows)
        _check_same(files.training_rows, _learnt(before, rows), _learnt(frame, rows), before)
        return
    if files.photographs.is_file():  # of a version that kept no rows, or killed before it wrote them
        noted: Learnt = Counter((str(sha256),) for sha256 in json.loads(files.photographs.read_text(encoding="utf-8")))
        _check_same(files.photographs, noted, Counter((sha256,) for sha256 in hashes), frame)
    if processes().rank == 0:
        write_text(files.photographs, json.dumps(sorted(hashes), indent=0) + "\n")
        write_table(frame, files.training_rows)


def _check_same(path: Path, before: Learnt, now: Learnt, frame: pd.DataFrame) -> None:
    """Refuse to continue a run with other photographs or labels than it was begun with."""
    differing = sorted((before - now) + (now - before))
    if not differing:
        return
    images = dict(zip(frame["sha256"].astype(str), frame["image"].astype(str), strict=True))
    photographs = list(dict.fromkeys(sha256 for sha256, *_ in differing))
    raise BadCheckpoint(
        f"{path}: expected the photographs and labels that the run was begun with, got {len(photographs)} photographs "
        f"that differ, one of them {images.get(photographs[0], photographs[0])}. Restore the manifest, or train in "
        "another folder (--run)"
    )


def _learnt(frame: pd.DataFrame, rows: Rows) -> Learnt:
    """Return what is learnt, written alike whether it comes from a manifest or from the run."""
    labels = [] if rows.target is None else [name for name in rows.target.columns if name in frame]
    cells = frame[["sha256", *labels]].itertuples(index=False, name=None)
    return Counter(tuple(_text(value) for value in row) for row in cells)


def _text(value: object) -> str:
    """Return a cell as text: whole numbers without a decimal point, blanks as nothing."""
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)
