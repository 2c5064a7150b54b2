"""From photographs to eyes and patients, by the rules of the release's task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fundoscope.grades import EYES
from fundoscope.runtime.language.texts import IN_ENGLISH, Texts
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.runtime.tasks.follow_up import NextStep, with_eyes
from fundoscope.runtime.tasks.task import Finding, Row, Task, Tone

URGENCY: Final[tuple[Tone, ...]] = ("alert", "unknown", "clear")
"""Tones of decisions in the order of patients, worst first."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientAnswer:
    """The answer for one patient."""

    patient: str | None
    """None for a photograph whose patient is not known; each such photograph stands alone."""
    finding: Finding
    """The answer for the eyes that were photographed; `missing` names the others, and `next_step` photographs them."""
    eyes: tuple[EyeAnswer, ...]
    missing: tuple[str | None, ...]
    """Eyes without a photograph; (None,) where photographs of unknown eyes may be theirs."""
    next_step: NextStep | None
    """What happens next; None where the task has no rule for it."""
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


def worst_first(answers: Sequence[PatientAnswer], rows: Sequence[Row], task: Task) -> list[PatientAnswer]:
    """Sort patients by the urgency of their answers: tone, time to the next step, decision, severity.

    Equal ones keep their order.
    """
    return sorted(answers, key=lambda answer: urgency(answer, rows, task))


def urgency(answer: PatientAnswer, rows: Sequence[Row], task: Task) -> tuple[int, int, int, int]:
    """Return what patients are sorted by, the most urgent lowest: tone, last month, decision, severity negated."""
    latest = 0 if answer.next_step is None else answer.next_step.months[1]
    severity = max(task.severity(rows[number]) for number in answer.photographs)
    tone = task.words.decisions[answer.decision].tone
    return URGENCY.index(tone), latest, list(task.words.decisions).index(answer.decision), -severity


def _answer_patient(rows: Sequence[Row], numbers: Sequence[int], task: Task) -> PatientAnswer:
    groups: dict[object, list[int]] = {}
    for i in numbers:
        groups.setdefault(rows[i]["eye"] or i, []).append(i)
    eyes = tuple(
        EyeAnswer(rows[members[0]]["eye"], task.of_eye([task.of_photograph(rows[i]) for i in members]), tuple(members))
        for members in groups.values()
    )
    patient, missing = rows[numbers[0]]["patient"], _missing_eyes(eyes)
    findings = [eye.finding for eye in eyes]
    finding = task.of_patient(findings)
    step = task.next_step(finding.decision, findings, [rows[i] for i in numbers])
    if step is not None:
        lacking = [eye.eye for eye in eyes if task.words.decisions[eye.decision].tone == "unknown"]
        # The answer is of the eyes that were looked at; nobody is sent home before the other one is.
        step = with_eyes(step, tuple(dict.fromkeys([*lacking, *missing])))
    return PatientAnswer(
        patient=patient,
        finding=finding,
        eyes=eyes,
        missing=missing,
        next_step=step,
        notes=tuple(notes_on(rows, eyes)),
    )


def _missing_eyes(eyes: Sequence[EyeAnswer]) -> tuple[str | None, ...]:
    """Return the eyes without a photograph; (None,) where photographs of unknown eyes may be theirs."""
    missing = tuple(eye for eye in EYES if eye not in {answer.eye for answer in eyes})
    return (None,) if missing and any(answer.eye is None for answer in eyes) else missing


def with_notes(rows: Sequence[dict[str, Any]], task: Task) -> list[dict[str, Any]]:
    """Return rows of a whole table with the notes of their patients' answers in `patient_note`."""
    noted = [dict(row) for row in rows]
    for answer in answer_patients(rows, task):
        for number in answer.photographs:
            noted[number]["patient_note"] = " ".join(answer.notes) or None
    return noted


def notes_on(rows: Sequence[Row], eyes: Sequence[EyeAnswer], texts: Texts = IN_ENGLISH) -> Iterator[str]:
    """Yield the sentences that belong to a patient's answer: on a missing or unknown eye, on unread photographs."""
    first = rows[eyes[0].photographs[0]]
    if first["patient"] is None:
        if first.get("patient_raw") is not None:
            yield texts("note.placeholder", name=first["patient_raw"])
        return
    missing = _missing_eyes(eyes)
    if missing == (None,):
        yield texts.counted("note.unknown_eye", sum(eye.eye is None for eye in eyes))
    elif missing:
        yield texts(f"note.one_eye.{missing[0]}")
    for eye in eyes:
        unread = sum(rows[number].get("status") == "unreadable" for number in eye.photographs)
        if 0 < unread < len(eye.photographs):
            yield texts(f"note.unread.{eye.eye}", unread=unread, count=len(eye.photographs))
