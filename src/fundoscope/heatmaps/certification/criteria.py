"""What a heatmap must show before it is shown: nine tests, their thresholds stated before anything was run.

A test is decided by a bound of the 95 % interval of a mean over photographs, patients drawn, never by the mean alone:
few photographs make wide intervals, and a method that cannot be told from chance on them is not certified by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd

from fundoscope.heatmaps.table import ANY, CHANCE, NONE, differences, summarise
from fundoscope.records import null_if_nan
from fundoscope.runtime.certificate import Outcome, Verdict

CENTRE: Final = "centre blob"
"""Baseline of `baselines.centre_blob`: lesions gather round the macula."""

VESSELS: Final = "vessel map"
"""Baseline of `baselines.vessel_map`: lesions are dark as vessels are."""

BETTER: Final = 0.0
"""A difference from a baseline must be above nothing: how far above is for the reader of the figures."""

RANDOMISED_MOST: Final = 0.3
"""Rank correlation with the map of the network with all weights drawn anew: above it, the photograph alone makes the
map (Adebayo et al., NeurIPS 2018, whose edge detectors stay above 0.5 and whose gradients fall below 0.2)."""

SHUFFLED_MOST: Final = 0.5
"""Rank correlation with the map of a network that learnt shuffled grades. It learnt to see the same photographs, so
more may stay alike than of a network that learnt nothing."""

SHIFT_LEAST: Final = 0.7
"""Linear correlation with the map of the photograph moved by 4 to 8 pixels, moved back: half of the map's variance is
then about the photograph, and not about where it happened to lie."""

OUTSIDE_MOST: Final = 0.1
"""Share of the relevance outside the field of view, where nothing is to be seen."""

LEAST_PATIENTS: Final = 6
"""Of fewer no interval decides: were it chance, five of five would lie on one side once in 32 times, more often than
the 2.5 % beyond the bound of a 95 % interval; six of six do once in 64."""

ALIKE: Final = "all patients have this value"
"""Why a test has no interval. By `LEAST_PATIENTS` so many on one side decide without one."""

Relation = Literal[">", ">=", "<", "<="]

_BOUNDS: Final[dict[Relation, str]] = {
    ">": "lower bound above",
    ">=": "lower bound at least",
    "<": "upper bound below",
    "<=": "upper bound at most",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTest:
    """One test: a score, what it is compared with, and the bound that decides."""

    says: str
    score: str
    """Column of the table that `certification.measure` makes."""
    baseline: str | None = None
    """A method that is subtracted, photograph by photograph; None: the score itself."""
    relation: Relation
    threshold: float
    needs_checkpoint: bool = False

    @property
    def needed(self) -> str:
        """The threshold in words."""
        return f"{_BOUNDS[self.relation]} {self.threshold:g}"

    def passes(self, low: float, high: float) -> bool:
        """Return whether a whole interval lies on the required side of the threshold."""
        if math.isnan(low) or math.isnan(high):
            return False
        bound = low if self.relation.startswith(">") else high
        return {">": bound > self.threshold, ">=": bound >= self.threshold}.get(
            self.relation, bound < self.threshold or (self.relation == "<=" and bound == self.threshold)
        )


TESTS: Final[dict[str, MapTest]] = {
    "chance": MapTest(
        says="finds lesions better than chance (AUROC minus 0.5)",
        score="auroc",
        baseline=CHANCE,
        relation=">",
        threshold=BETTER,
    ),
    "centre": MapTest(
        says="finds lesions better than a blob in the centre (difference of AUROC)",
        score="auroc",
        baseline=CENTRE,
        relation=">",
        threshold=BETTER,
    ),
    "vessels": MapTest(
        says="finds lesions better than a map of vessels (difference of AUROC)",
        score="auroc",
        baseline=VESSELS,
        relation=">",
        threshold=BETTER,
    ),
    "energy": MapTest(
        says="puts more of its energy on lesions than their share of the field",
        score="energy",
        baseline=CHANCE,
        relation=">",
        threshold=BETTER,
    ),
    "needed": MapTest(
        says="marks what the network needs (ROAD: least relevant gone minus most relevant gone, in grades)",
        score="road_gap",
        relation=">",
        threshold=BETTER,
    ),
    "stable": MapTest(
        says="stays with the photograph when it is moved a little (linear correlation)",
        score="shift_pearson",
        relation=">=",
        threshold=SHIFT_LEAST,
    ),
    "inside": MapTest(
        says="stays inside the field of view (share of relevance outside)",
        score="outside",
        relation="<=",
        threshold=OUTSIDE_MOST,
    ),
    "randomised": MapTest(
        says="changes when the network's weights are drawn anew (rank correlation)",
        score="randomised_spearman",
        relation="<",
        threshold=RANDOMISED_MOST,
        needs_checkpoint=True,
    ),
    "shuffled": MapTest(
        says="changes when the network learnt shuffled grades (rank correlation)",
        score="shuffled_spearman",
        relation="<",
        threshold=SHUFFLED_MOST,
        needs_checkpoint=True,
    ),
}
"""Every test by its name; those that need no checkpoint first."""

NO_CHECKPOINT: Final = "needs the checkpoint: --checkpoint RUN"

LESION_FREE: Final = ("peak", "peak_from_centre", "outside", "empty")
"""What is reported of photographs without lesions: the largest relevance (units of the method), its distance from the
field's centre in radii, the share outside the field, and how many maps show nothing."""


def decide(
    method: str, table: pd.DataFrame, *, not_run: dict[str, str], resamples: int = 2000, seed: int = 0
) -> Verdict:
    """Decide all tests of one method from the table of its scores.

    Args:
        method: Its name in the table.
        table: Rows of `certification.measure`: of the method, of the baselines and of chance.
        not_run: Tests that were not run, and why; what has no score and stands here is no failure.
        resamples: Draws of patients.
        seed: Of the draws.
    """
    lesions = table[(table["lesions"] == ANY) & table["method"].isin([method, CHANCE, CENTRE, VESSELS])]
    tests = [
        _test(name, test, method, lesions, not_run.get(name, ""), {"resamples": resamples, "seed": seed})
        for name, test in TESTS.items()
    ]
    free = table[(table["lesions"] == NONE) & (table["method"] == method)]
    shown: dict[str, float | None] = {
        name: float(free[name].mean()) for name in LESION_FREE if name in free and free[name].notna().any()
    }
    return Verdict(method=method, tests=tuple(tests), lesion_free=shown)


def _test(name: str, test: MapTest, method: str, table: pd.DataFrame, why: str, draws: dict[str, int]) -> Outcome:
    said: dict[str, Any] = {
        "name": name,
        "says": test.says,
        "needed": test.needed,
        "needs_checkpoint": test.needs_checkpoint,
    }
    mine = table[table["method"] == method]
    if why:
        return Outcome(**said, result="not run", why=why)
    if test.score not in mine or not mine[test.score].notna().any():
        return Outcome(**said, result="failed", why="no photograph gave a value")
    compared = table[["image", "patient", "source", "method", "lesions", test.score]]
    options: dict[str, Any] = {"scores": [test.score], "level": 0.95} | draws
    if test.baseline is None:
        summary = summarise(compared[compared["method"] == method], **options)
    else:
        summary = differences(compared[compared["method"].isin([method, test.baseline])], test.baseline, **options)
    row = summary.iloc[0]
    value, low, high = float(row["mean"]), float(row["low"]), float(row["high"])
    few = f"{row['patients']} patients, at least {LEAST_PATIENTS} needed" if row["patients"] < LEAST_PATIENTS else ""
    if few and test.needs_checkpoint:
        return Outcome(**said, result="not run", why=few)
    alike = math.isnan(low) and not row["undefined"]
    passed = test.passes(value, value) if alike else test.passes(low, high)
    return Outcome(
        **said,
        result="passed" if passed and not few else "failed",
        why=few or (ALIKE if alike else ""),
        value=value,
        low=null_if_nan(low),
        high=null_if_nan(high),
        photographs=int(row["photographs"]),
        patients=int(row["patients"]),
    )
