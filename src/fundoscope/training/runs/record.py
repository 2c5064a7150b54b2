"""The rows that a run was begun with: written once, and compared whenever it is continued.

A release says from this record what it learnt from and what it was calibrated on; the manifest may have changed since.
Compared row by row is what decides what is learnt: the photograph's bytes, its labels, its patient and source, and the
lesions where they are learnt from. Rows may stand in another order and under other paths: a continued run goes on with
the order, the paths and the folds of the record.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Int

from fundoscope.data.split import fold_by_patient
from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.files import write_text
from fundoscope.run_folder import RunFolder
from fundoscope.tables import read_table, write_table
from fundoscope.training.batches.gradability import is_gradable, leave_out_ungradable
from fundoscope.training.batches.rows import Report, Rows
from fundoscope.training.experiment.photographs import Data
from fundoscope.training.loop.processes import processes

COMPARED: Final = (
    "source", "patient", "eye", "visit", "taken", "split", "duplicate_group", "eye_group",
)  # fmt: skip
"""Columns of the manifest that decide who is with whom, and how often a photograph is shown."""

FOLD: Final = "run_fold"
"""Column of the record: the fold that holds the row out; blank in a run without folds."""

LESIONS: Final = "lesions_sha256"
"""Column of the record: the hash of what is learnt of the row's lesions; blank where nothing is."""

UNGRADABLE: Final = "ungradable"
"""Column of the record: why the release would not grade the photograph; blank where it would."""

SHOWN: Final = 3
"""Differing rows that a refusal names."""

Key = tuple[str, ...]
"""What is compared of a row, as text; the photograph's SHA-256 first."""

Places = Int[np.ndarray, " row"]

Folds = Int[np.ndarray, " row"]


def record_training_rows(rows: Rows, run: Path, data: Data | None = None) -> Rows:
    """Record what a run learns from, or make sure that it is what the run was begun with.

    Args:
        rows: The rows to learn from.
        run: Folder of the run, or of a fit of a protocol over sources.
        data: Says into how many folds they are divided; None: into none.

    Returns:
        The rows in the order, and under the paths, of the record.

    Raises:
        BadCheckpoint: If the run was begun with other rows, or with other folds. Nothing is written then.
        BadExperiment: If there cannot be so many folds.
    """
    files, hashes = RunFolder(run), [stored.sha256 for stored in rows.stored]
    folds = data.folds if data is not None else 0
    if files.training_rows.is_file():
        rows = _as_recorded(rows, files.training_rows)
        _check_folds(files.training_rows, folds)
        return rows
    if files.photographs.is_file():  # of a version that kept no rows, or killed before it wrote them
        _check_photographs(files.photographs, rows)
    record = _record(rows)
    record[FOLD] = pd.array(divide(rows, data) if data is not None and folds else [None] * len(rows), dtype="Int64")
    if processes().rank == 0:
        write_text(files.photographs, json.dumps(sorted(hashes), indent=0) + "\n")
        write_table(record, files.training_rows)
    return rows


def record_held_out_rows(rows: Rows, run: Path) -> Rows:
    """Record the validation rows, or make sure that they are what the run was begun with.

    Args:
        rows: The rows whose predictions a release is calibrated on.
        run: Folder of the run.

    Returns:
        The rows in the order, and under the paths, of the record.

    Raises:
        BadCheckpoint: If the run was begun with other rows. Nothing is written then.
    """
    table = RunFolder(run).held_out_rows
    if table.is_file():
        return _as_recorded(rows, table)
    if processes().rank == 0:
        write_table(_record(rows), table)
    return rows


def record_protocol_rows(frame: pd.DataFrame, run: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Record the rows that a protocol over sources divides, or make sure that they are what the run was begun with.

    Args:
        frame: Rows of the manifest with the photographs' own `sha256`.
        run: Folder of the run.
        columns: What is compared beside `COMPARED`.

    Returns:
        The rows in the order of the record.

    Raises:
        BadCheckpoint: If the run was begun with other rows, or under other paths, by which the predictions of its
            finished parts name them. Nothing is written then.
    """
    table = RunFolder(run).held_out_rows
    if table.is_file():
        order = _recorded_order(read_table(table), frame, ("image", *columns, *COMPARED), table)
        return frame.iloc[order].reset_index(drop=True)
    if processes().rank == 0:
        write_table(frame, table)
    return frame


def usable_rows(rows: Rows, run: Path, data: Data, say: Report, *, splits: Sequence[str]) -> tuple[Rows, Rows]:
    """Return the rows that a run uses, the gradable ones or all if the experiment keeps them, and those it leaves out.

    A run that was begun goes on without the rows that it left out then, whatever the gate says of them now.

    Args:
        rows: Prepared rows.
        run: Folder of the run.
        data: Says whether ungradable photographs are kept.
        say: Called with a line about the ungradable ones.
        splits: What the rows are for, for messages.

    Raises:
        BadExperiment: If none is left.
    """
    if RunFolder(run).training_rows.is_file():
        hashes = left_out_hashes(run)
        used = np.array([stored.sha256 not in hashes for stored in rows.stored], dtype=bool)
    else:
        leave_out_ungradable(rows, data, say, splits=splits)
        used = is_gradable(rows) | data.keep_ungradable
    return rows.take(np.flatnonzero(used)), rows.take(np.flatnonzero(~used))


def left_out_hashes(run: Path) -> set[str]:
    """Return the SHA-256 of the photographs that a run leaves out."""
    table = RunFolder(run).left_out_rows
    return set(read_table(table)["sha256"].astype(str)) if table.is_file() else set()


def record_left_out_rows(left_out: Sequence[Rows], run: Path) -> None:
    """Record which rows a run does not use, and why; before the rows that it uses, by which it counts as begun."""
    files, records = RunFolder(run), [_record(rows) for rows in left_out if len(rows)]
    if records and not files.training_rows.is_file() and processes().rank == 0:
        write_table(pd.concat(records, ignore_index=True), files.left_out_rows)


def folds_of(rows: Rows, run: Path, data: Data) -> Folds:
    """Return the fold that holds each row out: the recorded one, or of a run that recorded none the one dealt now.

    Args:
        rows: As `record_training_rows` returned them.
        run: Folder of the run.
        data: Says into how many folds.

    Raises:
        BadExperiment: If there cannot be so many folds.
    """
    table = RunFolder(run).training_rows
    if table.is_file():
        record = read_table(table)
        if FOLD in record and record[FOLD].notna().all() and len(record) == len(rows):
            return record[FOLD].to_numpy().astype(np.int64)
    return divide(rows, data)


def divide(rows: Rows, data: Data) -> Folds:
    """Divide rows into folds by patient.

    Raises:
        BadExperiment: If there cannot be so many folds.
    """
    try:
        return fold_by_patient(rows.frame, folds=data.folds, salt=data.fold_salt)["fold"].to_numpy(np.int64)
    except ValueError as problem:
        raise BadExperiment(f"data.folds: {problem}. Change data.folds, or add patients") from None


def _record(rows: Rows) -> pd.DataFrame:
    """Return the rows of the manifest with the photographs' own hashes, and those of their lesions."""
    record = rows.frame.assign(sha256=[stored.sha256 for stored in rows.stored])
    if any(stored.ungradable for stored in rows.stored):
        record[UNGRADABLE] = [stored.ungradable or None for stored in rows.stored]
    if rows.lesions is not None:
        hashes = [
            None if lesions is None else hashlib.sha256(lesions.tobytes()).hexdigest() for lesions in rows.lesions
        ]
        record[LESIONS] = pd.Series(hashes, index=record.index, dtype=object)
    return record


def _as_recorded(rows: Rows, table: Path) -> Rows:
    """Return rows in the recorded order and under the recorded paths; refuse others."""
    before, now = read_table(table), _record(rows)
    learnt = () if rows.target is None else rows.target.columns
    # Of versions that recorded none nothing is known of what they learnt of lesions.
    lesions = (LESIONS,) if LESIONS in before else ()
    recorded = rows.take(_recorded_order(before, now, (*learnt, *COMPARED, *lesions), table))
    return replace(recorded, frame=recorded.frame.assign(image=before["image"].tolist()).reset_index(drop=True))


def _recorded_order(before: pd.DataFrame, now: pd.DataFrame, names: Sequence[str], table: Path) -> Places:
    """Return for each recorded row the position of the same row now; refuse where there is not exactly one for each."""
    columns = ["sha256", *dict.fromkeys(names)]
    keys_before, keys_now = _keys(before, columns), _keys(now, columns)
    places: dict[Key, list[int]] = defaultdict(list)
    for place, key in enumerate(keys_now):
        places[key].append(place)
    order = [places[key].pop(0) if places[key] else -1 for key in keys_before]
    lost = [at for at, place in enumerate(order) if place < 0]
    added = sorted(place for rest in places.values() for place in rest)
    if lost or added:
        raise _differing(
            table,
            columns,
            [(str(before["image"].iloc[at]), keys_before[at]) for at in lost],
            [(str(now["image"].iloc[at]), keys_now[at]) for at in added],
        )
    return np.array(order)


def _keys(frame: pd.DataFrame, columns: Sequence[str]) -> list[Key]:
    cells = (map(_text, frame[name]) if name in frame else [""] * len(frame) for name in columns)
    return list(zip(*cells, strict=True))


def _differing(
    table: Path, columns: Sequence[str], lost: list[tuple[str, Key]], added: list[tuple[str, Key]]
) -> BadCheckpoint:
    """Return the refusal to continue a run with other rows, which says of the first ones how they differ."""
    sentences: dict[Hashable, str] = {}
    by_hash = {key[0]: (image, key) for image, key in reversed(added)}
    new_images = {image for image, _ in added}
    for image, key in lost:
        if key[0] in by_hash:
            changes = zip(columns, key, by_hash[key[0]][1], strict=True)
            name, old, new = next(change for change in changes if change[1] != change[2])
            change = "other lesions" if name == LESIONS else f"{name} {old or 'blank'}, now {new or 'blank'}"
            sentences[key[0]] = f"{image} ({change})"
        elif image in new_images:
            sentences[image] = f"{image} (the file has other bytes)"
        else:
            sentences[key] = f"{image} (no longer there)"
    hashes = {key[0] for _, key in lost}
    images = {image for image, _ in lost}
    for image, key in added:
        if key[0] not in hashes and image not in images:
            sentences[key] = f"{image} (not there before)"
    return _refusal(table, list(sentences.values()))


def _refusal(table: Path, sentences: Sequence[str]) -> BadCheckpoint:
    more = f" and {len(sentences) - SHOWN} more" if len(sentences) > SHOWN else ""
    return BadCheckpoint(
        f"{table}: expected the photographs, labels and patients that the run was begun with, got others: "
        f"{'; '.join(sentences[:SHOWN])}{more}. Restore the manifest, or train in another folder (--run)"
    )


def _check_photographs(path: Path, rows: Rows) -> None:
    """Refuse other photographs than those whose hashes alone were recorded."""
    before = json.loads(path.read_text(encoding="utf-8"))
    names = {stored.sha256: str(image) for stored, image in zip(rows.stored, rows.frame["image"], strict=True)}
    lost, added = _surplus(before, [stored.sha256 for stored in rows.stored])
    if lost or added:
        sentences = [f"SHA-256 {sha256[:12]} (no longer there)" for sha256 in lost]
        raise _refusal(path, sentences + [f"{names[sha256]} (not there before)" for sha256 in added])


def _surplus(first: Iterable[str], second: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what the first has more than the second, and the second more than the first."""
    ours, theirs = Counter(first), Counter(second)
    return sorted((ours - theirs).elements()), sorted((theirs - ours).elements())


def _check_folds(table: Path, folds: int) -> None:
    """Refuse other folds than those recorded; versions that recorded none are not asked."""
    record = read_table(table)
    if FOLD not in record:
        return
    numbers = set(record[FOLD].dropna().astype(int))
    recorded = max(numbers) + 1 if numbers else 0
    if recorded != folds:
        raise BadCheckpoint(
            f"{table}: expected data.folds = {recorded}, into which the run was divided at its beginning, got {folds}. "
            "Set data.folds back, or train in another folder (--run)"
        )


def _text(value: object) -> str:
    """Return a cell as text: whole numbers without a decimal point, blanks as nothing."""
    if value is None or value is pd.NA or value != value:  # NaN, which a blank becomes in a table that was read
        return ""
    text = str(value)
    # A table that was read from CSV holds as text what one from Parquet holds as a number.
    head, point, zeros = text.partition(".")
    return head if point and head.lstrip("-").isdigit() and not zeros.strip("0") and zeros else text
