"""How differently grades and scores are distributed in one group than in the others."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from fundoscope.arrays import Scores
from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.measures import Mask
from fundoscope.evaluation.statistics.groups import Codes, Grouping, chance, shuffled
from fundoscope.evaluation.statistics.interval import PATIENT_BLOCK
from fundoscope.evaluation.statistics.significance import holm
from fundoscope.evaluation.statistics.sums import ratio
from fundoscope.grades import GRADES, REFERABLE
from fundoscope.records import without_nan


@dataclass(frozen=True, slots=True)
class Shift:
    """One group against all others of its column; p-values are of groups dealt out by chance, patients kept whole."""

    value: str
    referable_share: float
    """Of its photographs, by the reference."""
    mean_score: float
    """Of `p_referable`."""
    grades_apart: float
    """Total variation distance of the reference grades: the share that would have to be regraded, 0 to 1."""
    grades_p: float
    """Corrected after Holm for the groups of the column."""
    scores_apart: float
    """Kolmogorov-Smirnov distance of `p_referable`, 0 to 1; NaN where there are no scores."""
    scores_p: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN."""
        return without_nan(asdict(self))


def shifts(
    cases: Cases, counted: Mask, grouping: Grouping, *, rng: np.random.Generator, shuffles: int
) -> tuple[Shift, ...]:
    """Every group against the rest; of two groups only the first, for the other is the same.

    Args:
        cases: Photographs with a reference grade.
        counted: Those that count.
        grouping: Of the same photographs.
        rng: Of the shuffles.
        shuffles: How often groups are assignments out by chance.
    """
    own = Grouping(grouping.column, grouping.values, np.where(counted, grouping.codes, -1))
    present = [at for at in range(len(own.values)) if (own.codes == at).any()]
    if len(present) < 2:
        return ()
    tested = present if len(present) > 2 else present[:1]
    score = cases.score("referable")
    assignments = np.stack([own.codes, *shuffled(own, cases.patients, rng, shuffles)]).astype(np.int32)
    grades = np.array([_grades_apart(cases.reference, assignments, at) for at in tested])
    scores = np.array([scores_apart(score, assignments, at) for at in tested])
    grades_p, scores_p = (
        holm([chance(float(of_group[0]), of_group[1:]) for of_group in distances]) for distances in (grades, scores)
    )
    return tuple(
        Shift(
            own.values[at],
            _mean((cases.reference[own.codes == at] >= REFERABLE).astype(np.float64)),
            _mean(score[own.codes == at]),
            float(grades[place, 0]),
            grades_p[place],
            float(scores[place, 0]),
            scores_p[place],
        )
        for place, at in enumerate(tested)
    )


def scores_apart(scores: Scores, assignments: np.ndarray, group: int) -> Float[np.ndarray, " assignment"]:
    """Compute the Kolmogorov-Smirnov distance between a group's scores and the others', for each assignment.

    Args:
        scores: NaN where there is none; those are left out.
        assignments: Codes of the groups, one row for each assignment; -1 is in none, the same photographs in each.
        group: Code of the group.
    """
    scored = np.flatnonzero(~np.isnan(scores))
    order = scored[np.argsort(scores[scored], kind="stable")]
    # Of photographs with one score, the last one in this order: there the cumulative distributions are compared.
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    if not len(last):
        return np.full(len(assignments), np.nan)
    # Photographs in any group are the same in all assignments; the others are all of them less this group.
    up_to = np.cumsum(assignments[0, order] >= 0)[last].astype(np.float64)
    distances = np.empty(len(assignments))
    block = max(1, PATIENT_BLOCK // len(order))
    for start in range(0, len(assignments), block):
        # Of each assignment how many of the group have at most each score: (assignment, score).
        below = np.cumsum(assignments[start : start + block, order] == group, axis=1, dtype=np.int32)[:, last]
        inside, total = below[:, -1:].astype(np.float64), up_to[-1]
        # The difference of the two distributions, times inside * (total - inside) / total.
        furthest = np.abs(below - inside * (up_to / max(total, 1.0))).max(axis=1)
        distances[start : start + block] = ratio(furthest * total, (inside * (total - inside))[:, 0])
    return distances


def _grades_apart(reference: Codes, assignments: np.ndarray, group: int) -> Float[np.ndarray, " assignment"]:
    """Compute the total variation distance between a group's grades and the others', for each assignment."""
    has_grade = np.eye(GRADES)[reference]  # (photo, grade)
    everyone = (assignments[0] >= 0) @ has_grade
    inside = (assignments == group) @ has_grade  # (assignment, grade)
    shares = [ratio(counts, counts.sum(axis=1)[:, None]) for counts in (inside, everyone - inside)]
    return np.asarray(np.abs(shares[0] - shares[1]).sum(axis=1) / 2)


def _mean(scores: Scores) -> float:
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if len(defined) else math.nan
