"""RetinaScan's calibration as a preset: a temperature for its prototypes, one for its cuts, four tuned thresholds.

Its ordinal temperature calibrates the cuts' probabilities and changes no grade: grades come from counting the cuts
that pass, and dividing a logit moves none across 0. It was tuned for kappa there all the same. What it
tuned and reported on one and the same validation set is fitted here on held-out photographs and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.decide.calibrate import fit_temperature
from fundoscope.decide.cut_thresholds import count_passed, fit_cut_thresholds
from fundoscope.decide.heads import probabilities
from fundoscope.grades import GRADES
from fundoscope.records import check_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class RetinaScanCalibration:
    """Both temperatures and the thresholds of the cuts."""

    prototype_temperature: float
    ordinal_temperature: float
    """Changes no grade: it touches `cut_probabilities` only."""
    thresholds: tuple[float, ...]
    """In logits as the network gives them, before the temperature; a cut passes above its own."""

    def __post_init__(self) -> None:
        for name in ("prototype_temperature", "ordinal_temperature"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a number above 0, got {getattr(self, name)}")
        if len(self.thresholds) != GRADES - 1 or not np.isfinite(self.thresholds).all():
            raise ValueError(f"thresholds must be {GRADES - 1} finite numbers, got {self.thresholds}")

    def prototype_probabilities(self, scores: RawOutput) -> Probabilities:
        """Return probabilities from the five prototype scores."""
        return probabilities("prototype", scores, temperature=self.prototype_temperature)

    def cut_probabilities(self, logits: RawOutput) -> Probabilities:
        """Return probabilities from the four cut logits."""
        return probabilities("cumulative", logits, temperature=self.ordinal_temperature)

    def grade(self, logits: RawOutput) -> Grades:
        """Grade from the four cut logits: how many pass."""
        return count_passed(logits, np.array(self.thresholds))

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return asdict(self) | {"thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RetinaScanCalibration:
        """Read back what `to_dict` wrote.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        check_keys(values, cls)
        return cls(**{**values, "thresholds": tuple(float(threshold) for threshold in values["thresholds"])})


def fit_retinascan(
    scores: Float[np.ndarray, "photo 5"], logits: Float[np.ndarray, "photo 4"], grades: Grades
) -> RetinaScanCalibration:
    """Fit both temperatures by likelihood, and for each cut the threshold with the best F1.

    Args:
        scores: *Held-out* prototype scores (photo, 5), never of photographs that were trained on.
        logits: Their cut logits (photo, 4).
        grades: Reference grades, 0 to 4.

    Raises:
        ValueError: As `calibrate.fit_temperature`.
    """
    return RetinaScanCalibration(
        prototype_temperature=fit_temperature("prototype", scores, grades),
        ordinal_temperature=fit_temperature("cumulative", logits, grades),
        thresholds=tuple(fit_cut_thresholds(logits, grades).tolist()),
    )
