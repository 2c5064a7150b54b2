"""Many photographs into one table, so that a run that was killed goes on where it stopped.

While a run lasts, `OUT.part.jsonl` lies beside the table to be (`part_file`). Starting the same command again reads it,
leaves out what is done and goes on. A row counts as done only if it was graded from what is there now: the same bytes,
what the manifest says of them, and the same other eye where the release takes both. Photographs that could not be read
are tried again. At the end features, report and table are written, each in one step, the table last and in input order,
and the part file is removed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from fundoscope.arrays import Photo
from fundoscope.errors import BadRequest
from fundoscope.files import replacing, sha256_of
from fundoscope.parallel import in_order
from fundoscope.runtime.answers import with_notes
from fundoscope.runtime.backends.network import DEFAULT_BACKEND
from fundoscope.runtime.destinations import NOTHING_REPLACED, Inputs, Rules, sole_writer, try_table
from fundoscope.runtime.grader import Grader, is_meant
from fundoscope.runtime.listing.inputs import Listed, name_as_text
from fundoscope.runtime.output.pictures import Pictures
from fundoscope.runtime.output.summaries import NO_SUMMARIES, Summaries
from fundoscope.runtime.part_file import Entry, PartFile, open_part
from fundoscope.runtime.reading import Reading
from fundoscope.tables import write_table

PART_FORMAT: Final = 2

Progress = Callable[[int, dict[str, Any]], None]
"""Called after each photograph with how many are done and its row."""

Decoded = Callable[[Reading, Photo], None]
"""Called with each reading and its photograph as it was decoded."""

PICTURES: Final = ".pictures"
"""Folder in that of a report, in which its pictures lie while there is no table beside which they could."""


def grade_to_table(
    grader: Grader,
    photographs: Sequence[Listed],
    out: Path | str,
    *,
    features: bool = False,
    summaries: Summaries = NO_SUMMARIES,
    rules: Rules = NOTHING_REPLACED,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Grade photographs into a predictions table, going on with an interrupted run of the same request.

    Args:
        grader: An opened release.
        photographs: As `listing.inputs.list_photographs` gives them; every `image` once.
        out: The table; `.csv`, `.parquet` or `.jsonl`.
        features: Also write `NAME.features.npz` beside it: one float32 vector by SHA-256.
        summaries: What is written for people too.
        rules: What may be written over. Photographs and release never may, whatever it says.
        progress: Called for every photograph, at once for those that an earlier run had finished.

    Returns:
        The table as written: one row for each photograph, in the order given.

    Raises:
        BadRequest: If something lies where the run is to write, another run writes there, or nothing can be written.
        BadTable: If the suffix names no kind of table.
        MissingExtra: If the kind of table needs a package that is not installed.
    """
    table = Path(out)
    rules = replace(rules, inputs=rules.inputs | inputs_of(grader, photographs))
    try_table(grader.frame([]), table, "--out")
    summaries.try_out(grader.opened)
    pictures = Pictures(pictures_path(table), grader.opened)
    with sole_writer(summaries.report, "--report"), open_part(part_path(table), table) as part:
        part.begin(_header(grader, features=features))
        rules = replace(rules, claimed=frozenset(part.claimed))
        written = [table, *([features_path(table)] if features else [])]
        _check_destinations(part, written, summaries, rules)
        decoded = None if summaries.report is None else pictures.keep
        entries = _grade_all(grader, photographs, part, features=features, progress=progress, decoded=decoded)
        frame = grader.frame([entry["row"] for entry in entries])
        # Hours may have passed: what has come to lie there since is not written over either.
        _check_destinations(part, written, summaries, rules)
        part.claim(written)
        try:
            if features:
                _write_features(entries, features_path(table))
            summaries.write(grader, photographs, rows_of(frame), pictures=pictures, writing=part.claim)
            write_table(frame, table)
        except OSError as problem:
            raise BadRequest(
                f"{problem.filename or table}: expected room for it, got: {problem.strerror}. All photographs are "
                f"graded and kept in {part.path}: make room, and give the same command again."
            ) from None
        part.remove()
        pictures.remove()
    return frame


def grade_to_rows(
    grader: Grader,
    photographs: Sequence[Listed],
    *,
    summaries: Summaries = NO_SUMMARIES,
    rules: Rules = NOTHING_REPLACED,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Grade photographs without a table; arguments as of `grade_to_table`.

    Raises:
        BadRequest: If a summary must not or cannot be written.
    """
    summaries.try_out(grader.opened)
    with sole_writer(summaries.report, "--report"):
        summaries.check(replace(rules, inputs=rules.inputs | inputs_of(grader, photographs)))
        if summaries.report is None:
            rows = _graded_rows(grader, photographs, progress)
            _write_summaries(summaries, grader, photographs, rows)
            return rows
        pictures = Pictures(summaries.report / PICTURES, grader.opened)
        try:
            rows = _graded_rows(grader, photographs, progress, decoded=pictures.keep)
            _write_summaries(summaries, grader, photographs, rows, pictures=pictures)
        finally:
            pictures.remove()
    return rows


def _graded_rows(
    grader: Grader, photographs: Sequence[Listed], progress: Progress | None, *, decoded: Decoded | None = None
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for reading in grader.grade_listed(photographs, decoded=decoded):
        rows.append(reading.row())
        if progress is not None:
            progress(len(rows), rows[-1])
    return with_notes(rows, grader.opened.task)


def _write_summaries(
    summaries: Summaries,
    grader: Grader,
    photographs: Sequence[Listed],
    rows: Sequence[dict[str, Any]],
    *,
    pictures: Pictures | None = None,
) -> None:
    try:
        summaries.write(grader, photographs, rows, pictures=pictures)
    except OSError as problem:
        raise summaries.cannot_write(problem) from None


def inputs_of(grader: Grader, photographs: Sequence[Listed]) -> Inputs:
    """Return the files that grading reads: photographs, their fellows and the release."""
    fellows = [photograph.fellow for photograph in photographs if photograph.fellow is not None]
    return Inputs.of([*(photograph.path for photograph in photographs), *fellows, grader.opened.path])


def _header(grader: Grader, *, features: bool) -> dict[str, Any]:
    header = {"part": PART_FORMAT, "release": grader.opened.digest, "features": features}
    if not grader.program.startswith(DEFAULT_BACKEND):
        # What another program computed agrees within a tolerance only: one table is of one program.
        header["computed_by"] = grader.program
    if grader.dust is not None:
        header["dust_map"] = grader.dust.seal
    return header


def _grade_all(
    grader: Grader,
    photographs: Sequence[Listed],
    part: PartFile,
    *,
    features: bool,
    progress: Progress | None,
    decoded: Decoded | None,
) -> list[Entry]:
    """Return the entries of all photographs in order: those that still hold, and those graded now."""
    done = {entry["row"]["image"]: entry for entry in _holding(grader, photographs, part.finished)}
    remaining = [photograph for photograph in photographs if photograph.image not in done]
    for count, entry in enumerate(done.values(), start=1):
        if progress is not None:
            progress(count, entry["row"])
    for listed, reading in zip(remaining, grader.grade_listed(remaining, decoded=decoded), strict=True):
        entry = _entry(reading, listed, grader, features=features)
        part.append(entry)
        done[reading.image] = entry
        if progress is not None:
            progress(len(done), entry["row"])
    return [done[photograph.image] for photograph in photographs]


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a predictions table as rows, None for blank."""
    return [{str(key): value for key, value in row.items()} for row in _blanks_as_none(frame).to_dict("records")]


def _blanks_as_none(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(object).where(frame.notna(), None)


def part_path(table: Path) -> Path:
    """Return where the rows of an unfinished run lie."""
    return table.with_name(f"{table.name}.part.jsonl")


def pictures_path(table: Path) -> Path:
    """Return where the pictures of an unfinished run's report lie."""
    return table.with_name(f"{table.name}.part.pictures")


def features_path(table: Path) -> Path:
    """Return where the features of a table lie."""
    return table.with_name(f"{table.stem}.features.npz")


def _check_destinations(part: PartFile, files: Sequence[Path], summaries: Summaries, rules: Rules) -> None:
    """Refuse files that must not be written; a run that is refused before it graded anything leaves nothing behind."""
    try:
        if rules.inputs.contain(part.path):
            raise BadRequest(
                f"{part.path}: expected a file to write, got one that this run reads. Choose another --out."
            )
        for file in files:
            rules.check_file(file, "--out")
        summaries.check(rules, others=[*files, part.path])
    except BadRequest:
        part.discard_if_empty()
        raise


def _holding(grader: Grader, photographs: Sequence[Listed], finished: Mapping[str, Entry]) -> Iterator[Entry]:
    """Yield, in order, the entries of an earlier run that grading again would only repeat."""
    again = [(photograph, finished[photograph.image]) for photograph in photographs if photograph.image in finished]
    for (_, entry), holds in zip(again, in_order(partial(_holds, grader), again, threads=grader.threads), strict=True):
        if holds:
            yield entry


def _holds(grader: Grader, pair: tuple[Listed, Entry]) -> bool:
    """Return whether a photograph and all that its answer depends on are as they were when it was graded."""
    listed, entry = pair
    source = entry["input"]
    if entry["row"]["status"] == "unreadable" or source["details"] != listed.details:
        return False
    try:
        sha256 = sha256_of(listed.path)
        if sha256 != entry["row"]["sha256"] or not is_meant(sha256, listed.sha256):
            return False
        fellow = _fellow(grader, listed)
        if source["fellow"] != _named(fellow):
            return False
        fellow_sha256 = None if fellow is None else sha256_of(fellow)
        return bool(source["fellow_sha256"] == fellow_sha256) and is_meant(fellow_sha256, listed.fellow_sha256)
    except (OSError, ValueError):
        return False


def _fellow(grader: Grader, listed: Listed) -> Path | None:
    """Return the other eye's file, where there is one and the network takes both eyes."""
    return None if grader.opened.release.eyes == 1 else listed.fellow


def _named(fellow: Path | None) -> str | None:
    return None if fellow is None else name_as_text(fellow)


def _entry(reading: Reading, listed: Listed, grader: Grader, *, features: bool) -> Entry:
    # A fellow that could not be read is not noted: it is tried again, and this photograph's answer with it.
    fellow = None if reading.fellow == "unreadable" else _named(_fellow(grader, listed))
    source = {"details": listed.details, "fellow": fellow, "fellow_sha256": reading.fellow_sha256}
    entry: Entry = {"row": reading.row(), "input": source}
    if features and reading.features is not None:
        entry["features"] = base64.b64encode(reading.features.astype("<f4").tobytes()).decode()
    return entry


def _write_features(entries: Iterable[dict[str, Any]], path: Path) -> None:
    # Of any type: to the stub a name among them might be an option of the function.
    vectors: dict[str, Any] = {
        entry["row"]["sha256"]: np.frombuffer(base64.b64decode(entry["features"]), dtype="<f4")
        for entry in entries
        if "features" in entry
    }
    with replacing(path) as fresh:
        np.savez_compressed(fresh, **vectors)
