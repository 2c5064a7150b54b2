"""The figures that systems are compared by, under one condition and as means over many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float

from fundoscope.evaluation.statistics.agreement import Confusions, agreement_statistics, of_confusions
from fundoscope.evaluation.statistics.sums import Found, Sums, Together
from fundoscope.evaluation.stress.table import Condition, Mask, StressTable, auroc_among, enough
from fundoscope.grades import CUTS

FIGURES: Final = {
    "auroc": "AUROC referable",
    "overall": "kappa and AUROCs",
}
"""Figures, and their labels; "overall" is the mean of quadratic kappa and of the AUROCs of all of `grades.CUTS`."""

MEANS: Final = {
    "clean": "clean",
    "stressed": "mean under stress",
    "criterion": "mean of the two",
}
"""What is reported of each figure, and its labels."""

PerDraw = Float[np.ndarray, " draw"]


def measurable(table: StressTable, condition: Condition, figure: str, inside: Mask | None = None) -> bool:
    """Return whether a figure of a condition can be measured: enough photographs on both sides of what it asks.

    Args:
        table: Of a system.
        condition: Of the table.
        figure: A name in `FIGURES`.
        inside: Photographs that are measured; None: those that were graded.
    """
    answers = table.answers[condition]
    graded = answers.graded if inside is None else inside
    if figure == "auroc":
        return enough(table.positive, graded)
    scores = np.stack([answers.scores[name] for name in CUTS])[:, graded]  # (cut, photo)
    sides = [enough(np.asarray(table.reference >= cut), graded) for cut in CUTS.values()]
    return all(sides) and not bool(np.isnan(scores).any()) and bool((answers.grade[graded] >= 0).all())


def figure_parts(table: StressTable, condition: Condition, inside: Mask, prefix: str) -> list[Sums | Together]:
    """Build the figures that can be measured of the photographs inside, named `PREFIX auroc` and `PREFIX overall`."""
    answers = table.answers[condition]
    parts: list[Sums | Together] = []
    if measurable(table, condition, "auroc", inside):
        parts.append(auroc_among(table.positive, answers.scores["referable"], inside, f"{prefix} auroc"))
    if measurable(table, condition, "overall", inside):
        kappa = of_confusions(table.reference[inside], answers.grade[inside], _kappa)
        aurocs = [
            auroc_among(np.asarray(table.reference >= cut), answers.scores[name], inside, name)
            for name, cut in CUTS.items()
        ]
        parts.append(Together((kappa.among(inside), *aurocs), partial(_overall, prefix)))
    return parts


def _kappa(counts: Confusions) -> Found:
    return {"kappa": agreement_statistics(counts)["quadratic_kappa"]}


def _overall(prefix: str, measured: Found) -> Found:
    values = [measured["kappa"], *(measured[name] for name in CUTS)]
    return {f"{prefix} overall": np.mean(np.stack(values), axis=0)}  # (figure, draw) -> (draw,)


def means_of(clean: PerDraw, stressed: Sequence[PerDraw]) -> dict[str, PerDraw]:
    """Return the figure clean, its mean over conditions, and the mean of the two."""
    mean = np.mean(np.stack(list(stressed)), axis=0)  # (condition, draw) -> (draw,)
    return {"clean": clean, "stressed": mean, "criterion": (clean + mean) / 2}
