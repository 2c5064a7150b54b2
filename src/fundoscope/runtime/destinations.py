"""Whether a run may write where it was told to: asked before the first photograph, and answered in a sentence.

Nothing that exists is written over unless that was asked for, and no file that the run reads even then.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadRequest, BadTable
from fundoscope.files import locked_folder
from fundoscope.tables import write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Files that a run reads, however they are named."""

    identities: frozenset[tuple[int, int]]
    """Device and number of each file that is there."""
    names: frozenset[str]
    """Absolute paths of all of them, also of those that are not there."""

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Inputs:
        """Gather files; of a folder all the files in it."""
        identities, names = set(), set()
        for path in _files(paths):
            names.add(os.path.abspath(path))
            state = _state(path)
            if state is not None:
                identities.add((state.st_dev, state.st_ino))
        return cls(identities=frozenset(identities), names=frozenset(names))

    def __or__(self, others: Inputs) -> Inputs:
        """Return both together."""
        return Inputs(identities=self.identities | others.identities, names=self.names | others.names)

    def contain(self, path: Path) -> bool:
        """Return whether a path is one of the files, be it by another name, a link or other capitals."""
        state = _state(path)
        return os.path.abspath(path) in self.names or (
            state is not None and (state.st_dev, state.st_ino) in self.identities
        )


NO_INPUTS: Final = Inputs(identities=frozenset(), names=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may be written over."""

    inputs: Inputs = NO_INPUTS
    """Never."""
    replace: bool = False
    """Whether other files that exist are written over."""
    replace_option: str = "--replace"
    """The option that asks for it."""
    claimed: frozenset[str] = frozenset()
    """Absolute paths of files that an interrupted run of the same request had begun to write."""

    def check_file(self, path: Path, option: str) -> None:
        """Refuse a file that must not be written.

        Args:
            path: Where it is to be.
            option: The option that names it.

        Raises:
            BadRequest: If a folder, a file that the run reads or, unless that was asked for, any file lies there.
        """
        state = _state(path)
        if state is not None and stat.S_ISDIR(state.st_mode):
            raise BadRequest(f"{path}: expected the name of a file, got a folder. Give {option} a name in it.")
        if state is not None and not stat.S_ISREG(state.st_mode):
            raise BadRequest(f"{path}: expected the name of a file, got a device or pipe. Choose another {option}.")
        if self.inputs.contain(path):
            raise BadRequest(
                f"{path}: expected a file to write, got one that this run reads. It is never written over: choose "
                f"another {option}."
            )
        if os.path.lexists(path) and not self.replace and os.path.abspath(path) not in self.claimed:
            raise BadRequest(
                f"{path}: expected a name that is free, got a file that exists. Choose another {option}, or give "
                f"{self.replace_option} to write over it."
            )

    def check_report(self, folder: Path, option: str = "--report") -> None:
        """Refuse a folder in which the files of a report must not be written. Raises as `check_file`."""
        try_folder(folder, option)
        for file in sorted({folder / "index.html", folder / "patients.csv", *folder.glob("page-*.html")}):
            self.check_file(file, option)


NOTHING_REPLACED: Final = Rules()


def try_folder(folder: Path, option: str) -> None:
    """Make a folder where it is absent, and write into it for a trial.

    Raises:
        BadRequest: If a file lies there, or nothing can be written.
    """
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise BadRequest(f"{folder}: expected a folder, got a file. Choose another {option}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"trial")
            file.flush()
    except OSError as problem:
        raise cannot_write(folder, problem, option) from None


def try_table(frame: pd.DataFrame, path: Path, option: str) -> None:
    """Write a table without rows beside where it is to be, and remove it: hours of grading must not end in a refusal.

    Raises:
        BadRequest: If a folder lies there, or nothing can be written.
        BadTable: If the suffix names no kind of table.
        MissingExtra: If the kind of table needs a package that is not installed.
    """
    if os.path.isdir(path):
        raise BadRequest(f"{path}: expected the name of a table, got a folder. Give {option} a name in it.")
    trial = path.with_name(f".trial-{os.getpid()}{path.suffix}")
    try:
        write_table(frame, trial)
        trial.unlink()
    except BadTable as problem:
        raise BadTable(str(problem).replace(str(trial), str(path))) from None
    except OSError as problem:
        raise cannot_write(path, problem, option) from None


@contextmanager
def sole_writer(folder: Path | None, option: str) -> Iterator[None]:
    """Let no other run write into a folder, which is made where absent, until the block ends.

    Args:
        folder: The folder; None: nothing is to be written.
        option: The option that names it.

    Raises:
        BadRequest: If another run writes there, or nothing can be written.
    """
    if folder is None:
        yield
        return
    try_folder(folder, option)
    with locked_folder(folder) as is_ours:
        if not is_ours:
            raise BadRequest(
                f"{folder}: expected no other run to write there, got one that does. Wait for its end, or choose "
                f"another {option}."
            )
        yield


def cannot_write(path: Path, problem: OSError, option: str) -> BadRequest:
    """Return the error that says why nothing can be written somewhere."""
    return BadRequest(f"{path}: cannot write there: {problem.strerror or problem}. Choose another {option}.")


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if os.path.isdir(path):
            yield from (Path(root) / name for root, _, names in os.walk(path) for name in names)
        else:
            yield path


def _state(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None
