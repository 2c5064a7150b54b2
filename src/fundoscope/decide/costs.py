"""Which grade to answer when mistakes cost differently: the one whose expected cost is smallest.

By quadratic costs that is the expected grade, rounded. `calibrate.fit_cuts` maximises the quadratic kappa, which is no
sum over photographs and needs cuts for all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Grades, Probabilities
from fundoscope.decide.kappa import kappa_of
from fundoscope.grades import GRADES

TIE: Final = 1e-12
"""Expected costs that differ by less than this share are one cost."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What it costs to answer one grade for another."""

    of: tuple[tuple[float, ...], ...]
    """Row: reference grade; column: answered grade. In any one unit; in each row the right answer costs least."""

    def __post_init__(self) -> None:
        if len(self.of) != GRADES or any(len(row) != GRADES for row in self.of):
            shape = f"{len(self.of)} rows of {', '.join(sorted({str(len(row)) for row in self.of}))}"
            raise ValueError(f"costs must be {GRADES} rows of {GRADES}, got {shape}")
        for grade, row in enumerate(self.of):
            if not np.isfinite(row).all() or min(row) < 0:
                raise ValueError(f"costs must be finite and at least 0, got {list(row)} for grade {grade}")
            if row[grade] > min(row):
                raise ValueError(f"the right answer must cost least, got {list(row)} for grade {grade}")

    def grade(self, given: Probabilities) -> Grades:
        """The grade with the smallest expected cost; of equally cheap ones the worst."""
        expected = given @ np.array(self.of)
        cheap = expected <= expected.min(axis=1, keepdims=True) + TIE * np.max(self.of)
        return np.asarray(GRADES - 1 - cheap[:, ::-1].argmax(axis=1), dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"costs": [list(row) for row in self.of]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Costs:
        """Back from `to_dict`.

        Raises:
            ValueError: If there is anything but `costs`, or they are not as `of` says.
        """
        if set(values) != {"costs"}:
            raise ValueError(f"expected the key costs, got {', '.join(sorted(values))}")
        rows = values["costs"]
        numbers = isinstance(rows, list) and all(isinstance(row, list) for row in rows)
        if not numbers or any(
            isinstance(each, bool) or not isinstance(each, int | float) for row in rows for each in row
        ):
            raise ValueError(f"costs must be lists of numbers, got {rows!r}")
        return cls(tuple(tuple(float(each) for each in row) for row in rows))


def costs_of_distance(power: float) -> Costs:
    """|reference - answer| ** power: 2 answers the mean of the grades, 1 their median; near 0 the likeliest."""
    if not power > 0:
        raise ValueError(f"power must be above 0, got {power}")
    return Costs(tuple(tuple(float(abs(i - j)) ** power for j in range(GRADES)) for i in range(GRADES)))


QUADRATIC: Final = costs_of_distance(2.0)
"""The weights of the quadratic kappa, unnormalised."""


def expected_kappa(given: Probabilities, answered: Grades) -> float:
    """Quadratic kappa that these answers would have if the probabilities came true; NaN where it is undefined."""
    return float(kappa_of(given.T @ np.eye(GRADES)[answered]))
