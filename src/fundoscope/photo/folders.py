"""The photographs in a folder: found by what the files hold, at any depth, with a count of what was passed over."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fundoscope.photo.decoding.dicom_kind import SECONDARY_CAPTURE, is_own_heatmap, stores_no_picture
from fundoscope.photo.decoding.header import is_dicom, read_elements
from fundoscope.photo.decoding.kinds import HEAD_BYTES, PICTURE_NAMES, kind_of

COUNTED_KINDS: Final = 6
"""Kinds of files passed over that a note names at most."""

ACCOMPANYING: Final = "DICOM reports and heatmaps"
"""How DICOM files are counted that are none of a photograph."""

APPLE_DOUBLE: Final = b"\0\x05\x16\x07"
"""How files begin that macOS puts beside those it copies; they hold no picture, whatever their names."""


@dataclass(slots=True)
class Walk:
    """One pass through a folder, and what it met beside photographs."""

    folder: Path
    manifest: Path | None = None
    """A table in it that is read, and not passed over."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Files that hold no picture, by suffix."""
    hidden: int = 0
    """Pictures whose names begin with a point: left out, as a shell's * leaves them out."""
    repeated: int = 0
    """Links to folders that are listed already."""
    troubles: list[str] = field(default_factory=list)
    """Folders that could not be read."""

    def photographs(self) -> Iterator[Path]:
        """Yield pictures in the folder and below it, by name; links to folders are followed, each folder once."""
        visited = {_identity(self.folder)}
        for root, folders, names in os.walk(self.folder, onerror=self._note_trouble, followlinks=True):
            folders[:] = [name for name in sorted(folders) if self._is_new(Path(root, name), visited)]
            for name in sorted(names):
                if self._is_photograph(Path(root, name)):
                    yield Path(root, name)

    def notes(self) -> list[str]:
        """Return sentences about what was passed over."""
        sentences = []
        if self.passed_over:
            total = self.passed_over.total()
            sentences.append(f"{self.folder}: {total} file{_s(total)} passed over: {self._counted()}.")
        if self.hidden:
            sentences.append(f"{self.folder}: {self.hidden} hidden picture{_s(self.hidden)} left out.")
        if self.repeated:
            sentences.append(
                f"{self.folder}: {self.repeated} link{_s(self.repeated)} to folders that are listed already: "
                "listed once."
            )
        return sentences

    def _counted(self) -> str:
        common = self.passed_over.most_common(COUNTED_KINDS)
        others = self.passed_over.total() - sum(count for _, count in common)
        counts = [f"{count} {kind}" for kind, count in common]
        return ", ".join([*counts, *([f"{others} of other kinds"] if others else [])])

    def _note_trouble(self, problem: OSError) -> None:
        self.troubles.append(
            f"{problem.filename}: expected a readable folder, got: {problem.strerror}. Check its permissions."
        )

    def _is_new(self, folder: Path, visited: set[tuple[int, int] | None]) -> bool:
        if folder.name.startswith("."):
            return False
        identity = _identity(folder)
        if identity in visited and identity is not None:
            self.repeated += 1
            return False
        visited.add(identity)
        return True

    def _is_photograph(self, path: Path) -> bool:
        """Return whether a file is to have its row; count it where not."""
        suffix, head = path.suffix.lower(), _head(path)
        if path.name.startswith("."):
            self.hidden += bool(head and not head.startswith(APPLE_DOUBLE) and kind_of(head, path.name))
            return False
        if head is not None and _accompanies_photographs(path, head):
            self.passed_over[ACCOMPANYING] += 1
            return False
        if suffix in PICTURE_NAMES or (head is not None and kind_of(head, path.name) is not None):
            return True
        if head is None and (suffix == "" or suffix[1:].isdigit()):
            # What cannot be looked at may be a DICOM file, named by its UID or not at all: its row says why it was not.
            return True
        if path != self.manifest:
            self.passed_over[suffix or "without suffix"] += 1
        return False


def kind_of_file(path: Path) -> str | None:
    """Return the kind of picture that a file holds (`kinds.kind_of`); None if it is none, or cannot be looked at."""
    head = _head(path)
    return None if head is None else kind_of(head, path.name)


def is_picture(path: Path) -> bool:
    """Return whether a file holds a picture, or is named as one: it may be damaged. Hidden files are none."""
    if path.name.startswith("."):
        return False
    head = _head(path)
    if head is not None and _accompanies_photographs(path, head):
        return False
    return path.suffix.lower() in PICTURE_NAMES or (head is not None and kind_of(head, path.name) is not None)


def _accompanies_photographs(path: Path, head: bytes) -> bool:
    """Return whether a DICOM file is none of a photograph, whatever its name: a report, or a heatmap that we wrote.

    They come back when a study is exported from an archive that reports were sent to.
    """
    if not is_dicom(head):
        return False
    if stores_no_picture(head):
        return True
    if SECONDARY_CAPTURE.encode() not in head:
        return False
    elements = read_elements(path)
    return elements is not None and is_own_heatmap(elements)


def _head(path: Path) -> bytes | None:
    """Return a file's first bytes; None where it cannot be read. Pipes and devices, which may not end, are not read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with open(path, "rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return None


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        state = folder.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _s(count: int) -> str:
    return "" if count == 1 else "s"
