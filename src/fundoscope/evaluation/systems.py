"""Several systems on the same photographs: each against the first, with intervals, tests and one correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int

from fundoscope.evaluation.agreement import Values, agreement_statistics, class_statistics, confusions, cut_statistics
from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.delong import Difference, auroc_difference, delong
from fundoscope.evaluation.detection import aurocs
from fundoscope.evaluation.interval import Interval, Weights, patient_intervals
from fundoscope.evaluation.reliability import brier_scores, calibration_errors, log_losses
from fundoscope.evaluation.significance import McNemar, holm, mcnemar
from fundoscope.grades import CUTS, REFERABLE

AUROCS: Final = {f"AUROC {name.replace('_', '-')}": name for name in CUTS}
"""Name of each AUROC, and its cut in `grades.CUTS`."""

OF_GRADES: Final = {
    "quadratic kappa": "quadratic_kappa",
    "linear kappa": "linear_kappa",
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "macro F1": "macro_f1",
    "mean absolute error": "mean_absolute_error",
    "sensitivity referable": "referable_sensitivity",
    "specificity referable": "referable_specificity",
}
"""Name of each statistic of the answered grade, and how `agreement` calls it."""

LOWER_IS_BETTER: Final = frozenset({"mean absolute error", "Brier score", "log loss", "calibration error"})

STATISTICS: Final = (*OF_GRADES, *AUROCS, "Brier score", "log loss", "calibration error")
"""Everything that is compared, in order."""

RIGHT: Final = ("right grade", "right referable")
"""What McNemar's test counts as right, of each patient's worst grade."""


@dataclass(frozen=True, slots=True)
class Against:
    """The first system against another one."""

    values: dict[str, tuple[float, float]]
    """Each statistic of the first and of the other."""
    differences: dict[str, Interval]
    """First minus other, of each statistic."""
    delong: dict[str, Difference]
    """The same of the AUROCs, with DeLong's variance and test."""
    mcnemar: dict[str, McNemar]
    """By what counts as right; one case for each patient."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Each further system against the first."""

    against: tuple[Against, ...]
    holm: tuple[dict[str, float], ...]
    """For each comparison Holm's p of each AUROC (DeLong) and of each McNemar test (exact); one family of all."""
    family: int
    """Tests in the family."""
    delong_method: str


def compare_systems(
    systems: Sequence[Cases],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
    method: str = "percentile",
) -> Comparison:
    """Compare each further system with the first, on the same draws of patients.

    All are measured on each draw, so what makes a draw easy for all cancels.

    Args:
        systems: At least two; the same photographs in the same order, each with p0 to p4.
        rng: Source of every draw.
        resamples: Draws of patients.
        level: Share of draws inside an interval.
        method: A name in `interval.INTERVALS`.

    Raises:
        ValueError: If there are fewer than two systems, or as `patient_intervals`.
    """
    if len(systems) < 2:
        raise ValueError(f"systems must be at least two, got {len(systems)}")
    first, *others = systems

    def differences(weights: Weights) -> Mapping[str, Values]:
        own = _statistics(first, weights)
        return {
            f"{at} {name}": own[name] - values
            for at, other in enumerate(others)
            for name, values in _statistics(other, weights).items()
        }

    found = patient_intervals(differences, first.patients, rng=rng, level=level, resamples=resamples, method=method)
    once = np.ones((1, len(first.patients)))
    values = [{name: float(value[0]) for name, value in _statistics(each, once).items()} for each in systems]
    areas, how = _delong(systems, level)
    against = tuple(
        Against(
            {name: (values[0][name], values[at + 1][name]) for name in STATISTICS},
            {name: found[f"{at} {name}"] for name in STATISTICS},
            areas[at],
            _mcnemar(first, other),
        )
        for at, other in enumerate(others)
    )
    corrected, family = _corrected(against)
    return Comparison(against, corrected, family, how)


def _statistics(cases: Cases, weights: Weights) -> dict[str, Values]:
    counts = confusions(weights, cases.reference, cases.answered)
    graded = agreement_statistics(counts) | class_statistics(counts) | cut_statistics(counts)
    values = {name: graded[key] for name, key in OF_GRADES.items()}
    for name, cut in AUROCS.items():
        values[name] = aurocs(weights, cases.reference >= CUTS[cut], cases.score(cut))
    given, reference = cases.probabilities, cases.reference
    values["Brier score"] = brier_scores(weights, given, reference)
    values["log loss"] = log_losses(weights, given, reference)
    values["calibration error"] = calibration_errors(weights, given, reference)
    return values


def _delong(systems: Sequence[Cases], level: float) -> tuple[list[dict[str, Difference]], str]:
    """For each further system the difference of each AUROC, and which variance was taken."""
    found: list[dict[str, Difference]] = [{} for _ in systems[1:]]
    how = ""
    for name, cut in AUROCS.items():
        scores = np.stack([each.score(cut) for each in systems])
        of = delong(systems[0].reference >= CUTS[cut], scores, systems[0].patients)
        how = of.method
        for at, entries in enumerate(found):
            entries[name] = auroc_difference(of, 0, at + 1, level=level)
    return found, how


def _mcnemar(first: Cases, other: Cases) -> dict[str, McNemar]:
    """Of each patient's worst grade: patients are independent, photographs of one are not."""
    reference = _worst(first.reference, first.patients)
    ours, theirs = _worst(first.answered, first.patients), _worst(other.answered, first.patients)
    referred = reference >= REFERABLE
    return {
        RIGHT[0]: mcnemar(ours == reference, theirs == reference),
        RIGHT[1]: mcnemar((ours >= REFERABLE) == referred, (theirs >= REFERABLE) == referred),
    }


def _worst(grades: Int[np.ndarray, " photo"], patients: Int[np.ndarray, " photo"]) -> Int[np.ndarray, " patient"]:
    owner = np.unique(patients, return_inverse=True)[1]
    worst = np.full(int(owner.max()) + 1, -1, dtype=np.int64)
    np.maximum.at(worst, owner, grades)
    return worst


def _corrected(against: tuple[Against, ...]) -> tuple[tuple[dict[str, float], ...], int]:
    tests = [
        {name: each.p for name, each in one.delong.items()} | {name: each.p_exact for name, each in one.mcnemar.items()}
        for one in against
    ]
    flat = [p for each in tests for p in each.values()]
    corrected = iter(holm(flat))
    return tuple({name: next(corrected) for name in each} for each in tests), sum(p == p for p in flat)
