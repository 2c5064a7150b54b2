"""A table of patients for the people who call them in: one row each, worst first, with the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.grades import EYES
from fundoscope.runtime.answers import EyeAnswer, PatientAnswer, answer_patients, worst_first
from fundoscope.runtime.tasks.task import Cell, Finding, Row, Task
from fundoscope.tables import write_table

NAME: Final = "patients.csv"
"""What the table is called in the folder of a report."""

UNKNOWN_EYE: Final = "not stated"
"""How an eye is named that is not known."""

UNKNOWN_PATIENT: Final = "Patient not known: the answer for one photograph is none for a patient."

WHOLE_NUMBERS: Final = ("within_months", "photographs", "grade", *(f"{eye}_grade" for eye in EYES), "not_stated_grade")
"""Columns that pandas would not take for whole numbers where some are blank."""


def write_patients(path: Path, rows: Sequence[Row], task: Task) -> None:
    """Write the table of patients.

    Args:
        path: `.csv`, `.parquet` or `.jsonl`.
        rows: Rows of the predictions table, None for blank.
        task: What the release answers.

    Raises:
        BadTable: If the suffix names no kind of table.
        MissingExtra: If the kind of table needs a package that is not installed.
    """
    write_table(patient_table(rows, task), path)


def patient_table(rows: Sequence[Row], task: Task) -> pd.DataFrame:
    """Return one row for each patient and each photograph of an unknown patient, worst first.

    Columns: `patient` and `source`; `answer`, one of the task's decisions, with the worst `grade` (blank where an eye
    has none and nothing refers the patient) or the `labels` found; the same of the `left` and the `right` eye and of
    eyes that are `not_stated`; `missing_eye`, of which there is no photograph; `next_step` (refer, photograph or
    rescreen) with its `interval`, in months `within_months`, and the eyes to `photograph_now`; the `reason` of what is
    not answered; first and last day of examination; how many `photographs`, and the name of the first; the release.
    """
    answers = worst_first(answer_patients(rows, task), rows, task)
    frame = pd.DataFrame([_row(answer, rows, task) for answer in answers])
    return frame.astype({name: "Int64" for name in WHOLE_NUMBERS if name in frame})


def _row(answer: PatientAnswer, rows: Sequence[Row], task: Task) -> dict[str, Cell]:
    own = [rows[number] for number in answer.photographs]
    finding, step = answer.finding, answer.next_step
    # The worst grade of those that there are would pass for the patient's, where an eye has none.
    is_answered = step is None or not step.eyes or step.action == "refer"
    sides: dict[str, Cell] = {}
    for side in (*EYES, None):
        sides |= _of_side(side, [eye for eye in answer.eyes if eye.eye == side], rows, task)
    days = sorted(str(row["taken"])[:10] for row in own if row.get("taken"))
    return {
        "patient": answer.patient,
        "source": own[0].get("source"),
        "answer": finding.decision,
        **task.patient_columns(own if is_answered else ()),
        **_labels("labels", finding),
        **sides,
        "missing_eye": _names(answer.missing),
        "next_step": None if step is None else step.action,
        "interval": None if step is None else step.interval,
        "within_months": None if step is None else step.months[1],
        "photograph_now": None if step is None else _names(step.eyes),
        "reason": _reason(answer, own),
        "examined_first": days[0] if days else None,
        "examined_last": days[-1] if days else None,
        "photographs": len(own),
        "image": own[0]["image"],
        "release": own[0].get("release"),
    }


def _of_side(side: str | None, eyes: Sequence[EyeAnswer], rows: Sequence[Row], task: Task) -> dict[str, Cell]:
    """Return the columns of one eye, or of all whose side is not known; blank where there is none."""
    name = side or "not_stated"
    numbers = [number for eye in eyes for number in eye.photographs]
    finding = task.of_patient([eye.finding for eye in eyes]) if eyes else None
    columns = task.patient_columns([rows[number] for number in numbers])
    return {
        name: None if finding is None else finding.decision,
        **{f"{name}_{column}": value for column, value in columns.items()},
        **({} if finding is None else _labels(f"{name}_labels", finding)),
    }


def _labels(column: str, finding: Finding) -> Mapping[str, Cell]:
    return {} if finding.labels is None else {column: "; ".join(finding.labels) or None}


def _names(eyes: Sequence[str | None]) -> str | None:
    return ", ".join(eye or UNKNOWN_EYE for eye in eyes) or None


def _reason(answer: PatientAnswer, own: Sequence[Row]) -> str | None:
    """Return the notes on the patient, and why photographs are without an answer; each reason names its photograph."""
    sentences = [UNKNOWN_PATIENT] if answer.patient is None else []
    sentences += answer.notes
    for row in own:
        if row.get("status") == "unreadable" and row.get("reason"):
            sentences.append(str(row["reason"]))
        elif row.get("status") == "ungradable" and row.get("reason"):
            sentences.append(f"{row['image']}: {row['reason']}")
    return " ".join(sentences) or None
