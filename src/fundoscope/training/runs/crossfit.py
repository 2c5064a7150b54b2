"""Grades and decisions for out-of-fold predictions, each fold's by what was fitted on the other folds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fundoscope.arrays import Grades
from fundoscope.decide.calibrate import CUTTERS, fit_temperature, grade_from_cuts
from fundoscope.decide.heads import exceedance, expected_grade, outputs_of, probabilities
from fundoscope.decide.referral import decide_photo, fit_threshold
from fundoscope.grades import REFERABLE
from fundoscope.tables import PROBABILITIES


def cross_fit(
    frame: pd.DataFrame, grades: Grades, head: str, *, sensitivity: float, cuts: str = "kappa", votes: bool = False
) -> pd.DataFrame:
    """Calibrate out-of-fold predictions without letting a fold see its own grades.

    Temperature, grade cuts and referral threshold are those a release would be given, but fitted
    for each fold on the other folds: figures computed from the result flatter nobody.

    Args:
        frame: Predictions with `raw*` and `fold`.
        grades: Reference grade of each row, 0 to 4.
        head: The head that gave the raw outputs.
        sensitivity: For referable retinopathy, that the threshold is fitted to.
        cuts: How the cuts of the expected grade are set: a name in `decide.calibrate.CUTTERS`.
        votes: p0..p4 are the votes of neighbours: no temperature is fitted, they stay as they are.

    Returns:
        The table with p0..p4, p_referable, grade and decision. A single fold has no others: it is
        returned as it came.
    """
    folds = frame["fold"].to_numpy(dtype=np.int64)
    if len(np.unique(folds)) < 2:
        return frame
    raw = frame[[f"raw{k}" for k in range(outputs_of(head))]].to_numpy(np.float64)
    voted = frame[list(PROBABILITIES)].to_numpy(np.float64)
    answered = frame.assign(decision="")
    for fold in np.unique(folds):
        mine, others = folds == fold, folds != fold
        temperature = 1.0 if votes else fit_temperature(head, raw[others], grades[others])
        calibrated = voted if votes else probabilities(head, raw, temperature=temperature)
        fitted, given = calibrated[others], calibrated[mine]
        passes = CUTTERS[cuts](expected_grade(fitted), grades[others])
        positive = grades[others] >= REFERABLE
        threshold = fit_threshold(exceedance(fitted, REFERABLE), positive, sensitivity=sensitivity)
        referable = exceedance(given, REFERABLE)
        answered.loc[mine, [f"p{k}" for k in range(given.shape[1])]] = given
        answered.loc[mine, "p_referable"] = referable
        answered.loc[mine, "grade"] = grade_from_cuts(expected_grade(given), passes)
        answered.loc[mine, "decision"] = [decide_photo(float(share), True, threshold) for share in referable]
    return answered
