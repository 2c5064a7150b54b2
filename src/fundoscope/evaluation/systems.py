"""Several systems on the same photographs: each against the first, with intervals, tests and one correction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Int

from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.measures import SUFFIX
from fundoscope.evaluation.statistics.agreement import (
    Confusions,
    Values,
    agreement_statistics,
    class_statistics,
    cut_statistics,
    of_confusions,
)
from fundoscope.evaluation.statistics.delong import DELONG, OBUCHOWSKI, Difference, auroc_difference, delong
from fundoscope.evaluation.statistics.detection import of_auroc, of_hits
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.reliability import of_calibration, of_proper_scores, without_interval
from fundoscope.evaluation.statistics.significance import McNemar, holm, mcnemar
from fundoscope.evaluation.statistics.sums import Sums, Together, Totals
from fundoscope.grades import CUTS, OR_DME, REFERABLE

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

CALIBRATION_ERROR: Final = "calibration error"
"""Compared without an interval: chance raises it (`reliability.BIASED`), and more where a system is well calibrated."""

LOWER_IS_BETTER: Final = frozenset({"mean absolute error", "Brier score", "log loss", CALIBRATION_ERROR})

STATISTICS: Final = (*OF_GRADES, *AUROCS, "Brier score", "log loss", CALIBRATION_ERROR)
"""Everything that is compared of grades and their scores, in order."""

DME_STATISTICS: Final = {
    "AUROC referable or DME": ("auroc", "referable_or_dme"),
    "AUROC sight-threatening or DME": ("auroc", "sight_threatening_or_dme"),
    "sensitivity referable or DME": ("sensitivity", "referable_or_dme"),
    "specificity referable or DME": ("specificity", "referable_or_dme"),
}
"""What is compared beside `STATISTICS` where `dme` is known: the figure, and its question in `grades.OR_DME`. They get
intervals but no tests, so that the correction of the tests does not depend on whether `dme` is known."""

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
    identical: frozenset[str] = frozenset()
    """Statistics of which both systems answer every photograph alike: their difference is 0 whoever is sampled."""


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
    method: str = "auto",
) -> PairedDifferences:
    """Compare each further system with the first, on the same resamples of patients.

    All are evaluated on each resample, so that what makes a resample easy for all cancels. Only kinds of answers that
    every system gives for every photograph are compared (see `common_answers`); the other statistics are NaN and no
    tests. Where `dme` is known, `DME_STATISTICS` are compared, too.

    Args:
        systems: At least two; the same photographs in the same order.
        rng: Source of the resamples.
        resamples: Bootstrap resamples of patients.
        level: Confidence level of the intervals.
        method: A name in `interval.INTERVALS`.

    Raises:
        ValueError: If there are fewer than two systems, or as `patient_intervals`.
    """
    if len(systems) < 2:
        raise ValueError(f"systems must be at least two, got {len(systems)}")
    first, *others = systems
    answers = common_answers(systems)
    statistics = [_statistics(cases, answers) for cases in systems]
    names = (*STATISTICS, *(DME_STATISTICS if first.dme is not None else ()))

    def differences(values: Mapping[str, Values]) -> dict[str, Values]:
        return {
            f"{at} {name}": values[f"0 {name}"] - values[f"{at + 1} {name}"]
            for at in range(len(others))
            for name in names
            if f"0 {name}" in values
        }

    numbered = tuple(_named(of_system, f"{at} ") for at, of_system in enumerate(statistics))
    intervals = patient_intervals(
        Together(numbered, differences), first.patients, rng=rng, level=level, resamples=resamples, method=method
    )
    undefined = Interval(math.nan, math.nan, math.nan, level, resamples)
    once = np.ones((1, len(first.patients)))
    values = [{name: float(value[0]) for name, value in of_system(once).items()} for of_system in statistics]
    areas = _delong(systems, answers, level)
    against = tuple(
        Against(
            {name: (values[0].get(name, math.nan), values[at + 1].get(name, math.nan)) for name in names},
            {name: _difference(name, intervals.get(f"{at} {name}", undefined)) for name in names},
            areas[at],
            _mcnemar(first, other) if "grade" in answers else {},
            frozenset(
                _identical(first, other) & {name for name in names if not math.isnan(values[0].get(name, math.nan))}
            ),
        )
        for at, other in enumerate(others)
    )
    corrected, family = _corrected(against)
    variance = OBUCHOWSKI if len(np.unique(first.patients)) < len(first.patients) else DELONG
    return PairedDifferences(against, corrected, family, variance)


def _identical(first: Cases, other: Cases) -> set[str]:
    """Return the statistics that follow from answers in which two systems agree on every photograph."""
    of_grades = {*OF_GRADES, *(name for name, (figure, _) in DME_STATISTICS.items() if figure != "auroc")}
    same = of_grades if np.array_equal(first.answered, other.answered) else set()
    ours, theirs = (np.column_stack([cases.probabilities, cases.p_referable]) for cases in (first, other))
    if np.array_equal(ours, theirs, equal_nan=True):
        same = same | ({*STATISTICS, *DME_STATISTICS} - of_grades)
    return same


def _difference(name: str, interval: Interval) -> Interval:
    """Return the interval of a difference; none where chance moves both figures by unlike amounts."""
    return without_interval(interval) if name == CALIBRATION_ERROR else interval


def answers_of(cases: Cases) -> dict[str, Bool[np.ndarray, " photo"]]:
    """For which photographs a system gives each kind of answer in `ANSWERS`.

    A photograph that it refused has none, though there may be probabilities: nobody was told a grade.
    """
    graded = cases.counted(include_ungradable=False)
    kinds = (cases.answered >= 0, ~np.isnan(cases.score("referable")), ~np.isnan(cases.probabilities[:, 0]))
    return {kind: np.asarray(graded & answers, dtype=bool) for kind, answers in zip(ANSWERS, kinds, strict=True)}


def common_answers(systems: Sequence[Cases]) -> tuple[str, ...]:
    """Kinds of answer that every system gives for every photograph, of `ANSWERS`."""
    answers = [answers_of(cases) for cases in systems]
    return tuple(kind for kind in ANSWERS if all(of_system[kind].all() for of_system in answers))


def shared_answers(systems: Sequence[Cases]) -> tuple[tuple[str, ...], list[Bool[np.ndarray, " photo"]]]:
    """Kinds of answer that every system gives for some photograph, and each system's photographs with all of them.

    Those photographs that all systems have in this way are what `compare_systems` can be asked about.
    """
    answers = [answers_of(cases) for cases in systems]
    kinds = tuple(kind for kind in ANSWERS if all(of_system[kind].any() for of_system in answers))
    if not kinds:
        return kinds, [np.zeros(len(cases.reference), dtype=bool) for cases in systems]
    return kinds, [np.logical_and.reduce([of_system[kind] for kind in kinds]) for of_system in answers]


def short_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a short name for each path; repeated paths are numbered.

    It is the last part of the path where that distinguishes them; else the path without what all have in common: `s1`
    of `runs/s1/out_of_fold.csv` beside `runs/s2/out_of_fold.csv`.
    """
    last = [path.resolve().name for path in paths]
    names = last if len(set(last)) == len(last) else _without_common(paths)
    repeats: Counter[str] = Counter()
    for at, name in enumerate(names):
        repeats[name] += 1
        names[at] = f"{name} ({repeats[name]})" if repeats[name] > 1 else name
    return tuple(names)


def _without_common(paths: Sequence[Path]) -> list[str]:
    """Return paths without the folders that all begin with, and without a file's name that all end with."""
    parts = [path.resolve().parts for path in paths]
    if all(path.suffix for path in paths) and len({of[-1] for of in parts}) == 1:
        parts = [of[:-1] for of in parts]
    least = min(map(len, parts)) - 1
    start = next((at for at in range(least) if len({of[at] for of in parts}) > 1), least)
    return ["/".join(of[start:]) for of in parts]


def _statistics(cases: Cases, answers: Collection[str]) -> Together:
    def of_grades(counts: Confusions) -> Mapping[str, Values]:
        graded = agreement_statistics(counts) | class_statistics(counts) | cut_statistics(counts)
        return {name: graded[key] for name, key in OF_GRADES.items()}

    probabilities, reference = cases.probabilities, cases.reference
    parts: list[Sums | Together] = []
    if "grade" in answers:
        parts.append(of_confusions(reference, cases.answered, of_grades))
    for name, cut in _comparable_cuts(answers).items():
        parts.append(of_auroc(reference >= CUTS[cut], cases.score(cut), name))
    if "probabilities" in answers:
        proper = of_proper_scores(probabilities, reference)
        parts.append(Together((proper,), lambda score: {"Brier score": score["brier"], "log loss": score["log_loss"]}))
        parts.append(of_calibration(probabilities, reference, CALIBRATION_ERROR))
    return Together((*parts, *_with_dme(cases, answers)))


def _with_dme(cases: Cases, answers: Collection[str]) -> list[Sums]:
    """Those of `DME_STATISTICS` that there are answers for, on the photographs whose reference is known."""
    if cases.dme is None:
        return []
    parts = []
    for name, (figure, question) in DME_STATISTICS.items():
        reference, cut = cases.or_dme(question), question.removesuffix(SUFFIX)
        known = reference.known
        positive = reference.positive[known]
        if figure == "auroc":
            if f"AUROC {cut.replace('_', '-')}" in _comparable_cuts(answers):
                parts.append(of_auroc(positive, cases.score(cut)[known], name).among(known))
        elif "grade" in answers:
            hits = of_hits(positive, cases.answered[known] >= OR_DME[question]).among(known)
            parts.append(Sums(hits.terms, partial(_renamed, hits, figure, name)))
    return parts


def _renamed(hits: Sums, figure: str, name: str, *totals: Totals) -> Mapping[str, Values]:
    return {name: hits.read(*totals)[figure]}


def _comparable_cuts(answers: Collection[str]) -> dict[str, str]:
    """Of `AUROCS` those that there are scores for."""
    needed = {cut: "referable score" if CUTS[cut] == REFERABLE else "probabilities" for cut in CUTS}
    return {name: cut for name, cut in AUROCS.items() if needed[cut] in answers}


def _named(statistics: Together, prefix: str) -> Together:
    return Together((statistics,), lambda values: {prefix + name: value for name, value in values.items()})


def _delong(systems: Sequence[Cases], answers: Collection[str], level: float) -> list[dict[str, Difference]]:
    """For each further system the difference of each AUROC that there are scores for."""
    differences: list[dict[str, Difference]] = [{} for _ in systems[1:]]
    for name, cut in _comparable_cuts(answers).items():
        scores = np.stack([cases.score(cut) for cases in systems])
        areas = delong(systems[0].reference >= CUTS[cut], scores, systems[0].patients)
        for at, of_system in enumerate(differences):
            of_system[name] = auroc_difference(areas, 0, at + 1, level=level)
    return differences


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
    """Return the highest grade of each patient, by her number; -1 where none was graded."""
    owner = np.unique(patients, return_inverse=True)[1]
    worst = np.full(int(owner.max()) + 1, -1, dtype=np.int64)
    np.maximum.at(worst, owner, grades)
    return worst


def _corrected(against: tuple[Against, ...]) -> tuple[tuple[dict[str, float], ...], int]:
    tests = [
        {name: test.p for name, test in pair.delong.items()}
        | {name: test.p_exact for name, test in pair.mcnemar.items()}
        for pair in against
    ]
    p_values = [p for of_pair in tests for p in of_pair.values()]
    corrected = iter(holm(p_values))
    return tuple({name: next(corrected) for name in of_pair} for of_pair in tests), sum(p == p for p in p_values)
