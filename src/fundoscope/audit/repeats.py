"""What the photographs that repeat one another mean for whoever trains on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pandas as pd

from fundoscope.audit.findings import Finding
from fundoscope.duplicates.fingerprint import MIRRORS
from fundoscope.duplicates.search import Overlap, Pair
from fundoscope.tables import patient_keys

LISTED: Final = 200
"""Groups or pairs written out in one finding's evidence; the table of pairs holds all."""


def overlap_findings(frame: pd.DataFrame, overlap: Overlap) -> Iterator[Finding]:
    """Find repeated photographs, and one eye under two patients' names or in two splits.

    Args:
        frame: As `with_groups` gives it; `image` holds the names that findings use.
        overlap: What was found.
    """
    names = [str(image) for image in frame["image"]]
    copies = overlap.copies()
    if copies:
        yield _copies(frame, names, copies)
    keys = patient_keys(frame)
    strangers = [pair for pair in overlap.pairs if keys[pair.first] != keys[pair.second]]
    named = [pair for pair in strangers if {keys[pair.first][0], keys[pair.second][0]} == {"patient"}]
    if named:
        yield Finding(
            "one-eye-two-patients",
            "warns",
            f"Pairs of photographs that show one eye under two patients' names: {len(named)}. Give them one name, or "
            "let `fundoscope data split` keep them together by eye_group.",
            _images(named, names),
            {"pairs": [pair.to_dict(names) for pair in named[:LISTED]]},
        )
    yield from _graded_apart(frame, names, overlap.same_eye())
    for column in ("split", "fold"):
        yield from _straddling(frame, names, overlap.same_eye(), column)


def _copies(frame: pd.DataFrame, names: Sequence[str], copies: Sequence[Pair]) -> Finding:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, group in zip(names, frame["duplicate_group"], strict=True):
        if not pd.isna(group):
            groups[str(group)].append(name)
    files = sum(pair.found_by == "the same file" for pair in copies)
    ways: dict[str, int] = defaultdict(int)
    for pair in copies:
        if pair.found_by != "the same file":
            ways[MIRRORS[pair.mirror]] += 1
    evidence: dict[str, Any] = {
        "groups": dict(list(groups.items())[:LISTED]),
        "same_file": files,
        "other_files": dict(ways),
    }
    return Finding(
        "repeated-photographs",
        "warns",
        f"Photographs that are one picture with another: {sum(map(len, groups.values()))}, in groups: {len(groups)} "
        f"(pairs that are one file: {files}, in another disguise: {sum(ways.values())}). Keep one of each, or keep "
        "groups together.",
        tuple(name for members in groups.values() for name in members),
        evidence,
    )


def _graded_apart(frame: pd.DataFrame, names: Sequence[str], pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Find photographs of one eye with grades more than one apart; `agreement` reports copies."""
    if "grade" not in frame:
        return
    grades = [None if pd.isna(value) else int(value) for value in frame["grade"]]
    apart = []
    for pair in pairs:
        first, second = grades[pair.first], grades[pair.second]
        if first is not None and second is not None and abs(first - second) > 1:
            apart.append(pair.to_dict(names) | {"grades": [first, second]})
    if apart:
        yield Finding(
            "one-eye-two-grades",
            "warns",
            f"Pairs of photographs of one eye with grades more than one apart: {len(apart)}. Where they are of one "
            "visit, at most one grade is the eye's: have them read again.",
            tuple(dict.fromkeys(name for row in apart for name in (row["first"], row["second"]))),
            {"pairs": apart[:LISTED]},
        )


def _straddling(frame: pd.DataFrame, names: Sequence[str], pairs: Sequence[Pair], column: str) -> Iterator[Finding]:
    """Find eyes in two splits; `leaks` reports copies."""
    if column not in frame:
        return
    sides = [None if pd.isna(value) else str(value) for value in frame[column]]
    parted = [
        pair
        for pair in pairs
        if None not in (sides[pair.first], sides[pair.second]) and sides[pair.first] != sides[pair.second]
    ]
    if parted:
        yield Finding(
            f"one-eye-two-{column}s",
            "blocks",
            f"Pairs of photographs that show one eye on two sides of the column {column}: {len(parted)}. Divide again "
            "with `fundoscope data split`, which keeps an eye_group together, or leave one of each out.",
            _images(parted, names),
            {
                "pairs": [
                    pair.to_dict(names) | {"sides": [sides[pair.first], sides[pair.second]]} for pair in parted[:LISTED]
                ]
            },
        )


def _images(pairs: Sequence[Pair], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names[at] for pair in pairs for at in (pair.first, pair.second)))
