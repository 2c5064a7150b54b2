"""How well a yes-or-no question is answered: by a score, and by a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from fundoscope.arrays import Grades, Probabilities, Scores
from fundoscope.evaluation.statistics.agreement import Values
from fundoscope.evaluation.statistics.interval import Weights
from fundoscope.evaluation.statistics.rates import ratio
from fundoscope.evaluation.statistics.sums import Sums, Together, Totals, by_cell
from fundoscope.grades import GRADES

Answers = Bool[np.ndarray, " photo"]
"""Yes or no for each photograph."""

ROUNDING: Final = 1e-12
"""Slack of a rate that is asked for: 1 - 0.9 of 10 photographs is 1 photograph."""

_Steps = Float[np.ndarray, "draw threshold"]


def auroc(positive: Answers, scores: Scores) -> float:
    """Chance that a positive photograph scores above a negative one, ties half; NaN unless there are both."""
    return float(aurocs(np.ones((1, len(scores))), positive, scores)[0])


def aurocs(weights: Weights, positive: Answers, scores: Scores) -> Values:
    """AUROC of each draw, by weighted ranks (Mann-Whitney); NaN unless both sides were drawn."""
    return of_wins(positive, ~positive, scores, _auroc)(weights)["auroc"]


def of_wins(
    positive: Answers, negative: Answers, scores: Scores, read: Callable[[Values, Values, Values], Mapping[str, Values]]
) -> Sums:
    """Statistics of how many pairs of a positive and a negative photograph are ranked rightly, ties half.

    Photographs are taken together in steps: as scores rise, negatives, then the positives above them.
    Positives that tie with negatives end a step, and have won half against those.

    Args:
        positive: One side.
        negative: The other; a photograph may be on neither.
        scores: Of all photographs.
        read: From the pairs won, the positives and the negatives of each draw.
    """
    among = np.flatnonzero(positive | negative)
    level = np.unique(scores[among], return_inverse=True)[1]
    levels = int(level.max(initial=-1)) + 1
    has = [np.bincount(level, weights=side[among], minlength=levels) > 0 for side in (positive, negative)]
    ends = has[0][:-1] & (has[1][1:] | has[1][:-1])
    step_of = np.concatenate([np.zeros(min(levels, 1), np.int64), np.cumsum(ends)])
    step = np.full(len(scores), -1)
    step[among] = step_of[level]
    ties = np.unique(step_of[has[0] & has[1]])
    tied = np.full(len(scores), -1)
    tied[among] = np.where((has[0] & has[1])[level], np.searchsorted(ties, step[among]), -1)
    steps = int(step.max(initial=-1)) + 1

    def of(found: Totals, wrong: Totals, level: Totals) -> Mapping[str, Values]:
        below = np.add.accumulate(wrong, axis=0)
        won = np.einsum("sd,sd->d", found, below) - np.einsum("sd,sd->d", found[ties], level) / 2
        return read(won, found.sum(axis=0), wrong.sum(axis=0))

    return Sums(
        (
            by_cell(np.where(positive, step, -1), steps),
            by_cell(np.where(negative, step, -1), steps),
            by_cell(np.where(negative, tied, -1), len(ties)),
        ),
        of,
    )


def of_auroc(positive: Answers, scores: Scores, name: str = "auroc") -> Sums:
    """`aurocs`, by this name."""
    return of_wins(positive, ~positive, scores, lambda *counts: {name: _auroc(*counts)["auroc"]})


def _auroc(won: Values, found: Values, wrong: Values) -> dict[str, Values]:
    return {"auroc": ratio(won, found * wrong)}


@dataclass(frozen=True, slots=True)
class Curves:
    """Of each draw, how much is found and wrongly called as the threshold falls from above all scores to the lowest.

    A threshold at which nothing more is found is left out: none is better for anything.
    """

    found: Float[np.ndarray, "draw threshold"]
    """Positive photographs at or above each threshold; first 0, last all of them."""
    wrong: Float[np.ndarray, "draw threshold"]
    """Negative ones."""


def curves(weights: Weights, positive: Answers, scores: Scores) -> Curves:
    """The curves of each draw: a threshold above all scores, one at each score of a positive, one below all."""
    found: list[Curves] = []

    def keep(of: Curves) -> dict[str, Values]:
        found.append(of)
        return {}

    of_curves(positive, scores, keep)(weights)
    return found[0]


def of_curves(positive: Answers, scores: Scores, read: Callable[[Curves], Mapping[str, Values]]) -> Sums:
    """Statistics that are read off the curves of each draw."""
    thresholds = np.unique(-scores[positive])
    step = np.searchsorted(thresholds, -scores, side="left")

    def of(hits: Totals, alarms: Totals) -> Mapping[str, Values]:
        sides = np.zeros((2, len(hits) + 1, hits.shape[1]))
        for counted, totals in zip(sides, (hits, alarms), strict=True):
            np.add.accumulate(totals, axis=0, out=counted[1:])
        return read(Curves(sides[0].T, sides[1].T))

    return Sums(tuple(by_cell(np.where(side, step, -1), len(thresholds) + 1) for side in (positive, ~positive)), of)


def average_precisions(of: Curves) -> Values:
    """Average precision of each draw: the precision at each threshold, weighted by the sensitivity it adds.

    No interpolation, as scikit-learn. NaN where nothing positive was drawn.
    """
    gained = np.diff(of.found, axis=1)
    precision = ratio(of.found[:, 1:], of.found[:, 1:] + of.wrong[:, 1:])
    return ratio(np.einsum("dt,dt->d", gained, np.nan_to_num(precision)), of.found[:, -1])


def sensitivities_at(of: Curves, specificity: float) -> Values:
    """The highest sensitivity of a threshold whose specificity is at least as given; NaN unless both sides were drawn.

    The threshold is chosen on the same photographs: what could be reached, not a promise for others.
    """
    return _best(of.found, of.wrong, (1 - specificity) * of.wrong[:, -1])


def specificities_at(of: Curves, sensitivity: float) -> Values:
    """The highest specificity of a threshold whose sensitivity is at least as given; see `sensitivities_at`."""
    missed, right = of.found[:, -1:] - of.found, of.wrong[:, -1:] - of.wrong
    return _best(right[:, ::-1], missed[:, ::-1], (1 - sensitivity) * of.found[:, -1])


def predictive_values(sensitivity: Values, specificity: Values, prevalence: float) -> tuple[Values, Values]:
    """Positive and negative predictive value where `prevalence` of the photographs are positive (Bayes' theorem).

    NaN where a rate is, and where nothing would be called so.

    Raises:
        ValueError: If `prevalence` does not lie between 0 and 1 exclusive.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie between 0 and 1, got {prevalence}")
    hit, false_alarm = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    cleared, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return ratio(hit, hit + false_alarm), ratio(cleared, cleared + missed)


def one_vs_one(weights: Weights, grades: Grades, given: Probabilities) -> Values:
    """AUROC of each grade against each other one, for each draw; see `of_pairs`."""
    return of_pairs(grades, given)(weights)["auroc_one_vs_one"]


def of_pairs(grades: Grades, given: Probabilities) -> Together:
    """AUROC by the grades' own probabilities: one against the rest, and one against another.

    `grade0_auroc`, ...: of each grade against all others, NaN where a side was not drawn; `auroc_one_vs_rest`: their
    mean over the grades that occur; `auroc_one_vs_one`: of each occurring grade against each other one, averaged
    evenly (Hand & Till 2001), NaN for fewer than two, and where one of them was not drawn. Of each grade's probability
    the pairs won against each other grade give all of them.
    """
    occurring = np.unique(grades).tolist()
    pairs = [(grade, other) for grade in occurring for other in occurring if grade != other]

    def combine(found: Mapping[str, Values]) -> dict[str, Values]:
        count = [found[f"photographs {grade}"] for grade in range(GRADES)]
        nothing, everyone = np.full(len(count[0]), np.nan), sum(count)
        own = {f"grade{grade}_auroc": nothing for grade in range(GRADES)}
        for grade in occurring:
            won = sum((found[f"won {one} {other}"] for one, other in pairs if one == grade), np.zeros(len(nothing)))
            own[f"grade{grade}_auroc"] = ratio(won, count[grade] * (everyone - count[grade]))
        each = [ratio(found[f"won {one} {other}"], count[one] * count[other]) for one, other in pairs]
        every = [own[f"grade{grade}_auroc"] for grade in occurring]
        return own | {
            "auroc_one_vs_rest": np.asarray(np.mean(every, axis=0)) if every else nothing,
            "auroc_one_vs_one": np.asarray(np.mean(each, axis=0)) if each else nothing,
        }

    counts = Sums((by_cell(grades, GRADES),), lambda rows: {f"photographs {at}": row for at, row in enumerate(rows)})
    return Together((counts, *(_pair(grades, given, one, other) for one, other in pairs)), combine)


def _pair(grades: Grades, given: Probabilities, one: int, other: int) -> Sums:
    return of_wins(grades == one, grades == other, given[:, one], lambda won, *_: {f"won {one} {other}": won})


def hit_rates(weights: Weights, positive: Answers, said: Answers) -> tuple[Values, Values]:
    """Sensitivity and specificity of each draw; NaN where nothing positive, or negative, was drawn."""
    found = of_hits(positive, said)(weights)
    return found["sensitivity"], found["specificity"]


def of_hits(positive: Answers, said: Answers, *, f1: bool = False) -> Sums:
    """Count `sensitivity` and `specificity` (see `hit_rates`), and `f1` if asked for."""
    cells = by_cell(2 * positive.astype(np.int64) + (positive == said), 4)

    def read(totals: Totals) -> Mapping[str, Values]:
        alarm, cleared, missed, hit = totals
        rates = {"sensitivity": ratio(hit, hit + missed), "specificity": ratio(cleared, cleared + alarm)}
        return rates | {"f1": ratio(2 * hit, 2 * hit + missed + alarm)} if f1 else rates

    return Sums((cells,), read)


def _best(value: _Steps, cost: _Steps, allowed: Values) -> Values:
    """The largest share of `value` that costs no more than allowed; both rise along the thresholds."""
    last = (cost <= allowed[:, None] * (1 + ROUNDING)).sum(axis=1) - 1
    best = value[np.arange(len(value)), last]
    return np.where(cost[:, -1] > 0, ratio(best, value[:, -1]), np.nan)
