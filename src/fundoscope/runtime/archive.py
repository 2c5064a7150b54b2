"""The files of a release, whether it is a folder or the same folder zipped; nothing is unpacked to disk."""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fundoscope.errors import BadRelease

LARGEST_BYTES: Final = 4 * 2**30
"""Size at which a release's file, or all that a zipped one unpacks to, is refused."""

LARGEST_RATIO: Final = 100
"""Unpacked bytes for each packed one at which a member is refused; weights, pictures and text have less than 20."""

SMALL_BYTES: Final = 16 * 2**20
"""Unpacked size up to which the ratio does not matter."""

FLAG_ENCRYPTED: Final = 1
"""Bit of a member's flags: it needs a password."""


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
        size = os.path.getsize(folder / name)
        if size > LARGEST_BYTES:
            raise BadRelease(f"{folder}: expected {name} of at most {LARGEST_BYTES} bytes, got {size}. Fetch it again.")
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
            entries = _checked_entries(archive, path)
            return {name: archive.read(entry) for name, entry in entries.items()}
    # zipfile says in as many ways what is wrong: no zip or a wrong sum (BadZipFile); a stream that is none (zlib.error,
    # lzma.LZMAError) or ends early (EOFError); an unknown way of packing (RuntimeError); a date or an offset that is
    # none (ValueError).
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError) as problem:
        raise BadRelease(f"{path}: expected a folder or a .zip of one, got {problem}. Fetch it again.") from None


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's files by their plain names, none of which occurs twice, and whose sizes are believable."""
    files = [entry for entry in archive.infolist() if not entry.is_dir()]
    size = sum(entry.file_size for entry in files)
    if size > LARGEST_BYTES:
        raise BadRelease(
            f"{path}: expected at most {LARGEST_BYTES} bytes unpacked, got {size}. Fetch the release again."
        )
    entries: dict[str, zipfile.ZipInfo] = {}
    # Where capitals do not count, as on many file systems, README and readme are one file.
    names: set[str] = set()
    for entry in files:
        name = _name_in_zip(entry.filename, path)
        if name.casefold() in names:
            raise BadRelease(
                f"{path}: expected each file once, got two of the name {name!r:.80}. Fetch the release again."
            )
        if entry.flag_bits & FLAG_ENCRYPTED:
            raise BadRelease(f"{path}: expected files without a password, got {name!r:.80} with one. Unpack it.")
        if entry.file_size > max(SMALL_BYTES, LARGEST_RATIO * entry.compress_size):
            raise BadRelease(
                f"{path}: expected at most {LARGEST_RATIO} bytes for each packed one, got {entry.file_size} from "
                f"{entry.compress_size} in {name!r:.80}. Fetch the release again."
            )
        names.add(name.casefold())
        entries[name] = entry
    return entries


def _name_in_zip(name: str, path: Path) -> str:
    # Zipping the folder itself rather than what is in it puts one folder's name before every file's.
    parts = name.split("/")
    if len(parts) > 2 or not all(is_plain(part) for part in parts):
        raise BadRelease(f"{path}: expected plain file names in the archive, got {name!r}, which leads out of it.")
    return parts[-1]


def is_plain(name: str) -> bool:
    """Return whether a file's name leads nowhere but into the release itself."""
    return name not in ("", ".", "..") and not any(sign in name for sign in "/\\:\0")
