"""From photographs to eyes and patients: the worst decides, and what cannot be graded is never healthy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fundoscope.decide.referral import decide_eye, decide_patient

Row = Mapping[str, Any]
"""A row of the predictions table, None for blank."""


@dataclass(frozen=True, slots=True)
class EyeAnswer:
    """What is to be done about one eye."""

    eye: str | None
    """left, right, or None where nobody said which: such a photograph counts as an eye of its own."""
    decision: str
    photographs: tuple[int, ...]
    """Numbers of its rows, from 0."""


@dataclass(frozen=True, slots=True)
class PatientAnswer:
    """What is to be done about one patient."""

    patient: str | None
    """None for a photograph whose patient is not known; each such photograph stands alone."""
    decision: str
    eyes: tuple[EyeAnswer, ...]


def answer_patients(rows: Sequence[Row]) -> list[PatientAnswer]:
    """The answer for every patient, in the order in which their first photographs stand.

    Patients of two sources are two patients even if they are named alike.
    """
    groups: dict[object, list[int]] = {}
    for i, row in enumerate(rows):
        key = ("", i) if row["patient"] is None else (row["source"], row["patient"])
        groups.setdefault(key, []).append(i)
    return [_answer_patient(rows, numbers) for numbers in groups.values()]


def _answer_patient(rows: Sequence[Row], numbers: Sequence[int]) -> PatientAnswer:
    groups: dict[object, list[int]] = {}
    for i in numbers:
        groups.setdefault(rows[i]["eye"] or i, []).append(i)
    eyes = tuple(
        EyeAnswer(rows[members[0]]["eye"], decide_eye([str(rows[i]["decision"]) for i in members]), tuple(members))
        for members in groups.values()
    )
    decision = decide_patient([eye.decision for eye in eyes])
    return PatientAnswer(rows[numbers[0]]["patient"], decision, eyes)
