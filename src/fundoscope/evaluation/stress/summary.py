"""What a table of stress says: dose-response of AUROC, refusals, changed decisions, confident mistakes, and the means.

Systems are chosen by the mean of a figure on clean photographs and of its mean over all conditions that were graded
often enough. Choosing by clean photographs alone prefers what fits their camera. The figure is the AUROC of referable
disease, which every system gives, and beside it the mean of quadratic kappa and of the AUROCs of any, referable and
sight-threatening disease, where a system gives probabilities of the grades.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, rate_interval
from fundoscope.evaluation.statistics.sums import Found, Sums, Together
from fundoscope.evaluation.stress.figures import FIGURES, MEANS, figure_parts, means_of, measurable
from fundoscope.evaluation.stress.stress_set import CLEAN, DISTURBANCES
from fundoscope.evaluation.stress.table import FEWEST, Condition, Mask, StressTable, auroc_among
from fundoscope.records import null_if_nan

REFUSED_FROM: Final = 0.5
"""Share of refused photographs from which a gate is said to refuse a dose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseFigures:
    """One disturbance in one dose."""

    disturbance: str
    dose: int
    amount: float
    graded: int
    refused: Interval
    """Share of the photographs that were graded clean."""
    auroc: Interval
    """Of referable disease, among the photographs graded; NaN where there are too few."""
    change: Interval
    """AUROC less that of the same photographs clean."""
    sensitivity: Interval
    """Of the decision, among those graded; `specificity` likewise."""
    specificity: Interval
    to_healthier: int
    """Decisions that changed from refer to rescreen."""
    to_referred: int
    """Decisions that changed from rescreen to refer."""
    sure_misses: int
    """Referable photographs that are rescreened confidently."""
    sure_alarms: int
    """Photographs without referable disease that are referred confidently."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        record: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            record[name] = value.to_dict() if isinstance(value, Interval) else value
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class StressSummary:
    """All figures of one system."""

    table: StressTable
    means: Mapping[str, Mapping[str, Interval]]
    """For each of `figures.FIGURES` its value `clean`, its mean over the conditions that count (`stressed`) and the
    mean of the two (`criterion`); only "auroc" where a system gives no probabilities of the grades."""
    clean_sensitivity: Interval
    clean_specificity: Interval
    doses: tuple[DoseFigures, ...]
    counted: Mapping[str, tuple[Condition, ...]]
    """Conditions in the means of each figure."""
    resamples: int
    seed: int
    level: float

    def refusing_dose(self, disturbance: str) -> int | None:
        """Return the first dose at which at least half of the photographs are refused; None: none."""
        refusing = [
            one.dose for one in self.doses if one.disturbance == disturbance and one.refused.estimate >= REFUSED_FROM
        ]
        return min(refusing, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        table, names = self.table, dict.fromkeys(one.disturbance for one in self.doses)
        return {
            "stress_set": table.stress_set,
            "system": table.system,
            "photographs": len(table.images),
            "referable": int(table.positive.sum()),
            "patients": len(np.unique(table.patients)),
            "refused_clean": table.refused_clean,
            "unreadable": table.unreadable,
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "means": {
                figure: {name: mean.to_dict() for name, mean in means.items()} for figure, means in self.means.items()
            },
            "clean_sensitivity": self.clean_sensitivity.to_dict(),
            "clean_specificity": self.clean_specificity.to_dict(),
            "conditions_counted": {figure: len(conditions) for figure, conditions in self.counted.items()},
            "conditions": len(self.doses),
            "refusing_dose": {name: self.refusing_dose(name) for name in names},
            "doses": [one.to_dict() for one in self.doses],
        }


def summarise_stress(table: StressTable, *, resamples: int = 1000, seed: int = 0, level: float = 0.95) -> StressSummary:
    """Compute all figures with intervals, bootstrapped by patient.

    Raises:
        BadTable: If there are too few photographs with or without referable disease, or no condition counts.
    """
    counted = {
        figure: tuple(condition for condition in table.conditions if measurable(table, condition, figure))
        if measurable(table, (CLEAN, 0), figure)
        else ()
        for figure in FIGURES
    }
    _check_counted(table, counted["auroc"])
    parts = [part for condition in table.answers for part in _parts(table, condition)]
    intervals = patient_intervals(
        Together(tuple(parts), lambda measured: _with_means(measured, counted)),
        table.patients,
        rng=np.random.default_rng(seed),
        resamples=resamples,
        level=level,
    )
    blank = Interval(math.nan, math.nan, math.nan, level, 0)
    clean = table.clean
    return StressSummary(
        table=table,
        means={
            figure: {name: intervals[f"{figure} {name}"] for name in MEANS}
            for figure, conditions in counted.items()
            if conditions
        },
        clean_sensitivity=_rate(table, clean.refers, table.positive, level),
        clean_specificity=_rate(table, clean.rescreens, ~table.positive, level),
        doses=tuple(
            _figures(table, condition, intervals.get(f"{_key(condition)} auroc", blank),
                     intervals.get(f"{_key(condition)} change", blank), level)
            for condition in table.conditions
        ),
        counted=counted,
        resamples=resamples,
        seed=seed,
        level=level,
    )  # fmt: skip


def _check_counted(table: StressTable, counted: Sequence[Condition]) -> None:
    if not table.countable((CLEAN, 0)):
        raise BadTable(
            f"stress table of {table.system}: expected at least {FEWEST} photographs with and without referable "
            f"disease, got {int(table.positive.sum())} and {int((~table.positive).sum())}. Use more photographs."
        )
    if not counted:
        raise BadTable(
            f"stress table of {table.system}: expected a condition with at least {FEWEST} graded photographs with and "
            "without referable disease, got none. Use more photographs or milder doses."
        )


def _key(condition: Condition) -> str:
    return f"{condition[0]} {condition[1]}"


def _parts(table: StressTable, condition: Condition) -> list[Sums | Together]:
    """Return the figures of a condition and, for the change, the AUROC of the same photographs clean."""
    inside = table.answers[condition].graded
    parts: list[Sums | Together] = list(figure_parts(table, condition, inside, _key(condition)))
    if table.countable(condition):
        clean = table.clean.scores["referable"]
        parts.append(auroc_among(table.positive, clean, inside, f"{_key(condition)} before"))
    return parts


def _with_means(measured: Found, counted: Mapping[str, Sequence[Condition]]) -> Found:
    """Add the change of each condition and the means of each figure."""
    values = dict(measured)
    for condition in counted["auroc"]:
        key = _key(condition)
        values[f"{key} change"] = measured[f"{key} auroc"] - measured[f"{key} before"]
    for figure, conditions in counted.items():
        if conditions:
            keys = [f"{_key(condition)} {figure}" for condition in conditions]
            means = means_of(measured[f"{_key((CLEAN, 0))} {figure}"], [measured[key] for key in keys])
            values |= {f"{figure} {name}": value for name, value in means.items()}
    return values


def _rate(table: StressTable, hits: Mask, among: Mask, level: float) -> Interval:
    share = float(hits[among].mean()) if among.any() else math.nan
    return rate_interval(Interval(share, math.nan, math.nan, level, 0), Rate(hits, among), table.patients)


def _figures(table: StressTable, condition: Condition, auroc: Interval, change: Interval, level: float) -> DoseFigures:
    here, clean, positive = table.answers[condition], table.clean, table.positive
    name, dose = condition
    return DoseFigures(
        disturbance=name,
        dose=dose,
        amount=float(DISTURBANCES[name].amounts[dose - 1]),
        graded=int(here.graded.sum()),
        refused=_rate(table, ~here.graded, np.ones(len(positive), dtype=bool), level),
        auroc=auroc,
        change=change,
        sensitivity=_rate(table, here.refers, here.graded & positive, level),
        specificity=_rate(table, here.rescreens, here.graded & ~positive, level),
        to_healthier=int((clean.refers & here.rescreens).sum()),
        to_referred=int((clean.rescreens & here.refers).sum()),
        sure_misses=int((here.sure_healthy & positive).sum()),
        sure_alarms=int((here.sure_referable & ~positive).sum()),
    )


def record_for_release(summary: StressSummary, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few figures that a release carries, with what they are of.

    Args:
        summary: Of the release, or of the networks of its folds.
        about: Manifest, split, sample, what was graded by which networks.
    """

    def ends(interval: Interval) -> dict[str, Any]:
        return {name: None if value is None else round(value, 4) for name, value in interval.ends().items()} | {
            "level": interval.level
        }

    table = summary.table
    worst = min(summary.doses, key=lambda one: one.change.estimate if not math.isnan(one.change.estimate) else math.inf)
    return {
        "stress_set": table.stress_set,
        **about,
        "photographs": len(table.images),
        "patients": len(np.unique(table.patients)),
        **{
            f"{FIGURES[figure]}, {MEANS[name]}": ends(mean)
            for figure, means in summary.means.items()
            for name, mean in means.items()
        },
        "conditions_counted": f"{len(summary.counted['auroc'])} of {len(summary.doses)}",
        "largest_loss": f"{worst.disturbance}, dose {worst.dose}: {null_if_nan(round(worst.change.estimate, 4))}",
        "decision_to_healthier_most": max(one.to_healthier for one in summary.doses),
        "decision_sure_misses_most": max(one.sure_misses for one in summary.doses),
    }
