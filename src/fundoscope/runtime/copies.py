"""A release copied with something changed; the original stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fundoscope.errors import BadRequest
from fundoscope.runtime.archive import reader
from fundoscope.runtime.description import CARD, DESCRIPTION, Release
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


STRESS: Final = "Under stress"
"""Title of the section of a model card that reports the stress set."""

HEATMAP_HEADING: Final = "\n## Heatmap\n"
"""Of the section on the heatmap, which stays the card's last (`heatmaps.certification.certify.HEADING`)."""


def copy_with_stress(opened: OpenRelease, target: Path, figures: Mapping[str, Any], text: str) -> OpenRelease:
    """Write a copy of a release with figures under stress, in its description and in a section of its card; open it.

    Args:
        opened: The release.
        target: Folder for the copy, new or empty.
        figures: What stands under `stress` in the evaluation, instead of earlier figures.
        text: The section of the card, instead of an earlier one.

    Raises:
        BadRequest: As `check_unused`.
    """
    description = replace(opened.release, evaluation={**opened.release.evaluation, "stress": dict(figures)})
    card = with_section(opened.card, STRESS, text)
    return copy_release(opened, target, description, {CARD: card.encode()})


def with_section(card: str, title: str, text: str) -> str:
    """Return a card with a section of the second level: in the place of an earlier one of that title, else at the end.

    A section on the heatmap that ends the card stays its last.
    """
    heading, section = f"\n## {title}\n", f"\n## {title}\n\n{text.strip()}\n"
    before, matched, rest = f"\n{card.strip()}\n".partition(heading)
    if matched:
        _, next_heading, after = rest.partition("\n## ")
        return (before + section + next_heading + after).strip() + "\n"
    body, last, heatmap = before.rpartition(HEATMAP_HEADING)
    if last and "\n#" not in heatmap:
        return (body + section + last + heatmap).strip() + "\n"
    return (before + section).strip() + "\n"
