"""Two systems under the same stress: the difference of their figures on the same photographs, with paired intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.sums import Found, Together
from fundoscope.evaluation.stress.stress_set import CLEAN
from fundoscope.evaluation.stress.summary import (
    Condition,
    StressTable,
    auroc_among,
    criterion_of,
    enough,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StressComparison:
    """A first system and a second one: AUROC of referable disease, on the photographs that both graded."""

    first: str
    second: str
    photographs: int
    conditions: tuple[Condition, ...]
    """Those that both graded often enough."""
    values: dict[str, tuple[Interval, Interval]]
    """`clean`, `stressed` and `criterion` of both."""
    differences: dict[str, Interval]
    """First minus second: `clean`, `stressed`, `criterion`, and the mean of each disturbance by its name."""
    resamples: int
    seed: int
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        return {
            "first": self.first,
            "second": self.second,
            "photographs": self.photographs,
            "conditions": len(self.conditions),
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "values": {name: [value.to_dict() for value in pair] for name, pair in self.values.items()},
            "differences": {name: difference.to_dict() for name, difference in self.differences.items()},
        }


def compare_stress(
    first: StressTable, second: StressTable, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> StressComparison:
    """Compare two systems by the figure that systems are chosen by, bootstrapped by patient in pairs.

    Raises:
        BadTable: If they are of different stress sets, contradict one another on a photograph, or share too few
            photographs or conditions.
    """
    check_same_set(first.stress_set, second.stress_set)
    of_first, of_second = _shared_photographs(first, second)
    positive, patients = first.positive[of_first], first.patients[of_first]
    if not np.array_equal(positive, second.positive[of_second]):
        raise BadTable("stress tables: expected the same reference grades, got others. Use one manifest for both.")
    shared = {
        condition: one.graded[of_first] & second.answers[condition].graded[of_second]
        for condition, one in first.answers.items()
        if condition in second.answers
    }
    shared = {condition: inside for condition, inside in shared.items() if enough(positive, inside)}
    stressed = [condition for condition in shared if condition != (CLEAN, 0)]
    if (CLEAN, 0) not in shared or not stressed:
        raise BadTable(
            "stress tables: expected enough photographs with and without referable disease that both graded, clean "
            f"and under stress, got {len(positive)} shared ones. Use more photographs."
        )
    parts = [
        auroc_among(positive, table.answers[condition].score[places], inside, f"{system} {condition}")
        for condition, inside in shared.items()
        for system, table, places in (("first", first, of_first), ("second", second, of_second))
    ]
    intervals = patient_intervals(
        Together(tuple(parts), lambda found: _differences(found, stressed)),
        patients,
        rng=np.random.default_rng(seed),
        resamples=resamples,
        level=level,
    )
    figures = ("clean", "stressed", "criterion")
    return StressComparison(
        first=first.system,
        second=second.system,
        photographs=len(positive),
        conditions=tuple(stressed),
        values={name: (intervals[f"first {name}"], intervals[f"second {name}"]) for name in figures},
        differences={
            name: intervals[f"difference {name}"] for name in (*figures, *dict.fromkeys(name for name, _ in stressed))
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


def _shared_photographs(first: StressTable, second: StressTable) -> tuple[list[int], list[int]]:
    """Return the places in both tables of the photographs that are in both, in the order of the first."""
    places = {sha256: at for at, sha256 in enumerate(second.sha256)}
    of_first = [at for at, sha256 in enumerate(first.sha256) if sha256 in places]
    return of_first, [places[first.sha256[at]] for at in of_first]


def _differences(found: Found, stressed: Sequence[Condition]) -> Found:
    """Return the figures of both and their differences."""
    values: dict[str, Float[np.ndarray, " draw"]] = {}
    for system in ("first", "second"):
        clean = found[f"{system} {(CLEAN, 0)}"]
        figures = {"clean": clean} | criterion_of(clean, [found[f"{system} {condition}"] for condition in stressed])
        for name in dict.fromkeys(name for name, _ in stressed):
            of_name = [found[f"{system} {condition}"] for condition in stressed if condition[0] == name]
            figures[name] = np.mean(np.stack(of_name), axis=0)  # (dose, draw) -> (draw,)
        values |= {f"{system} {name}": value for name, value in figures.items()}
    names = [key.removeprefix("first ") for key in values if key.startswith("first ")]
    return values | {f"difference {name}": values[f"first {name}"] - values[f"second {name}"] for name in names}
