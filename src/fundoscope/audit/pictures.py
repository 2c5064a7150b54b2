"""Whether each picture is what its row says, and whether the grade can be told from where a picture was taken.

A network that is given one camera's healthy eyes and another's sick ones learns the cameras. How strongly grade and
camera, site or source hang together is Cramer's V with Bergsma's correction for bias (J Korean Stat Soc 2013,
42:323): 0 where they are independent, however few the photographs, 1 where one follows from the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, Shaped
from scipy import stats

from fundoscope.audit.findings import Finding
from fundoscope.duplicates.fingerprint import Fingerprints
from fundoscope.grades import GRADES
from fundoscope.tables.patients import texts

LISTED: Final = 200
"""Photographs or sizes written out in one finding's evidence; `images` names all."""

LEAST_PX: Final = 224
"""Shorter side that the smallest networks' recipes need."""

RARE_SIZE: Final = 0.02
"""Share of a source's photographs below which a size is rare."""

LEAST_OF_CLASS: Final = 10
"""Photographs of a grade or label from which something may be learnt, and of a group from which it is looked at."""

STRONG: Final = 0.3
"""Cramer's V above which a group gives the grade away."""

CHANCE: Final = 0.01
"""Probability of so strong an association by chance, above which nothing is said."""

GROUPS: Final = ("source", "camera", "site")
"""Columns that say where a photograph is from."""

Names = Shaped[np.ndarray, " row"]
Rows = Bool[np.ndarray, " row"]
Counts = Int[np.ndarray, "group grade"]


def picture_findings(frame: pd.DataFrame, fingerprints: Fingerprints, *, least_px: int = LEAST_PX) -> Iterator[Finding]:
    """Find broken files, pictures of another kind than their rows say, odd sizes and small ones.

    Args:
        frame: Manifest rows; a blank `modality` is fundus.
        fingerprints: Their fingerprints, in the same order.
        least_px: Side that the recipe needs: the shorter one of a photograph, the longer one of an OCT scan.
    """
    names = np.array([str(image) for image in frame["image"]], dtype=object)
    oct_scan = _says(frame, "modality", "oct")
    yield from _broken(names, fingerprints)
    unseen = fingerprints.read & ~fingerprints.field & ~oct_scan
    if unseen.any():
        yield Finding(
            "not-a-fundus",
            "warns",
            f"Pictures without a retina's field of view that are no OCT scans by their rows: {int(unseen.sum())}. "
            "Look at them; remove what is none, and give OCT scans modality oct.",
            images=tuple(names[unseen]),
        )
    strayed = fingerprints.read & fingerprints.field & oct_scan
    if strayed.any():
        yield Finding(
            "fundus-among-oct",
            "warns",
            f"Pictures that look like fundus photographs, but are OCT scans by their rows: {int(strayed.sum())}. "
            "Look at them, and correct their modality.",
            images=tuple(names[strayed]),
        )
    yield from _small(names, fingerprints, oct_scan, least_px)
    yield from _sizes(frame, names, fingerprints)


def balance_findings(frame: pd.DataFrame) -> Iterator[Finding]:
    """Report the distribution of grades, overall and by source, camera and site.

    `label`, where rows have one, is looked at likewise.

    Args:
        frame: Manifest rows; those without a grade count nowhere.
    """
    for target in ("grade", "label"):
        if target in frame and frame[target].notna().any():
            yield from _balance(frame[frame[target].notna()], target)


def corrected_cramers_v(counts: Counts) -> tuple[float, float]:
    """Compute Cramer's V of a table after Bergsma's correction, and its p-value.

    Empty rows and columns say nothing and are left out; (0, 1) where fewer than two of either remain.
    """
    table = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0].astype(float)
    rows, columns = table.shape
    total = float(table.sum())
    if min(rows, columns) < 2:
        return 0.0, 1.0
    tested = stats.chi2_contingency(table, correction=False)
    by_chance = (rows - 1) * (columns - 1) / (total - 1)
    excess = max(0.0, float(tested.statistic) / total - by_chance)
    most = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return (float(np.sqrt(excess / most)) if most > 0 else 0.0), float(tested.pvalue)


def _says(frame: pd.DataFrame, column: str, value: str) -> Rows:
    if column not in frame:
        return np.zeros(len(frame), dtype=bool)
    return np.array([not pd.isna(held) and held == value for held in frame[column]], dtype=bool)


def _broken(names: Names, fingerprints: Fingerprints) -> Iterator[Finding]:
    broken = np.flatnonzero(~fingerprints.read).tolist()
    if broken:
        yield Finding(
            "broken-file",
            "blocks",
            f"{len(broken)} of {len(names)} files cannot be read, the first because: {fingerprints.reasons[broken[0]]} "
            "Mend them, or delete their rows.",
            images=tuple(names[broken]),
            evidence={"files": [{"image": names[at], "reason": fingerprints.reasons[at]} for at in broken[:LISTED]]},
        )


def _small(names: Names, fingerprints: Fingerprints, oct_scan: Rows, least_px: int) -> Iterator[Finding]:
    # An OCT scan is a strip that is padded to a square, so that its longer side is what the recipe meets.
    met = np.array(
        [max(size) if is_oct else min(size) for size, is_oct in zip(fingerprints.sizes, oct_scan, strict=True)]
    )
    small = np.flatnonzero(fingerprints.read & (met < least_px)).tolist()
    if small:
        yield Finding(
            "small-picture",
            "warns",
            f"Pictures with a side below {least_px} px, down to {int(met[small].min())} px: {len(small)}. "
            "They would be enlarged, and small lesions cannot be seen in them. Look for their originals.",
            images=tuple(names[small]),
            evidence={
                "least_px": least_px,
                "pictures": [
                    {"image": names[at], "width": fingerprints.sizes[at][0], "height": fingerprints.sizes[at][1]}
                    for at in small[:LISTED]
                ],
            },
        )


def _sizes(frame: pd.DataFrame, names: Names, fingerprints: Fingerprints) -> Iterator[Finding]:
    """Return a table of sizes for each source; rare ones are named where others dominate."""
    sources = texts(frame, "source")
    held: dict[str, dict[tuple[int, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for at in np.flatnonzero(fingerprints.read).tolist():
        held[sources[at] or ""][fingerprints.sizes[at]].append(at)
    tables: dict[str, dict[str, Any]] = {}
    odd: list[int] = []
    for source in sorted(held):
        total = sum(map(len, held[source].values()))
        rare = {size for size, places in held[source].items() if len(places) < RARE_SIZE * total}
        # Where every size is rare (each photograph cut on its own), none is odd.
        rare = set() if len(rare) == len(held[source]) else rare
        odd += [at for size in rare for at in held[source][size]]
        tables[source] = {
            "photographs": total,
            "different": len(held[source]),
            "sizes": [
                {"width": size[0], "height": size[1], "count": len(places), "share": round(len(places) / total, 4)}
                | {"odd": size in rare}
                for size, places in sorted(held[source].items(), key=lambda item: (-len(item[1]), item[0]))[:LISTED]
            ],
        }
    if tables:
        different = sum(table["different"] for table in tables.values())
        rest = (
            f"Photographs of a size that fewer than {RARE_SIZE:.0%} of their source's have: {len(odd)}. Were they "
            "taken or saved otherwise? Look at some."
            if odd
            else "No photograph's size stands out from its source's."
        )
        yield Finding(
            "odd-size",
            "notes",
            f"{different} sizes in {len(tables)} {'source' if len(tables) == 1 else 'sources'}. {rest}",
            images=tuple(names[sorted(odd)]),
            evidence={"sources": tables},
        )


def _groups(frame: pd.DataFrame, column: str) -> list[str | None]:
    """Return each row's group; a site is named with its source where there are several, for site 1 is not one place."""
    groups, sources = texts(frame, column), texts(frame, "source")
    if column != "site" or len(set(sources)) < 2:
        return groups
    return [
        None if site is None else f"{source or 'unknown'}: {site}" for site, source in zip(groups, sources, strict=True)
    ]


def _balance(graded: pd.DataFrame, target: str) -> Iterator[Finding]:
    """Report the distribution of one target, among the rows that have it."""
    classes = [str(int(value)) if target == "grade" else str(value) for value in graded[target]]
    held = Counter(classes)
    every = [str(grade) for grade in range(GRADES)] if target == "grade" else sorted(held)
    few = {name: held[name] for name in every if held[name] < LEAST_OF_CLASS}
    if few:
        listed = ", ".join(f"{name} ({count})" for name, count in few.items())
        yield Finding(
            "rare-class",
            "warns",
            f"Fewer than {LEAST_OF_CLASS} photographs of {target} {listed}: it can be neither learnt nor measured. "
            "Add photographs of it, or say that it is left out.",
            evidence={"target": target, "counts": {name: held[name] for name in every}},
        )
    for column in GROUPS:
        groups = _groups(graded, column)
        if any(group is not None for group in groups):
            yield from _grouped(_Table.of(target, column, groups, classes, every))


@dataclass(frozen=True, slots=True)
class _Table:
    """How many photographs of each class are in each group."""

    target: str
    """grade or label."""
    column: str
    """source, camera or site."""
    groups: list[str]
    classes: list[str]
    counts: Counts
    unknown: int
    """Rows whose group is not known."""

    @classmethod
    def of(cls, target: str, column: str, groups: list[str | None], classes: list[str], every: list[str]) -> _Table:
        named = sorted({group for group in groups if group is not None})
        row_of, column_of = ({name: at for at, name in enumerate(names)} for names in (named, every))
        counts = np.zeros((len(named), len(every)), dtype=np.int64)
        for group, name in zip(groups, classes, strict=True):
            if group is not None:
                counts[row_of[group], column_of[name]] += 1
        return cls(target, column, named, every, counts, sum(group is None for group in groups))

    def lines(self, groups: list[str]) -> dict[str, dict[str, int]]:
        """Return the counts of some groups by name."""
        held = dict(zip(self.groups, self.counts.tolist(), strict=True))
        return {group: dict(zip(self.classes, held[group], strict=True)) for group in groups}


def _grouped(table: _Table) -> Iterator[Finding]:
    """Tabulate the classes in each group, and warn of what stands out."""
    target, column = table.target, table.column
    strength, chance = corrected_cramers_v(table.counts)
    association = {"target": target, "group": column, "cramers_v": round(strength, 4), "p": chance}
    several = len(table.groups) > 1
    yield Finding(
        "class-balance",
        "notes",
        f"{target.capitalize()} by {column}: "
        + (f"{len(table.groups)} of them, Cramer's V {strength:.2f}." if several else f"only {table.groups[0]}."),
        evidence={**association, "table": table.lines(table.groups), "unknown": table.unknown},
    )
    alone = ((table.counts > 0).sum(axis=1) == 1) & (table.counts.sum(axis=1) >= LEAST_OF_CLASS)
    single = [group for group, is_alone in zip(table.groups, alone.tolist(), strict=True) if is_alone]
    if single:
        yield Finding(
            "single-class",
            "warns",
            f"All photographs of {column} {', '.join(single[:5])}{' and others' if len(single) > 5 else ''} have one "
            f"{target}: the {column} gives it away. Leave them out of training, or add others from there.",
            evidence={"target": target, "group": column, "table": table.lines(single)},
        )
    if strength > STRONG and chance < CHANCE:
        yield Finding(
            "shortcut",
            "warns",
            f"{target.capitalize()} and {column} hang together (Cramer's V {strength:.2f}, warned of above {STRONG}): "
            f"a network may learn the {column} instead of the retina. Evaluate within each {column}, or hold one out.",
            evidence=association,
        )
