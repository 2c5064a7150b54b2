"""Whether the dust on a site's camera is still what its dust map says, from the photographs that were graded since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.clinic.commissioning.site import SHOWN, dust_words, shots_of
from fundoscope.errors import BadRequest
from fundoscope.photo.artefacts.compare import DustChange, compare_dust
from fundoscope.photo.artefacts.dust_map import DustMap, MappedSpeck
from fundoscope.photo.artefacts.make import TooMuchDust, gather
from fundoscope.tables.patients import texts

NAMED: Final = 5
"""Specks whose places a sentence names."""

AGAIN: Final = (
    "Clean the sensor, and commission again, into a new folder: a map of other dust retouches where there is none."
)


@dataclass(frozen=True, slots=True)
class DustReport:
    """What monitoring has to say of dust."""

    map: str
    """Seal of the site's map."""
    change: DustChange | None
    """None where the photographs could not be compared."""
    reasons: tuple[str, ...]
    """Why the commissioning no longer holds, a sentence each."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        change = self.change
        return {
            "map": self.map,
            "compared": change is not None,
            "photographs": None if change is None else change.now.photographs,
            "now": None if change is None else change.now.to_dict(),
            "come": [] if change is None else [_place(speck) for speck in change.come],
            "gone": [] if change is None else [_place(speck) for speck in change.gone],
        }


def monitor_dust(
    dust: DustMap,
    rows: pd.DataFrame,
    table: Path,
    *,
    folder: Path | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> DustReport:
    """Compare the photographs of a table of predictions with the site's dust map.

    Args:
        dust: The map.
        rows: The table of those who came since.
        table: Its path.
        folder: Where the photographs are that the table names; None: the working folder or, where they are not there,
            the table's.
        threads: Photographs read side by side.
        progress: Called with how many photographs were read, and of how many.
    """
    reasons = list(_other_maps(dust, rows, table))
    try:
        views, left_out = gather(shots_of(rows, _base(rows, table, folder)), threads=threads, progress=progress)
        if views and views[0].frame != dust.frame:
            reasons.append(
                f"The camera or its export has changed: photographs are {views[0].frame} px, the dust map is of "
                f"{dust.frame} px. Commission again."
            )
            return DustReport(dust.seal, None, tuple(reasons), ())
        change = compare_dust(dust, views, left_out)
    except TooMuchDust as problem:
        return DustReport(dust.seal, None, (*reasons, f"Too much dust: {problem}"), ())
    except BadRequest as problem:
        return DustReport(dust.seal, None, tuple(reasons), (f"Dust was not compared with the site's map: {problem}",))
    if change.changed:
        reasons.append(f"Dust on the sensor has changed: {_change_words(change)}. {AGAIN}")
    return DustReport(dust.seal, change, tuple(reasons), (f"Dust now: {dust_words(change.now)}", *change.now.notes))


def _base(rows: pd.DataFrame, table: Path, folder: Path | None) -> Path:
    """Return a path in the folder that the images of a table are relative to."""
    if folder is not None:
        return folder / table.name
    first = next(iter(texts(rows, "image")), None)
    return Path(table.name) if first is not None and Path(first).exists() else table


def _other_maps(dust: DustMap, rows: pd.DataFrame, table: Path) -> Iterator[str]:
    seals = texts(rows, "dust_map")
    if others := {seal for seal in seals if seal is not None} - {dust.seal}:
        yield (
            f"Another dust map was used: some of {table.name} was retouched by {min(others)[:SHOWN]}, the "
            f"site's is {dust.seal[:SHOWN]}. Grade with --site, or commission again."
        )
    graded = [state in (None, "graded") for state in texts(rows, "status")]
    without = sum(seal is None for seal, counts in zip(seals, graded, strict=True) if counts)
    if dust.specks and without:
        yield (
            f"{without} of {sum(graded)} graded photographs of {table.name} were not retouched by the site's dust map: "
            "they were graded without --site, or have another frame."
        )


def _change_words(change: DustChange) -> str:
    parts = []
    for verb, specks in (("come", change.come), ("gone", change.gone)):
        if specks:
            places = "; ".join(_place_words(speck, change.now) for speck in specks[:NAMED])
            more = "; ..." if len(specks) > NAMED else ""
            count = f"{len(specks)} speck{'s have' if len(specks) != 1 else ' has'}"
            parts.append(f"{count} {verb} (row, column in px: {places}{more})")
    return " and ".join(parts)


def _place_words(speck: MappedSpeck, dust: DustMap) -> str:
    return f"{speck.row * dust.height:.0f}, {speck.column * dust.width:.0f}"


def _place(speck: MappedSpeck) -> dict[str, float]:
    return {"row": speck.row, "column": speck.column, "radius": speck.radius, "depth": speck.depth}
