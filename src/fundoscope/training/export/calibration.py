"""What an exported release is calibrated to by its held-out predictions, for each task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from fundoscope.arrays import Grades, Probabilities
from fundoscope.decide.binary import fit_class_temperature, fit_sign
from fundoscope.decide.calibrate import CUTTERS, Cuts, answered_grades
from fundoscope.decide.calibrators import cross_fit_predict
from fundoscope.decide.conformal import GradeSets, fit_conformal
from fundoscope.decide.heads import expected_grade
from fundoscope.decide.held_out import NO_FOLD, HeldOut
from fundoscope.decide.readout import Readout, fit_readout
from fundoscope.decide.referral import OperatingPoint, fit_threshold
from fundoscope.errors import BadRelease
from fundoscope.runtime.tasks.dr_grade import REFERABLE_GRADES, referable, referable_probability
from fundoscope.tables import PROBABILITIES
from fundoscope.training.batches.targets import target_of
from fundoscope.training.runs.ensemble import Finished
from fundoscope.training.runs.predict import voting_of

ALPHA: Final = 0.1
"""Share of the sets of a new release that may miss the reference grade."""

FOLDS: Final = 5
"""Parts that patients are divided into where the predictions have no folds."""

Scores = Float[np.ndarray, "photo score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What a release's held-out predictions give it, as `release.json` holds it."""

    calibration: dict[str, Any]
    operating_point: dict[str, Any] = field(default_factory=dict)
    conformal: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """Sentences for the release's limits."""


def calibrate(finished: Finished) -> Calibrated:
    """Fit what stands between the network's raw output and its answers.

    Raises:
        BadRelease: If the held-out photographs show only one side of something that a threshold is to separate.
    """
    return _CALIBRATIONS[target_of(finished.experiment.data).kind](finished)


def _calibrate_grades(finished: Finished) -> Calibrated:
    experiment, answers = finished.experiment, finished.answers
    grades = finished.reference["grade"].to_numpy(np.int64)
    positive = referable(grades)
    if not positive.any():
        raise BadRelease(
            f"{finished.where}: expected photographs of {REFERABLE_GRADES}, which set the referral threshold, got "
            "none. Add such photographs to the split that is validated on, or cross-validate with data.folds"
        )
    votes = voting_of(experiment.release) is not None
    scores = answers[list(PROBABILITIES)].to_numpy(np.float64) if votes else _raw(finished)
    release = experiment.release
    reader = Calibrating(None if votes else experiment.network.head, release.cuts, release.score)
    try:
        readout, cuts = fitted = reader.fit(scores, grades)
    except ValueError as problem:
        raise BadRelease(
            f"{finished.where}: expected held-out predictions that the release can be calibrated on, got: {problem}. "
            "Add photographs, or train longer"
        ) from None
    by_grade = reader.apply(fitted, scores)[:, :-1]
    sets = fit_grade_sets(reader, scores, finished.reference, answers)
    sensitivity = release.sensitivity
    point = OperatingPoint(
        name=_point_name(finished),
        cut="referable",
        threshold=fit_threshold(referable_probability(by_grade), positive, sensitivity=sensitivity),
        sensitivity=sensitivity,
    )
    return Calibrated(
        calibration={"temperature": 1.0} | ({} if readout is None else readout.to_dict()) | {"grade_cuts": list(cuts)},
        operating_point=point.to_dict(),
        conformal=sets.to_dict(),
        warnings=tuple(sets.thresholds.warnings()),
    )


def _calibrate_signs(finished: Finished) -> Calibrated:
    target = target_of(finished.experiment.data)
    raw, reference = _raw(finished), target.values(finished.reference).astype(np.float64)
    temperatures, thresholds = {}, {}
    for k, label in enumerate(target.names):
        try:
            temperatures[label], thresholds[label] = fit_sign(
                raw[:, k], reference[:, k], sensitivity=finished.experiment.release.sensitivity
            )
        except ValueError as problem:
            raise BadRelease(
                f"{finished.where}: expected held-out photographs with and without {label}, which set its threshold: "
                f"{problem}. Add such photographs, or leave the sign out of data.labels"
            ) from None
    return Calibrated(
        calibration={"temperatures": temperatures},
        operating_point={"name": f"{_point_name(finished)} for each sign", "thresholds": thresholds},
    )


def _calibrate_classes(finished: Finished) -> Calibrated:
    classes = target_of(finished.experiment.data).values(finished.reference)
    return Calibrated(calibration={"temperature": fit_class_temperature(_raw(finished), classes)})


_CALIBRATIONS: Final[dict[str, Callable[[Finished], Calibrated]]] = {
    "grade": _calibrate_grades,
    "signs": _calibrate_signs,
    "classes": _calibrate_classes,
}


def _raw(finished: Finished) -> Scores:
    """Return raw outputs of the held-out photographs."""
    experiment = finished.experiment
    target = target_of(experiment.data)
    outputs = target.task.outputs(experiment.network.head, target.names)
    return finished.answers[[f"raw{k}" for k in range(outputs)]].to_numpy(np.float64)


def _point_name(finished: Finished) -> str:
    return f"{finished.kind} sensitivity {finished.experiment.release.sensitivity:.0%}"


@dataclass(frozen=True, slots=True)
class Calibrating:
    """How held-out scores become grades: a readout, then cuts."""

    head: str | None
    """The scores are this head's raw outputs; None: they are probabilities, which are read as they are."""
    cutter: str
    """A name in `decide.calibrate.CUTTERS`."""
    score: str = "cut"
    """What referable disease is read from: a name in `decide.readout.SCORES`."""

    def fit(self, scores: Scores, grades: Grades) -> tuple[Readout | None, Cuts]:
        """Return the readout (None of probabilities) and cuts of held-out photographs."""
        readout = None if self.head is None else fit_readout(self.head, scores, grades, score=self.score)
        return readout, CUTTERS[self.cutter](expected_grade(_read(readout, scores)), grades)

    def apply(self, fitted: tuple[Readout | None, Cuts], scores: Scores) -> Float[np.ndarray, "photo 6"]:
        """Return probabilities and, behind them, the grade answered."""
        by_grade = _read(fitted[0], scores)  # (photo, 5)
        return np.column_stack([by_grade, answered_grades(by_grade, fitted[1])])


def _read(readout: Readout | None, scores: Scores) -> Probabilities:
    return scores if readout is None else readout.probabilities(scores)


def fit_grade_sets(
    calibrating: Calibrating, scores: Scores, reference: pd.DataFrame, answers: pd.DataFrame
) -> GradeSets:
    """Return sets that begin with the answered grade, from scores whose readout and cuts are of other patients.

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
    by_grade, answered = crossed[:, :-1], crossed[:, -1].astype(np.int64)  # (photo, 5), (photo,)
    held = HeldOut(by_grade, grades, units, folds=folds)
    return GradeSets(fit_conformal(held, alpha=ALPHA, answers=answered), from_answer=True)


def _parts(folds: Int[np.ndarray, " photo"] | None, units: Int[np.ndarray, " photo"]) -> Int[np.ndarray, " photo"]:
    """Return the predictions' folds, or patients in turn."""
    if folds is not None and len(np.unique(folds)) > 1:
        return folds
    return np.asarray(np.unique(units, return_inverse=True)[1] % FOLDS)
