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
from fundoscope.evaluation.statistics.rates import ratio
from fundoscope.evaluation.statistics.significance import holm
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
        shuffles: How often groups are dealt out by chance.
    """
    own = Grouping(grouping.column, grouping.values, np.where(counted, grouping.codes, -1))
    present = [at for at in range(len(own.values)) if (own.codes == at).any()]
    if len(present) < 2:
        return ()
    tested = present if len(present) > 2 else present[:1]
    score = cases.score("referable")
    dealt = np.stack([own.codes, *shuffled(own, cases.patients, rng, shuffles)]).astype(np.int32)
    grades = np.array([_grades_apart(cases.reference, dealt, at) for at in tested])
    scores = np.array([scores_apart(score, dealt, at) for at in tested])
    grades_p, scores_p = (holm([chance(float(each[0]), each[1:]) for each in found]) for found in (grades, scores))
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


def scores_apart(scores: Scores, dealt: np.ndarray, at: int) -> Float[np.ndarray, " deal"]:
    """Kolmogorov-Smirnov distance between a group's scores and the others', for each dealing of the groups.

    Args:
        scores: NaN where there is none; those are left out.
        dealt: Codes of the groups, one row for each dealing; -1 is in none, the same photographs in each.
        at: The group.
    """
    known = np.flatnonzero(~np.isnan(scores))
    order = known[np.argsort(scores[known], kind="stable")]
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    if not len(last):
        return np.full(len(dealt), np.nan)
    # Who is in a group at all is the same however groups are dealt out: the others are all of them less this group.
    everyone = np.cumsum(dealt[0, order] >= 0)[last].astype(np.float64)
    apart = np.empty(len(dealt))
    block = max(1, PATIENT_BLOCK // len(order))
    for start in range(0, len(dealt), block):
        below = np.cumsum(dealt[start : start + block, order] == at, axis=1, dtype=np.int32)[:, last]
        inside, every = below[:, -1:].astype(np.float64), everyone[-1]
        furthest = np.abs(below - inside * (everyone / max(every, 1.0))).max(axis=1)
        apart[start : start + block] = ratio(furthest * every, (inside * (every - inside))[:, 0])
    return apart


def _grades_apart(reference: Codes, dealt: np.ndarray, at: int) -> Float[np.ndarray, " deal"]:
    """Total variation distance between a group's grades and the others'."""
    is_it = np.eye(GRADES)[reference]
    everyone = (dealt[0] >= 0) @ is_it
    inside = (dealt == at) @ is_it
    shares = [ratio(side, side.sum(axis=1)[:, None]) for side in (inside, everyone - inside)]
    return np.asarray(np.abs(shares[0] - shares[1]).sum(axis=1) / 2)


def _mean(scores: Scores) -> float:
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else math.nan
