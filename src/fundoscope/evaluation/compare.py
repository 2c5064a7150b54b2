"""Two systems on the same patients: the interval of their difference, not the difference of their intervals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Shaped

from fundoscope.evaluation.interval import Interval, Statistic, patient_interval


def paired_interval(
    statistic: Statistic,
    grades: Int[np.ndarray, " photo"],
    systems: tuple[Shaped[np.ndarray, " photo *score"], Shaped[np.ndarray, " photo *score"]],
    patients: Shaped[np.ndarray, " photo"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Interval of `statistic` of the first system minus that of the second, drawing patients.

    Both are measured on the same draw each time, so what makes a draw easy for both cancels.
    An interval that leaves out 0 is a difference at the level asked for.

    Args:
        statistic: Called as `statistic(grades, scores)`, e.g. `agreement.quadratic_kappa`.
        grades: Reference grade of each photograph, 0 to 4.
        systems: What the first and what the second gave the same photographs, in the same order.
        patients: Patient identifier of each photograph.
        rng: Source of every draw.
        level: Share of resamples inside the interval.
        resamples: Number of draws.

    Raises:
        ValueError: As `patient_interval`; also if the two systems' answers differ in shape (from `np.stack`).
    """

    def difference(drawn: Int[np.ndarray, " photo"], both: Shaped[np.ndarray, "photo 2 *score"]) -> float:
        return statistic(drawn, both[:, 0]) - statistic(drawn, both[:, 1])

    both = np.stack(systems, axis=1)
    return patient_interval(difference, grades, both, patients, rng=rng, level=level, resamples=resamples)
