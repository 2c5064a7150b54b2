"""Hashing files and writing them so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place only if the block ends without an error.

    Example:
        >>> with replacing("table.csv") as fresh:  # doctest: +SKIP
        ...     fresh.write_text("image\\n")
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    os.close(handle)
    fresh = Path(name)
    try:
        yield fresh
        with open(fresh, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(fresh, 0o666 & ~_umask())
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with replacing(path) as fresh:
        fresh.write_bytes(data)


def _umask() -> int:
    # The only portable way to read the mask is to set it; temporary files are made 0600.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
