"""A public data set: how it is read, and what a person must know before using it.

A module of `data.sources` knows one set's layout, as its publisher unpacks it, and nothing else: no
hashes, no other set. `data.imports` collects them and turns what they read into checked manifests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.photo.read import PICTURE_SUFFIXES

Modality = Literal["fundus", "oct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A public data set."""

    name: str
    """The one word that commands and the manifest's column `source` call it by."""
    title: str
    what: str
    """Pictures, labels and divisions, in one sentence."""
    modality: Modality
    licence: str
    where: str
    """Where to get it."""
    citation: str
    layout: Literal["confirmed", "unconfirmed"]
    """Confirmed: every file and column name that is read was seen in one of `layout_from`."""
    layout_from: tuple[str, ...]
    """Addresses where the layout was read: the publisher's page, or a public loader's file."""
    read: Callable[[Path], pd.DataFrame]
    """From the folder it was unpacked to, to one row per picture with `image` relative to that folder and whatever
    the set knows; neither `sha256` nor `source`. Raises `BadTable` where the layout is not found."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Licence of manifest columns whose annotations others made, where it is another than the set's own."""
    notes: tuple[str, ...] = field(default=())
    """What trips up whoever uses it: clashing names, other sets inside it, odd labels."""


def need_columns(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Refuse a table of labels that lacks a column.

    Raises:
        BadTable: Naming the missing columns and those that are there.
    """
    missing = [name for name in columns if name not in frame]
    if missing:
        raise BadTable(
            f"{path}: expected the columns {', '.join(columns)}, {', '.join(missing)} not found among "
            f"{', '.join(map(str, frame.columns[:12]))}. Unpack the data set again."
        )


def picture_names(folder: Path) -> dict[str, str]:
    """Name without suffix, to file name, of every picture in a folder; empty if there is no such folder."""
    if not folder.is_dir():
        return {}
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    return {path.stem: path.name for path in pictures}
