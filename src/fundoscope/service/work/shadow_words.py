"""What the page and the command of shadow mode say: counts, figures and the command that commissions, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fundoscope.evaluation.statistics.interval import Interval, proportion_interval
from fundoscope.grades import RESCREEN
from fundoscope.service.work.shadow import PREDICTIONS, READINGS, ShadowProgress

LEVEL: Final = 0.95

AGREEMENT: Final = "Agreement on referral, cannot grade counted as referred"

FIGURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sensitivity": "Sensitivity of referral, cannot grade counted as referred",
        "specificity": "Specificity of referral, cannot grade counted as referred",
        "sensitivity_graded": "Sensitivity of referral, patients with a graded photograph of each eye",
        "specificity_graded": "Specificity of referral, patients with a graded photograph of each eye",
        "quadratic_kappa": "Quadratic kappa of the worst eye's grade",
    }
)
"""Figures by `evaluation.patients.figures`, against what the readers graded."""

SIDES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "referable": "referable",
        "not_referable": "not referable",
        "without_reference": "not known: an eye without a grade",
    }
)
"""What the readers say of a patient."""


def count_words(progress: ShadowProgress) -> dict[str, int]:
    """Return what was read so far; none of the counts depends on what the release answered."""
    tables, flow = progress.tables, progress.flow
    counts = {
        "Cases answered in shadow mode": tables.answered,
        "Cases read without the answer": tables.read,
        "Of them, cases in which readers differ and nobody has decided": tables.differing,
    }
    if flow is not None:
        counts |= {
            "Patients read": flow.patients,
            "Of them, patients with an eye that has no grade, who are left out": flow.without_reference,
            "Photographs without a patient's name, each counted as a patient": flow.without_name,
        }
    return counts | {"Referable patients, by the readers": progress.referable}


def figure_words(progress: ShadowProgress) -> dict[str, str]:
    """Return the figures with their intervals; none before the planned number of patients was read."""
    if progress.figures is None:
        return {}
    intervals = progress.figures.intervals
    named = {words: str(intervals[name]) for name, words in FIGURES.items() if name in intervals}
    agreement = _agreement(progress.figures.decisions)
    return ({} if agreement is None else {AGREEMENT: str(agreement)}) | named


def figures_document(progress: ShadowProgress) -> dict[str, Any] | None:
    """Return the figures as JSON; None before the planned number of patients was read."""
    if progress.figures is None:
        return None
    agreement = _agreement(progress.figures.decisions)
    return progress.figures.to_dict() | {"agreement": None if agreement is None else agreement.to_dict()}


def decision_counts(progress: ShadowProgress) -> dict[str, dict[str, int]]:
    """Return how often the release decided what, by what the readers say of the patient."""
    if progress.figures is None:
        return {}
    decisions = progress.figures.decisions
    return {words: decisions[side] for side, words in SIDES.items() if side in decisions}


def commission_command(progress: ShadowProgress, *, release: Path | None, folder: str = "") -> str | None:
    """Return the command that commissions the release from the exported tables; None before the plan is reached.

    Args:
        progress: Of the shadow mode.
        release: Where the release lies; None: not known.
        folder: Where the tables lie, with a slash at its end; empty: where the command is given.
    """
    if progress.figures is None:
        return None
    return (
        f"fundoscope commission {folder}{PREDICTIONS} {folder}{READINGS} --release {release or 'RELEASE'} "
        f"--looks {progress.looks} --no-dust-map --report site --out commissioned"
    )


def _agreement(decisions: Mapping[str, Mapping[str, int]]) -> Interval | None:
    """Return the share of patients whom readers and release both refer, or both do not; patients are independent."""
    if not decisions:
        return None
    ill, healthy = decisions["referable"], decisions["not_referable"]
    total = sum(ill.values()) + sum(healthy.values())
    if not total:
        return None
    hits = sum(ill.values()) - ill[RESCREEN] + healthy[RESCREEN]
    low, high = proportion_interval(hits, total, level=LEVEL)
    return Interval(hits / total, low, high, LEVEL, 0)
