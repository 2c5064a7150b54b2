"""A release copied with something changed; the original stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from fundoscope.errors import BadRequest
from fundoscope.runtime.archive import reader
from fundoscope.runtime.description import DESCRIPTION, Release
from fundoscope.runtime.golden_photograph import make_golden_photograph
from fundoscope.runtime.release import OpenRelease, open_release, write_sealed


def check_unused(target: Path) -> None:
    """Refuse to write a copy where something lies already.

    Raises:
        BadRequest: If it is a file or a folder that holds something.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadRequest(f"{target}: expected a new or empty folder for the copy, got one in use. Name another.")


def copy_release(
    opened: OpenRelease,
    target: Path,
    description: Release,
    changed: Mapping[str, bytes],
    *,
    without: Collection[str] = (),
) -> OpenRelease:
    """Write the copy, and open it.

    Args:
        opened: The original.
        target: Folder for the copy, new or empty.
        description: What the copy's `release.json` says; its hashes are filled in.
        changed: Files that are new, or other than in the original.
        without: Names of files that stay behind.

    Raises:
        BadRequest: As `check_unused`.
    """
    check_unused(target)
    read = reader(opened.path)
    kept = {name: read(name) for name in opened.release.files if name not in (DESCRIPTION, *without)}
    write_sealed(target, description, {**kept, **changed})
    return open_release(target)


def copy_with_golden_photograph(opened: OpenRelease, target: Path) -> OpenRelease:
    """Write a copy of an old release with a golden photograph for its recipe, everything else unchanged, and open it.

    Raises:
        BadRequest: As `check_unused`.
    """
    return copy_release(opened, target, opened.release, make_golden_photograph(opened.recipe).files())
