"""The bytes of photographs: written while they arrive, then kept under their SHA-256, and under no other name."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from fundoscope.errors import BadRequest
from fundoscope.photo.decoding.kinds import HEAD_BYTES

HASH: Final = re.compile(r"[0-9a-f]{64}")
PARTIAL: Final = ".part"


@dataclass(slots=True)
class Incoming:
    """A photograph that arrives: its bytes go to a file with a random name, and are hashed and counted on the way."""

    path: Path
    size: int = 0
    head: bytes = b""
    """Its first bytes, which say what it is."""
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    _file: IO[bytes] | None = None
    _closing: ExitStack = field(default_factory=ExitStack)
    """Closes the file, in `end` or `discard`: bytes arrive part by part, between which others are served."""

    @classmethod
    def begin(cls, folder: Path) -> Incoming:
        """Open a file for a photograph that arrives.

        Args:
            folder: `ServiceSettings.incoming`; made where absent.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{secrets.token_hex(16)}{PARTIAL}"
        with ExitStack() as opened:
            file = opened.enter_context(open(path, "xb"))
            return cls(path, _file=file, _closing=opened.pop_all())

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._file is None:
            raise ValueError("write: expected a file that is open, got one that has ended")
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + data)[:HEAD_BYTES]

    def end(self) -> None:
        """Bring the bytes to the disk and close the file."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._closing.close()
            self._file = None

    def discard(self) -> None:
        """Remove the file, unless it was kept."""
        self._closing.close()
        self._file = None
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes until now."""
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class PhotographFiles:
    """The folder of accepted photographs."""

    folder: Path

    def path(self, sha256: str) -> Path:
        """Return where a photograph lies, or would lie.

        Raises:
            BadRequest: If it is no SHA-256: nothing else leads to a file.
        """
        if not HASH.fullmatch(sha256):
            raise BadRequest(f"sha256: expected 64 hexadecimal digits, got {sha256!r:.80}. Check the address.")
        return self.folder / sha256[:2] / sha256[2:4] / sha256

    def keep(self, incoming: Incoming) -> Path:
        """Move an incoming photograph to its place, so that it survives a crash; one that is there already stays."""
        incoming.end()
        target = self.path(incoming.sha256)
        if target.is_file():
            incoming.discard()
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(incoming.path, target)
        for folder in (target.parent, target.parent.parent, self.folder):
            _sync_folder(folder)
        return target


def remove_partial(folder: Path) -> None:
    """Remove what uploads that were cut off have left.

    Args:
        folder: `ServiceSettings.incoming`.
    """
    for path in folder.glob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
