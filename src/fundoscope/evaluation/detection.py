"""How well a yes-or-no question is answered: by a score, and by a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from fundoscope.arrays import Grades, Probabilities, Scores
from fundoscope.evaluation.agreement import Values
from fundoscope.evaluation.interval import Weights
from fundoscope.evaluation.rates import ratio
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
    negative = np.flatnonzero(~positive)
    negative = negative[np.argsort(scores[negative], kind="stable")]
    up_to = np.zeros((len(weights), len(negative) + 1))
    np.cumsum(weights[:, negative], axis=1, out=up_to[:, 1:])
    # Negatives below a positive's score, and those below or level with it: their mean counts ties half.
    below = np.searchsorted(scores[negative], scores[positive], side="left")
    level = np.searchsorted(scores[negative], scores[positive], side="right")
    drawn = weights[:, positive]
    won = (np.einsum("dp,dp->d", drawn, up_to[:, below]) + np.einsum("dp,dp->d", drawn, up_to[:, level])) / 2
    pairs = drawn.sum(axis=1) * up_to[:, -1]
    return ratio(won, pairs)


@dataclass(frozen=True, slots=True)
class Curves:
    """Of each draw, how much is found and wrongly called as the threshold falls from above all scores to the lowest."""

    found: Float[np.ndarray, "draw threshold"]
    """Positive photographs at or above each threshold; first 0, last all of them."""
    wrong: Float[np.ndarray, "draw threshold"]
    """Negative ones."""


def curves(weights: Weights, positive: Answers, scores: Scores) -> Curves:
    """The curves of each draw: one threshold above all scores, then one at each different score."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    counted = []
    for side in (positive, ~positive):
        sums = np.zeros((len(weights), len(last) + 1))
        sums[:, 1:] = np.cumsum(weights[:, order] * side[order], axis=1)[:, last]
        counted.append(sums)
    return Curves(counted[0], counted[1])


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


def one_vs_rest(weights: Weights, grades: Grades, given: Probabilities) -> Float[np.ndarray, "draw grade"]:
    """AUROC of each grade's probability against all other grades; NaN where a side was not drawn."""
    return np.stack([aurocs(weights, grades == grade, given[:, grade]) for grade in range(GRADES)], axis=1)


def one_vs_one(weights: Weights, grades: Grades, given: Probabilities) -> Values:
    """AUROC of each grade against each other one, by either's probability, averaged evenly (Hand & Till 2001).

    Over the grades that occur in `grades`; NaN for fewer than two, and where one of them was not drawn.
    """
    found = [
        aurocs(weights[:, among], grades[among] == grade, given[among, grade])
        for grade in np.unique(grades)
        for other in np.unique(grades)
        if grade != other
        for among in [np.isin(grades, (grade, other))]
    ]
    return np.asarray(np.mean(found, axis=0)) if found else np.full(len(weights), np.nan)


def hit_rates(weights: Weights, positive: Answers, said: Answers) -> tuple[Values, Values]:
    """Sensitivity and specificity of each draw; NaN where nothing positive, or negative, was drawn."""
    return _share(weights, positive, said), _share(weights, ~positive, ~said)


def _share(weights: Weights, among: Answers, hit: Answers) -> Values:
    return ratio(weights @ (among & hit).astype(np.float64), weights @ among.astype(np.float64))


def _best(value: _Steps, cost: _Steps, allowed: Values) -> Values:
    """The largest share of `value` that costs no more than allowed; both rise along the thresholds."""
    affordable = cost <= allowed[:, None] * (1 + ROUNDING)
    best = np.where(affordable, value, 0).max(axis=1)
    return np.where(cost[:, -1] > 0, ratio(best, value[:, -1]), np.nan)
