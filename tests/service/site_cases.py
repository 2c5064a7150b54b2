"""Cases with answers that were made up, so that many patients cost no grading: photographs exist as hashes only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fundoscope.grades import CANNOT_GRADE, REFER, REFERABLE, RESCREEN
from fundoscope.runtime.grader import Grader
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.database import Database, now
from fundoscope.service.store.models import ANSWERED, Answer, Case
from fundoscope.service.store.photographs import Facts, add_photograph, case_of
from fundoscope.service.store.readings import FIRST, EyeGrade, add_reading
from fundoscope.service.work.answers import refresh_case


@dataclass(frozen=True)
class Made:
    """A patient of one photograph."""

    number: int
    score: float | None
    """Probability of referable disease; None: the photograph could not be graded."""
    day: str = "2026-03-02"
    patient: str | None = None
    grade: int | None = None
    """What a reader says, without the answer unless `shown`; None: nobody reads it."""
    shown: bool = False
    sender: str = "camera-1"
    faults: tuple[str, ...] = ("sharpness",)


def add_cases(database: Database, grader: Grader, template: dict[str, Any], patients: Sequence[Made], reader: Account):
    """Add cases that a release has answered, and what a reader says of them.

    Args:
        database: Of the service.
        grader: The release.
        template: Row of any photograph that it has graded.
        patients: The patients.
        reader: Who reads.
    """
    with database.writing() as session:
        for made in patients:
            name = f"{made.number}.jpg"
            facts = Facts(
                sha256=hashlib.sha256(f"{made.number}".encode()).hexdigest(),
                name=name,
                size=1,
                kind="JPEG",
                patient=made.patient or f"P{made.number}",
                eye="left" if made.number % 2 else "right",
                taken=f"{made.day}T09:00:00",
            )
            photograph = add_photograph(session, facts, sender=made.sender)
            session.flush()
            row = row_of(template, made, grader, facts)
            session.add(
                Answer(
                    photograph_id=photograph.id,
                    release=grader.opened.name,
                    status=row["status"],
                    decision=row["decision"],
                    row=row,
                    seconds=0.1,
                    created=now(),
                )
            )
            photograph.state = ANSWERED
            case = case_of(session, photograph)
            refresh_case(session, case, grader)
            if made.grade is not None:
                _read(session, case, made, reader)


def _read(session, case: Case, made: Made, reader: Account) -> None:
    agrees = case.answer["eyes"][0]["columns"]["grade"] == made.grade
    reason = None if agrees else "Seen otherwise."
    eye = case.answer["eyes"][0]["eye"]
    add_reading(session, case, reader, FIRST, [EyeGrade(eye=eye, grade=made.grade, reason=reason)], shown=made.shown)


def row_of(template: dict[str, Any], made: Made, grader: Grader, facts: Facts) -> dict[str, Any]:
    """Return the row of a photograph as the release would have written it."""
    row = dict(template) | {"image": facts.name, "sha256": facts.sha256, "patient": facts.patient, "eye": facts.eye}
    row |= {"taken": facts.taken, "release": grader.opened.name, "advice": [], "faults": []}
    blank = [name for name in row if name.startswith(("p", "raw", "cut")) and name[-1].isdigit()]
    row |= dict.fromkeys([*blank, "p_referable", "grade", "grades_set"])
    if made.score is None:
        faults = list(made.faults)
        return row | {"status": "ungradable", "decision": CANNOT_GRADE, "quality": "reject", "faults": faults}
    share = round(made.score, 6)
    grade = 2 if share >= 0.5 else 0
    is_referred = share >= grader.opened.operating_point.threshold or grade >= REFERABLE
    row |= {f"p{k}": 0.0 for k in range(5)} | {"p0": round(1 - share, 6), "p2": share}
    return row | {
        "p_referable": share,
        "grade": grade,
        "status": "graded",
        "decision": REFER if is_referred else RESCREEN,
        "quality": "good",
        "reason": "",
        "fold": None,
    }
