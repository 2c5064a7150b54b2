"""Put a system's probabilities right on held-out photographs, and say what that is worth on others.

Every figure is cross-fitted: whatever answers for a patient was fitted on the patients of the other folds. What is
handed on is then fitted on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.decide.calibrate import CUTTERS, Cuts, fit_temperature, grade_from_cuts
from fundoscope.decide.calibrators import Calibrator, cross_fit_predict
from fundoscope.decide.conformal import Conformal, Sets, fit_conformal
from fundoscope.decide.heads import exceedance, expected_grade, probabilities
from fundoscope.decide.held_out import NO_FOLD, HeldOut
from fundoscope.decide.referral import fit_threshold
from fundoscope.decide.rescale import calibrated, fit_calibrator
from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.agreement import Values
from fundoscope.evaluation.statistics.interval import Interval, Weights, patient_intervals
from fundoscope.evaluation.statistics.rates import ratio
from fundoscope.evaluation.statistics.reliability import brier_scores, calibration_errors, log_losses
from fundoscope.grades import GRADES, REFERABLE

FOLDS: Final = 5
"""Folds that patients are dealt into where the predictions have none that keep them together."""

Scores = Float[np.ndarray, "photo score"]
"""What a calibration reads: raw outputs of a head, or probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for."""

    method: str
    """A name in `rescale.METHODS`."""
    alpha: float = 0.1
    """Share of sets that may miss the reference grade."""
    by: str = ""
    """The column that thresholds of sets are told apart by; blank: none."""
    sensitivity: float = 0.9
    """Share of the referable photographs that the referral threshold is to find."""
    cutter: str = "kappa"
    """How the cuts of the expected grade are set: a name in `decide.calibrate.CUTTERS`."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted on one set of photographs."""

    temperature: float | None
    """Of the head, where that is what is calibrated."""
    calibrator: Calibrator | None
    cuts: Cuts


@dataclass(frozen=True, slots=True)
class Source:
    """What the predictions give to calibrate on, and how it is read."""

    given: Probabilities
    """What the system answered, before."""
    base: Probabilities
    """What a calibrator reads: probabilities before any other calibrator."""
    head: str = ""
    """Of a release whose temperature is fitted anew: a name in `decide.heads.HEADS`; blank: `base` is calibrated."""
    raw: RawOutput | None = None
    """Raw outputs, where `head` is given."""

    @property
    def scores(self) -> Scores:
        """What is fitted on."""
        return self.base if self.raw is None else self.raw

    def fit(self, scores: Scores, grades: Grades, wanted: Wanted) -> Fit:
        """Temperature or calibrator, and the cuts of what it gives."""
        if self.head:
            blank = Fit(fit_temperature(self.head, scores, grades), None, (0.0,) * 4)
        else:
            blank = Fit(None, fit_calibrator(wanted.method, scores, grades), (0.0,) * 4)
        return replace(blank, cuts=CUTTERS[wanted.cutter](expected_grade(self.apply(blank, scores)), grades))

    def apply(self, fit: Fit, scores: Scores) -> Probabilities:
        """Calibrated probabilities."""
        if fit.temperature is not None:
            return probabilities(self.head, scores, temperature=fit.temperature)
        return calibrated(scores, fit.calibrator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How the sets did on folds that their thresholds were not fitted on."""

    all: Interval
    """Share of the photographs whose set holds the reference grade."""
    groups: dict[str, Interval]
    grades: dict[int, tuple[float, int]]
    """By reference grade: share, and of how many photographs. Nothing is promised of it."""
    sizes: tuple[float, ...]
    """Share of the sets with 1, ..., 5 grades."""
    mean_size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was fitted on all, and the cross-fitted figures."""

    wanted: Wanted
    fit: Fit
    threshold: float
    """Referred from here on, of the probability of referable."""
    conformal: Conformal
    figures: dict[str, dict[str, Interval]]
    """By statistic: `before`, `after` (cross-fitted) and their difference, `change`, on the same draws of patients."""
    coverage: Coverage
    photographs: int
    patients: int
    folds: int
    own_folds: bool
    """The folds are the predictions' own; otherwise patients were dealt into folds here."""

    def warnings(self) -> tuple[str, ...]:
        """What the reader must be told."""
        told = list(self.conformal.warnings())
        if self.worse:
            told.append(
                f"Calibrated by {self.wanted.method}, the log loss on other patients is not better than before (see "
                "change): these photographs give no reason to change the probabilities so."
            )
        return tuple(told)

    @property
    def worse(self) -> bool:
        """Whether other patients' log loss rose, or stayed."""
        return bool(self.figures["log_loss"]["change"].estimate >= 0)


def calibrate(
    held: HeldOut, source: Source, wanted: Wanted, *, rng: np.random.Generator, resamples: int = 2000
) -> Calibration:
    """Fit on held-out photographs, and measure on each fold what was fitted on the others.

    Args:
        held: The photographs; with `wanted.by`, with their groups. Its probabilities are not looked at.
        source: What to calibrate, in the order of `held`.
        wanted: How.
        rng: Deals the folds where there are none, and draws patients.
        resamples: Draws of patients for each interval.

    Raises:
        BadTable: If there are too few patients, or a fold lacks what the method needs.
        ValueError: If an argument is out of range.
    """
    if not (held.grades >= REFERABLE).any():
        raise BadTable(
            f"predictions: expected photographs of grade {REFERABLE} or above, which set the referral threshold, got "
            f"none of {len(held.grades)}. Add some."
        )
    folds, own = folds_of(held, rng)
    try:
        fit = source.fit(source.scores, held.grades, wanted)
        crossed = cross_fit_predict(
            lambda scores, grades: source.fit(scores, grades, wanted),
            lambda found, scores: _answers(source, found, scores),
            source.scores,
            held.grades,
            folds,
        )
    except ValueError as problem:
        raise BadTable(
            f"predictions: expected photographs enough to fit {wanted.method} on each part of {len(np.unique(folds))} "
            f"folds, got too few: {problem}. Add photographs, or choose --method temperature."
        ) from None
    given = source.apply(fit, source.scores)
    after, answers = crossed[:, :GRADES], crossed[:, GRADES].astype(np.int64)
    fresh = replace(held, probabilities=after)
    sets = cross_sets(fresh, answers, folds, wanted)
    return Calibration(
        wanted=wanted,
        fit=fit,
        threshold=fit_threshold(exceedance(given, REFERABLE), held.grades >= REFERABLE, sensitivity=wanted.sensitivity),
        conformal=fit_conformal(fresh, alpha=wanted.alpha, by=wanted.by, answers=answers),
        figures=_figures(source.given, after, held, rng=rng, resamples=resamples),
        coverage=coverage_of(sets, fresh, rng=rng, resamples=resamples),
        photographs=len(held.grades),
        patients=len(np.unique(held.patients)),
        folds=len(np.unique(folds)),
        own_folds=own,
    )


def folds_of(held: HeldOut, rng: np.random.Generator) -> tuple[Int[np.ndarray, " photo"], bool]:
    """A fold for each photograph, a patient's all in one, and whether they are the predictions' own.

    Raises:
        BadTable: If there are fewer than `FOLDS` patients to be dealt.
    """
    names, owner = np.unique(held.patients, return_inverse=True)
    if held.folds is not None and (held.folds != NO_FOLD).all() and len(np.unique(held.folds)) > 1:
        together = len(set(zip(owner.tolist(), held.folds.tolist(), strict=True))) == len(names)
        if together:
            return held.folds, True
    if len(names) < FOLDS:
        raise BadTable(
            f"predictions: expected at least {FOLDS} patients, to fit on some and measure on others, got {len(names)}. "
            "Add patients; where the patient is not known, leave the column blank."
        )
    return (rng.permutation(len(names)) % FOLDS)[owner], False


def cross_sets(held: HeldOut, answers: Grades, folds: Int[np.ndarray, " photo"], wanted: Wanted) -> Sets:
    """The set of each photograph, by thresholds from the other folds."""
    sets = np.zeros((len(held.grades), GRADES), dtype=bool)
    for fold in np.unique(folds):
        mine = folds == fold
        found = fit_conformal(_part(held, ~mine), alpha=wanted.alpha, by=wanted.by, answers=answers[~mine])
        part = _part(held, mine)
        sets[mine] = found.sets(part.probabilities, groups=part.groups, answers=answers[mine])
    return sets


def coverage_of(sets: Sets, held: HeldOut, *, rng: np.random.Generator, resamples: int) -> Coverage:
    """How often the sets hold the reference grade, and how large they are."""
    holds = sets[np.arange(len(sets)), held.grades]
    names = np.array(held.groups, dtype=object)
    groups = {name: names == name for name in sorted(set(held.groups) - {""})}
    size = sets.sum(axis=1)
    return Coverage(
        all=_share(holds, held.patients, rng, resamples),
        groups={name: _share(holds[mine], held.patients[mine], rng, resamples) for name, mine in groups.items()},
        grades={
            grade: (float(holds[mine].mean()), int(mine.sum()))
            for grade in range(GRADES)
            if (mine := held.grades == grade).any()
        },
        sizes=tuple(float((size == count).mean()) for count in range(1, GRADES + 1)),
        mean_size=float(size.mean()),
    )


def _answers(source: Source, fit: Fit, scores: Scores) -> Float[np.ndarray, "photo 6"]:
    """Calibrated probabilities and, behind them, the grade answered."""
    given = source.apply(fit, scores)
    return np.column_stack([given, grade_from_cuts(expected_grade(given), fit.cuts)])


def _part(held: HeldOut, mine: np.ndarray) -> HeldOut:
    groups = tuple(np.array(held.groups, dtype=object)[mine]) if held.groups else ()
    return HeldOut(held.probabilities[mine], held.grades[mine], held.patients[mine], groups)


def _figures(
    before: Probabilities, after: Probabilities, held: HeldOut, *, rng: np.random.Generator, resamples: int
) -> dict[str, dict[str, Interval]]:
    measured: dict[str, Callable[[Weights, Probabilities, Grades], Values]] = {
        "log_loss": log_losses,
        "calibration_error": calibration_errors,
        "brier": brier_scores,
    }

    def statistics(weights: Weights) -> dict[str, Values]:
        found: dict[str, Values] = {}
        for name, compute in measured.items():
            old, new = compute(weights, before, held.grades), compute(weights, after, held.grades)
            found |= {f"{name} before": old, f"{name} after": new, f"{name} change": new - old}
        return found

    found = patient_intervals(statistics, held.patients, rng=rng, resamples=resamples)
    return {name: {when: found[f"{name} {when}"] for when in ("before", "after", "change")} for name in measured}


def _share(holds: np.ndarray, patients: np.ndarray, rng: np.random.Generator, resamples: int) -> Interval:
    def statistics(weights: Weights) -> dict[str, Any]:
        return {"share": ratio(weights @ holds.astype(np.float64), weights.sum(axis=1))}

    return patient_intervals(statistics, patients, rng=rng, resamples=resamples)["share"]
