"""Bootstrap intervals of everything that `fundoscope evaluate` measures, against a loop over scikit-learn.

    python benchmarks/bootstrap.py [--photographs 50000] [--resamples 2000] [--rounds 5] [--json FILE]

A painted table: about half as many patients as photographs, of each one to four; grades as often as in screening,
probabilities of a plausible grader. One core. Ours: all resamples of patients, drawing and reading the bounds included.
The loop: for each resample patients are drawn, their rows taken together, and scikit-learn's function called for each
figure (NumPy where it has none). It is timed on a few resamples and multiplied; what is printed is per resample.
Times are the processor's own, so that other work on the machine counts less. The rounds are interleaved in turning
order; what counts is the median of the ratios within a round.
Before anything is timed, both give every figure on the same resamples, which must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from scipy import optimize, special
from scipy.special import softmax
from sklearn import metrics
from threadpoolctl import threadpool_limits

from fundoscope.decide.kappa import POWERS, kappa_of
from fundoscope.evaluation.cases import GRADED, Cases
from fundoscope.evaluation.measures import RATES_WANTED, measures, of_probabilities, of_scores
from fundoscope.evaluation.statistics.agreement import Confusions, of_confusions
from fundoscope.evaluation.statistics.detection import of_auroc
from fundoscope.evaluation.statistics.interval import Statistics, patient_intervals
from fundoscope.evaluation.statistics.recalibration import SLOPE_BINS
from fundoscope.evaluation.statistics.reliability import BINS, equal_mass_bins, equal_width_bins
from fundoscope.evaluation.statistics.sums import Together
from fundoscope.evaluation.subgroups import statistics_by_group, statistics_of
from fundoscope.grades import CUTS, GRADES, REFERABLE

GRADE_SHARES = (0.735, 0.070, 0.151, 0.025, 0.019)
"""Of the Kaggle EyePACS photographs."""

LUCK = 0.5
"""Standard deviation, in grades, of what all photographs of a patient err by; each alone errs by as much again."""

SITES = 5
"""Patients in turn are of one of so many."""

TOLERANCE = 1e-10

Figures = dict[str, float]
Loop = Callable[[np.ndarray], Figures]
"""Figures of the rows of one resample."""


@dataclass(frozen=True)
class Contest:
    """One group of figures, both ways."""

    name: str
    ours: Statistics
    loop: Loop


def painted(photographs: int, rng: np.random.Generator) -> Cases:
    """A graded table; the patients' numbers rise, as those that `cases_of` gives."""
    each = rng.choice([1, 2, 3, 4], size=photographs, p=(0.3, 0.5, 0.1, 0.1))
    owner = np.repeat(np.arange(photographs), each)[:photographs]
    patients = int(owner[-1]) + 1
    reference = rng.choice(GRADES, size=patients, p=GRADE_SHARES)[owner]
    seen = reference + LUCK * (rng.normal(size=patients)[owner] + rng.normal(size=photographs))
    given = softmax(-1.2 * (np.arange(GRADES) - seen[:, None]) ** 2, axis=1)
    referable = given[:, REFERABLE:].sum(axis=1)
    return Cases(
        reference=reference,
        answered=given.argmax(axis=1),
        probabilities=given,
        p_referable=referable,
        decision=tuple(np.where(referable >= 0.3, "refer", "rescreen").tolist()),
        status=(GRADED,) * photographs,
        patients=owner,
        without_patient=0,
    )


def contests(cases: Cases) -> list[Contest]:
    """The groups of figures that one pass gives, all that `evaluate` draws for on this table, and those by site."""
    referable, score = cases.reference >= REFERABLE, cases.score("referable")
    everyone = np.ones(len(cases.reference), dtype=bool)
    ((_, everything),) = measures(cases, everyone, everyone)
    # Nobody's scores counted: what is left is of the grade and the decision.
    (_, of_grades), *_ = measures(cases, ~everyone, everyone)

    def kappas(counts: Confusions) -> Mapping[str, np.ndarray]:
        return {f"{name}_kappa": kappa_of(counts, weights=name) for name in POWERS}

    def looped(*parts: Callable[[Cases, np.ndarray], Figures]) -> Loop:
        return lambda rows: {name: value for part in parts for name, value in part(cases, rows).items()}

    grades, scores = (loop_grades, loop_decisions), (loop_cuts, loop_brier_parts)
    probabilities = (loop_probabilities, loop_calibration)
    return [
        Contest("kappas", of_confusions(cases.reference, cases.answered, kappas), looped(loop_kappas)),
        Contest("grade-and-decision", of_grades, looped(*grades)),
        Contest("auroc-referable", of_auroc(referable, score, "referable_auroc"), looped(loop_auroc)),
        Contest(
            "scores-of-three-cuts",
            Together(tuple(of_scores(cases, everyone, name, cut) for name, cut in CUTS.items())),
            looped(*scores),
        ),
        Contest("probabilities", of_probabilities(cases, everyone), looped(*probabilities)),
        Contest("everything", everything, looped(*grades, *scores, loop_referable_calibration, *probabilities)),
        Contest(
            "subgroups", statistics_by_group([statistics_of(cases, site) for site in sites(cases)]), looped(loop_sites)
        ),
    ]


def sites(cases: Cases) -> list[np.ndarray]:
    """Which photographs are of each site."""
    return [cases.patients % SITES == at for at in range(SITES)]


def loop_kappas(cases: Cases, rows: np.ndarray) -> Figures:
    """Cohen's kappa by three weights."""
    sides = cases.reference[rows], cases.answered[rows]
    return {
        f"{name}_kappa": float(metrics.cohen_kappa_score(*sides, weights=None if name == "unweighted" else name))
        for name in ("quadratic", "linear", "unweighted")
    }


def loop_auroc(cases: Cases, rows: np.ndarray) -> Figures:
    """AUROC of one cut."""
    positive, score = cases.reference[rows] >= REFERABLE, cases.score("referable")[rows]
    return {"referable_auroc": float(metrics.roc_auc_score(positive, score))}


def loop_grades(cases: Cases, rows: np.ndarray) -> Figures:
    """Everything about the answered grade."""
    reference, answered = cases.reference[rows], cases.answered[rows]
    apart = np.abs(reference - answered)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(reference, answered, zero_division=np.nan)
    found = loop_kappas(cases, rows) | {
        "accuracy": metrics.accuracy_score(reference, answered),
        "balanced_accuracy": metrics.balanced_accuracy_score(reference, answered),
        "mean_absolute_error": metrics.mean_absolute_error(reference, answered),
        "mean_squared_error": metrics.mean_squared_error(reference, answered),
        "off_by_one": np.mean(apart == 1),
        "within_one": np.mean(apart <= 1),
        "macro_f1": metrics.f1_score(reference, answered, average="macro"),
        "weighted_f1": metrics.f1_score(reference, answered, average="weighted"),
    }
    for grade in range(GRADES):
        found[f"grade{grade}_sensitivity"], found[f"grade{grade}_precision"] = recall[grade], precision[grade]
        found[f"grade{grade}_f1"] = f1[grade]
        found[f"grade{grade}_specificity"] = metrics.recall_score(reference != grade, answered != grade)
    for name, cut in CUTS.items():
        found[f"{name}_sensitivity"] = metrics.recall_score(reference >= cut, answered >= cut)
        found[f"{name}_specificity"] = metrics.recall_score(reference < cut, answered < cut)
        found[f"{name}_f1"] = metrics.f1_score(reference >= cut, answered >= cut)
    return {name: float(value) for name, value in found.items()}


def loop_cuts(cases: Cases, rows: np.ndarray) -> Figures:
    """AUROC, average precision and one rate at another fixed one, of the three cuts."""
    found: dict[str, float] = {}
    for name, cut in CUTS.items():
        positive, score = cases.reference[rows] >= cut, cases.score(name)[rows]
        found[f"{name}_auroc"] = metrics.roc_auc_score(positive, score)
        found[f"{name}_average_precision"] = metrics.average_precision_score(positive, score)
        wrong, hit, _ = metrics.roc_curve(positive, score, drop_intermediate=False)
        for wanted in RATES_WANTED:
            share = wanted / 100
            found[f"{name}_sensitivity_at_specificity_{wanted}"] = hit[1 - wrong >= share - 1e-12].max()
            found[f"{name}_specificity_at_sensitivity_{wanted}"] = 1 - wrong[hit >= share - 1e-12].min()
    return found


def loop_probabilities(cases: Cases, rows: np.ndarray) -> Figures:
    """AUROC of each grade and of all, and proper scores."""
    reference, given = cases.reference[rows], cases.probabilities[rows]
    each = metrics.roc_auc_score(reference, given, multi_class="ovr", average=None)
    found = {f"grade{grade}_auroc": float(each[grade]) for grade in range(GRADES)}
    return found | {
        "auroc_one_vs_rest": float(metrics.roc_auc_score(reference, given, multi_class="ovr")),
        "auroc_one_vs_one": float(metrics.roc_auc_score(reference, given, multi_class="ovo")),
        "log_loss": float(metrics.log_loss(reference, given)),
        "brier": float(metrics.brier_score_loss(reference, given, scale_by_half=False)),
    }


def loop_calibration(cases: Cases, rows: np.ndarray) -> Figures:
    """Calibration errors, which scikit-learn has not: NumPy."""
    reference, given = cases.reference[rows], cases.probabilities[rows]
    sure, right = given.max(axis=1), given.argmax(axis=1) == reference
    mass = equal_mass_bins(cases.probabilities.max(axis=1), BINS)[rows]
    found = {
        "calibration_error": gap(equal_width_bins(sure, BINS), right, sure),
        "calibration_error_equal_mass": gap(mass, right, sure),
        "calibration_error_classwise": float(
            np.mean(
                [
                    gap(equal_width_bins(given[:, grade], BINS), reference == grade, given[:, grade])
                    for grade in range(GRADES)
                ]
            )
        ),
    }
    return found


def loop_brier_parts(cases: Cases, rows: np.ndarray) -> Figures:
    """The referable Brier score, from scikit-learn, and its parts, from NumPy."""
    positive, score = cases.reference[rows] >= REFERABLE, cases.score("referable")[rows]
    inside = equal_width_bins(score, BINS)
    drawn, hits, sums = (np.bincount(inside, weights=each, minlength=BINS) for each in (None, positive, score))
    some = drawn > 0
    drawn, share, mean = drawn[some], hits[some] / drawn[some], sums[some] / drawn[some]
    rate = positive.mean()
    parts = {
        "brier": float(metrics.brier_score_loss(positive, score)),
        "brier_reliability": float((drawn * (mean - share) ** 2).sum() / len(rows)),
        "brier_resolution": float((drawn * (share - rate) ** 2).sum() / len(rows)),
        "brier_uncertainty": float(rate * (1 - rate)),
    }
    parts["brier_within_bin"] = (
        parts["brier"] - parts["brier_reliability"] + parts["brier_resolution"] - parts["brier_uncertainty"]
    )
    return {f"referable_{name}": value for name, value in parts.items()}


def loop_referable_calibration(cases: Cases, rows: np.ndarray) -> Figures:
    """Calibration of P(referable); its slope by scipy's minimiser, on the bins that all photographs make."""
    every = np.clip(cases.score("referable"), 1e-6, 1 - 1e-6)
    edges = np.quantile(every, np.arange(1, SLOPE_BINS) / SLOPE_BINS, method="inverted_cdf")
    cell = np.searchsorted(edges, every, side="left")
    odds = np.array([special.logit(every[cell == at]).mean() if (cell == at).any() else 0 for at in range(SLOPE_BINS)])
    positive, score, at = cases.reference[rows] >= REFERABLE, cases.score("referable")[rows], odds[cell[rows]]

    def loss(line: np.ndarray) -> float:
        return float(np.logaddexp(0, np.where(positive, -1, 1) * (line[0] + line[1] * at)).sum())

    def slope_of(line: np.ndarray) -> np.ndarray:
        rest = special.expit(line[0] + line[1] * at) - positive
        return np.array([rest.sum(), (rest * at).sum()])

    root = optimize.root(slope_of, optimize.minimize(loss, [0.0, 1.0], jac=slope_of).x, tol=1e-13)
    inside = np.clip(np.ceil(score * BINS).astype(int) - 1, 0, BINS - 1)
    return {
        "referable_calibration_error": gap(inside, positive, score),
        "referable_calibration_in_the_large": float(score.mean() - positive.mean()),
        "referable_calibration_slope": float(root.x[1]),
    }


def gap(inside: np.ndarray, right: np.ndarray, sure: np.ndarray) -> float:
    """Expected calibration error by bins."""
    return float(np.abs(np.bincount(inside, weights=right - sure)).sum() / len(sure))


def loop_decisions(cases: Cases, rows: np.ndarray) -> Figures:
    """Sensitivity and specificity of the decision; here every photograph has one, so that both ways are one."""
    positive = cases.reference[rows] >= REFERABLE
    said = cases.score("referable")[rows] >= 0.3
    found = {}
    for name in ("decision", "decision_cannot_grade_as_refer"):
        found[f"{name}_sensitivity"] = float(metrics.recall_score(positive, said))
        found[f"{name}_specificity"] = float(metrics.recall_score(~positive, ~said))
    return found


def loop_sites(cases: Cases, rows: np.ndarray) -> Figures:
    """What subgroups are measured by, of each site."""
    found = {}
    for at, site in enumerate(sites(cases)):
        own = rows[site[rows]]
        reference, answered, given = cases.reference[own], cases.answered[own], cases.probabilities[own]
        decided, sure = loop_decisions(cases, own), given.max(axis=1)
        values = {
            "quadratic_kappa": metrics.cohen_kappa_score(reference, answered, weights="quadratic"),
            "accuracy": metrics.accuracy_score(reference, answered),
            "referable_auroc": loop_auroc(cases, own)["referable_auroc"],
            "sensitivity": decided["decision_sensitivity"],
            "specificity": decided["decision_specificity"],
            "calibration_error": gap(equal_width_bins(sure, BINS), given.argmax(axis=1) == reference, sure),
        }
        found |= {f"{at} {name}": float(value) for name, value in values.items()}
    return found


def rows_of(drawn: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Rows of drawn patients, quickly: those of a patient drawn twice stand twice."""
    return np.repeat(np.arange(len(patients)), np.bincount(drawn, minlength=int(patients[-1]) + 1)[patients])


def check(contest: Contest, cases: Cases, resamples: int = 2) -> int:
    """Both ways on the same resamples; how many figures.

    Raises:
        ValueError: If they do not agree.
    """
    rng, count = np.random.default_rng(1), int(cases.patients[-1]) + 1
    figures: Figures = {}
    for _ in range(resamples):
        rows = rows_of(rng.integers(count, size=count), cases.patients)
        weights = np.bincount(rows, minlength=len(cases.patients)).astype(np.float64)
        ours, figures = contest.ours(weights[None]), contest.loop(rows)
        if ours.keys() != figures.keys():
            raise ValueError(f"{contest.name}: only one side has {sorted(ours.keys() ^ figures.keys())}")
        for name, value in figures.items():
            if not abs(value - float(ours[name][0])) < TOLERANCE:
                raise ValueError(f"{contest.name}, {name}: ours {float(ours[name][0])}, the loop {value}")
    return len(figures)


def time_ours(contest: Contest, cases: Cases, resamples: int) -> float:
    """Milliseconds for each resample, intervals made."""
    start = time.process_time()
    patient_intervals(contest.ours, cases.patients, rng=np.random.default_rng(0), resamples=resamples)
    return 1000 * (time.process_time() - start) / resamples


def time_loop(contest: Contest, cases: Cases, resamples: int) -> float:
    """Milliseconds for each resample."""
    rng, count = np.random.default_rng(0), int(cases.patients[-1]) + 1
    start = time.process_time()
    for _ in range(resamples):
        contest.loop(rows_of(rng.integers(count, size=count), cases.patients))
    return 1000 * (time.process_time() - start) / resamples


def race(chosen: list[Contest], cases: Cases, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """All rounds of all groups."""
    found: dict[str, dict[str, list[float]]] = {each.name: {"ours": [], "loop": []} for each in chosen}
    ways = {"ours": (time_ours, asked.resamples), "loop": (time_loop, asked.loop_resamples)}
    for turn in range(asked.rounds):
        for contest in chosen:
            for way in sorted(ways, reverse=bool(turn % 2)):
                clock, resamples = ways[way]
                found[contest.name][way].append(clock(contest, cases, resamples))
    results: list[dict[str, Any]] = []
    for contest in chosen:
        ours, loop = found[contest.name]["ours"], found[contest.name]["loop"]
        ratios = [theirs / own for own, theirs in zip(ours, loop, strict=True)]
        results.append(
            {
                "figures": contest.name,
                "ours_ms": statistics.median(ours),
                "loop_ms": statistics.median(loop),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
            }
        )
    return results


def one_core() -> str:
    """Keep this process on one core where the system lets it; says what was done."""
    if not hasattr(os, "sched_setaffinity"):
        return "one thread"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return "one core, one thread"


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=50_000)
    parser.add_argument("--resamples", type=int, default=2000, help="of patients, ours")
    parser.add_argument("--loop-resamples", type=int, default=3, help="of patients, the loop's in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of groups, as printed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    asked = parser.parse_args()
    cases = painted(asked.photographs, np.random.default_rng(asked.seed))
    chosen = [each for each in contests(cases) if not asked.only or each.name in asked.only]
    pinned = one_core()
    with threadpool_limits(1):
        counts = {each.name: check(each, cases) for each in chosen}
        results = race(chosen, cases, asked)
    patients = int(cases.patients[-1]) + 1
    print(
        f"{asked.photographs:,} photographs of {patients:,} patients, {asked.resamples:,} resamples, {pinned}; "
        f"NumPy {np.__version__}, scikit-learn {sklearn.__version__}; load at the end {os.getloadavg()[0]:.1f}\n"
        f"loop: timed on {asked.loop_resamples} resamples in each of {asked.rounds} rounds and multiplied\n"
    )
    print(f"{'':24}{'figures':>8}{'ours':>12}{'loop':>12}{'ratio':>8}   (rounds)\n{'':32}{'ms / resample':>24}")
    for each in results:
        rounds = ", ".join(f"{ratio:.0f}" for ratio in each["ratios"])
        print(
            f"{each['figures']:24}{counts[each['figures']]:8}{each['ours_ms']:12.3f}{each['loop_ms']:12.1f}"
            f"{each['ratio']:8.0f}   ({rounds})"
        )
    if asked.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": pinned, "load": os.getloadavg()}
        asked.json.write_text(
            json.dumps({"machine": machine, "arguments": vars(asked), "results": results}, default=str, indent=1)
        )


if __name__ == "__main__":
    main()
