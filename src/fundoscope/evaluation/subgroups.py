"""Statistics of subgroups, each with an interval, and the largest gap between two groups with its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from fundoscope.evaluation.statistics.interval import PATIENT_BLOCK, Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, widened
from fundoscope.evaluation.statistics.reliability import BIASED, of_calibration, without_interval
from fundoscope.evaluation.statistics.sums import Found, Sums, Together, Totals, ratio
from fundoscope.grades import GRADED_DECISIONS, REFERABLE
from fundoscope.records import null_if_nan

STATISTICS: Final = {
    "quadratic_kappa": "quadratic kappa",
    "accuracy": "accuracy",
    "referable_auroc": "AUROC, referable",
    "sensitivity": "sensitivity, referable",
    "specificity": "specificity, referable",
    "calibration_error": "calibration error (ECE)",
}
"""What is computed for every group. Sensitivity and specificity are those of the decision, else of the grade."""

DME_STATISTICS: Final = {
    "referable_or_dme_auroc": "AUROC, referable or DME",
    "sensitivity_or_dme": "sensitivity, referable or DME",
    "specificity_or_dme": "specificity, referable or DME",
}
"""What is computed beside it where `dme` is known."""

QUESTION: Final = "referable_or_dme"
"""The question of `DME_STATISTICS`, in `grades.OR_DME`."""

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
"""Random assignments of patients to groups, at most: never more than there are resamples."""


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
    """By the names of `STATISTICS`, and of `DME_STATISTICS` where `dme` is known; those of rates by
    `rates.rate_interval`. The calibration error has none (`reliability.BIASED`)."""
    too_small: tuple[str, ...]
    """Statistics for which it is too small, by `RULE`: all, or none, or some."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Between the groups with the highest and the lowest value of a statistic."""

    highest: str
    lowest: str
    interval: Interval
    """Of the difference, the same resamples of patients for both groups. The two were selected because they differ
    most, so that it is too narrow, the more groups there are; `p_chance` is not affected."""
    among: int
    """Groups they were selected from: those not too small."""
    p_chance: float
    """Share of random assignments of patients to groups with a gap of this size, whichever groups it is between."""


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

    @property
    def statistics(self) -> dict[str, str]:
        """`STATISTICS`, and `DME_STATISTICS` where they were computed: what they are called, by name."""
        names = self.groups[0].intervals if self.groups else {}
        return {name: words for name, words in (STATISTICS | DME_STATISTICS).items() if name in names}

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent: no NaN."""
        return {
            "column": self.column,
            "unknown": self.unknown,
            "groups": [
                {
                    **{key: getattr(group, key) for key in ("value", "photographs", "patients", "referable_patients")},
                    "other_patients": group.other_patients,
                    "too_small": list(group.too_small),
                    "statistics": {name: interval.to_dict() for name, interval in group.intervals.items()},
                }
                for group in self.groups
            ],
            "gaps": {
                name: {
                    **{key: getattr(gap, key) for key in ("highest", "lowest", "among")},
                    "p_chance": null_if_nan(gap.p_chance),
                    **gap.interval.to_dict(),
                }
                for name, gap in self.gaps.items()
            },
            "shifts": [shift.to_dict() for shift in self.shifts],
        }


def subgroups(
    cases: Cases,
    by: Sequence[str] = (),
    *,
    include_ungradable: bool = False,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    method: str = "auto",
) -> tuple[Subgroups, ...]:
    """Evaluate every group of every column of `groups.COLUMNS` with two values at least, and of the columns `by`.

    All patients are resampled together, so that the size of a group varies as it would; a patient with photographs in
    two groups is drawn in both.

    Args:
        cases: Photographs with predictions and reference grades.
        by: More columns of the manifest.
        include_ungradable: As `summary.summarise`.
        resamples: Bootstrap resamples of patients.
        seed: Seed of resamples and random assignments.
        level: Confidence level of the intervals.
        method: A name in `interval.INTERVALS`.

    Raises:
        BadRequest: If a column asked for cannot be used; see `groups.groupings`.
    """
    counted = cases.counted(include_ungradable=include_ungradable)
    options: dict[str, Any] = {"resamples": resamples, "level": level, "method": method}
    columns = []
    for grouping in groupings(cases.rows, by):
        divided = _Divided(cases, counted, grouping)
        intervals = divided.intervals(rng=np.random.default_rng(seed), **options)
        groups = tuple(divided.group(at, intervals) for at in range(len(grouping.values)))
        shuffles = min(SHUFFLES, resamples)
        gaps = divided.gaps(intervals, np.random.default_rng([seed, 1]), shuffles)
        moved = shifts(cases, counted, grouping, rng=np.random.default_rng([seed, 2]), shuffles=shuffles)
        columns.append(Subgroups(grouping.column, groups, gaps, moved, grouping.unknown))
    return tuple(columns)


def statistics_of(cases: Cases, counted: Mask) -> Together:
    """Build `STATISTICS`, and `DME_STATISTICS` where `dme` is known, of weights on all photographs.

    Only those counted are evaluated.
    """
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
            *_with_dme(cases, scored, decided, said),
        )
    )


def _with_dme(cases: Cases, scored: Mask, decided: Mask, said: Mask) -> list[Sums]:
    """Build `DME_STATISTICS`; none where nobody's `dme` is known."""
    if cases.dme is None:
        return []
    reference = cases.or_dme(QUESTION)
    scored, decided = scored & reference.known, decided & reference.known
    hits = of_hits(reference.positive[decided], said[decided]).among(decided)
    score = cases.score("referable")[scored]

    def renamed(*totals: Totals) -> Found:
        return {f"{rate}_or_dme": values for rate, values in hits.read(*totals).items()}

    return [
        of_auroc(reference.positive[scored], score, "referable_or_dme_auroc").among(scored),
        Sums(hits.terms, renamed),
    ]


def statistics_by_group(groups: Sequence[Together], pairs: Mapping[str, tuple[int, int]] | None = None) -> Together:
    """Combine the statistics of every group on the same resamples, and differences between two groups.

    Args:
        groups: As `statistics_of` gives them.
        pairs: The two groups whose difference is computed, by the name of the statistic.

    Returns:
        `0 accuracy`, `1 accuracy`, ..., by the group's place; `gap accuracy`: of the first of the pair from the second.
    """

    def combine(values: Found) -> Found:
        gaps = {
            _gap(name): values[_key(top, name)] - values[_key(low, name)] for name, (top, low) in (pairs or {}).items()
        }
        return {**values, **gaps}

    return Together(tuple(_numbered(at, group) for at, group in enumerate(groups)), combine)


def _numbered(at: int, group: Together) -> Together:
    return Together((group,), lambda values: {_key(at, name): value for name, value in values.items()})


def _agreed(counts: Confusions) -> Mapping[str, Values]:
    right = np.einsum("dgg->d", counts)
    return {"quadratic_kappa": kappa_of(counts), "accuracy": ratio(right, counts.sum(axis=(1, 2)))}


def _decided(cases: Cases, counted: Mask) -> tuple[Mask, Mask]:
    """Return whether each photograph was decided on and counts, and whether it was referred."""
    decision = np.array(cases.decision, dtype=object)
    if any(cases.decision):
        inside = np.isin(decision, GRADED_DECISIONS)
        return inside & counted, np.asarray(decision == "refer", dtype=bool)
    return counted & (cases.answered >= 0), np.asarray(cases.answered >= REFERABLE)


class _Divided:
    """Photographs in the groups of one column."""

    def __init__(self, cases: Cases, counted: Mask, grouping: Grouping) -> None:
        self.cases, self.counted, self.grouping = cases, counted, grouping
        self.names = tuple(STATISTICS | (DME_STATISTICS if cases.dme is not None else {}))
        self.inside = [counted & (grouping.codes == at) for at in range(len(grouping.values))]
        self.statistics = [statistics_of(cases, inside) for inside in self.inside]
        self.small = [self._too_small(inside) for inside in self.inside]
        once = np.ones((1, len(cases.reference)))
        self.estimates = [
            {name: float(values[0]) for name, values in of_group(once).items()} for of_group in self.statistics
        ]
        self.pairs = {name: pair for name in self.names if (pair := self._furthest(name))}

    def intervals(self, **options: Any) -> dict[str, Interval]:
        """Compute the intervals of every group and every gap, on the same resamples."""
        return patient_intervals(statistics_by_group(self.statistics, self.pairs), self.cases.patients, **options)

    def group(self, at: int, intervals: Mapping[str, Interval]) -> Group:
        """Describe one group, given the intervals of all."""
        inside = self.inside[at]
        ill = self.cases.reference >= REFERABLE
        return Group(
            value=self.grouping.values[at],
            photographs=int(inside.sum()),
            patients=self._people(inside),
            referable_patients=self._people(inside & ill),
            other_patients=self._people(inside & ~ill),
            intervals=self._widened(inside, {name: intervals[_key(at, name)] for name in self.names}),
            too_small=self.small[at],
        )

    def _widened(self, inside: Mask, intervals: Mapping[str, Interval]) -> dict[str, Interval]:
        """Return the intervals of one group, those of rates as `rates.rate_interval` has them."""
        decided, said = _decided(self.cases, inside)
        right = self.cases.answered == self.cases.reference
        rates = {"accuracy": Rate(right, inside & (self.cases.answered >= 0))}
        for suffix, positive, negative in self._references():
            rates[f"sensitivity{suffix}"] = Rate(said, decided & positive)
            rates[f"specificity{suffix}"] = Rate(~said, decided & negative)
        return {
            name: without_interval(interval) if name in BIASED else interval
            for name, interval in widened(intervals, rates, self.cases.patients).items()
        }

    def _references(self) -> Iterator[tuple[str, Mask, Mask]]:
        """For each reference of a rate the end of its name, and the positive and the negative photographs."""
        yield "", self.cases.reference >= REFERABLE, self.cases.reference < REFERABLE
        if self.cases.dme is not None:
            reference = self.cases.or_dme(QUESTION)
            yield "_or_dme", reference.positive, reference.known & ~reference.positive

    def gaps(self, intervals: Mapping[str, Interval], rng: np.random.Generator, shuffles: int) -> dict[str, Gap]:
        """Find the largest gap of each statistic, beside the largest of each random assignment."""
        if not self.pairs:
            return {}
        by_chance = self._by_chance(rng, shuffles)
        gaps = {}
        for name, (top, low) in self.pairs.items():
            fit = self._fit(name)
            values = np.stack([by_chance[_key(at, name)] for at in fit])
            reach = np.fmax.reduce(values) - np.fmin.reduce(values)
            interval = intervals[_gap(name)]
            if name in BIASED:
                interval = without_interval(interval)
            p = chance(interval.estimate, reach[~np.isnan(reach)])
            names = self.grouping.values
            gaps[name] = Gap(names[top], names[low], interval, len(fit), p)
        return gaps

    def _by_chance(self, rng: np.random.Generator, shuffles: int) -> dict[str, Values]:
        """Compute the statistics of every group that is in a gap for each random assignment, by `_key`."""
        all_of = statistics_of(self.cases, self.counted)
        compared = sorted({at for name in self.pairs for at in self._fit(name)})
        assignments = shuffled(self.grouping, self.cases.patients, rng, shuffles)
        parts: dict[str, list[Values]] = {}
        while block := list(islice(assignments, max(1, PATIENT_BLOCK // len(self.counted)))):
            codes = np.stack(block)  # (assignment, photo)
            for at in compared:
                for name, values in all_of((codes == at).astype(np.float64)).items():
                    parts.setdefault(_key(at, name), []).append(values)
        return {key: np.concatenate(values) for key, values in parts.items()}

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
            return self.names
        small: dict[str, bool] = {}
        for suffix, positive, negative in self._references():
            few_ill, few_well = (self._people(inside & side) < FEW_CASES for side in (positive, negative))
            small |= {f"sensitivity{suffix}": few_ill, f"specificity{suffix}": few_well}
            small[f"referable{suffix}_auroc"] = few_ill or few_well
        return tuple(name for name in self.names if small.get(name))

    def _people(self, mask: Mask) -> int:
        return len(np.unique(self.cases.patients[mask]))


def _key(at: int, name: str) -> str:
    return f"{at} {name}"


def _gap(name: str) -> str:
    return f"gap {name}"
