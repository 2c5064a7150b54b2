"""How many photographs and patients came, and where they were lost: the flow that STARD-AI asks for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from fundoscope.evaluation.cases import GRADED, UNGRADABLE, UNREADABLE, Cases
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


def flow(listed: pd.DataFrame, cases: Cases, *, include_ungradable: bool = False) -> tuple[Step, ...]:
    """The boxes from top to bottom.

    Args:
        listed: Rows of the manifest that are evaluated.
        cases: Those of them with a prediction.
        include_ungradable: Photographs refused for their quality count where they have probabilities.
    """
    predicted, with_reference = cases.matched, cases.rows
    status = np.array(cases.status, dtype=object)
    counted = cases.counted(include_ungradable=include_ungradable)
    refused = "ungradable, counted where they have probabilities" if include_ungradable else "ungradable"
    boxes: list[tuple[str, str, pd.DataFrame, bool]] = [
        ("listed", "in the manifest", listed, False),
        ("not_answered", "without a prediction", _without(listed, predicted), True),
        ("answered", "with a prediction", predicted, False),
        ("without_reference", "without a reference grade", _without(predicted, with_reference), True),
        ("with_reference", "with a reference grade", with_reference, False),
        ("unreadable", "unreadable", with_reference[status == UNREADABLE], True),
        ("ungradable", refused, with_reference[status == UNGRADABLE], not include_ungradable),
        ("graded", "graded", with_reference[status == GRADED], False),
        ("analysed", "analysed", with_reference[counted], False),
    ]
    return tuple(Step(name, words, len(box), len(set(patient_keys(box))), leaves) for name, words, box, leaves in boxes)


def _without(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose photograph is not among the others."""
    return rows[~rows["image"].isin(set(others["image"]))]


def to_dict(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """As JSON can hold it."""
    return [asdict(step) for step in steps]


def flow_text(steps: tuple[Step, ...]) -> str:
    """Ready to paste: one line for each box, those who leave indented."""
    lines = []
    for step in steps:
        mark = "    left out: " if step.leaves else ""
        lines.append(f"{mark}{step.words}: {step.photographs} photographs of {step.patients} patients")
    return "\n".join(lines)
