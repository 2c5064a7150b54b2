"""How well a yes-or-no question is answered: by a score, and by a decision."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from fundoscope.arrays import Scores
from fundoscope.evaluation.agreement import Values
from fundoscope.evaluation.interval import Weights

Answers = Bool[np.ndarray, " photo"]
"""Yes or no for each photograph."""


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
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(pairs > 0, won / pairs, np.nan))


def hit_rates(weights: Weights, positive: Answers, said: Answers) -> tuple[Values, Values]:
    """Sensitivity and specificity of each draw; NaN where nothing positive, or negative, was drawn."""
    return _share(weights, positive, said), _share(weights, ~positive, ~said)


def _share(weights: Weights, among: Answers, hit: Answers) -> Values:
    total = weights @ among.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, (weights @ (among & hit).astype(np.float64)) / total, np.nan))
