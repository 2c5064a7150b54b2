"""An audit for people: self-contained contact sheets, and `audit.json` for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.audit.audit import Audit
from fundoscope.audit.labels import Suspect
from fundoscope.duplicates.fingerprint import MIRRORS
from fundoscope.files import write_text
from fundoscope.grades import GRADE_NAMES
from fundoscope.pages import environment, write_page
from fundoscope.photo.thumbnail import thumbnail

ANSWER_FILE: Final = "audit.json"

THUMBNAIL_PX: Final = 300
"""Longer side of a picture on a sheet."""

PER_SHEET: Final = 60
"""Entries on one sheet; a sheet holds its pictures itself."""

SHEETS: Final = 10
"""Sheets of one kind written at most; `audit.json` holds everything."""

SUSPECTS_SHOWN: Final = 120
"""Suspects on sheets: the most doubtful; a reader's time is worth more than completeness."""

NAMED: Final = 12
"""Photographs of a finding named on the first page."""

COUNT_WORDS: Final = {
    "photographs": ("photograph", "photographs"),
    "unreadable": ("unreadable file", "unreadable files"),
    "without_field": ("without a field of view", "without a field of view"),
    "pairs_compared": ("candidate pair compared", "candidate pairs compared"),
    "copies": ("pair of copies", "pairs of copies"),
    "same_eye": ("pair of one eye", "pairs of one eye"),
    "duplicate_groups": ("group of duplicates", "groups of duplicates"),
    "repeated_photographs": ("photograph in such groups", "photographs in such groups"),
    "suspects": ("doubtful label", "doubtful labels"),
}
"""Names of the counts of `Audit.to_dict`, of one and of several."""

SEVERITY_WORDS: Final = {"blocks": "blocks training", "warns": "warning", "notes": "note"}
"""What a finding of each severity is called."""

CONTRADICTED: Final = {"grade": "grades", "dme": "risks of macular oedema", "label": "labels", "eye": "eyes"}
"""The columns of `agreement.LABELS`, in words: what one picture can have one of only."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A photograph on a sheet."""

    name: str
    thumbnail: str | None
    """As a data URI; None where it cannot be read."""
    facts: tuple[str, ...]
    """What the manifest says of it, in words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Photographs shown side by side, and why."""

    title: str
    pictures: tuple[Picture, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """One file of contact prints."""

    name: str
    title: str
    entries: tuple[Entry, ...]


def is_page(name: str) -> bool:
    """Return whether a report may have a file of this name."""
    return name == ANSWER_FILE or name.endswith(".html")


def write_report(audit: Audit, folder: Path | str) -> tuple[Path, ...]:
    """Write `index.html`, contact sheets of what is to be looked at, and `audit.json`.

    Args:
        audit: What was found.
        folder: Made where absent.

    Returns:
        The files written, `index.html` first.
    """
    place = Path(folder)
    answer = audit.to_dict()
    templates = environment(
        Path(__file__).parent / "templates", named=NAMED, count_words=COUNT_WORDS, severity_words=SEVERITY_WORDS
    )
    template = templates.get_template("audit.html.jinja")
    sheets, index = [], []
    for name, title, entries in _kinds(audit):
        chunks = [entries[start : start + PER_SHEET] for start in range(0, len(entries), PER_SHEET)][:SHEETS]
        for number, chunk in enumerate(chunks, start=1):
            file = f"{name}-{number}.html" if len(chunks) > 1 else f"{name}.html"
            shown = Sheet(file, title, tuple(_entry(audit, row) for row in chunk))
            sheets.append(write_page(place / file, template, sheet=shown, answer=answer, short=audit.short))
            index.append({"file": file, "title": title, "entries": len(chunk), "of": len(entries)})
    first = write_page(place / "index.html", template, sheet=None, answer=answer, sheets=index, short=audit.short)
    write_text(place / ANSWER_FILE, json.dumps(answer, indent=2, allow_nan=False) + "\n")
    return (first, *sheets, place / ANSWER_FILE)


@dataclass(frozen=True, slots=True)
class _Row:
    """An entry before its pictures are read."""

    title: str
    photographs: tuple[int, ...]
    note: str


def _kinds(audit: Audit) -> Iterator[tuple[str, str, list[_Row]]]:
    """Return the file name, title and entries of each kind of sheet that has any."""
    numbers = {str(image): at for at, image in enumerate(audit.listing.frame["image"])}
    suspects = audit.suspects[:SUSPECTS_SHOWN]
    kinds = (
        ("copies", "Copies of one photograph", list(_pairs(audit, "copy"))),
        ("same-eye", "One eye, two photographs", list(_pairs(audit, "same eye"))),
        ("suspects", "Doubtful labels", [_suspect(suspect, numbers) for suspect in suspects]),
        *(
            (f"contradicting-{name}", f"One photograph, different {words}", list(_contradicting(audit, name, numbers)))
            for name, words in CONTRADICTED.items()
        ),
        *(
            (check, title, list(_of_findings(audit, check, numbers)))
            for check, title in (("wrong-eye", "Disc on the wrong side"), ("not-a-fundus", "No field of view found"))
        ),
    )
    yield from (kind for kind in kinds if kind[2])


def _pairs(audit: Audit, relation: str) -> Iterator[_Row]:
    ranked = sorted(
        (pair for pair in audit.overlap.pairs if pair.relation == relation), key=lambda pair: pair.correlation
    )
    for pair in ranked:
        flipped = "" if pair.mirror == 0 else f", the second flipped: {MIRRORS[pair.mirror]}"
        yield _Row(
            f"correlation {pair.correlation:.3f}",
            (pair.first, pair.second),
            f"Found by {pair.found_by}{flipped}.",
        )


def _suspect(suspect: Suspect, numbers: Mapping[str, int]) -> _Row:
    title = f"given {suspect.given} {GRADE_NAMES[suspect.given]}, suggested {suspect.suggested}"
    return _Row(title, (numbers[suspect.image],), suspect.why)


def _contradicting(audit: Audit, name: str, numbers: Mapping[str, int]) -> Iterator[_Row]:
    """Yield an entry for each picture with several values of a column: all its rows, side by side."""
    for finding in audit.findings:
        if finding.check == f"contradicting-{name}":
            for group in finding.evidence["groups"]:
                values = sorted({row[name] for row in group})
                yield _Row(f"{name} {', '.join(values)}", tuple(numbers[row["image"]] for row in group), "")


def _of_findings(audit: Audit, check: str, numbers: Mapping[str, int]) -> Iterator[_Row]:
    for finding in audit.findings:
        if finding.check == check:
            for image in finding.images:
                yield _Row(finding.check.replace("-", " "), (numbers[image],), "")


def _entry(audit: Audit, row: _Row) -> Entry:
    return Entry(row.title, tuple(_picture(audit, at) for at in row.photographs), row.note)


def _picture(audit: Audit, at: int) -> Picture:
    record = audit.listing.frame.iloc[at]
    facts = [
        f"{name} {record[name]}"
        for name in ("source", "patient", "eye", "visit", "split", "grade", "dme", "label", "duplicate_group")
        if name in record and not pd.isna(record[name])
    ]
    shown = thumbnail(audit.listing.paths[at], longer_px=THUMBNAIL_PX)
    return Picture(audit.short(str(record["image"])), shown, tuple(facts))
