"""Notes of the releases whose golden outputs were computed on this computer before.

Whoever opens a release computes its golden outputs, which takes up to seconds. A note in the user's cache folder spares
that when the same release is opened again by the same versions of the programs. It is a matter of speed alone: a note
that cannot be read, is not the user's own or may be written by others counts for nothing, and where none can be
written the outputs are computed each time. The environment variable `FUNDOSCOPE_CACHE` names another folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from fundoscope.files import user_cache, write_text
from fundoscope.runtime.backends.sessions import Network
from fundoscope.runtime.release import OpenRelease
from fundoscope.version import __version__

OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def was_accepted(opened: OpenRelease, network: Network) -> bool:
    """Return whether a note says that this network computed the release's golden outputs here before."""
    key = _key(opened, network)
    with suppress(OSError, ValueError, RuntimeError):
        folder = _folder()
        return all(map(_is_own, (folder, folder / key))) and (folder / key).read_text(encoding="ascii") == key
    return False


def note_accepted(opened: OpenRelease, network: Network) -> None:
    """Write the note; where none can be written, nothing happens."""
    key = _key(opened, network)
    with suppress(OSError, ValueError, RuntimeError):
        folder = _folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_text(folder / key, key)
        os.chmod(folder / key, 0o600)


def _key(opened: OpenRelease, network: Network) -> str:
    """Return a hash of all that the outputs depend on: the release, the programs and the computer."""
    parts = (opened.digest, __version__, network.program, platform.node(), platform.machine(), platform.platform())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _folder() -> Path:
    return user_cache() / "golden"


def _is_own(path: Path) -> bool:
    """Return whether a folder or file is the user's, whom alone it lets write; links are neither."""
    state = os.lstat(path)
    if stat.S_ISLNK(state.st_mode):
        return False
    if sys.platform == "win32":  # where a user's profile is his own
        return True
    return state.st_uid == os.getuid() and not state.st_mode & OTHERS_MAY_WRITE
