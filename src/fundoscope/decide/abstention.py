"""What is gained by referring the least certain: how good the rest is, and what the referred cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Grades, Probabilities, Scores
from fundoscope.decide.heads import expected_grade
from fundoscope.decide.kappa import kappa
from fundoscope.grades import GRADES, REFERABLE

SHARES: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Shares of the photographs that are referred as uncertain."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """One point of the curve; NaN where a figure has nothing to be computed on."""

    share: float
    """Of the photographs referred as uncertain: the wanted share, or more where photographs are equally uncertain."""
    certainty: float
    """Referred at or below this; -infinity: nobody."""
    photographs: int
    """Those that remain."""
    accuracy: float
    """Of the remaining."""
    quadratic_kappa: float
    sensitivity: float
    """Of the remaining referable photographs, the share that is referred."""
    specificity: float
    """Of the remaining that are not referable, the share that is not referred."""
    sensitivity_of_all: float
    """Of all referable photographs, the share that is referred, for disease or for uncertainty."""
    referred: float
    """Of all photographs, the share that is referred, for either: the workload."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


def abstention_curve(
    grades: Grades,
    answered: Grades,
    certainty: Scores,
    *,
    referred: np.ndarray | None = None,
    shares: Sequence[float] = SHARES,
) -> tuple[Abstention, ...]:
    """Evaluate the remaining photographs as more of the least certain ones are referred.

    The curve shows what these photographs had; a threshold picked from it is a fitted one and is to be tried on others.
    Equally certain photographs go together, so neither chance nor order decides.

    Args:
        grades: Reference grade of each photograph, 0 to 4.
        answered: Grade answered.
        certainty: Of each photograph, higher is surer: `certainty_of` or any other.
        referred: True where the decision is to refer; by default where the answered grade is referable.
        shares: Wanted shares to refer as uncertain, each at least 0 and below 1.

    Raises:
        ValueError: If there are no photographs, numbers differ, a certainty is NaN or a share is out of range.
    """
    count = len(grades)
    refers = answered >= REFERABLE if referred is None else referred.astype(bool)
    if not count or not count == len(answered) == len(certainty) == len(refers):
        came = f"{count} grades, {len(answered)} answers, {len(certainty)} certainties and {len(refers)} decisions"
        raise ValueError(f"every photograph needs one of each, and one is needed at least, got {came}")
    if np.isnan(certainty).any():
        raise ValueError(f"certainty must be known, got {int(np.isnan(certainty).sum())} that are NaN")
    if wrong := [share for share in shares if not 0 <= share < 1]:
        raise ValueError(f"shares must be at least 0 and below 1, got {wrong[0]}")
    rising = np.sort(certainty)
    points = []
    for share in shares:
        away = int(np.ceil(share * count - 1e-9))
        limit = float(rising[away - 1]) if away else -np.inf
        points.append(_point(grades, answered, refers, kept=certainty > limit, limit=limit))
    return tuple(points)


def certainty_of(probabilities: Probabilities, *, by: str = "grade") -> Scores:
    """Compute the certainty of probabilities; higher is more certain.

    Args:
        probabilities: Probabilities.
        by: A name in `CERTAINTIES`.

    Raises:
        ValueError: If there is no such name.
    """
    if by not in CERTAINTIES:
        raise ValueError(f"by must be one of {', '.join(CERTAINTIES)}, got {by!r}")
    if by == "grade":
        return np.asarray(probabilities.max(axis=1))
    if by == "referable":
        return np.asarray(np.abs(probabilities[:, REFERABLE:].sum(axis=1) - 0.5))
    apart = np.arange(GRADES) - expected_grade(probabilities)[:, None]
    return np.asarray(-(probabilities * apart**2).sum(axis=1))


CERTAINTIES: Final = {
    "grade": "probability of the likeliest grade",
    "spread": "minus the variance of the grade: a photograph between 0 and 4 is less sure than one between 1 and 2",
    "referable": "distance of the probability of referable disease from a half",
}
"""Ways to say how sure an answer is, and in words."""


def _point(grades: Grades, answered: Grades, refers: np.ndarray, *, kept: np.ndarray, limit: float) -> Abstention:
    ill = grades >= REFERABLE
    return Abstention(
        share=_share(~kept),
        certainty=limit,
        photographs=int(kept.sum()),
        accuracy=_share((grades == answered)[kept]),
        quadratic_kappa=kappa(grades[kept], answered[kept]),
        sensitivity=_share(refers[kept & ill]),
        specificity=_share(~refers[kept & ~ill]),
        sensitivity_of_all=_share((refers | ~kept)[ill]),
        referred=_share(refers | ~kept),
    )


def _share(answers: np.ndarray) -> float:
    return float(answers.mean()) if len(answers) else float("nan")
