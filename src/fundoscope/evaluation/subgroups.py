"""A few statistics group by group, each with an interval, and the largest gap between groups with its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np

from fundoscope.decide.kappa import kappa_of
from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.measures import Mask
from fundoscope.evaluation.shift import Shift, shifts
from fundoscope.evaluation.statistics.agreement import Confusions, Values, of_confusions
from fundoscope.evaluation.statistics.detection import of_auroc, of_hits
from fundoscope.evaluation.statistics.groups import Grouping, chance, groupings, shuffled
from fundoscope.evaluation.statistics.interval import PATIENT_BLOCK, Interval, patient_intervals, proportion_interval
from fundoscope.evaluation.statistics.rates import ratio
from fundoscope.evaluation.statistics.reliability import of_calibration
from fundoscope.evaluation.statistics.sums import Found, Together
from fundoscope.grades import REFERABLE
from fundoscope.records import null_if_nan

STATISTICS: Final = {
    "quadratic_kappa": "quadratic kappa",
    "accuracy": "accuracy",
    "referable_auroc": "AUROC, referable",
    "sensitivity": "sensitivity, referable",
    "specificity": "specificity, referable",
    "calibration_error": "calibration error (ECE)",
}
"""What is measured in every group. Sensitivity and specificity are of the decision, without one of the grade."""

FEW_PATIENTS: Final = 30
"""A group of fewer patients is too small for any statistic."""

FEW_CASES: Final = 10
"""Fewer patients with (without) referable disease are too few for sensitivity (specificity), either for AUROC: of
ten found of ten, the exact 95 % lower bound is still only 0.69."""

RULE: Final = (
    f"Too small to say anything: fewer than {FEW_PATIENTS} patients; for sensitivity and AUROC fewer than {FEW_CASES} "
    f"patients with a referable photograph, for specificity and AUROC fewer than {FEW_CASES} with one that is not."
)

SHUFFLES: Final = 999
"""Times that groups are dealt out by chance, at most: never more than there are draws."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group by itself."""

    value: str
    photographs: int
    patients: int
    referable_patients: int
    """Patients with a referable photograph among them."""
    other_patients: int
    """Patients with one that is not."""
    intervals: dict[str, Interval]
    """By the names of `STATISTICS`. Of sensitivity and specificity the wider of the draws' and Wilson's interval: where
    nothing was missed, draws find no spread."""
    too_small: tuple[str, ...]
    """Statistics for which it is too small, by `RULE`: all, or none, or some."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Between the groups with the highest and the lowest value of a statistic."""

    highest: str
    lowest: str
    interval: Interval
    """Of the difference, the same draws of patients for both groups. The two were picked because they differ most, so
    that it is too sure of itself the more groups there are; `p_chance` is not."""
    among: int
    """Groups they were picked of: those not too small."""
    p_chance: float
    """How often groups dealt out by chance have a largest gap of this size, whichever groups it is between."""


@dataclass(frozen=True, slots=True)
class Subgroups:
    """One column."""

    column: str
    groups: tuple[Group, ...]
    gaps: dict[str, Gap]
    """By statistic, where two groups at least are not too small."""
    shifts: tuple[Shift, ...]
    unknown: int
    """Photographs whose group is not known; in no group."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN."""
        return {
            "column": self.column,
            "unknown": self.unknown,
            "groups": [
                {
                    **{key: getattr(each, key) for key in ("value", "photographs", "patients", "referable_patients")},
                    "other_patients": each.other_patients,
                    "too_small": list(each.too_small),
                    "statistics": {name: interval.to_dict() for name, interval in each.intervals.items()},
                }
                for each in self.groups
            ],
            "gaps": {
                name: {
                    **{key: getattr(gap, key) for key in ("highest", "lowest", "among")},
                    "p_chance": null_if_nan(gap.p_chance),
                    **gap.interval.to_dict(),
                }
                for name, gap in self.gaps.items()
            },
            "shifts": [each.to_dict() for each in self.shifts],
        }


def subgroups(
    cases: Cases,
    by: Sequence[str] = (),
    *,
    include_ungradable: bool = False,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    method: str = "percentile",
) -> tuple[Subgroups, ...]:
    """Measure every group of every column of `groups.COLUMNS` that tells photographs apart, and of those asked for.

    Patients are drawn from all, so that the size of a group varies as it would; a patient with photographs in two
    groups is drawn in both.

    Args:
        cases: Photographs with predictions and reference grades.
        by: More columns of the manifest.
        include_ungradable: As `summary.summarise`.
        resamples: Draws of patients.
        seed: Of draws and shuffles.
        level: Share of draws inside an interval.
        method: A name in `interval.INTERVALS`.

    Raises:
        BadRequest: If a column asked for cannot be used; see `groups.groupings`.
    """
    counted = cases.counted(include_ungradable=include_ungradable)
    options: dict[str, Any] = {"resamples": resamples, "level": level, "method": method}
    found = []
    for grouping in groupings(cases.rows, by):
        of = _Divided(cases, counted, grouping)
        spread = of.intervals(rng=np.random.default_rng(seed), **options)
        groups = tuple(of.group(at, spread) for at in range(len(grouping.values)))
        shuffles = min(SHUFFLES, resamples)
        gaps = of.gaps(spread, np.random.default_rng([seed, 1]), shuffles)
        moved = shifts(cases, counted, grouping, rng=np.random.default_rng([seed, 2]), shuffles=shuffles)
        found.append(Subgroups(grouping.column, groups, gaps, moved, grouping.unknown))
    return tuple(found)


def statistics_of(cases: Cases, counted: Mask) -> Together:
    """`STATISTICS` of weights on all photographs, of which only those counted are measured."""
    ill, score = cases.reference >= REFERABLE, cases.score("referable")
    graded = counted & (cases.answered >= 0)
    scored = counted & ~np.isnan(score)
    sure = counted & ~np.isnan(cases.probabilities[:, 0])
    decided, said = _decided(cases, counted)
    return Together(
        (
            of_confusions(cases.reference[graded], cases.answered[graded], _agreed).among(graded),
            of_auroc(ill[scored], score[scored], "referable_auroc").among(scored),
            of_hits(ill[decided], said[decided]).among(decided),
            of_calibration(cases.probabilities[sure], cases.reference[sure], "calibration_error").among(sure),
        )
    )


def statistics_by_group(groups: Sequence[Together], pairs: Mapping[str, tuple[int, int]] | None = None) -> Together:
    """Those of every group on the same draws, and differences between two.

    Args:
        groups: As `statistics_of` gives them.
        pairs: Which groups differ, by the name in `STATISTICS` of what they differ in.

    Returns:
        `0 accuracy`, `1 accuracy`, ..., by the group's place; `gap accuracy`: of the first of the pair from the second.
    """

    def combine(found: Found) -> Found:
        gaps = {
            _gap(name): found[_key(top, name)] - found[_key(low, name)] for name, (top, low) in (pairs or {}).items()
        }
        return {**found, **gaps}

    return Together(tuple(_numbered(at, each) for at, each in enumerate(groups)), combine)


def _numbered(at: int, group: Together) -> Together:
    return Together((group,), lambda found: {_key(at, name): values for name, values in found.items()})


def _agreed(counts: Confusions) -> Mapping[str, Values]:
    right = np.einsum("dgg->d", counts)
    return {"quadratic_kappa": kappa_of(counts), "accuracy": ratio(right, counts.sum(axis=(1, 2)))}


def _decided(cases: Cases, counted: Mask) -> tuple[Mask, Mask]:
    """Whether each photograph was decided on and counts, and whether it was referred."""
    decision = np.array(cases.decision, dtype=object)
    if any(cases.decision):
        inside = np.isin(decision, ["refer", "rescreen"])
        return inside & counted, np.asarray(decision == "refer", dtype=bool)
    return counted & (cases.answered >= 0), np.asarray(cases.answered >= REFERABLE)


class _Divided:
    """Photographs in the groups of one column."""

    def __init__(self, cases: Cases, counted: Mask, grouping: Grouping) -> None:
        self.cases, self.counted, self.grouping = cases, counted, grouping
        self.inside = [counted & (grouping.codes == at) for at in range(len(grouping.values))]
        self.each = [statistics_of(cases, inside) for inside in self.inside]
        self.small = [self._too_small(inside) for inside in self.inside]
        everyone = np.ones((1, len(cases.reference)))
        self.estimates = [{name: float(of[0]) for name, of in each(everyone).items()} for each in self.each]
        self.pairs = {name: pair for name in STATISTICS if (pair := self._furthest(name))}

    def intervals(self, **options: Any) -> dict[str, Interval]:
        """Of every group and every gap, on the same draws."""
        return patient_intervals(statistics_by_group(self.each, self.pairs), self.cases.patients, **options)

    def group(self, at: int, spread: Mapping[str, Interval]) -> Group:
        """One group, from the intervals of all."""
        inside = self.inside[at]
        ill = self.cases.reference >= REFERABLE
        return Group(
            value=self.grouping.values[at],
            photographs=int(inside.sum()),
            patients=self._people(inside),
            referable_patients=self._people(inside & ill),
            other_patients=self._people(inside & ~ill),
            intervals={name: spread[_key(at, name)] for name in STATISTICS} | self._rates(inside, at, spread),
            too_small=self.small[at],
        )

    def _rates(self, inside: Mask, at: int, spread: Mapping[str, Interval]) -> dict[str, Interval]:
        """Sensitivity and specificity, their interval the wider of the draws' and Wilson's."""
        decided, said = _decided(self.cases, inside)
        ill = self.cases.reference[decided] >= REFERABLE
        found = {}
        for name, side, right in (("sensitivity", ill, said[decided]), ("specificity", ~ill, ~said[decided])):
            own = spread[_key(at, name)]
            if not math.isnan(own.low):
                low, high = proportion_interval(
                    int((side & right).sum()), int(side.sum()), level=own.level, method="wilson"
                )
                found[name] = replace(own, low=min(low, own.low), high=max(high, own.high))
        return found

    def gaps(self, spread: Mapping[str, Interval], rng: np.random.Generator, shuffles: int) -> dict[str, Gap]:
        """The largest gap of each statistic, beside the largest that chance makes."""
        if not self.pairs:
            return {}
        by_chance = self._by_chance(rng, shuffles)
        gaps = {}
        for name, (top, low) in self.pairs.items():
            fit = self._fit(name)
            values = np.stack([by_chance[_key(at, name)] for at in fit])
            reach = np.fmax.reduce(values) - np.fmin.reduce(values)
            interval = spread[_gap(name)]
            p = chance(interval.estimate, reach[~np.isnan(reach)])
            names = self.grouping.values
            gaps[name] = Gap(names[top], names[low], interval, len(fit), p)
        return gaps

    def _by_chance(self, rng: np.random.Generator, shuffles: int) -> dict[str, Values]:
        """Of every group that is in a gap the statistics after each shuffle, named as `statistics_by_group` does."""
        all_of = statistics_of(self.cases, self.counted)
        compared = sorted({at for name in self.pairs for at in self._fit(name)})
        dealt = shuffled(self.grouping, self.cases.patients, rng, shuffles)
        found: dict[str, list[Values]] = {}
        while some := list(islice(dealt, max(1, PATIENT_BLOCK // len(self.counted)))):
            codes = np.stack(some)
            for at in compared:
                for name, values in all_of((codes == at).astype(np.float64)).items():
                    found.setdefault(_key(at, name), []).append(values)
        return {key: np.concatenate(values) for key, values in found.items()}

    def _furthest(self, name: str) -> tuple[int, int] | None:
        fit = self._fit(name)
        if len(fit) < 2:
            return None
        return max(fit, key=lambda at: self.estimates[at][name]), min(fit, key=lambda at: self.estimates[at][name])

    def _fit(self, name: str) -> list[int]:
        return [
            at for at, small in enumerate(self.small) if name not in small and not math.isnan(self.estimates[at][name])
        ]

    def _too_small(self, inside: Mask) -> tuple[str, ...]:
        if self._people(inside) < FEW_PATIENTS:
            return tuple(STATISTICS)
        ill = self.cases.reference >= REFERABLE
        few_ill, few_well = (self._people(inside & side) < FEW_CASES for side in (ill, ~ill))
        small = {"sensitivity": few_ill, "specificity": few_well, "referable_auroc": few_ill or few_well}
        return tuple(name for name in STATISTICS if small.get(name))

    def _people(self, mask: Mask) -> int:
        return len(np.unique(self.cases.patients[mask]))


def _key(at: int, name: str) -> str:
    return f"{at} {name}"


def _gap(name: str) -> str:
    return f"gap {name}"
