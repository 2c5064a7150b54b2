"""What another release changes in the answer for a case, how harmful it is, and which answer people's readings fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from fundoscope.grades import REFERABLE
from fundoscope.service.store.models import Case, EyeReading
from fundoscope.service.store.readings import (
    EyeGrade,
    agrees_with,
    counting_readings,
    current_readings,
)

Document = Mapping[str, Any]
"""The answer for a case (`work.answers.case_document`)."""

RANKS: Final[Mapping[tuple[str, str], int]] = {
    ("alert", "clear"): 0,
    ("unknown", "clear"): 1,
    ("alert", "unknown"): 2,
    ("unknown", "alert"): 3,
    ("clear", "alert"): 4,
    ("clear", "unknown"): 5,
}
"""Tones of the decision before and after, the most harmful change first: somebody who was to be referred, or whose eye
could not be graded, is sent home."""

OTHER_DECISION: Final = 6
LESS_URGENT: Final = 7
OTHER_GRADE: Final = 8

LESS_URGENT_WORDS: Final = "no longer sight-threatening"
OTHER_GRADE_WORDS: Final = "another grade or next step"

BEFORE, AFTER, BOTH, NEITHER, DIFFER = "before", "after", "both", "neither", "readers differ"
"""Which of two answers a reading agrees with."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an answer."""

    kind: str
    """Such as `refer becomes rescreen`."""
    rank: int
    """The most harmful lowest."""


def change_of(before: Document, after: Document) -> Change | None:
    """Return how an answer changes; None where nothing of it does that matters to the patient.

    Args:
        before: The answer that a case has.
        after: That of another release.
    """
    if before["decision"] != after["decision"]:
        rank = RANKS.get((before["tone"], after["tone"]), OTHER_DECISION)
        return Change(f"{before['decision']} becomes {after['decision']}", rank)
    if before["urgent"] and not after["urgent"]:
        return Change(LESS_URGENT_WORDS, LESS_URGENT)
    return Change(OTHER_GRADE_WORDS, OTHER_GRADE) if _matter(before) != _matter(after) else None


def _matter(answer: Document) -> str:
    """Return what of an answer people act on, so that two can be compared."""
    eyes = [[eye["eye"], eye["decision"], eye["labels"], eye["columns"].get("grade")] for eye in answer["eyes"]]
    step = answer["next_step"]
    next_step = None if step is None else [step["action"], step["months"], step["eyes"]]
    return json.dumps([answer["urgent"], answer["labels"], eyes, next_step])


def reading_document(session: Session, case: Case, before: Document, after: Document) -> dict[str, Any] | None:
    """Return what people read in a case, and which of two answers that agrees with; None where nobody has read it.

    Where the decision changes the readers' decision is compared, else their grades.

    Args:
        session: Of `Database.reading`.
        case: The case.
        before: The answer that it has.
        after: That of another release.
    """
    current = [reading for eyes in current_readings(session, case).values() for reading in eyes.values()]
    if not current:
        return None
    counting = counting_readings(session, case)
    readings = [reading for reading in current if reading.id in counting]
    document = {
        "eyes": [{"eye": one.eye, "grade": one.grade, "label": one.label} for one in readings],
        "answer_shown": any(reading.shown for reading in current),
    }
    if {reading.eye for reading in readings} != {reading.eye for reading in current}:
        return document | {"agrees_with": DIFFER}
    by_decision = before["tone"] != after["tone"]
    fits_before, fits_after = (_fits(readings, answer, by_decision=by_decision) for answer in (before, after))
    words = {(True, True): BOTH, (True, False): BEFORE, (False, True): AFTER, (False, False): NEITHER}
    return document | {"agrees_with": words[fits_before, fits_after]}


def _fits(readings: Sequence[EyeReading], answer: Document, *, by_decision: bool) -> bool:
    if by_decision and all(reading.label is None for reading in readings):
        return _tone(readings) == str(answer["tone"])
    eyes = {eye["eye"]: eye for eye in answer["eyes"]}
    return all(
        agrees_with(EyeGrade(eye=reading.eye, grade=reading.grade, label=reading.label), eyes[reading.eye])
        for reading in readings
    )


def _tone(readings: Sequence[EyeReading]) -> str:
    """Return the tone of the readers' decision: any referable eye refers, and no unreadable one is sent home."""
    if any(reading.grade is not None and reading.grade >= REFERABLE for reading in readings):
        return "alert"
    return "unknown" if any(reading.grade is None for reading in readings) else "clear"
