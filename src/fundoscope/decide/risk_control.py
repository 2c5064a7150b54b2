"""A referral threshold that misses no more than a stated share of the diseased, on average: conformal risk control.

Angelopoulos, Bates, Fisch, Lei & Schuster, ICLR 2024 (arXiv 2208.02814): for a loss in [0, 1] that never falls as the
threshold rises, the largest threshold with n/(n + 1) * (mean loss of n) + 1/(n + 1) <= alpha has an expected loss of at
most alpha on the next one. The n are the *diseased* patients held out of everything that made the scores, and the next
is a diseased patient from where they came from.

It is a promise on average over the patients that set the threshold: of one threshold alone, the chance that it misses
more than alpha is about a half. Who must be sure of the one he uses wants `fundoscope commission`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int

from fundoscope.arrays import Scores
from fundoscope.decide.conformal import check_alpha, fewest_patients, lowest_threshold, worst_of_patients
from fundoscope.decide.heads import exceedance
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.referral import OperatingPoint, threshold_at
from fundoscope.grades import CUTS
from fundoscope.records import check_keys, is_number, is_whole_number

LOSSES: Final = {
    "patient": "a diseased patient none of whose photographs is referred",
    "photograph": "the share of a diseased patient's diseased photographs that are not referred",
}
"""What is kept below alpha, by the unit that is referred, and in words."""


PROMISE: Final = "Conformal risk control:"
"""Beginning of the sentence that says what a threshold promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskControl:
    """A threshold and what it promises."""

    cut: str
    """The question: a name in `grades.CUTS`."""
    alpha: float
    """Share of the diseased that may be missed, on average."""
    unit: str
    """A name in `LOSSES`."""
    threshold: float
    """Refer where the probability of the cut is at least this; 0 refers everybody."""
    patients: int
    """Diseased patients that set it."""
    missed: float
    """Loss on those themselves, in [0, alpha]."""
    out_of_fold: bool = False
    """Set on the networks of folds, not on the one that is released."""

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.cut not in CUTS:
            raise ValueError(f"cut must be one of {', '.join(CUTS)}, got {self.cut!r}")
        if self.unit not in LOSSES:
            raise ValueError(f"unit must be one of {', '.join(LOSSES)}, got {self.unit!r}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold!r}")
        # Written so that NaN is refused.
        if not 0 <= self.missed <= 1:
            raise ValueError(f"missed must lie between 0 and 1, got {self.missed!r}")

    @property
    def possible(self) -> bool:
        """Whether the patients are enough for anything but referring everybody."""
        return self.patients >= fewest_patients(self.alpha)

    def promise(self) -> str:
        """Return what the threshold promises, in one sentence."""
        return (
            f"{PROMISE} on average over samples of {self.patients} diseased patients, a threshold set as "
            f"this one misses at most {self.alpha:.1%} of the {self.cut.replace('_', ' ')} {self.unit}s; of this one "
            "threshold alone nothing is guaranteed (that is what fundoscope commission is for)."
        )

    def operating_point(self) -> OperatingPoint:
        """Return the operating point of a release."""
        return OperatingPoint(
            name=f"at most {self.alpha:.1%} of {self.cut.replace('_', ' ')} {self.unit}s missed on average",
            cut=self.cut,
            threshold=self.threshold,
            sensitivity=1 - self.alpha,
        )

    def warnings(self) -> tuple[str, ...]:
        """Return what a user of the threshold has to know."""
        warnings = []
        if not self.possible:
            warnings.append(
                f"{self.patients} diseased patients are too few to promise that at most {self.alpha:.1%} are missed "
                f"({fewest_patients(self.alpha)} are needed): the threshold refers everybody."
            )
        if self.out_of_fold:
            warnings.append(
                "The threshold was set on the networks of folds: the promise holds for the released one only so far as "
                "it misses no more than they."
            )
        return tuple(warnings)

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RiskControl:
        """Read back what `to_dict` wrote.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        check_keys(values, cls)
        for name in ("alpha", "threshold", "patients", "missed"):
            if not is_number(values[name]):
                raise ValueError(f"{name} of a risk control must be a number, got {values[name]!r}")
        if not is_whole_number(values["patients"]) or values["patients"] < 0:
            raise ValueError(f"patients must be a whole number, at least 0, got {values['patients']!r}")
        shares = {name: float(values[name]) for name in ("alpha", "threshold", "missed")}
        return cls(**{**values, **shares})


def fit_risk_control(
    held: HeldOut, *, alpha: float = 0.1, cut: str = "referable", unit: str = "patient"
) -> RiskControl:
    """Choose the largest threshold whose expected share of missed diseased is at most alpha.

    Args:
        held: Held-out photographs.
        alpha: Share that may be missed, between 0 and 1.
        cut: A name in `grades.CUTS`.
        unit: A name in `LOSSES`. "patient" refers a patient by the highest of all her photographs, as
            `referral.decide_patient` does, and she is diseased by her worst.

    Raises:
        ValueError: If nobody is diseased, or an argument is out of range.
    """
    check_alpha(alpha)
    if cut not in CUTS or unit not in LOSSES:
        raise ValueError(f"cut must be one of {', '.join(CUTS)} and unit one of {', '.join(LOSSES)}, got {cut}, {unit}")
    scores = exceedance(held.probabilities, CUTS[cut])
    positive = held.grades >= CUTS[cut]
    if not positive.any():
        raise ValueError(f"held-out photographs of grade {CUTS[cut]} or above are needed, got none")
    scores, patients = _diseased(held, scores, positive, unit)
    threshold = max(0.0, threshold_at(-lowest_threshold(-scores, patients, alpha)))
    owner, counts = np.unique(patients, return_inverse=True, return_counts=True)[1:]
    return RiskControl(
        cut=cut,
        alpha=alpha,
        unit=unit,
        threshold=threshold,
        patients=len(counts),
        missed=float(((scores < threshold) / counts[owner]).sum() / len(counts)),
        out_of_fold=held.out_of_fold,
    )


def _diseased(
    held: HeldOut, scores: Scores, positive: Bool[np.ndarray, " photo"], unit: str
) -> tuple[Float[np.ndarray, " unit"], Int[np.ndarray, " unit"]]:
    """Return the scores of what must not be missed, and the patient of each."""
    if unit == "photograph":
        return scores[positive], held.patients[positive]
    ill = np.isin(held.patients, held.patients[positive])
    highest = worst_of_patients(scores[ill], held.patients[ill])
    return highest, np.arange(len(highest))
