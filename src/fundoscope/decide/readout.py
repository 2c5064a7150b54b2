"""How the raw outputs of a head become probabilities: a temperature and, of heads with cuts, a score of referral.

The second cut alone asks whether the grade is referable. The mean of all four cut logits asks the same question of
every weight that the head has learnt. Whichever is chosen gives the probability of referable disease, its ranking, the
referral threshold and what is calibrated: there is no second score beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.decide.calibrate import LIKELIHOOD_FLOOR, best_temperature, fit_temperature
from fundoscope.decide.calibrators import Platt, fit_platt
from fundoscope.decide.heads import CUT_HEADS, probabilities
from fundoscope.grades import REFERABLE

SCORES: Final = {
    "cut": "the cut between grades 1 and 2",
    "mean": "the mean of the four cut logits",
}
"""What the probability of referable disease is read from, and in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """How a head's raw outputs become probabilities."""

    head: str
    """A name in `heads.HEADS`."""
    temperature: float
    referral: Platt | None = None
    """Curve of the mean cut logit that gives the probability of referable disease; None: the second cut does, or
    whatever the head has."""

    def __post_init__(self) -> None:
        if self.referral is not None and not self.referral.slope > 0:
            raise ValueError(f"slope of a referral score must be above 0, got {self.referral.slope}")
        if self.referral is not None and self.head not in CUT_HEADS:
            raise ValueError(f"a referral score needs a head with cuts ({', '.join(CUT_HEADS)}), got {self.head!r}")

    def probabilities(self, raw: RawOutput) -> Probabilities:
        """Compute the probability of each grade (photo, 5). Raises as `heads.probabilities`."""
        if self.referral is None:
            return probabilities(self.head, raw, temperature=self.temperature)
        logits = self.referral.slope * raw.astype(np.float64).mean(axis=1) + self.referral.intercept
        return probabilities(self.head, raw, temperature=self.temperature, referral=logits)

    @property
    def score(self) -> str:
        """What referable disease is read from: a name in `SCORES`."""
        return "cut" if self.referral is None else "mean"

    @property
    def words(self) -> str:
        """What referable disease is read from, in words."""
        return SCORES[self.score] if self.head in CUT_HEADS else "the probabilities of the grades"

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
    rows = np.arange(len(grades))

    def loss(candidate: float) -> float:
        readout = Readout(head=head, temperature=candidate, referral=curve)
        likelihood = readout.probabilities(raw)[rows, grades]
        return -float(np.log(np.maximum(likelihood, LIKELIHOOD_FLOOR)).mean())

    return Readout(head=head, temperature=best_temperature(loss), referral=curve)
