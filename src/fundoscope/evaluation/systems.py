"""Several systems on the same photographs: each against the first, with intervals, tests and one correction."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int

from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.statistics.agreement import (
    Confusions,
    Values,
    agreement_statistics,
    class_statistics,
    cut_statistics,
    of_confusions,
)
from fundoscope.evaluation.statistics.delong import DELONG, OBUCHOWSKI, Difference, auroc_difference, delong
from fundoscope.evaluation.statistics.detection import of_auroc
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.reliability import of_calibration, of_proper_scores
from fundoscope.evaluation.statistics.significance import McNemar, holm, mcnemar
from fundoscope.evaluation.statistics.sums import Sums, Together
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

ANSWERS: Final = ("grade", "referable score", "probabilities")
"""Kinds of answer: what a table says of a photograph. Probabilities answer all three."""

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
    """The same of the AUROCs that can be compared, with DeLong's variance and test."""
    mcnemar: dict[str, McNemar]
    """By what counts as right; one case for each patient. Empty where a system gives no grades."""


@dataclass(frozen=True, slots=True)
class PairedDifferences:
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
) -> PairedDifferences:
    """Compare each further system with the first, on the same draws of patients.

    All are measured on each draw, so what makes a draw easy for all cancels. Compared is what every system
    gives for every photograph (see `common_answers`); the other statistics are NaN and no tests.

    Args:
        systems: At least two; the same photographs in the same order.
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
    answers = common_answers(systems)
    measured = [_statistics(each, answers) for each in systems]

    def differences(found: Mapping[str, Values]) -> dict[str, Values]:
        return {
            f"{at} {name}": found[f"0 {name}"] - found[f"{at + 1} {name}"]
            for at in range(len(others))
            for name in STATISTICS
            if f"0 {name}" in found
        }

    numbered = tuple(_named(each, f"{at} ") for at, each in enumerate(measured))
    found = patient_intervals(
        Together(numbered, differences), first.patients, rng=rng, level=level, resamples=resamples, method=method
    )
    nothing = Interval(math.nan, math.nan, math.nan, level, resamples)
    once = np.ones((1, len(first.patients)))
    values = [{name: float(value[0]) for name, value in each(once).items()} for each in measured]
    areas = _delong(systems, answers, level)
    against = tuple(
        Against(
            {name: (values[0].get(name, math.nan), values[at + 1].get(name, math.nan)) for name in STATISTICS},
            {name: found.get(f"{at} {name}", nothing) for name in STATISTICS},
            areas[at],
            _mcnemar(first, other) if "grade" in answers else {},
        )
        for at, other in enumerate(others)
    )
    corrected, family = _corrected(against)
    how = OBUCHOWSKI if len(np.unique(first.patients)) < len(first.patients) else DELONG
    return PairedDifferences(against, corrected, family, how)


def answers_of(cases: Cases) -> dict[str, Bool[np.ndarray, " photo"]]:
    """For which photographs a system gives each kind of answer in `ANSWERS`."""
    sure = ~np.isnan(cases.probabilities[:, 0])
    return dict(zip(ANSWERS, (cases.answered >= 0, ~np.isnan(cases.score("referable")), sure), strict=True))


def common_answers(systems: Sequence[Cases]) -> tuple[str, ...]:
    """Kinds of answer that every system gives for every photograph, of `ANSWERS`."""
    given = [answers_of(each) for each in systems]
    return tuple(kind for kind in ANSWERS if all(each[kind].all() for each in given))


def shared_answers(systems: Sequence[Cases]) -> tuple[tuple[str, ...], list[Bool[np.ndarray, " photo"]]]:
    """Kinds of answer that every system gives for some photograph, and each system's photographs with all of them.

    Those photographs that all systems have in this way are what `compare_systems` can be asked about.
    """
    given = [answers_of(each) for each in systems]
    kinds = tuple(kind for kind in ANSWERS if all(each[kind].any() for each in given))
    nothing = [np.zeros(len(each.reference), dtype=bool) for each in systems]
    return kinds, [np.logical_and.reduce([each[kind] for kind in kinds]) for each in given] if kinds else nothing


def _statistics(cases: Cases, answers: Collection[str]) -> Together:
    def of_grades(counts: Confusions) -> Mapping[str, Values]:
        graded = agreement_statistics(counts) | class_statistics(counts) | cut_statistics(counts)
        return {name: graded[key] for name, key in OF_GRADES.items()}

    given, reference = cases.probabilities, cases.reference
    parts: list[Sums | Together] = []
    if "grade" in answers:
        parts.append(of_confusions(reference, cases.answered, of_grades))
    for name, cut in _comparable_cuts(answers).items():
        parts.append(of_auroc(reference >= CUTS[cut], cases.score(cut), name))
    if "probabilities" in answers:
        proper = of_proper_scores(given, reference)
        parts.append(Together((proper,), lambda found: {"Brier score": found["brier"], "log loss": found["log_loss"]}))
        parts.append(of_calibration(given, reference, "calibration error"))
    return Together(tuple(parts))


def _comparable_cuts(answers: Collection[str]) -> dict[str, str]:
    """Of `AUROCS` those that there are scores for."""
    needed = {cut: "referable score" if CUTS[cut] == REFERABLE else "probabilities" for cut in CUTS}
    return {name: cut for name, cut in AUROCS.items() if needed[cut] in answers}


def _named(statistics: Together, prefix: str) -> Together:
    return Together((statistics,), lambda found: {prefix + name: values for name, values in found.items()})


def _delong(systems: Sequence[Cases], answers: Collection[str], level: float) -> list[dict[str, Difference]]:
    """For each further system the difference of each AUROC that there are scores for."""
    found: list[dict[str, Difference]] = [{} for _ in systems[1:]]
    for name, cut in _comparable_cuts(answers).items():
        scores = np.stack([each.score(cut) for each in systems])
        of = delong(systems[0].reference >= CUTS[cut], scores, systems[0].patients)
        for at, entries in enumerate(found):
            entries[name] = auroc_difference(of, 0, at + 1, level=level)
    return found


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
