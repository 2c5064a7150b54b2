"""The rows of an unfinished run, beside the table to be.

The first line says which release and options the rows come from; then there is one line for each photograph as it is
finished, with what it was graded from, and one for files that are about to be written. One run at a time has the file:
it is locked, and a killed run's lock is gone with it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fundoscope.errors import BadRequest
from fundoscope.files import locked

SYNC_EVERY: Final = 64
"""Rows after which the file is forced to the disk; a killed process loses none, a power cut at most these."""

START: Final = b'{"part"'
"""How the header of every such file begins."""

Entry = dict[str, Any]
"""A finished photograph: `row`, `input` (what it was graded from) and, where asked for, `features`."""


class PartFile:
    """An unfinished run's file, open for this run alone; `open_part` makes it."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.finished: dict[str, Entry] = {}
        """Finished photographs of earlier runs, by their `image`; of one that is there twice the last."""
        self.claimed: set[str] = set()
        """Files that an earlier run had begun to write, which this one may therefore write again."""
        self._handle = handle
        self._length = 0
        self._rows = 0

    def append(self, entry: Entry) -> None:
        """Append a finished photograph.

        Raises:
            BadRequest: If the disk is full or gone; what was there stays, whole.
        """
        self._rows += 1
        self._write(entry, sync=self._rows % SYNC_EVERY == 0)

    def claim(self, paths: Sequence[Path]) -> None:
        """Note that files are about to be written. Raises as `append`."""
        self._write({"writes": [os.path.abspath(path) for path in paths]}, sync=True)

    def remove(self) -> None:
        """Remove the file at the end of the run."""
        self.path.unlink(missing_ok=True)

    def discard_if_empty(self) -> None:
        """Remove the file of a run that has finished nothing."""
        if not self.finished and not self.claimed and not self._rows:
            self.remove()

    def begin(self, header: Mapping[str, Any]) -> None:
        """Read what an earlier run left, after cutting off a torn end, or write the header of a new one.

        Raises:
            BadRequest: If it is another file, or that of another release or of other options, or damaged. Nothing is
                cut off then.
        """
        data = self._read()
        if data[: len(START)] != START[: len(data)]:
            raise BadRequest(
                f"{self.path}: expected the rows of an unfinished run, got another file. Choose another --out."
            )
        lines = data.splitlines(keepends=True)
        entries = [self._parse(line, last=i == len(lines) - 1) for i, line in enumerate(lines)]
        kept = [entry for entry in entries if entry is not None]
        if kept and kept[0] != header:
            raise BadRequest(
                f"{self.path}: expected an unfinished run of the same release and options, got another's. "
                "Delete it to begin anew, or choose another --out."
            )
        self._length = sum(len(line) for line, entry in zip(lines, entries, strict=True) if entry is not None)
        os.ftruncate(self._handle, self._length)
        if not kept:
            self._write(dict(header), sync=True)
            return
        for entry in kept[1:]:
            if "row" in entry:
                self.finished[entry["row"]["image"]] = entry
            self.claimed.update(entry.get("writes", ()))

    def _read(self) -> bytes:
        with open(os.dup(self._handle), "rb") as file:
            file.seek(0)
            return file.read()

    def _parse(self, line: bytes, *, last: bool) -> Entry | None:
        """Return one line; None for a last one that was torn."""
        try:
            if not line.endswith(b"\n"):
                raise ValueError("no end of line")
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError):
            if last:
                return None
            raise BadRequest(
                f"{self.path}: expected the rows of an unfinished run, got a damaged line. Delete it to begin anew."
            ) from None
        return entry

    def _write(self, entry: Entry, *, sync: bool) -> None:
        """Write a line whole or not at all."""
        data = (json.dumps(entry) + "\n").encode()
        try:
            os.lseek(self._handle, self._length, os.SEEK_SET)
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            if sync:
                os.fsync(self._handle)
        except OSError as problem:
            with suppress(OSError):
                os.ftruncate(self._handle, self._length)
            raise BadRequest(
                f"{self.path}: expected room for the rows, got: {problem.strerror}. What is done is kept there: make "
                "room, and give the same command again to go on."
            ) from None
        self._length += len(data)


@contextmanager
def open_part(path: Path, table: Path) -> Iterator[PartFile]:
    """Open the file of an unfinished run, or begin one; no other run may open it until the block ends.

    Args:
        path: The file.
        table: The table to be.

    Raises:
        BadRequest: If another run has it, something else lies there, or nothing can be written.
    """
    handle = _opened(path)
    try:
        with locked(handle, path) as is_ours:
            # The run that had the lock before may have ended, and removed the file, between opening and locking.
            if not is_ours or not _is_still(path, handle):
                raise BadRequest(
                    f"{table}: expected no other run to write it, got one that does. Wait for its end, or choose "
                    "another --out."
                )
            yield PartFile(path, handle)
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    try:
        if path.is_symlink() or (path.exists() and not stat.S_ISREG(path.stat().st_mode)):
            raise BadRequest(
                f"{path}: expected the rows of an unfinished run, got no plain file. Choose another --out."
            )
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as problem:
        raise BadRequest(f"{path}: cannot write there: {problem.strerror}. Choose another --out.") from None


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False
