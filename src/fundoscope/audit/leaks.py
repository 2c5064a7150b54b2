"""What is on two sides of a division, and what a network knew before it was tested."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Any, Final

import pandas as pd

from fundoscope.audit.findings import Finding
from fundoscope.data.known import Containment, contained, eyepacs_eye, pretraining_overlap, rldr_names_in_eyepacs
from fundoscope.data.split import people_of, units_of
from fundoscope.tables.patients import texts

LISTED: Final = 200
"""Groups written out in one finding's evidence; `images` names all."""

TESTED: Final = ("val", "test")
"""Sides on which a network is measured."""

_TIES: Final = {
    "patients": "Patients (or sessions, where a source knows no more)",
    "files": "Photographs that are one and the same file",
    "duplicates": "Groups of photographs that show one picture",
}


def leak_findings(frame: pd.DataFrame, *, pretrained: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Find everything in a manifest that leaks test data into training.

    Args:
        frame: A checked manifest, several sources in one; `duplicate_group` as an audit fills it.
        pretrained: Names of published networks whose pretraining must not meet the evaluation.

    Raises:
        BadRequest: If nothing is known of a published network.
    """
    return (
        *(finding for column in ("split", "fold") if column in frame for finding in straddling(frame, column)),
        *containments(frame),
        *(finding for model in pretrained for finding in pretrained_on(frame, model)),
    )


def straddling(frame: pd.DataFrame, column: str) -> tuple[Finding, ...]:
    """Find patients, files and groups of duplicates in more than one split; blanks are in none."""
    findings = []
    sides, images = texts(frame, column), frame["image"].astype(str).tolist()
    for tie, names in _tied(frame).items():
        parted = _parted(names, sides)
        if parted:
            findings.append(
                Finding(
                    f"{tie}-on-two-{column}s",
                    "blocks",
                    f"{_TIES[tie]} on more than one side of the column {column}: "
                    f"{_meetings(parted, sides)}. Divide again with `fundoscope data split`, which keeps them "
                    "together, or leave one side's photographs out.",
                    tuple(images[at] for rows in parted.values() for at in rows),
                    {
                        "meetings": dict(_meeting_counts(parted, sides)),
                        "groups": [_described(images, names, rows, sides) for rows in list(parted.values())[:LISTED]],
                    },
                )
            )
    return tuple(findings)


def containments(frame: pd.DataFrame) -> tuple[Finding, ...]:
    """Check sources that are known to contain one another: does the manifest keep them apart?"""
    sources = texts(frame, "source")
    sides = texts(frame, "split")
    return tuple(
        _containment(frame, containment, sources, sides)
        for containment in contained({name for name in sources if name is not None})
    )


def trained_on(
    frame: pd.DataFrame, training_sha256: Collection[str], *, side: Collection[str] = TESTED
) -> tuple[Finding, ...]:
    """Find test photographs that a release was trained on, and those of patients that it was trained on.

    Args:
        frame: A checked manifest with `sha256`.
        training_sha256: `training.training_sha256` of the release.
        side: Sides of `split` that are tested on. A manifest that names no side is taken to be for testing as a
            whole, and only warned of.
    """
    hashes, sides, units = texts(frame, "sha256"), texts(frame, "split"), units_of(frame)
    divided = any(name is not None for name in sides)
    tested = [name in side or not divided for name in sides]
    trained = [sha256 in training_sha256 for sha256 in hashes]
    trained_units = {unit for unit, is_trained in zip(units, trained, strict=True) if is_trained}
    rows = list(zip(frame["image"].astype(str), tested, trained, units, strict=True))
    itself = tuple(image for image, is_tested, is_trained, _ in rows if is_tested and is_trained)
    kin = tuple(
        image for image, is_tested, is_trained, unit in rows if is_tested and not is_trained and unit in trained_units
    )
    where = f"on the side {' or '.join(side)}" if divided else "in a manifest without sides"
    findings = []
    for check, images, what in (
        ("trained-on", itself, "are among the photographs that the release was trained on"),
        ("patients-trained-on", kin, "are of patients, or repeat pictures, that the release was trained on"),
    ):
        if images:
            findings.append(
                Finding(
                    check,
                    "blocks" if divided else "warns",
                    f"Photographs {where} that {what}: {len(images)}. "
                    "Leave them out of any evaluation of this release.",
                    images,
                    {"tested": sum(tested), "of_them": len(images)},
                )
            )
    return tuple(findings)


def pretrained_on(frame: pd.DataFrame, model: str, *, side: Collection[str] = TESTED) -> tuple[Finding, ...]:
    """Find test sources whose photographs a published network was pretrained on.

    Args:
        frame: A checked manifest with `source`.
        model: A name in `data.known.PRETRAINED_ON`.
        side: Sides of `split` that are tested on; a manifest that names none is taken as a whole.

    Raises:
        BadRequest: If nothing is known of the network.
    """
    sides, sources = texts(frame, "split"), texts(frame, "source")
    divided = any(name is not None for name in sides)
    tested = Counter(
        source for source, at in zip(sources, sides, strict=True) if source is not None and (at in side or not divided)
    )
    return tuple(
        Finding(
            "pretrained-on",
            "warns",
            f"{model} was pretrained on {each.through}"
            + ("" if each.through == each.source else f", which shares photographs with {each.source}")
            + f"; {tested[each.source]} photographs of {each.source} are to be tested on. Say so with every result, "
            "or test on another source.",
            (),
            {
                "model": model,
                "source": each.source,
                "through": each.through,
                "photographs": tested[each.source],
                "evidence": each.evidence,
            },
        )
        for each in pretraining_overlap(model, tested)
    )


def _tied(frame: pd.DataFrame) -> dict[str, list[Hashable]]:
    """Return the group that each row belongs to, by kind; None: none. One file is not reported as duplicates, too."""
    hashes, groups = texts(frame, "sha256"), texts(frame, "duplicate_group")
    people = people_of(frame)
    files: dict[str, set[str | None]] = defaultdict(set)
    for group, sha256 in zip(groups, hashes, strict=True):
        if group is not None:
            files[group].add(sha256)
    one_file = {group for group, holders in files.items() if len(holders) == 1 and None not in holders}
    return {
        "patients": [key if key[0] == "patient" else None for key in people],
        "files": list(hashes),
        "duplicates": [None if group in one_file else group for group in groups],
    }


def _parted(names: Sequence[Hashable], sides: Sequence[str | None]) -> dict[Hashable, list[int]]:
    """Return the rows of every name that is in more than one split, by name, in the order of the rows."""
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for at, (name, side) in enumerate(zip(names, sides, strict=True)):
        if name is not None and side is not None:
            rows[name].append(at)
    return {name: members for name, members in rows.items() if len({sides[at] for at in members}) > 1}


def _meeting_counts(parted: dict[Hashable, list[int]], sides: Sequence[str | None]) -> Counter[str]:
    order = {"train": "0", "val": "1", "test": "2"}
    return Counter(
        " and ".join(sorted({str(sides[at]) for at in rows}, key=lambda side: order.get(side, side)))
        for rows in parted.values()
    )


def _meetings(parted: dict[Hashable, list[int]], sides: Sequence[str | None]) -> str:
    return ", ".join(f"{count} in {names}" for names, count in _meeting_counts(parted, sides).most_common(5))


def _described(
    images: Sequence[str], names: Sequence[Hashable], rows: Sequence[int], sides: Sequence[str | None]
) -> dict[str, Any]:
    name = names[rows[0]]
    return {
        "name": " ".join(filter(None, name[1:])) if isinstance(name, tuple) else str(name),
        "rows": [{"image": images[at], "side": sides[at]} for at in rows],
    }


def _containment(
    frame: pd.DataFrame, containment: Containment, sources: Sequence[str | None], sides: Sequence[str | None]
) -> Finding:
    inner = [at for at, source in enumerate(sources) if source == containment.inner]
    outer = [at for at, source in enumerate(sources) if source == containment.outer]
    linked = _linked(frame, inner, outer)
    named = _parted(_shared_names(frame, inner, outer, containment), sides)
    apart = {(sides[a], sides[b]) for a in _one_per_side(inner, sides) for b in _one_per_side(outer, sides)}
    divided = any(a != b for a, b in apart if a is not None and b is not None)
    fact = f"{containment.inner} lies in {containment.outer}: {containment.what}"
    evidence = {
        "inner": containment.inner,
        "outer": containment.outer,
        "what": containment.what,
        "count": containment.count,
        "matched_by": containment.matched_by,
        "evidence": containment.evidence,
        "linked": linked,
        "sides": {
            name: dict(Counter(sides[at] or "none" for at in rows))
            for name, rows in (("inner", inner), ("outer", outer))
        },
    }
    images = tuple(str(frame["image"].iloc[at]) for rows in named.values() for at in rows)
    if named:
        return Finding(
            "known-containment",
            "blocks",
            f"{fact}. {len(named)} photographs that bear one name in both are on two sides of the split. Take them "
            f"out of {containment.outer}, as `fundoscope data split --leave-out` does for RLDR.",
            images,
            evidence,
        )
    if divided and (containment.count is None or linked < containment.count):
        return Finding(
            "known-containment",
            "warns",
            f"{fact}. Both are given, on different sides of the split, and {linked} photographs of {containment.inner} "
            "are marked as repeated there. Find and group the others before you trust a result, or leave one source "
            "out.",
            (),
            evidence,
        )
    return Finding(
        "known-containment",
        "notes",
        f"{fact}. Both are given; whoever counts photographs counts these twice.",
        (),
        evidence,
    )


def _one_per_side(rows: Sequence[int], sides: Sequence[str | None]) -> Iterator[int]:
    yield from {sides[at]: at for at in rows}.values()


def _linked(frame: pd.DataFrame, inner: Sequence[int], outer: Sequence[int]) -> int:
    """Count photographs of the inner source that share a file or a group of duplicates with one of the outer."""
    columns = [texts(frame, name) for name in ("sha256", "duplicate_group")]
    there = [{column[at] for at in outer} - {None} for column in columns]
    return sum(any(column[at] in names for column, names in zip(columns, there, strict=True)) for at in inner)


def _shared_names(
    frame: pd.DataFrame, inner: Sequence[int], outer: Sequence[int], containment: Containment
) -> list[Hashable]:
    """Return the EyePACS name that each row of two sources shares; None where it shares none."""
    names: list[Hashable] = [None] * len(frame)
    images = frame["image"].astype(str).tolist()
    if not containment.same_patients:
        return names
    shared = set(rldr_names_in_eyepacs(frame.iloc[list(outer)], frame.iloc[list(inner)]))
    for at in (*inner, *outer):
        patient, eye = eyepacs_eye(images[at])
        if f"{patient}_{eye}" in shared:
            names[at] = f"{patient}_{eye}"
    return names
