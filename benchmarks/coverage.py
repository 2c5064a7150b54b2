"""How often intervals, sets and promises hold: patients drawn again and again from populations whose truth is known.

    python benchmarks/coverage.py

For n = 30, 50, 100, 200 and 400 patients. Proportions are not drawn: their coverage is summed over all counts of hits.
Conformal sets and risk control are calibrated on n drawn patients and tried on the whole population, so only the
calibration is chance. DeLong's and the bootstrap's intervals are drawn and held against the AUROC and kappa of a
population of 200,000 patients.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import softmax

from fundoscope.decide.conformal import fit_conformal, ordinal_scores
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.kappa import kappa, kappa_of
from fundoscope.decide.risk_control import fit_risk_control
from fundoscope.evaluation.statistics.agreement import confusions
from fundoscope.evaluation.statistics.delong import delong
from fundoscope.evaluation.statistics.detection import aurocs
from fundoscope.evaluation.statistics.interval import patient_intervals, proportion_interval
from fundoscope.evaluation.statistics.rates import Rate, rate_interval
from fundoscope.evaluation.statistics.sums import ratio

SIZES = (30, 50, 100, 200, 400)
ALPHAS = (0.1, 0.2)
LEVEL = 0.95
POPULATION = 200_000
"""Patients; two photographs of each where they have several."""
GRADE_SHARES = (0.45, 0.1, 0.25, 0.12, 0.08)
LUCK = 0.8
"""Standard deviation, in grades, of what both photographs of a patient err by; each alone errs by as much again."""


@dataclass(frozen=True)
class Population:
    """Photographs in order of their patients; of each patient the same number."""

    shares: np.ndarray
    grades: np.ndarray
    each: int
    """Photographs of each patient."""

    def draw(self, rng: np.random.Generator, patients: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of so many patients, drawn with replacement, and whose they are."""
        chosen = rng.integers(len(self.grades) // self.each, size=patients)
        rows = (chosen[:, None] * self.each + np.arange(self.each)).ravel()
        return rows, np.repeat(np.arange(patients), self.each)

    def held_out(self, rng: np.random.Generator, patients: int) -> HeldOut:
        """As many patients, as a calibration sees them."""
        rows, owner = self.draw(rng, patients)
        return HeldOut(self.shares[rows], self.grades[rows], owner)


def population(rng: np.random.Generator, each: int) -> Population:
    """Grades that differ by at most one between a patient's eyes, and probabilities too sure of themselves."""
    patients = POPULATION
    worse = rng.choice(5, size=patients, p=GRADE_SHARES)
    grades = np.repeat(worse, each).reshape(patients, each)
    grades[:, 1:] = np.maximum(grades[:, 1:] - (rng.random((patients, each - 1)) < 0.4), 0)
    seen = grades + LUCK * (rng.normal(size=(patients, 1)) + rng.normal(size=(patients, each)))
    logits = -1.2 * (np.arange(5) - seen.ravel()[:, None]) ** 2
    return Population(softmax(logits, axis=1), grades.ravel(), each)


def main() -> None:
    """Print one Markdown table for each kind of promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="of patients, for each conformal or DeLong figure")
    parser.add_argument("--bootstrap-draws", type=int, default=600, help="of patients, for each bootstrap figure")
    parser.add_argument("--resamples", type=int, default=500, help="of each bootstrap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="patients")
    parser.add_argument("--only", nargs="+", choices=("proportions", "rates", "sets", "risk", "delong", "bootstrap"))
    asked = parser.parse_args()
    start = time.perf_counter()
    rng = np.random.default_rng(asked.seed)
    peoples, sizes, draws = (population(rng, 1), population(rng, 2)), asked.sizes, asked.draws
    tables: dict[str, tuple[str, Iterator[tuple[str, list[str]]]]] = {
        "proportions": ("Proportions, exact; intervals at 95 %", proportions(sizes)),
        "rates": (
            f"Rates of photographs at 95 %, {asked.bootstrap_draws:,} draws of {asked.resamples:,} resamples",
            rates(rng, peoples, sizes, asked.bootstrap_draws, asked.resamples),
        ),
        "sets": (f"Conformal sets, {draws:,} calibrations", conformal_sets(rng, peoples, sizes, draws)),
        "risk": (f"Risk control, {draws:,} calibrations", risk_control(rng, peoples, sizes, draws)),
        "delong": (f"DeLong at 95 %, {draws:,} draws", delong_intervals(rng, peoples, sizes, draws)),
        "bootstrap": (
            f"Patient bootstrap at 95 %, {asked.bootstrap_draws:,} draws of {asked.resamples:,} resamples",
            bootstraps(rng, peoples, sizes, asked.bootstrap_draws, asked.resamples),
        ),
    }
    for name in asked.only or tables:
        title, lines = tables[name]
        print(f"\n### {title}\n\n| | {' | '.join(f'n = {size}' for size in sizes)} |\n|{'---|' * (len(sizes) + 1)}")
        for row, cells in lines:
            print(f"| {row} | {' | '.join(cells)} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


def proportions(sizes: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    """Least and mean coverage over true proportions from 0.70 to 0.99."""
    truths = np.arange(0.70, 0.9901, 0.0025)
    for method in ("clopper-pearson", "wilson"):
        found = []
        for size in sizes:
            bounds = np.array([proportion_interval(hits, size, level=LEVEL, method=method) for hits in range(size + 1)])
            inside = (bounds[:, :1] <= truths) & (truths <= bounds[:, 1:])
            found.append((stats.binom.pmf(np.arange(size + 1)[:, None], size, truths) * inside).sum(axis=0))
        yield f"{method}, least", [f"{each.min():.3f} (at {truths[each.argmin()]:.3f})" for each in found]
        yield f"{method}, mean", [f"{each.mean():.3f}" for each in found]


def rates(
    rng: np.random.Generator, peoples: Sequence[Population], sizes: Sequence[int], draws: int, resamples: int
) -> Iterator[tuple[str, list[str]]]:
    """Share of intervals of accuracy, and of a specificity near 1, that hold the population's."""
    for people in peoples:
        score, healthy = people.shares[:, 2:].sum(axis=1), people.grades < 2
        flags = {
            "accuracy": (people.shares.argmax(axis=1) == people.grades, np.ones(len(score), dtype=bool)),
            "specificity": (score < np.quantile(score[healthy], 0.98), healthy),
        }
        for name, (hits, among) in flags.items():
            truth = float(hits[among].mean())
            held: dict[str, list[str]] = {"percentile": [], "the wider of the bootstrap's and Wilson's": []}
            for size in sizes:
                found: dict[str, list[float]] = {method: [] for method in held}
                for _ in range(draws):
                    rows, owner = people.draw(rng, size)
                    rate = Rate(hits[rows], among[rows])
                    own = patient_intervals(_share(rate), owner, rng=rng, resamples=resamples, method="percentile")
                    for method, each in zip(
                        held, (own["share"], rate_interval(own["share"], rate, owner)), strict=True
                    ):
                        # Without width, which `patient_intervals` says as "none", it would not hold the truth.
                        found[method].append(bool(each.low <= truth <= each.high))
                for method, values in found.items():
                    held[method].append(held_share(values))
            for method, cells in held.items():
                yield f"{name} {truth:.3f}, {method}, {people.each} photograph{'s' * (people.each > 1)} each", cells


def _share(rate: Rate) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    inside, hits = rate.among.astype(np.float64), (rate.hits & rate.among).astype(np.float64)
    return lambda weights: {"share": ratio(weights @ hits, weights @ inside)}


def conformal_sets(
    rng: np.random.Generator, peoples: Sequence[Population], sizes: Sequence[int], draws: int
) -> Iterator[tuple[str, list[str]]]:
    """Coverage of the population by sets calibrated on n patients, averaged; and where it should lie."""
    for alpha in ALPHAS:
        yield (
            f"promised at alpha = {alpha}",
            [f"{1 - alpha:.3f} to {1 - alpha + 1 / (size + 1):.3f}" for size in sizes],
        )
        for people in peoples:
            for unit in ("photograph", "patient")[: people.each]:
                scores = ordinal_scores(people.shares)[np.arange(len(people.grades)), people.grades]
                whole = scores.reshape(-1, people.each).max(axis=1) if unit == "patient" else scores
                rising = np.sort(whole)
                cells = []
                for size in sizes:
                    fitted = [
                        fit_conformal(people.held_out(rng, size), alpha=alpha, unit=unit).threshold
                        for _ in range(draws)
                    ]
                    covered = np.searchsorted(rising, fitted, side="right") / len(rising)
                    cells.append(with_error(covered))
                yield f"{people.each} photograph{'s' * (people.each > 1)} each, of a new {unit}", cells


def risk_control(
    rng: np.random.Generator, peoples: Sequence[Population], sizes: Sequence[int], draws: int
) -> Iterator[tuple[str, list[str]]]:
    """Share of the population's referable that are missed by thresholds set on n patients, averaged."""
    for alpha in ALPHAS:
        for people in peoples:
            ill = (people.grades >= 2).reshape(-1, people.each).any(axis=1)
            referable = people.shares[:, 2:].sum(axis=1).reshape(-1, people.each).max(axis=1)
            rising = np.sort(referable[ill])
            missed = [
                np.searchsorted(
                    rising,
                    [fit_risk_control(people.held_out(rng, size), alpha=alpha).threshold for _ in range(draws)],
                )
                / len(rising)
                for size in sizes
            ]
            name = f"missed at alpha = {alpha}, {people.each} photograph{'s' * (people.each > 1)} each"
            yield name, [with_error(each) for each in missed]
            yield (
                "share of the thresholds that miss more than alpha",
                [f"{(each > alpha).mean():.2f}" for each in missed],
            )


def delong_intervals(
    rng: np.random.Generator, peoples: Sequence[Population], sizes: Sequence[int], draws: int
) -> Iterator[tuple[str, list[str]]]:
    """Share of intervals that hold the population's AUROC of referable disease; and of how many there was one."""
    for people in peoples:
        scores, positive = people.shares[:, 2:].sum(axis=1), people.grades >= 2
        truth = auroc(positive, scores)
        cells = []
        for size in sizes:
            held = []
            for _ in range(draws):
                rows, owner = people.draw(rng, size)
                low, high = delong(positive[rows], scores[rows][None], owner).interval(0, LEVEL)
                held.append(np.nan if np.isnan(low) else low <= truth <= high)
            cells.append(held_share(held))
        yield f"AUROC {truth:.3f}, {people.each} photograph{'s' * (people.each > 1)} each", cells


def bootstraps(
    rng: np.random.Generator, peoples: Sequence[Population], sizes: Sequence[int], draws: int, resamples: int
) -> Iterator[tuple[str, list[str]]]:
    """Share of intervals that hold the population's AUROC of referable disease, and its quadratic kappa."""
    for people in peoples:
        truths = {
            "AUROC": auroc(people.grades >= 2, people.shares[:, 2:].sum(axis=1)),
            "quadratic kappa": kappa(people.grades, people.shares.argmax(axis=1)),
        }
        held: dict[tuple[str, str], list[str]] = {}
        for size in sizes:
            found: dict[tuple[str, str], list[float]] = {}
            for _ in range(draws):
                rows, owner = people.draw(rng, size)
                statistics = figures_of(people.shares[rows], people.grades[rows])
                for method in ("percentile", "bca"):
                    intervals = patient_intervals(statistics, owner, rng=rng, resamples=resamples, method=method)
                    for name, each in intervals.items():
                        inside = each.low <= truths[name] <= each.high
                        found.setdefault((name, method), []).append(np.nan if np.isnan(each.low) else inside)
            for key, values in found.items():
                held.setdefault(key, []).append(held_share(values))
        for (name, method), cells in sorted(held.items()):
            yield f"{name} {truths[name]:.3f}, {method}, {people.each} photograph{'s' * (people.each > 1)} each", cells


def figures_of(shares: np.ndarray, grades: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """AUROC of referable disease and quadratic kappa of the likeliest grade, by weights of the photographs."""
    scores, answered = shares[:, 2:].sum(axis=1), shares.argmax(axis=1)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        kappas = kappa_of(confusions(weights, grades, answered))
        return {"AUROC": aurocs(weights, grades >= 2, scores), "quadratic kappa": kappas}

    return figures


def auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Of a whole population."""
    ranks = stats.rankdata(scores)
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def with_error(values: np.ndarray) -> str:
    """Mean and its Monte-Carlo standard error."""
    return f"{values.mean():.4f} ± {values.std() / np.sqrt(len(values)):.4f}"


def held_share(held: list[float]) -> str:
    """Share of the intervals that hold the truth, and the standard error; beside it how many draws had none."""
    known = np.array(held, dtype=np.float64)
    missing = int(np.isnan(known).sum())
    known = known[~np.isnan(known)]
    share = known.mean()
    error = np.sqrt(share * (1 - share) / len(known))
    return f"{share:.3f} ± {error:.3f}" + (f" ({missing} without)" if missing else "")


if __name__ == "__main__":
    main()
