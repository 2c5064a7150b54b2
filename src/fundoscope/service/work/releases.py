"""Copies of the releases that a service has used, in its folder.

An upgrade of the package may replace the release that ships with it. The copy of the active one lets the service start
as before until somebody has looked at what the new one changes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from fundoscope.errors import BadRelease
from fundoscope.files import write_bytes
from fundoscope.runtime.archive import reader
from fundoscope.runtime.description import DESCRIPTION
from fundoscope.runtime.release import OpenRelease, open_release

RELEASES: Final = "releases"
"""Folder of the copies, in that of the service."""


def check_single_eye(opened: OpenRelease) -> None:
    """Refuse a release that a service cannot use.

    Raises:
        BadRelease: If it grades both eyes together: photographs come one by one, in any order.
    """
    if opened.release.eyes != 1:
        raise BadRelease(
            f"{opened.path}: expected a release that grades each eye by itself, got one of both eyes. Grade "
            "with fundoscope grade --manifest, or serve another release."
        )


def kept_release(folder: Path, name: str) -> Path | None:
    """Return where the copy of a release lies; None where there is none.

    Args:
        folder: Of the service.
        name: `OpenRelease.name`.
    """
    path = _place(folder, name)
    return path if path.is_dir() else None


def _place(folder: Path, name: str) -> Path:
    """Return the place of a copy: named by the hash alone, because a release's id may be any text."""
    return folder / RELEASES / name.rpartition("@")[2]


def keep_release(folder: Path, opened: OpenRelease) -> Path:
    """Copy a release into the folder of a service, unless it is there; return the copy.

    Raises:
        BadRelease: If its files are no longer those that were opened.
    """
    target = _place(folder, opened.name)
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    read = reader(opened.path)
    for name in sorted({DESCRIPTION, *opened.release.files}):
        write_bytes(partial / name, read(name))
    if open_release(partial).digest != opened.digest:
        shutil.rmtree(partial)
        raise BadRelease(f"{opened.path}: expected the release as it was opened, got another. Start again.")
    os.replace(partial, target)
    return target
