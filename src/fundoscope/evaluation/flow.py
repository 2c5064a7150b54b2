"""How many photographs and patients came, and where they were lost: the flow that STARD-AI asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from fundoscope.evaluation.cases import GRADED, UNGRADABLE, UNREADABLE, cases_of
from fundoscope.tables import patient_keys


@dataclass(frozen=True, slots=True)
class Step:
    """One box of the flow."""

    name: str
    """A key that stays."""
    words: str
    photographs: int
    patients: int
    """With one such photograph at least: those of the boxes that leave do not add up to the box before."""
    leaves: bool
    """A box beside the flow: these are not in the next one."""


def flow(listed: pd.DataFrame, rows: pd.DataFrame, *, include_ungradable: bool = False) -> tuple[Step, ...]:
    """The boxes from top to bottom.

    Args:
        listed: Rows of the manifest that are evaluated.
        rows: Those of them with a prediction, as `tables.join` gives them.
        include_ungradable: Photographs refused for their quality count where they have probabilities.
    """
    answered = set(rows["image"])
    known = rows[rows["grade"].notna()].reset_index(drop=True) if "grade" in rows else rows.iloc[:0]
    cases = cases_of(known)
    status = np.array(cases.status, dtype=object)
    counted = cases.counted(include_ungradable=include_ungradable)
    refused = "ungradable, counted where they have probabilities" if include_ungradable else "ungradable"
    boxes: list[tuple[str, str, pd.DataFrame, bool]] = [
        ("listed", "in the manifest", listed, False),
        ("not_answered", "without a prediction", listed[~listed["image"].isin(answered)], True),
        ("answered", "with a prediction", rows, False),
        ("without_reference", "without a reference grade", _others(rows, known), True),
        ("with_reference", "with a reference grade", known, False),
        ("unreadable", "unreadable", known[status == UNREADABLE], True),
        ("ungradable", refused, known[status == UNGRADABLE], not include_ungradable),
        ("graded", "graded", known[status == GRADED], False),
        ("analysed", "analysed", known[counted], False),
    ]
    return tuple(Step(name, words, len(box), len(set(patient_keys(box))), leaves) for name, words, box, leaves in boxes)


def _others(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    inside: Collection[Any] = set(known["image"])
    return rows[~rows["image"].isin(inside)]


def to_dict(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """As JSON can hold it."""
    return [asdict(each) for each in steps]


def flow_text(steps: tuple[Step, ...]) -> str:
    """Ready to paste: one line for each box, those who leave indented."""
    lines = []
    for each in steps:
        mark = "    left out: " if each.leaves else ""
        lines.append(f"{mark}{each.words}: {each.photographs} photographs of {each.patients} patients")
    return "\n".join(lines)
