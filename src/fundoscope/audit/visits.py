"""How the grade of the same eye changes from visit to visit."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pandas as pd

from fundoscope.audit.findings import Finding
from fundoscope.data.split import people_of
from fundoscope.grades import ANY_RETINOPATHY, SIGHT_THREATENING
from fundoscope.tables.patients import texts

LISTED: Final = 200
"""Falls written out in the evidence; `images` names all."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One eye on one day."""

    name: str
    """As the manifest names it, else the date."""
    taken: str | None
    grade: int
    """The worst of its photographs."""
    images: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {"visit": self.name, "taken": self.taken, "grade": self.grade, "images": list(self.images)}


def between_visits(frame: pd.DataFrame) -> tuple[Finding, ...]:
    """Find changes of the grade between visits; a fall from severe to at most mild is suspicious.

    Visits are ordered by `taken`, else by the one number in `visit`; eyes whose visits cannot be ordered are counted
    and left out. Only photographs whose patient, eye, grade and visit (or date) are known count.

    Args:
        frame: A checked manifest.
    """
    counts: Counter[str] = Counter()
    falls: list[dict[str, Any]] = []
    for (patient, eye), visits in _eyes(frame).items():
        if len(visits) < 2:
            continue
        ordered = _in_order(visits)
        counts["eyes" if ordered else "unordered_eyes"] += 1
        for before, after in pairwise(ordered):
            change = after.grade - before.grade
            counts["rises" if change > 0 else "falls" if change < 0 else "same"] += 1
            if before.grade >= SIGHT_THREATENING and after.grade <= ANY_RETINOPATHY:
                falls.append({"patient": patient, "eye": eye, "before": before.to_dict(), "after": after.to_dict()})
    return tuple(_findings(counts, falls))


def _findings(counts: Counter[str], falls: list[dict[str, Any]]) -> Iterator[Finding]:
    if not counts:
        return
    changes = {name: counts[name] for name in ("eyes", "unordered_eyes", "rises", "falls", "same")}
    if falls:
        images = (image for fall in falls for side in ("before", "after") for image in fall[side]["images"])
        yield Finding(
            "grade-falls-between-visits",
            "warns",
            f"{len(falls)} times an eye falls from grade {SIGHT_THREATENING} or worse to grade {ANY_RETINOPATHY} or "
            "better from one visit to the next. Unless it was treated, one of the two labels, the eye or the patient "
            "is wrong: read both again.",
            tuple(dict.fromkeys(images)),
            {"falls": falls[:LISTED]},
        )
    yield Finding(
        "grades-between-visits",
        "notes",
        f"{counts['eyes']} eyes were graded at several visits: from one to the next the grade rises {counts['rises']} "
        f"times, falls {counts['falls']} times and stays {counts['same']} times; the visits of "
        f"{counts['unordered_eyes']} eyes could not be put in order.",
        (),
        changes,
    )


def _eyes(frame: pd.DataFrame) -> dict[tuple[str, str], list[Visit]]:
    """Return the visits of every eye of every known patient, in no order."""
    if not {"grade", "patient", "eye"} <= set(frame.columns):
        return {}
    rows: dict[tuple[tuple[str, str, str], str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    people, eyes, grades = people_of(frame), frame["eye"].tolist(), frame["grade"].tolist()
    visits, taken = texts(frame, "visit"), texts(frame, "taken")
    for at, (person, eye, grade) in enumerate(zip(people, eyes, grades, strict=True)):
        visit = visits[at] or (taken[at] or "")[:10]
        if person[0] == "patient" and not pd.isna(eye) and not pd.isna(grade) and visit:
            rows[person, str(eye)][visit].append(at)
    images = frame["image"].astype(str).tolist()
    return {
        (" ".join(filter(None, person[1:])), eye): [
            Visit(
                name,
                _first(taken[at] for at in eye_rows),
                max(int(grades[at]) for at in eye_rows),
                tuple(images[at] for at in eye_rows),
            )
            for name, eye_rows in mine.items()
        ]
        for (person, eye), mine in rows.items()
    }


def _first(values: Iterable[str | None]) -> str | None:
    return min((value for value in values if value is not None), default=None)


def _in_order(visits: list[Visit]) -> list[Visit]:
    """Sort by date, else by number; empty where they have neither, or two share it."""
    numbers = [re.findall(r"\d+", visit.name) for visit in visits]
    if all(visit.taken is not None for visit in visits):
        places: list[str | int] = [str(visit.taken) for visit in visits]
    elif all(len(digits) == 1 for digits in numbers):
        places = [int(digits[0]) for digits in numbers]
    else:
        return []
    if len(set(places)) < len(places):
        return []
    return [visits[at] for at in sorted(range(len(visits)), key=places.__getitem__)]
