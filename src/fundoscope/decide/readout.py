"""How the raw outputs of a head become probabilities: a temperature and, of heads with cuts, a score of referral.

The second cut alone asks whether the grade is referable. The mean of all four cut logits asks the same question of
every weight that the head has learnt. Whichever is chosen gives the probability of referable disease, its ranking, the
referral threshold and what is calibrated: there is no second score beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Grades, Probabilities, RawOutput, Scores
from fundoscope.decide.calibrate import LIKELIHOOD_FLOOR, best_temperature, fit_temperature
from fundoscope.decide.calibrators import LARGEST_PARAMETER, fit_platt
from fundoscope.decide.heads import CUT_HEADS, outputs_of, probabilities
from fundoscope.grades import GRADES, REFERABLE
from fundoscope.records import is_number

SCORES: Final = {
    "cut": "the cut between grades 1 and 2",
    "mean": "the mean of the four cut logits",
}
"""What the probability of referable disease is read from, and in words."""


@dataclass(frozen=True, slots=True)
class ReferralScore:
    """The logit of referable disease: a weighted sum of the cut logits, plus an offset."""

    weights: tuple[float, ...]
    """One for each cut, none below 0 and one at least above: more disease at any cut never lowers the score."""
    offset: float

    def __post_init__(self) -> None:
        # Written so that NaN is none of them.
        bounded = all(0 <= weight <= LARGEST_PARAMETER for weight in self.weights)
        if len(self.weights) != GRADES - 1 or not bounded or not any(self.weights):
            raise ValueError(f"weights must be {GRADES - 1} numbers, none below 0 and not all 0, got {self.weights}")
        if not abs(self.offset) <= LARGEST_PARAMETER:
            raise ValueError(f"offset must be a number, got {self.offset}")

    def logits(self, raw: RawOutput) -> Scores:
        """Return the logit of referable disease of each photograph."""
        return np.asarray(raw.astype(np.float64) @ np.asarray(self.weights) + self.offset)

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {"weights": list(self.weights), "offset": self.offset}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ReferralScore:
        """Read back what `to_dict` wrote.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        if set(values) != {"weights", "offset"}:
            raise ValueError(f"a referral score needs weights and offset, got {', '.join(sorted(values)) or 'nothing'}")
        weights, offset = values["weights"], values["offset"]
        if not isinstance(weights, list | tuple) or not all(map(is_number, weights)) or not is_number(offset):
            raise ValueError(f"weights and offset of a referral score must be numbers, got {weights!r} and {offset!r}")
        return cls(tuple(float(weight) for weight in weights), float(offset))


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """How a head's raw outputs become probabilities."""

    head: str
    """A name in `heads.HEADS`."""
    temperature: float
    referral: ReferralScore | None = None
    """Gives the probability of referable disease; None: the second cut does, or whatever the head has."""

    def probabilities(self, raw: RawOutput) -> Probabilities:
        """Compute the probability of each grade (photo, 5). Raises as `heads.probabilities`."""
        referral = None if self.referral is None else self.referral.logits(raw)
        return probabilities(self.head, raw, temperature=self.temperature, referral=referral)

    @property
    def score(self) -> str:
        """What referable disease is read from: a name in `SCORES`."""
        return "cut" if self.referral is None else "mean"

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold; the head is known elsewhere."""
        values: dict[str, Any] = {"temperature": self.temperature}
        return values if self.referral is None else values | {"referral_score": self.referral.to_dict()}


def fit_readout(head: str, raw: RawOutput, grades: Grades, *, score: str = "cut") -> Readout:
    """Fit the score of referral, then the temperature that makes the reference grades likeliest beside it.

    Args:
        head: A name in `heads.HEADS`; one with cut logits for the score "mean".
        raw: *Held-out* raw outputs, never those the model was trained on.
        grades: Reference grade of each photograph, 0 to 4.
        score: A name in `SCORES`.

    Raises:
        ValueError: As `calibrate.fit_temperature`; if the score is unknown or the head has no cuts for it; if all
            photographs lie on one side of the referable cut, or the mean ranks them worse than chance.
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
    temperature = fit_temperature(head, raw, grades)
    if score == "cut":
        return Readout(head=head, temperature=temperature)
    if head not in CUT_HEADS:
        raise ValueError(f"the mean of the cut logits needs a head with cuts ({', '.join(CUT_HEADS)}), got {head!r}")
    curve = fit_platt(raw.astype(np.float64).mean(axis=1), grades >= REFERABLE)
    if curve.slope == 0:
        raise ValueError("the mean of the cut logits ranks these photographs worse than chance")
    cuts = outputs_of(head)
    referral = ReferralScore((curve.slope / cuts,) * cuts, curve.intercept)
    logits, rows = referral.logits(raw), np.arange(len(grades))

    def loss(candidate: float) -> float:
        likelihood = probabilities(head, raw, temperature=candidate, referral=logits)[rows, grades]
        return -float(np.log(np.maximum(likelihood, LIKELIHOOD_FLOOR)).mean())

    return Readout(head=head, temperature=best_temperature(loss), referral=referral)
