"""Answers for out-of-fold predictions, each fold's by what was fitted on the other folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.decide.binary import class_probabilities, fit_class_temperature, fit_sign, sign_probabilities
from fundoscope.decide.calibrate import CUTTERS, answered_grades
from fundoscope.decide.heads import expected_grade, outputs_of
from fundoscope.decide.readout import fit_readout
from fundoscope.decide.referral import decide_photo, fit_threshold
from fundoscope.errors import BadTable
from fundoscope.runtime.tasks.dr_grade import referable, referable_probability
from fundoscope.runtime.tasks.signs import UNCALIBRATED_THRESHOLD, sign_columns
from fundoscope.tables import PROBABILITIES
from fundoscope.training.batches.targets import Values, target_of
from fundoscope.training.experiment.schema import Experiment


def cross_fit_answers(frame: pd.DataFrame, reference: Values, experiment: Experiment) -> pd.DataFrame:
    """Calibrate a run's out-of-fold predictions, whatever it learnt, without letting a fold see its own reference.

    Args:
        frame: Predictions with `raw*` and `fold`.
        reference: What each row was to be learnt as (`Target.values`).
        experiment: Says what was learnt, and how grades and thresholds are set.

    Returns:
        The table with the task's columns. A single fold has no others: it is returned as it came.
    """
    target, release = target_of(experiment.data), experiment.release
    if target.kind == "signs":
        return cross_fit_signs(frame, reference, target.names, sensitivity=release.sensitivity)
    if target.kind == "classes":
        return cross_fit_classes(frame, reference, target.names)
    votes, head = release.neighbours > 0, experiment.network.head
    return cross_fit(
        frame, reference, head, sensitivity=release.sensitivity, cuts=release.cuts, score=release.score, votes=votes
    )


def cross_fit_signs(
    frame: pd.DataFrame, reference: Values, labels: Sequence[str], *, sensitivity: float
) -> pd.DataFrame:
    """Return signs of out-of-fold predictions: each fold's by temperatures and thresholds of the other folds.

    A sign that the other folds have nowhere or everywhere stays uncalibrated.

    Args:
        frame: Predictions with `raw*` and `fold`.
        reference: 1, 0 or NaN (unknown) for each row and sign.
        labels: Names of the signs.
        sensitivity: For each sign, that its threshold is fitted to.
    """
    folds, raw = _folds(frame), _raw(frame, len(labels))
    by_label, present = sign_probabilities(raw, (1.0,) * len(labels)), np.zeros(raw.shape, dtype=bool)
    if len(np.unique(folds)) < 2:
        return frame
    for fold in np.unique(folds):
        of_fold, others = folds == fold, folds != fold
        for k in range(len(labels)):
            temperature, threshold = 1.0, UNCALIBRATED_THRESHOLD
            if len(np.unique(reference[others, k][~np.isnan(reference[others, k])])) == 2:
                temperature, threshold = fit_sign(raw[others, k], reference[others, k], sensitivity=sensitivity)
            by_label[of_fold, k] = sign_probabilities(raw[of_fold, k : k + 1], (temperature,))[:, 0]
            present[of_fold, k] = by_label[of_fold, k] >= threshold
    return frame.assign(**sign_columns(labels, by_label, present))


def cross_fit_classes(frame: pd.DataFrame, reference: Values, labels: Sequence[str]) -> pd.DataFrame:
    """Return probabilities of classes of out-of-fold predictions, each fold's by the temperature of the other folds."""
    folds, raw = _folds(frame), _raw(frame, len(labels))
    if len(np.unique(folds)) < 2:
        return frame
    by_label = np.empty(raw.shape)
    for fold in np.unique(folds):
        of_fold, others = folds == fold, folds != fold
        by_label[of_fold] = class_probabilities(raw[of_fold], fit_class_temperature(raw[others], reference[others]))
    return frame.assign(**{f"p_{label}": column for label, column in zip(labels, by_label.T, strict=True)})


def _folds(frame: pd.DataFrame) -> Int[np.ndarray, " photo"]:
    return frame["fold"].to_numpy(dtype=np.int64)


def _raw(frame: pd.DataFrame, outputs: int) -> RawOutput:
    return frame[[f"raw{k}" for k in range(outputs)]].to_numpy(np.float64)


def cross_fit(
    frame: pd.DataFrame,
    grades: Grades,
    head: str,
    *,
    sensitivity: float,
    cuts: str = "kappa",
    score: str = "cut",
    votes: bool = False,
) -> pd.DataFrame:
    """Calibrate out-of-fold predictions without letting a fold see its own grades.

    Readout, grade cuts and referral threshold are those a release would be given, but fitted
    for each fold on the other folds: figures computed from the result flatter nobody.

    Args:
        frame: Predictions with `raw*` and `fold`.
        grades: Reference grade of each row, 0 to 4.
        head: The head that gave the raw outputs.
        sensitivity: For referable retinopathy, that the threshold is fitted to.
        cuts: How the cuts of the expected grade are set: a name in `decide.calibrate.CUTTERS`.
        score: What referable disease is read from: a name in `decide.readout.SCORES`.
        votes: p0..p4 are the votes of neighbours: nothing is fitted to them, they stay as they are.

    Returns:
        The table with p0..p4, p_referable, grade and decision. A single fold has no others: it is
        returned as it came.

    Raises:
        BadTable: If the other folds of one cannot set a readout.
    """
    folds = _folds(frame)
    if len(np.unique(folds)) < 2:
        return frame
    raw = _raw(frame, outputs_of(head))
    voted = frame[list(PROBABILITIES)].to_numpy(np.float64)
    answered = frame.assign(decision="")
    for fold in np.unique(folds):
        of_fold, others = folds == fold, folds != fold
        calibrated = voted if votes else _read_out(head, raw, grades, others, score, fold=int(fold))
        fitted, held_out = calibrated[others], calibrated[of_fold]
        passes = CUTTERS[cuts](expected_grade(fitted), grades[others])
        positive = referable(grades[others])
        threshold = fit_threshold(referable_probability(fitted), positive, sensitivity=sensitivity)
        p_referable = referable_probability(held_out)
        answered.loc[of_fold, list(PROBABILITIES)] = held_out
        answered.loc[of_fold, "p_referable"] = p_referable
        fold_grades = answered_grades(held_out, passes)
        answered.loc[of_fold, "grade"] = fold_grades
        answered.loc[of_fold, "decision"] = [
            decide_photo(float(value), True, threshold, int(grade))
            for value, grade in zip(p_referable, fold_grades, strict=True)
        ]
    return answered


def _read_out(
    head: str, raw: RawOutput, grades: Grades, fitted_on: Bool[np.ndarray, " photo"], score: str, *, fold: int
) -> Probabilities:
    """Return probabilities of all rows by a readout that was fitted on some of them."""
    try:
        readout = fit_readout(head, raw[fitted_on], grades[fitted_on], score=score)
    except ValueError as problem:
        raise BadTable(
            f"fold {fold}: expected predictions of the other folds that a readout can be fitted on, got: {problem}. "
            "Train longer, or set release.score=cut"
        ) from None
    return readout.probabilities(raw)
