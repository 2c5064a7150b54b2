"""Hashing and locking files, and writing them so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TAKEN: Final = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})
"""Errors of locking what another process has locked; any other means that the file system has no locks."""

NAME_SHOWN: Final = 32
"""Letters of a file's name that its temporary file shows: with all of them a long name would become too long."""


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        OSError: If the file cannot be read, or is a pipe or a device, which may have no end.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
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
    shown = target.stem[:NAME_SHOWN]
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{shown}.", suffix=target.suffix)
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


@contextmanager
def locked(handle: int, path: Path) -> Iterator[bool]:
    """Lock an open file for this process; yield whether it is ours. The lock ends with the block, or the process.

    On a file system without locks a file `PATH.lock` stands for one, which a killed process of this computer leaves
    without effect; one of another computer has to be deleted by hand.

    Args:
        handle: The open file.
        path: Where it lies.
    """
    try:
        _lock(handle)
    except OSError as problem:
        if problem.errno in TAKEN:
            yield False
            return
        with _locked_by_file(path.with_name(f"{path.name}.lock")) as ours:
            yield ours
        return
    # Closing the file ends the lock; nothing is to be done here.
    yield True


@contextmanager
def locked_folder(folder: Path) -> Iterator[bool]:
    """Lock a folder for this run; yield whether it is ours. As `locked`, and no file is left in the folder."""
    place = folder.resolve()
    try:
        handle = os.open(place, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        with _locked_by_file(place.with_name(f"{place.name}.lock")) as ours:
            yield ours
        return
    try:
        with locked(handle, place) as ours:
            yield ours
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 2**40, os.SEEK_SET)  # far behind what is written: a locked byte can no longer be read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _locked_by_file(lock: Path) -> Iterator[bool]:
    owner = f"{socket.gethostname()} {os.getpid()}"
    if not _create(lock, owner):
        if not _is_stale(lock):
            yield False
            return
        lock.unlink(missing_ok=True)
        if not _create(lock, owner):
            yield False
            return
    try:
        yield True
    finally:
        lock.unlink(missing_ok=True)


def _create(lock: Path, owner: str) -> bool:
    try:
        handle = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    with open(handle, "w", encoding="utf-8") as file:
        file.write(owner)
    return True


def _is_stale(lock: Path) -> bool:
    """Whether a lock's file is of a process of this computer that is no more."""
    try:
        host, _, process = lock.read_text(encoding="utf-8").rpartition(" ")
        if host != socket.gethostname() or sys.platform == "win32":  # there, asking after a process would end it
            return False
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with replacing(path) as fresh:
        fresh.write_bytes(data)


USER_CACHE: Final = "FUNDOSCOPE_CACHE"
"""Environment variable that names the user's cache folder."""


def user_cache() -> Path:
    """Return the folder for what is kept for speed alone; it need not exist.

    Raises:
        RuntimeError: If the user has no home folder.
    """
    if chosen := os.environ.get(USER_CACHE):
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fundoscope"


def _umask() -> int:
    # The only portable way to read the mask is to set it; temporary files are made 0600.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
