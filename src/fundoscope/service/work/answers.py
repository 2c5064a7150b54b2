"""From answers to photographs to the answer for a case, by the rules of `runtime.answers`, and how urgent it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy.orm import Session

from fundoscope.runtime.answers import PatientAnswer, answer_patients, urgency
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.language.texts import IN_ENGLISH
from fundoscope.runtime.output.html import next_step_words
from fundoscope.runtime.reading import unread
from fundoscope.runtime.tasks.recapture import recapture_advice
from fundoscope.runtime.tasks.task import Row, Task
from fundoscope.service.store.database import now
from fundoscope.service.store.models import ANSWERED, FAILED, Answer, Case, Photograph
from fundoscope.service.store.photographs import answers_of, photographs_of
from fundoscope.service.store.readings import reading_state
from fundoscope.service.store.shadow import is_shadow

TONE_STEP: Final = 100_000
MONTH_STEP: Final = 1_000
DECISION_STEP: Final = 100
MOST_SEVERE: Final = 99


def answer_photograph(grader: Grader, photograph: Photograph, path: str) -> tuple[Row, str, str]:
    """Grade a stored photograph.

    Args:
        grader: The release.
        photograph: What is known of it; that stands in its row, whatever the file says again.
        path: Where its bytes lie.

    Returns:
        The row of the predictions table with the `faults` of a refusal and the `advice` on what to do, as JSON has it;
        its status; and the state of the photograph.
    """
    reading = grader.examine(path)[0]
    if reading.sha256 not in (None, photograph.sha256):
        reason = f"{photograph.name}: expected the photograph that was accepted, got another. Send it again."
        reading = unread(reading, reason, answer=grader.opened.answerer.unanswered)
    row: dict[str, Any] = dict(reading.row())
    # A reason names the photograph as its sender does, and no place on this computer.
    row["reason"] = row["reason"].replace(path, photograph.name)
    facts = (
        "sha256",
        "source",
        "patient",
        "patient_raw",
        "eye",
        "taken",
        "study_uid",
        "series_uid",
        "sop_uid",
        "accession",
    )
    row |= {"image": photograph.name, **{name: getattr(photograph, name) for name in facts}}
    row |= {"faults": list(reading.faults), "advice": []}
    if row["status"] != "graded":
        row["advice"] = [IN_ENGLISH(f"recapture.{advice}") for advice in recapture_advice(reading.faults)]
    is_fault = "got a fault in the program (" in row["reason"] and row["status"] == "unreadable"
    return row, str(row["status"]), FAILED if is_fault else ANSWERED


def refresh_case(session: Session, case: Case, grader: Grader) -> None:
    """Write the answer for a case if a release has answered all its photographs; else it goes on waiting.

    Args:
        session: Of `Database.writing`.
        case: The case.
        grader: The release.
    """
    session.flush()
    task = grader.opened.task
    rows = rows_of(session, case, grader.opened.name)
    if rows is None:
        return
    answer = answer_patients(rows, task)[0]
    case.answer, case.shadow = case_document(answer, rows, task), is_shadow(session)
    case.decision, case.release = answer.decision, grader.opened.name
    case.urgency, case.state, case.changed = urgency_of(answer, rows, task), reading_state(session, case), now()


def rows_of(session: Session, case: Case, release: str) -> list[dict[str, Any]] | None:
    """Return the rows of all photographs of a case by a release; None where it has not answered them all."""
    photographs = photographs_of(session, case)
    answers = answers_of(session, photographs, release)
    if len(answers) < len(photographs):
        return None
    return [answers[photograph.id].row for photograph in photographs]


def case_document(answer: PatientAnswer, rows: Sequence[Row], task: Task) -> dict[str, Any]:
    """Return a patient's answer as JSON: the schema is `api.schemas.CaseAnswer`."""
    step = answer.next_step
    return {
        "decision": answer.decision,
        "tone": task.words.decisions[answer.decision].tone,
        "labels": None if answer.finding.labels is None else list(answer.finding.labels),
        "urgent": any(task.is_urgent(rows[number]) for number in answer.photographs),
        "missing_eyes": list(answer.missing),
        "next_step": None if step is None else asdict(step) | {"interval": step.interval},
        "next_step_words": next_step_words(answer, IN_ENGLISH),
        "notes": list(answer.notes),
        "eyes": [
            {
                "eye": eye.eye,
                "decision": eye.decision,
                "tone": task.words.decisions[eye.decision].tone,
                "labels": None if eye.finding.labels is None else list(eye.finding.labels),
                "columns": task.patient_columns([rows[number] for number in eye.photographs]),
                "photographs": [rows[number]["sha256"] for number in eye.photographs],
            }
            for eye in answer.eyes
        ],
    }


def urgency_of(answer: PatientAnswer, rows: Sequence[Row], task: Task) -> int:
    """Return the rank of a case, the most urgent lowest: the order of `runtime.answers.worst_first` as one number."""
    tone, latest, decision, severity = urgency(answer, rows, task)
    return tone * TONE_STEP + latest * MONTH_STEP + decision * DECISION_STEP + max(0, MOST_SEVERE + severity)


def add_answer(session: Session, photograph: Photograph, grader: Grader, row: Row, seconds: float) -> bool:
    """Add a release's answer to a photograph; return False, and change nothing, where it has answered before."""
    if photograph.id in answers_of(session, [photograph], grader.opened.name):
        return False
    answer = Answer(
        photograph_id=photograph.id,
        release=grader.opened.name,
        status=row["status"],
        decision=row["decision"],
        row=dict(row),
        seconds=seconds,
        created=now(),
    )
    session.add(answer)
    return True
