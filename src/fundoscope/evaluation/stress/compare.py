"""Two systems under the same stress: the difference of their figures on the same photographs, with paired intervals.

A system may be several tables: networks of one recipe that differ in their seed. Their figures are averaged within each
draw of patients, so that the interval is of the recipe's mean on these photographs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.sums import Found, Sums, Together
from fundoscope.evaluation.stress.figures import FIGURES, MEANS, figure_parts, means_of, measurable
from fundoscope.evaluation.stress.stress_set import CLEAN
from fundoscope.evaluation.stress.table import Condition, Mask, StressTable

SIDES = ("first", "second")


@dataclass(frozen=True, slots=True, kw_only=True)
class StressComparison:
    """A first system and a second one, on the photographs that all of their tables graded."""

    first: tuple[str, ...]
    """Names in the tables of the first system; `second` likewise."""
    second: tuple[str, ...]
    photographs: int
    left_out: tuple[int, ...]
    """Photographs of each table, the first system's before the second's, that some other table did not grade clean."""
    conditions: Mapping[str, tuple[Condition, ...]]
    """In the means of each of `figures.FIGURES`; empty where one side does not give it."""
    values: Mapping[str, tuple[Interval, Interval]]
    """Of both, by `FIGURE MEAN`."""
    differences: Mapping[str, Interval]
    """First minus second by `FIGURE MEAN`, and of each disturbance by `FIGURE DISTURBANCE`: the mean of its doses."""
    resamples: int
    seed: int
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        return {
            "first": list(self.first),
            "second": list(self.second),
            "photographs": self.photographs,
            "left_out": list(self.left_out),
            "conditions": {figure: len(conditions) for figure, conditions in self.conditions.items()},
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "values": {name: [value.to_dict() for value in pair] for name, pair in self.values.items()},
            "differences": {name: difference.to_dict() for name, difference in self.differences.items()},
        }


def compare_stress(
    first: Sequence[StressTable],
    second: Sequence[StressTable],
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> StressComparison:
    """Compare two systems by the means that systems are chosen by, bootstrapped by patient in pairs.

    Args:
        first: Tables of the first system: one, or one of each seed.
        second: Those of the other.
        resamples: Number of resamples.
        seed: Of the resamples.
        level: Confidence level of the intervals.

    Raises:
        BadTable: If they are of different stress sets, contradict one another on a photograph, or share too few
            photographs or conditions.
    """
    tables = _aligned([*first, *second])
    sides = (tables[: len(first)], tables[len(first) :])
    inside = {
        condition: np.logical_and.reduce([table.answers[condition].graded for table in tables])
        for condition in tables[0].answers
        if all(condition in table.answers for table in tables)
    }
    counted = {figure: _counted(tables, inside, figure) for figure in FIGURES}
    if not counted["auroc"]:
        raise BadTable(
            "stress tables: expected enough photographs with and without referable disease that all graded, clean and "
            f"under stress, got {len(tables[0].images)} shared ones. Use more photographs."
        )
    parts: list[Sums | Together] = [
        part
        for side, of_side in zip(SIDES, sides, strict=True)
        for number, table in enumerate(of_side)
        for condition, mask in inside.items()
        for part in figure_parts(table, condition, mask, f"{side} {number} {condition}")
    ]
    counts = [len(of_side) for of_side in sides]
    intervals = patient_intervals(
        Together(tuple(parts), lambda measured: _differences(measured, counted, counts)),
        tables[0].patients,
        rng=np.random.default_rng(seed),
        resamples=resamples,
        level=level,
    )
    means = [f"{figure} {name}" for figure, conditions in counted.items() if conditions for name in MEANS]
    return StressComparison(
        first=tuple(table.system for table in first),
        second=tuple(table.system for table in second),
        photographs=len(tables[0].images),
        left_out=tuple(len(table.images) - len(tables[0].images) for table in (*first, *second)),
        conditions=counted,
        values={name: (intervals[f"first {name}"], intervals[f"second {name}"]) for name in means},
        differences={
            name.removeprefix("difference "): interval
            for name, interval in intervals.items()
            if name.startswith("difference ")
        },
        resamples=resamples,
        seed=seed,
        level=level,
    )


def check_same_set(first: str, second: str) -> None:
    """Refuse to compare figures of different stress sets.

    Raises:
        BadTable: If the names differ.
    """
    if first != second:
        raise BadTable(
            f"stress tables: expected two of one stress set, got {first} and {second}. Run the older one again."
        )


def _aligned(tables: Sequence[StressTable]) -> list[StressTable]:
    """Return the tables on the photographs that are in all of them, in the order of the first.

    Raises:
        BadTable: If they are of different stress sets, or disagree about a reference grade.
    """
    shared = set.intersection(*(set(table.sha256) for table in tables))
    order = [sha256 for sha256 in tables[0].sha256 if sha256 in shared]
    aligned = []
    for table in tables:
        check_same_set(tables[0].stress_set, table.stress_set)
        places = {sha256: at for at, sha256 in enumerate(table.sha256)}
        aligned.append(table.take([places[sha256] for sha256 in order]))
        if not np.array_equal(aligned[0].reference, aligned[-1].reference):
            raise BadTable("stress tables: expected the same reference grades, got others. Use one manifest for all.")
    return aligned


def _counted(tables: Sequence[StressTable], inside: Mapping[Condition, Mask], figure: str) -> tuple[Condition, ...]:
    """Return the conditions in which all tables give a figure; none unless they give it clean, too."""
    fits = [
        condition
        for condition, mask in inside.items()
        if all(measurable(table, condition, figure, mask) for table in tables)
    ]
    return tuple(condition for condition in fits if condition != (CLEAN, 0)) if (CLEAN, 0) in fits else ()


def _differences(measured: Found, counted: Mapping[str, Sequence[Condition]], counts: Sequence[int]) -> Found:
    """Return the means of both systems, averaged over their tables, and their differences."""
    values: dict[str, Float[np.ndarray, " draw"]] = {}
    for figure, conditions in counted.items():
        for side, count in zip(SIDES, counts, strict=True) if conditions else ():

            def of(condition: Condition, side: str = side, count: int = count, figure: str = figure) -> Any:
                seeds = [measured[f"{side} {number} {condition} {figure}"] for number in range(count)]
                return np.mean(np.stack(seeds), axis=0)  # (seed, draw) -> (draw,)

            means = means_of(of((CLEAN, 0)), [of(condition) for condition in conditions])
            for name in dict.fromkeys(name for name, _ in conditions):
                doses = [of(condition) for condition in conditions if condition[0] == name]
                means[name] = np.mean(np.stack(doses), axis=0)  # (dose, draw) -> (draw,)
            values |= {f"{side} {figure} {name}": mean for name, mean in means.items()}
    names = [key.removeprefix("first ") for key in values if key.startswith("first ")]
    return values | {f"difference {name}": values[f"first {name}"] - values[f"second {name}"] for name in names}
