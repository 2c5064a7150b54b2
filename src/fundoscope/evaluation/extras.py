"""All that is told of one table of predictions beside its summary: groups, mistakes, flow, curves, checklists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fundoscope.decide.abstention import Abstention, abstention_curve, certainty_of
from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.curves import Drawn, drawn
from fundoscope.evaluation.flow import Step, flow, to_dict
from fundoscope.evaluation.mistakes import Mistakes, mistakes
from fundoscope.evaluation.subgroups import RULE, Subgroups, subgroups
from fundoscope.evaluation.summary import Summary
from fundoscope.records import without_nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Beside a `Summary`, of the same rows with the same draws."""

    subgroups: tuple[Subgroups, ...]
    """Empty where they were not asked for."""
    mistakes: Mistakes
    flow: tuple[Step, ...]
    curves: Drawn | None
    """None where they were not asked for."""
    abstention: tuple[Abstention, ...]
    """Empty without probabilities, or where no curves were asked for."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN; `curves` and `abstention` only where they were asked for."""
        found: dict[str, Any] = {
            "subgroups": [each.to_dict() for each in self.subgroups],
            "subgroups_rule": RULE,
            "errors": self.mistakes.to_dict(),
            "flow": to_dict(self.flow),
        }
        if self.curves is not None:
            found["curves"] = self.curves.to_dict()
            found["abstention"] = [without_nan(each.to_dict()) for each in self.abstention]
        return found


def whole(
    summary: Summary,
    rows: pd.DataFrame,
    listed: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    review: Path | None = None,
    with_subgroups: bool = True,
    with_curves: bool = True,
) -> Whole:
    """Look at the rows of a summary from all other sides.

    Args:
        summary: Of `rows`; its draws, seed, level and choice of photographs are taken.
        rows: As `tables.join` gives them.
        listed: Rows of the manifest that are evaluated, answered or not.
        by: More columns of the manifest to divide by.
        review: Table of doubtful labels of an audit.
        with_subgroups: Whether groups are wanted, those `by` names among them; they take the most time.
        with_curves: Whether curves and abstention are wanted; they take time, too.

    Raises:
        BadRequest: If a column asked for cannot be used.
        BadTable: If the review is none of these photographs.
    """
    asked = {"include_ungradable": summary.include_ungradable}
    draws: dict[str, Any] = {"resamples": summary.resamples, "seed": summary.seed, "level": summary.level}
    cases = cases_of(rows)
    counted = cases.counted(**asked)
    return Whole(
        subgroups=subgroups(rows, by, method=summary.method, **asked, **draws) if with_subgroups else (),
        mistakes=mistakes(rows, review=review, **asked),
        flow=flow(listed, rows, **asked),
        curves=drawn(cases, counted, **draws) if with_curves else None,
        abstention=_abstention(rows, asked) if with_curves else (),
    )


def _abstention(rows: pd.DataFrame, asked: Mapping[str, bool]) -> tuple[Abstention, ...]:
    cases = cases_of(rows)
    sure = cases.counted(**asked) & ~np.isnan(cases.probabilities[:, 0]) & (cases.answered >= 0)
    if not sure.any():
        return ()
    decision = np.array(cases.decision, dtype=object)[sure]
    return abstention_curve(
        cases.reference[sure],
        cases.answered[sure],
        certainty_of(cases.probabilities[sure]),
        referred=(decision != "rescreen") & (decision != "") if decision.any() else None,
    )
