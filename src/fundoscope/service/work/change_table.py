"""The changes of a look-back as a table, one row for each case, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from fundoscope.service.store.models import Case
from fundoscope.service.store.release_models import ChangedCase, LookBack
from fundoscope.service.work.changes import AFTER, BEFORE, BOTH, DIFFER, NEITHER
from fundoscope.tables.formats import write_table

Changes = Sequence[tuple[ChangedCase, Case]]

NOT_READ: Final = "not read"
UNKNOWN_CAMERA: Final = "not stated"

AGREEMENT_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        BEFORE: "the answer of the case",
        AFTER: "the new answer",
        BOTH: "both",
        NEITHER: "neither",
        DIFFER: "readers differ",
        NOT_READ: "not read",
    }
)
"""Which of the two answers a reading agrees with, for people."""


COLUMNS: Final = (
    "case",
    "patient",
    "day",
    "change",
    "rank",
    "before",
    "after",
    "eyes_before",
    "eyes_after",
    "next_step_before",
    "next_step_after",
    "release_before",
    "read",
    "reading_agrees_with",
    "reading_after_answer_shown",
    "camera",
    "dealt_with",
    "dealt_with_by",
)
"""Columns of the table."""


def write_changes(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of `change_rows` as a table, with its columns even where nothing changes."""
    write_table(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object), path)


def change_rows(changes: Changes) -> list[dict[str, Any]]:
    """Return a row for each case whose answer changes, in the order given; blank is unknown.

    Args:
        changes: Of `store.releases.changes_of`.
    """
    return [
        {
            "case": case.uid,
            "patient": case.patient,
            "day": case.day,
            "change": change.kind,
            "rank": change.rank,
            "before": change.before["decision"],
            "after": change.after["decision"],
            "eyes_before": eyes_words(change.before),
            "eyes_after": eyes_words(change.after),
            "next_step_before": change.before["next_step_words"],
            "next_step_after": change.after["next_step_words"],
            "release_before": change.before_release,
            "read": None if change.reading is None else reading_words(change.reading),
            "reading_agrees_with": None if change.reading is None else change.reading["agrees_with"],
            "reading_after_answer_shown": None if change.reading is None else int(change.reading["answer_shown"]),
            "camera": change.camera,
            "dealt_with": change.done,
            "dealt_with_by": change.done_by,
        }
        for change, case in changes
    ]


def summary_of(look_back: LookBack, changes: Changes) -> dict[str, Any]:
    """Return a look-back in numbers, as JSON.

    Args:
        look_back: A finished one.
        changes: All that it changes.
    """
    kinds: dict[tuple[int, str], list[ChangedCase]] = {}
    for change, _ in changes:
        kinds.setdefault((change.rank, change.kind), []).append(change)
    return {
        "release": look_back.release,
        "against": look_back.against,
        "finished": look_back.finished,
        "cases": look_back.cases,
        "photographs": look_back.photographs,
        "not_compared": look_back.not_compared,
        "changed": len(changes),
        "dealt_with": sum(change.done is not None for change, _ in changes),
        "changes": [_kind(kind, members) for (_, kind), members in sorted(kinds.items(), key=lambda item: item[0])],
        "cameras": _cameras(look_back, changes),
    }


def _cameras(look_back: LookBack, changes: Changes) -> dict[str, dict[str, int]]:
    """Return by camera how many cases were compared, and how many of them change."""
    changed = Counter(change.camera or UNKNOWN_CAMERA for change, _ in changes)
    return {
        camera: {"cases": cases, "changed": changed[camera]}
        for camera, cases in sorted((look_back.cameras or {}).items())
    }


def _kind(kind: str, members: Sequence[ChangedCase]) -> dict[str, Any]:
    readings = [change.reading for change in members]
    return {
        "change": kind,
        "cases": len(members),
        "readings_agree_with": dict(
            Counter(NOT_READ if reading is None else str(reading["agrees_with"]) for reading in readings)
        ),
        "read_after_answer_shown": sum(bool(reading and reading["answer_shown"]) for reading in readings),
    }


def eyes_words(answer: Mapping[str, Any]) -> str:
    """Return the answers for the eyes in one line."""
    return "; ".join(_eye_words(eye) for eye in answer["eyes"])


def _eye_words(eye: Mapping[str, Any]) -> str:
    grade = eye["columns"].get("grade")
    words = eye["decision"] if grade is None else f"{eye['decision']}, grade {grade}"
    return f"{eye['eye'] or 'eye not stated'}: {words}"


def reading_words(reading: Mapping[str, Any]) -> str:
    """Return what people read in a case in one line."""
    return "; ".join(
        f"{eye['eye'] or 'eye not stated'}: {eye['label'] or _grade_words(eye['grade'])}" for eye in reading["eyes"]
    )


def _grade_words(grade: int | None) -> str:
    return "cannot grade" if grade is None else f"grade {grade}"
