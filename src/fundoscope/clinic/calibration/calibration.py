"""Calibrate a system's probabilities on held-out photographs, and estimate what that is worth on others.

Every figure is cross-fitted: whatever answers for a patient was fitted on the patients of the other folds. What is
handed on is then fitted on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int

from fundoscope.arrays import Grades, Probabilities
from fundoscope.clinic.calibration.source import Fit, Scores, Settings, Source
from fundoscope.decide.calibrate import answered_grades
from fundoscope.decide.calibrators import cross_fit_predict
from fundoscope.decide.conformal import Conformal, Sets, fit_conformal
from fundoscope.decide.heads import exceedance
from fundoscope.decide.held_out import NO_FOLD, HeldOut
from fundoscope.decide.referral import fit_threshold
from fundoscope.decide.risk_control import RiskControl, fit_risk_control
from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.agreement import Values, agreement_statistics, confusions
from fundoscope.evaluation.statistics.interval import Interval, Weights, patient_intervals
from fundoscope.evaluation.statistics.rates import wilson
from fundoscope.evaluation.statistics.reliability import (
    brier_scores,
    calibration_errors,
    log_losses,
    without_interval,
)
from fundoscope.evaluation.statistics.sums import ratio
from fundoscope.grades import GRADES, REFERABLE

FOLDS: Final = 5
"""Folds that patients are divided into where the predictions have none that keep them together."""

FIGURE_NAMES: Final = {
    "log_loss": "log loss",
    "calibration_error": "calibration error of the likeliest grade",
    "brier": "Brier score",
    "accuracy": "accuracy of the grade answered",
    "quadratic_kappa": "quadratic kappa of the grade answered",
}
"""What is measured before and after, and in words."""

HIGHER_IS_BETTER: Final = ("accuracy", "quadratic_kappa")

UNCHANGED: Final = 1e-9
"""Changes up to this are of arithmetic."""

Folds = tuple[Int[np.ndarray, " photo"], bool]
"""Number of each photograph's fold, and whether the folds are the predictions' own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How the sets did on folds that their thresholds were not fitted on."""

    all: Interval
    """Share of the sets that hold the reference grade, each patient counting once however often photographed; the wider
    of the bootstrap's and Wilson's interval."""
    groups: dict[str, Interval]
    grades: dict[int, tuple[float, int]]
    """By reference grade: share, and of how many photographs. Nothing is promised of it."""
    sizes: tuple[float, ...]
    """Share of the sets with 1, ..., 5 grades."""
    mean_size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was fitted on all, and the cross-fitted figures."""

    settings: Settings
    fit: Fit
    threshold: float
    """Referred from here on, of the probability of referable."""
    risk: RiskControl | None
    """What the threshold promises, where it was set by risk control."""
    conformal: Conformal
    figures: dict[str, dict[str, Interval]]
    """By statistic: `before`, `after` (cross-fitted) and their difference, `change`, on the same bootstrap samples."""
    coverage: Coverage
    photographs: int
    patients: int
    folds: int
    own_folds: bool
    """The folds are the predictions' own; otherwise patients were divided into folds here."""
    losses: dict[str, float] = field(default_factory=dict)
    """Cross-fitted log loss of every method that was tried, where the method was chosen by it; else empty."""

    def warnings(self) -> tuple[str, ...]:
        """Return what a user of the calibration has to know."""
        warnings = [*self.conformal.warnings(), *(self.risk.warnings() if self.risk else ())]
        if self.risk is not None:
            warnings.append(
                "The threshold by risk control was set on cross-fitted probabilities; those handed on are calibrated "
                "on all photographs, and the promise holds for them only so far as both agree."
            )
        if self.worse:
            warnings.append(
                f"Calibrated by {self.settings.method}, the log loss on other patients is not better than before (see "
                "change): these photographs give no reason to change the probabilities so."
            )
        if self.lowered:
            listed = ", ".join(
                f"{FIGURE_NAMES[name]} from {of['before'].estimate:.3f} to {of['after'].estimate:.3f}"
                for name, of in self.lowered.items()
            )
            warnings.append(f"On other patients this calibration makes worse: {listed}.")
        return tuple(warnings)

    @property
    def worse(self) -> bool:
        """Whether other patients' log loss rose, or stayed although something was changed."""
        change = self.figures["log_loss"]["change"].estimate
        return bool(change > 0 or (change == 0 and self.settings.method != "none"))

    @property
    def lowered(self) -> dict[str, dict[str, Interval]]:
        """The figures but for the log loss that are worse than before, by their estimates."""
        # Written so that an undefined figure is not called worse.
        signs = {name: -1 if name in HIGHER_IS_BETTER else 1 for name in self.figures if name != "log_loss"}
        return {
            name: self.figures[name]
            for name, sign in signs.items()
            if sign * self.figures[name]["change"].estimate > UNCHANGED
        }


def calibrate(
    held: HeldOut,
    source: Source,
    settings: Settings,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    folds: Folds | None = None,
) -> Calibration:
    """Fit on held-out photographs, and measure on each fold what was fitted on the others.

    Args:
        held: The photographs; with `settings.by`, with their groups. Its probabilities are not used.
        source: What to calibrate, in the order of `held`.
        settings: How.
        rng: Divides patients into folds where there are none, and draws bootstrap samples.
        resamples: Bootstrap samples for each interval.
        folds: As `folds_of` gave them; None: they are made here.

    Raises:
        BadTable: If there are too few patients, or a fold lacks what the method needs.
        ValueError: If an argument is out of range.
    """
    if not (held.grades >= REFERABLE).any():
        raise BadTable(
            f"predictions: expected photographs of grade {REFERABLE} or above, which set the referral threshold, got "
            f"none of {len(held.grades)}. Add some."
        )
    parts, own = folds_of(held, rng) if folds is None else folds
    after, answers = cross_fitted_answers(held, source, settings, parts)
    fit = source.fit(source.scores, held.grades, settings)
    cross_fitted = replace(held, probabilities=after)
    sets = cross_sets(cross_fitted, answers, parts, settings)
    risk = _risk(cross_fitted, settings)
    return Calibration(
        settings=settings,
        fit=fit,
        threshold=_threshold(source.apply(fit, source.scores), held, settings) if risk is None else risk.threshold,
        risk=risk,
        conformal=fit_conformal(cross_fitted, alpha=settings.alpha, by=settings.by, answers=answers),
        figures=_figures(source.given, after, held, answers, rng=rng, resamples=resamples),
        coverage=coverage_of(sets, cross_fitted, rng=rng, resamples=resamples),
        photographs=len(held.grades),
        patients=len(np.unique(held.patients)),
        folds=len(np.unique(parts)),
        own_folds=own,
    )


def cross_fitted_answers(
    held: HeldOut, source: Source, settings: Settings, folds: Int[np.ndarray, " photo"]
) -> tuple[Probabilities, Grades]:
    """Return probabilities and answered grades of each fold, by what was fitted on the other folds.

    Raises:
        BadTable: If a fold lacks what the method needs.
    """
    try:
        crossed = cross_fit_predict(
            lambda scores, grades: source.fit(scores, grades, settings),
            lambda fitted, scores: _answers(source, fitted, scores),
            source.scores,
            held.grades,
            folds,
        )
    except ValueError as problem:
        raise BadTable(
            f"predictions: expected photographs enough to fit {settings.method} on each part of "
            f"{len(np.unique(folds))} folds, got too few: {problem}. Add photographs, or choose --method temperature."
        ) from None
    return crossed[:, :GRADES], crossed[:, GRADES].astype(np.int64)


def _threshold(calibrated_on_all: Probabilities, held: HeldOut, settings: Settings) -> float:
    """Return the threshold that finds the wanted share of the referable photographs."""
    scores = exceedance(calibrated_on_all, REFERABLE)
    return fit_threshold(scores, held.grades >= REFERABLE, sensitivity=settings.sensitivity)


def _risk(cross_fitted: HeldOut, settings: Settings) -> RiskControl | None:
    """Set the threshold by risk control where that is wanted, on probabilities that no patient's own grade shaped."""
    if settings.max_missed is None:
        return None
    return fit_risk_control(cross_fitted, alpha=settings.max_missed, unit=settings.missed_unit)


def folds_of(held: HeldOut, rng: np.random.Generator) -> Folds:
    """Return a fold for each photograph, a patient's all in one, and whether they are the predictions' own.

    Raises:
        BadTable: If there are fewer than `FOLDS` patients to be divided.
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


def cross_sets(held: HeldOut, answers: Grades, folds: Int[np.ndarray, " photo"], settings: Settings) -> Sets:
    """Return the prediction set of each photograph, by thresholds from the other folds."""
    sets = np.zeros((len(held.grades), GRADES), dtype=bool)
    for fold in np.unique(folds):
        inside = folds == fold
        conformal = fit_conformal(_part(held, ~inside), alpha=settings.alpha, by=settings.by, answers=answers[~inside])
        part = _part(held, inside)
        sets[inside] = conformal.sets(part.probabilities, groups=part.groups, answers=answers[inside])
    return sets


def coverage_of(sets: Sets, held: HeldOut, *, rng: np.random.Generator, resamples: int) -> Coverage:
    """Measure how often the sets contain the reference grade, and how large they are."""
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
    """Return calibrated probabilities with the answered grade in the last column."""
    calibrated_scores = source.apply(fit, scores)
    return np.column_stack([calibrated_scores, answered_grades(calibrated_scores, fit.cuts)])


def _part(held: HeldOut, mine: np.ndarray) -> HeldOut:
    groups = tuple(np.array(held.groups, dtype=object)[mine]) if held.groups else ()
    return HeldOut(held.probabilities[mine], held.grades[mine], held.patients[mine], groups)


def _figures(
    before: Probabilities,
    after: Probabilities,
    held: HeldOut,
    answers: Grades,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, dict[str, Interval]]:
    measured: dict[str, Callable[[Weights, Probabilities, Grades], Values]] = {
        "log_loss": log_losses,
        "calibration_error": calibration_errors,
        "brier": brier_scores,
    }
    # What was answered before is compared only where it is known.
    earlier = held.answers
    answered = () if earlier is None else ("accuracy", "quadratic_kappa")

    def statistics(weights: Weights) -> dict[str, Values]:
        values: dict[str, Values] = {}
        for name, compute in measured.items():
            old, new = compute(weights, before, held.grades), compute(weights, after, held.grades)
            values |= {f"{name} before": old, f"{name} after": new, f"{name} change": new - old}
        if earlier is not None:
            of_old, of_new = (
                agreement_statistics(confusions(weights, held.grades, grades)) for grades in (earlier, answers)
            )
            for name in answered:
                old, new = of_old[name], of_new[name]
                values |= {f"{name} before": old, f"{name} after": new, f"{name} change": new - old}
        return values

    names = (*measured, *answered)
    intervals = patient_intervals(statistics, held.patients, rng=rng, resamples=resamples)
    intervals |= {
        name: without_interval(own) for name, own in intervals.items() if name.startswith("calibration_error")
    }
    return {name: {when: intervals[f"{name} {when}"] for when in ("before", "after", "change")} for name in names}


def _share(
    holds: Bool[np.ndarray, " photo"], patients: Int[np.ndarray, " photo"], rng: np.random.Generator, resamples: int
) -> Interval:
    """Compute the share of sets that hold the reference grade, each patient counting once, as the promise has it."""
    owner = np.unique(patients, return_inverse=True)[1]
    shares = np.bincount(owner, weights=holds) / np.bincount(owner)  # of each patient's photographs

    def statistics(weights: Weights) -> dict[str, Any]:
        return {"share": ratio(weights @ shares, weights.sum(axis=1))}

    own = patient_intervals(statistics, np.arange(len(shares)), rng=rng, resamples=resamples)["share"]
    low, high = wilson(own.estimate, float(len(shares)), level=own.level)
    return replace(own, low=float(np.fmin(low, own.low)), high=float(np.fmax(high, own.high)))
