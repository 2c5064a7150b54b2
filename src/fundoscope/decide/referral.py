"""What is to be done: refer, rescreen, or say that it cannot be graded.

From photograph to eye to patient the worst answer wins, and a photograph that cannot be graded
never counts as a healthy one. One that cannot be graded but would be referred if it could be is referred for that:
national screening programmes refer what is ungradable, and a retina full of blood shows no vessels to a gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from fundoscope.arrays import Scores
from fundoscope.grades import (
    CANNOT_GRADE,
    CANNOT_GRADE_REFER,
    CUTS,
    DECISIONS,
    REFER,
    REFERABLE,
    RESCREEN,
)
from fundoscope.records import is_number


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Where the probability is cut into yes and no."""

    name: str
    """What it was chosen for, in words."""
    cut: str = "referable"
    """The question answered: a name in `grades.CUTS`."""
    threshold: float
    """Yes where the probability of the cut is at least this, in [0, 1]."""
    sensitivity: float | None = None
    """Sensitivity wanted when the threshold was fitted, in (0, 1]; None: set by hand."""

    def __post_init__(self) -> None:
        if self.cut not in CUTS:
            raise ValueError(f"cut must be one of {', '.join(CUTS)}, got {self.cut!r}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold!r}")
        if self.sensitivity is not None and not 0 < self.sensitivity <= 1:
            raise ValueError(f"sensitivity must lie above 0 and at most at 1, got {self.sensitivity!r}")

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OperatingPoint:
        """Read back what `to_dict` wrote.

        Raises:
            ValueError: If a key is unknown or missing, or a value is out of range; it names the key.
        """
        names = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(
                f"operating point has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(names))}"
            )
        if missing := [key for key in ("name", "threshold") if values.get(key) is None]:
            raise ValueError(f"operating point lacks {', '.join(missing)}")
        numbers = {key: values[key] for key in ("threshold", "sensitivity") if values.get(key) is not None}
        for key, value in numbers.items():
            if not is_number(value):
                raise ValueError(f"{key} of an operating point must be a number, got {value!r}")
        for key in ("name", "cut"):
            if not isinstance(values.get(key, ""), str):
                raise ValueError(f"{key} of an operating point must be text, got {values[key]!r}")
        return cls(**{**values, **{key: float(value) for key, value in numbers.items()}})


SCORE_TOLERANCE: Final = 1e-5
"""By how much a threshold is set below the score that it is read from, or above it for sets of grades. Predictions
tables hold six decimals, and two processors agree in about as many: without it a release can miss the very photograph
that set its threshold."""


def threshold_at(score: float) -> float:
    """Return the threshold that finds this score whenever it is computed again; infinite scores stay what they are."""
    return max(0.0, score - SCORE_TOLERANCE) if score > 0 else score


def fit_threshold(scores: Scores, positive: Bool[np.ndarray, " photo"], *, sensitivity: float) -> float:
    """Choose the largest threshold that still finds the wanted share of the positives (`score >= threshold`).

    It lies `SCORE_TOLERANCE` below the score that sets it, so that the share is found again on other computers.

    Args:
        scores: Probability of each *held-out* photograph, never of those the model was trained on.
        positive: True where the reference says yes.
        sensitivity: Share of the positives to be found at least, in (0, 1].

    Raises:
        ValueError: If nothing is positive, a score is not finite or the sensitivity no proportion.

    Example:
        >>> fit_threshold(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, True, True]), sensitivity=0.6)
        0.59999
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity must lie above 0 and at most at 1, got {sensitivity}")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite, got {int((~np.isfinite(scores)).sum())} that are not")
    positive_scores = np.sort(scores[positive])[::-1]
    if len(positive_scores) == 0:
        raise ValueError("a positive photograph is needed to fit a threshold, got none")
    shares = np.arange(1, len(positive_scores) + 1) / len(positive_scores)
    return threshold_at(float(positive_scores[np.argmax(shares >= sensitivity - 1e-12)]))


def decide_photo(p_referable: float, gradable: bool, threshold: float, grade: int | None = None) -> str:
    """Decide for one photograph; refer at the threshold itself, and a referable grade whatever the threshold.

    A photograph that is answered "moderate" and "no sign of referable retinopathy" would be read by the healthier half.

    Args:
        p_referable: Probability that it is referable, in [0, 1]. Of a photograph that is not gradable it is not
            calibrated: it may add a referral, and takes none back. NaN where the network was not run on it.
        gradable: Whether it is good enough.
        threshold: Refer from this probability on, gradable or not.
        grade: The grade answered; None: none is.

    Raises:
        ValueError: If the photograph is gradable and the probability no number in [0, 1].
    """
    if not gradable:
        return CANNOT_GRADE_REFER if p_referable >= threshold else CANNOT_GRADE
    if not 0 <= p_referable <= 1:
        raise ValueError(f"p_referable must lie between 0 and 1, got {p_referable}")
    return REFER if p_referable >= threshold or (grade is not None and grade >= REFERABLE) else RESCREEN


def decide_eye(decisions: Sequence[str]) -> str:
    """Decide for an eye from the decisions for its photographs.

    Refer if any refers, with a grade or, if none has one, without; else rescreen if any could be graded; else it cannot
    be graded.

    Raises:
        ValueError: If there are none, or one is not in `DECISIONS`.
    """
    return _first_of((REFER, CANNOT_GRADE_REFER, RESCREEN, CANNOT_GRADE), decisions, "photograph")


def decide_patient(decisions: Sequence[str]) -> str:
    """Decide for a patient from the decisions for the eyes: the worst eye's.

    Refer if any refers, with a grade or, if none has one, without; else it cannot be graded if any eye cannot; else
    rescreen.

    Raises:
        ValueError: As `decide_eye`.
    """
    return _first_of(DECISIONS, decisions, "eye")


def _first_of(order: Sequence[str], decisions: Sequence[str], what: str) -> str:
    unknown = sorted(set(decisions) - set(DECISIONS))
    if unknown:
        raise ValueError(f"decisions must be among {', '.join(map(repr, DECISIONS))}, got {unknown[0]!r}")
    if not decisions:
        raise ValueError(f"at least one {what} is needed, got none")
    return next(decision for decision in order if decision in decisions)
