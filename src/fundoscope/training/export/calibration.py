"""What an exported release is calibrated to, and the sets of grades that its held-out predictions promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from fundoscope.arrays import Grades, Probabilities
from fundoscope.decide.calibrate import CUTTERS, Cuts, fit_temperature, grade_from_cuts
from fundoscope.decide.calibrators import cross_fit_predict
from fundoscope.decide.conformal import fit_conformal
from fundoscope.decide.heads import expected_grade, probabilities
from fundoscope.decide.held_out import NO_FOLD, HeldOut
from fundoscope.grades import GRADES
from fundoscope.runtime.tasks.grade_sets import GradeSets

ALPHA: Final = 0.1
"""Share of the sets of a new release that may miss the reference grade."""

FOLDS: Final = 5
"""Parts that patients are dealt into where the predictions have no folds."""

Scores = Float[np.ndarray, "photo score"]


@dataclass(frozen=True, slots=True)
class Calibrating:
    """How held-out scores become grades: a temperature, then cuts."""

    head: str | None
    """The scores are this head's raw outputs; None: they are probabilities, which have no temperature."""
    cutter: str
    """A name in `decide.calibrate.CUTTERS`."""

    def fit(self, scores: Scores, grades: Grades) -> tuple[float, Cuts]:
        """Temperature (1 of probabilities) and cuts of held-out photographs."""
        temperature = 1.0 if self.head is None else fit_temperature(self.head, scores, grades)
        return temperature, CUTTERS[self.cutter](expected_grade(self._given(temperature, scores)), grades)

    def apply(self, found: tuple[float, Cuts], scores: Scores) -> Float[np.ndarray, "photo 6"]:
        """Probabilities and, behind them, the grade answered."""
        given = self._given(found[0], scores)
        return np.column_stack([given, grade_from_cuts(expected_grade(given), found[1])])

    def _given(self, temperature: float, scores: Scores) -> Probabilities:
        return scores if self.head is None else probabilities(self.head, scores, temperature=temperature)


def fit_grade_sets(
    calibrating: Calibrating, scores: Scores, reference: pd.DataFrame, answers: pd.DataFrame
) -> GradeSets:
    """Sets that begin with the answered grade, from scores whose temperature and cuts are of other patients.

    Args:
        calibrating: How the release reads scores.
        scores: Of held-out photographs, none of which the network (or the fold's network) was trained on.
        reference: Their `grade` and the number `unit` of their patient.
        answers: Their predictions; `fold` where there are folds.
    """
    grades, units = reference["grade"].to_numpy(np.int64), reference["unit"].to_numpy(np.int64)
    folds = answers["fold"].fillna(NO_FOLD).to_numpy(np.int64) if "fold" in answers else None
    parts = _parts(folds, units)
    if len(np.unique(parts)) > 1:
        crossed = cross_fit_predict(calibrating.fit, calibrating.apply, scores, grades, parts)
    else:
        crossed = calibrating.apply(calibrating.fit(scores, grades), scores)
    held = HeldOut(crossed[:, :GRADES], grades, units, folds=folds)
    return GradeSets(fit_conformal(held, alpha=ALPHA, answers=crossed[:, GRADES].astype(np.int64)), from_answer=True)


def _parts(folds: Int[np.ndarray, " photo"] | None, units: Int[np.ndarray, " photo"]) -> Int[np.ndarray, " photo"]:
    """The predictions' folds, or patients in turn."""
    if folds is not None and len(np.unique(folds)) > 1:
        return folds
    return np.asarray(np.unique(units, return_inverse=True)[1] % FOLDS)
