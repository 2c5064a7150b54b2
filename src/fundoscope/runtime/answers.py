"""From photographs to eyes and patients, by the rules of the release's task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    @property
    def decision(self) -> str:
        """One of the task's decisions."""
        return self.finding.decision


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
    return PatientAnswer(rows[numbers[0]]["patient"], task.of_patient([eye.finding for eye in eyes]), eyes)
