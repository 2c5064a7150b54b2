"""The files of a release, whether it is a folder or the same folder zipped; nothing is unpacked to disk."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fundoscope.errors import BadRelease

LARGEST_BYTES: Final = 4 * 2**30
"""Unpacked size at which a zipped release is refused."""


def reader(path: Path) -> Callable[[str], bytes]:
    """Return a function that reads a file of a release, a folder or a `.zip` of one, by its plain name.

    Raises:
        BadRelease: If there is no such path or the archive is damaged, too large or leads out of itself;
            what is returned raises it for a file that is not there.
    """
    if os.path.isdir(path):
        return lambda name: _read_from_folder(path, name)
    if not os.path.exists(path):
        raise BadRelease(f"{path}: expected a release (a folder or a .zip), got nothing: there is no such path.")
    if not os.path.isfile(path):
        # Reading from it might wait for ever, or never end.
        raise BadRelease(f"{path}: expected a release (a folder or a .zip), got a pipe or device. Name a file.")
    members = _read_zip(path)

    def read(name: str) -> bytes:
        if name not in members:
            raise _missing(path, name)
        return members[name]

    return read


def _read_from_folder(folder: Path, name: str) -> bytes:
    try:
        if os.path.exists(folder / name) and not os.path.isfile(folder / name):
            raise BadRelease(f"{folder}: expected {name} to be a file, got a folder, pipe or device. Fetch it again.")
        return (folder / name).read_bytes()
    except FileNotFoundError:
        raise _missing(folder, name) from None
    except OSError as problem:
        raise BadRelease(f"{folder}: cannot read {name}: {problem.strerror}. Check the file's permissions.") from None


def _missing(path: Path, name: str) -> BadRelease:
    return BadRelease(f"{path}: expected the file {name} in the release, found none. Fetch the release again.")


def _read_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            size = sum(entry.file_size for entry in entries)
            if size > LARGEST_BYTES:
                raise BadRelease(
                    f"{path}: expected at most {LARGEST_BYTES} bytes unpacked, got {size}. Fetch the release again."
                )
            return {_name_in_zip(entry.filename, path): archive.read(entry) for entry in entries}
    # zipfile says in as many ways what is wrong: no zip or a wrong sum (BadZipFile); a stream that is none (zlib.error)
    # or ends early (EOFError); an unknown way of packing, or a password that is asked for (RuntimeError).
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as problem:
        raise BadRelease(f"{path}: expected a folder or a .zip of one, got {problem}. Fetch it again.") from None


def _name_in_zip(name: str, path: Path) -> str:
    # Zipping the folder itself rather than what is in it puts one folder's name before every file's.
    parts = name.split("/")
    if len(parts) > 2 or not all(is_plain(part) for part in parts):
        raise BadRelease(f"{path}: expected plain file names in the archive, got {name!r}, which leads out of it.")
    return parts[-1]


def is_plain(name: str) -> bool:
    """Return whether a file's name leads nowhere but into the release itself."""
    return name not in ("", ".", "..") and not any(sign in name for sign in "/\\:\0")
