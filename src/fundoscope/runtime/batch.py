"""Many photographs into one table, so that a run that was killed goes on where it stopped.

While a run lasts, `OUT.part.jsonl` lies beside the table to be: a first line that says which release and options the
rows come from, then one line for each photograph as it is finished. Starting the same command again reads it, leaves
out what is done and goes on; a line that the kill tore is dropped. Photographs that could not be read are tried
again, and so are those whose other eye could not be read or is now another, where the release takes both eyes. At
the end the table is written in one step, in input order, and the part file is removed.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pandas as pd

from fundoscope.errors import BadRequest
from fundoscope.files import replacing
from fundoscope.parallel import in_order
from fundoscope.runtime.backends.network import DEFAULT_BACKEND
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.inputs import Listed
from fundoscope.runtime.reading import Reading
from fundoscope.tables import write_table

PART_FORMAT: Final = 1
SYNC_EVERY: Final = 64
"""Lines after which the part file is forced to the disk; a killed process loses none, a power cut at most these."""

Progress = Callable[[int, dict[str, Any]], None]
"""Called after each photograph with how many are done and its row."""


def grade_to_table(
    grader: Grader,
    photographs: Sequence[Listed],
    out: Path | str,
    *,
    features: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Grade photographs into a predictions table, going on with an interrupted run of the same request.

    Args:
        grader: An opened release.
        photographs: As `listing.list_photographs` gives them; every `image` once.
        out: The table; `.csv`, `.parquet` or `.jsonl`.
        features: Also write `NAME.features.npz` beside it: one float32 vector by SHA-256.
        progress: Called for every photograph, at once for those that an earlier run had finished.

    Returns:
        The table as written: one row for each photograph, in the order given.

    Raises:
        BadRequest: If a part file of another release or of other options lies in the way, or nothing can be
            written there.
        BadTable: If the suffix names no kind of table.
        MissingExtra: If the kind of table needs a package that is not installed.
    """
    table = Path(out)
    _try_out(grader, table)
    part = part_path(table)
    header = {"part": PART_FORMAT, "release": grader.opened.digest, "features": features}
    if not grader.program.startswith(DEFAULT_BACKEND):
        # What another program computed agrees within a tolerance only: one table is of one program.
        header["computed_by"] = grader.program
    fellows = {photograph.image: _fellow(grader, photograph) for photograph in photographs}
    done = _resume(part, header, fellows)
    remaining = [photograph for photograph in photographs if photograph.image not in done]
    for count, entry in enumerate(done.values(), start=1):
        if progress is not None:
            progress(count, entry["row"])
    with _appending(part, header) as file:
        for reading in grade_listed(grader, remaining):
            entry = _entry(reading, fellows[reading.image], features=features)
            done[reading.image] = entry
            _append(file, entry, sync=len(done) % SYNC_EVERY == 0)
            if progress is not None:
                progress(len(done), entry["row"])
    entries = [done[photograph.image] for photograph in photographs]
    frame = predictions_frame(grader, (entry["row"] for entry in entries))
    write_table(frame, table)
    if features:
        _write_features(entries, features_path(table))
    part.unlink()
    return frame


def grade_listed(grader: Grader, photographs: Iterable[Listed]) -> Iterator[Reading]:
    """Grade listed photographs, in order; what their manifest says of them goes into the readings."""

    def grade(listed: Listed) -> Reading:
        return replace(grader.grade(listed.path, listed.fellow), image=listed.image, **listed.details)

    return in_order(grade, photographs, threads=grader.threads)


def predictions_frame(grader: Grader, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a predictions table with all its columns, whatever became of the photographs."""
    opened = grader.opened
    raw = (0.0,) * opened.task.outputs(opened.release.head, opened.release.labels)
    blank = Reading(
        image="", status="", reason="", release="", graded_at="", raw=raw, answer=opened.answerer.unanswered
    )
    frame = pd.DataFrame(list(rows), columns=list(blank.row()))
    return frame.astype({**opened.answerer.dtypes, "fold": "Int64"})


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a predictions table as rows, None for blank."""
    return [{str(key): value for key, value in row.items()} for row in _blanks_as_none(frame).to_dict("records")]


def _blanks_as_none(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(object).where(frame.notna(), None)


def part_path(table: Path) -> Path:
    """Return where the rows of an unfinished run lie."""
    return table.with_name(f"{table.name}.part.jsonl")


def features_path(table: Path) -> Path:
    """Return where the features of a table lie."""
    return table.with_name(f"{table.stem}.features.npz")


def _try_out(grader: Grader, table: Path) -> None:
    """Write a table without rows and remove it: what cannot be written must be known before hours of grading."""
    trial = table.with_name(f".trial-{os.getpid()}-{table.name}")
    try:
        write_table(predictions_frame(grader, []), trial)
    except OSError as problem:
        raise BadRequest(f"{table}: cannot write there: {problem.strerror}. Choose another --out.") from None
    trial.unlink()


def _fellow(grader: Grader, listed: Listed) -> str | None:
    """Return the other eye's file, where there is one and the network takes both eyes."""
    return None if listed.fellow is None or grader.opened.release.eyes == 1 else str(listed.fellow)


def _resume(part: Path, header: dict[str, Any], wanted: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """Return finished photographs of an earlier run by their image, graded with the fellows wanted.

    A torn end is cut off the file.
    """
    if not part.exists():
        return {}
    lines = part.read_bytes().splitlines(keepends=True)
    entries = [entry for i, line in enumerate(lines) if (entry := _parse(line, part, last=i == len(lines) - 1))]
    if not entries:
        part.unlink()
        return {}
    if len(entries) < len(lines):
        with open(part, "rb+") as file:
            file.truncate(sum(len(line) for line in lines[:-1]))
    if entries[0] != header:
        raise BadRequest(
            f"{part}: expected an unfinished run of the same release and options, got another's. "
            "Delete it to begin anew, or choose another --out."
        )
    finished = {entry["row"]["image"]: entry for entry in entries[1:] if entry["row"]["status"] != "unreadable"}
    return {
        image: entry for image, entry in finished.items() if image in wanted and entry.get("fellow") == wanted[image]
    }


def _parse(line: bytes, part: Path, *, last: bool) -> dict[str, Any] | None:
    """Return one line of a part file; None for a last one that was torn."""
    try:
        if not line.endswith(b"\n"):
            raise ValueError("no end of line")
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise ValueError("not an object")
    except ValueError:
        if last:
            return None
        raise BadRequest(
            f"{part}: expected the rows of an unfinished run, got a damaged line. Delete it to begin anew."
        ) from None
    return entry


@contextmanager
def _appending(part: Path, header: dict[str, Any]) -> Iterator[IO[str]]:
    """Open the unfinished run's file at its end; a new one begins with its header."""
    with open(part, "a", encoding="utf-8") as file:
        if file.tell() == 0:
            _append(file, header, sync=True)
        yield file


def _append(file: IO[str], entry: dict[str, Any], *, sync: bool) -> None:
    file.write(json.dumps(entry) + "\n")
    file.flush()
    if sync:
        os.fsync(file.fileno())


def _entry(reading: Reading, fellow: str | None, *, features: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"row": reading.row()}
    if fellow is not None and reading.fellow != "unreadable":
        # One that could not be read is tried again, and its fellow's answer with it.
        entry["fellow"] = fellow
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
