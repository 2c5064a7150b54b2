"""From photographs to eyes and patients, by the rules of the release's task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fundoscope.grades import EYES
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.runtime.tasks.task import Finding, Row, Task


@dataclass(frozen=True, slots=True)
class EyeAnswer:
    """The answer for one eye."""

    eye: str | None
    """left, right, or None where it is not known: such a photograph counts as an eye of its own."""
    finding: Finding
    photographs: tuple[int, ...]
    """Numbers of its rows, from 0."""

    @property
    def decision(self) -> str:
        """One of the task's decisions."""
        return self.finding.decision


@dataclass(frozen=True, slots=True)
class PatientAnswer:
    """The answer for one patient."""

    patient: str | None
    """None for a photograph whose patient is not known; each such photograph stands alone."""
    finding: Finding
    eyes: tuple[EyeAnswer, ...]
    notes: tuple[str, ...] = ()
    """Sentences that belong to the answer: one eye only, an eye that is not known, photographs that were not read."""

    @property
    def decision(self) -> str:
        """One of the task's decisions."""
        return self.finding.decision

    @property
    def photographs(self) -> tuple[int, ...]:
        """Numbers of the rows of all its eyes, eye by eye."""
        return tuple(number for eye in self.eyes for number in eye.photographs)


def answer_patients(rows: Sequence[Row], task: Task = DR_GRADE) -> list[PatientAnswer]:
    """Return the answer for every patient, in the order in which their first photographs stand.

    Patients of two sources are two patients even if they are named alike.

    Args:
        rows: Rows of the predictions table, None for blank.
        task: What the release answers.
    """
    groups: dict[object, list[int]] = {}
    for i, row in enumerate(rows):
        key = ("", i) if row["patient"] is None else (row["source"], row["patient"])
        groups.setdefault(key, []).append(i)
    return [_answer_patient(rows, numbers, task) for numbers in groups.values()]


def _answer_patient(rows: Sequence[Row], numbers: Sequence[int], task: Task) -> PatientAnswer:
    groups: dict[object, list[int]] = {}
    for i in numbers:
        groups.setdefault(rows[i]["eye"] or i, []).append(i)
    eyes = tuple(
        EyeAnswer(rows[members[0]]["eye"], task.of_eye([task.of_photograph(rows[i]) for i in members]), tuple(members))
        for members in groups.values()
    )
    finding = task.of_patient([eye.finding for eye in eyes])
    return PatientAnswer(rows[numbers[0]]["patient"], finding, eyes, tuple(_notes(rows, eyes)))


def with_notes(rows: Sequence[dict[str, Any]], task: Task) -> list[dict[str, Any]]:
    """Return rows of a whole table with the notes of their patients' answers in `patient_note`."""
    noted = [dict(row) for row in rows]
    for answer in answer_patients(rows, task):
        for number in (number for eye in answer.eyes for number in eye.photographs):
            noted[number]["patient_note"] = " ".join(answer.notes) or None
    return noted


def _notes(rows: Sequence[Row], eyes: Sequence[EyeAnswer]) -> Iterator[str]:
    first = rows[eyes[0].photographs[0]]
    if first["patient"] is None:
        if first.get("patient_raw") is not None:
            yield f"Patient named {first['patient_raw']}, a placeholder: answered as a patient who is not known."
        return
    sides = {eye.eye for eye in eyes if eye.eye is not None}
    unknown = sum(eye.eye is None for eye in eyes)
    if unknown and len(sides) < len(EYES):
        plural = "s" if unknown > 1 else ""
        yield f"Eye not known of {unknown} photograph{plural}: it is not known whether both eyes were photographed."
    elif len(sides) == 1:
        (missing,) = set(EYES) - sides
        yield f"One eye only: no photograph of the {missing} eye."
    for eye in eyes:
        unread = sum(rows[number].get("status") == "unreadable" for number in eye.photographs)
        if 0 < unread < len(eye.photographs):
            yield f"{unread} of {len(eye.photographs)} photographs of the {eye.eye} eye could not be read."
