"""Groups of photographs that show the same picture or the same eye, written into a manifest."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fundoscope.duplicates.fingerprint import Fingerprints
from fundoscope.duplicates.search import Overlap, group_names, groups_of
from fundoscope.tables.grouping import connected


def with_groups(frame: pd.DataFrame, fingerprints: Fingerprints, overlap: Overlap) -> pd.DataFrame:
    """Return a copy with `duplicate_group` (one picture) and `eye_group` (one eye, copies included) filled.

    Groups that the manifest already names are kept: a photograph found in the same picture as one of them joins it.

    Args:
        frame: One row for each fingerprint, in order.
        fingerprints: The fingerprints.
        overlap: What was found among them.
    """
    copies = group_names(groups_of(overlap.copies(), len(frame)), fingerprints, "d")
    eyes = group_names(groups_of(overlap.pairs, len(frame)), fingerprints, "e")
    listed: list[str | None] = [None] * len(frame)
    if "duplicate_group" in frame:
        listed = [None if pd.isna(value) else str(value) for value in frame["duplicate_group"]]
    return frame.assign(
        duplicate_group=pd.Series(_merged(listed, copies), index=frame.index, dtype=object),
        eye_group=pd.Series(eyes, index=frame.index, dtype=object),
    )


def _merged(listed: Sequence[str | None], computed: Sequence[str | None]) -> list[str | None]:
    """Merge computed groups with those listed before; groups that share a member become one.

    A name that was there before beats a fresh one; of two old ones the smaller stays.
    """
    rows = list(zip(listed, computed, strict=True))
    fresh = {new for _, new in rows if new is not None} - set(listed)
    names = sorted({name for row in rows for name in row if name is not None}, key=lambda name: (name in fresh, name))
    number = {name: at for at, name in enumerate(names)}
    kept = connected(
        len(names), ((number[old], number[new]) for old, new in rows if old is not None and new is not None)
    )
    final = {name: names[at] for name, at in zip(names, kept, strict=True)}
    return [final.get(old or new or "") for old, new in rows]
