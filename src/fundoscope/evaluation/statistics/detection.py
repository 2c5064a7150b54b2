"""Statistics of a yes-or-no question: of a score that ranks photographs, and of a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from fundoscope.arrays import Grades, Probabilities, Scores
from fundoscope.evaluation.statistics.agreement import Values
from fundoscope.evaluation.statistics.interval import Weights
from fundoscope.evaluation.statistics.sums import Sums, Together, Totals, by_cell, ratio
from fundoscope.grades import GRADES

Answers = Bool[np.ndarray, " photo"]
"""Yes or no for each photograph."""

ROUNDING: Final = 1e-12
"""Tolerance of a wanted rate: 1 - 0.9 of 10 photographs is 1 photograph."""

_Steps = Float[np.ndarray, "draw threshold"]


def auroc(positive: Answers, scores: Scores) -> float:
    """Compute the chance that a positive photograph scores above a negative one, ties half; NaN unless both occur."""
    return float(aurocs(np.ones((1, len(scores))), positive, scores)[0])


def aurocs(weights: Weights, positive: Answers, scores: Scores) -> Values:
    """Compute the AUROC of each resample, by weighted ranks (Mann-Whitney); NaN unless both sides were drawn."""
    return of_wins(positive, ~positive, scores, _auroc)(weights)["auroc"]


def of_wins(
    positive: Answers, negative: Answers, scores: Scores, read: Callable[[Values, Values, Values], Mapping[str, Values]]
) -> Sums:
    """Build statistics of how many pairs of a positive and a negative photograph are ranked rightly, ties half.

    The scores are cut into steps, each of negatives followed by the positives that score above them, so that whether a
    pair is won depends on the steps alone: a positive wins against all negatives of its own step and of those below.
    There are far fewer steps than photographs if the score is any good. Positives that tie with negatives end a step,
    and win only half against those.

    Args:
        positive: One side.
        negative: The other; a photograph may be on neither.
        scores: Of all photographs.
        read: From the pairs won, the positives and the negatives of each resample.
    """
    either = np.flatnonzero(positive | negative)
    # Rank of each photograph's score among the distinct scores, and which ranks have positives, which negatives.
    rank = np.unique(scores[either], return_inverse=True)[1]
    ranks = int(rank.max(initial=-1)) + 1
    has_positives, has_negatives = (
        np.bincount(rank, weights=side[either], minlength=ranks) > 0 for side in (positive, negative)
    )
    # A step ends where positives are followed by negatives, and where positives tie with negatives.
    is_last = has_positives[:-1] & (has_negatives[1:] | has_negatives[:-1])
    step_of_rank = np.concatenate([np.zeros(min(ranks, 1), np.int64), np.cumsum(is_last)])
    step = np.full(len(scores), -1)  # of each photograph; -1: on neither side
    step[either] = step_of_rank[rank]
    steps = int(step.max(initial=-1)) + 1
    # Steps that end in a tie, and for each photograph the number of its tie; -1: in none.
    has_tie = has_positives & has_negatives
    tied_steps = np.unique(step_of_rank[has_tie])
    tie = np.full(len(scores), -1)
    tie[either] = np.where(has_tie[rank], np.searchsorted(tied_steps, step[either]), -1)

    def of(positives: Totals, negatives: Totals, tied_negatives: Totals) -> Mapping[str, Values]:
        # Totals are (step, draw). A step that ends in a tie has no other positives than those that tie.
        up_to_step = np.add.accumulate(negatives, axis=0)
        ties = np.einsum("sd,sd->d", positives[tied_steps], tied_negatives)
        won = np.einsum("sd,sd->d", positives, up_to_step) - ties / 2
        return read(won, positives.sum(axis=0), negatives.sum(axis=0))

    return Sums(
        (
            by_cell(np.where(positive, step, -1), steps),
            by_cell(np.where(negative, step, -1), steps),
            by_cell(np.where(negative, tie, -1), len(tied_steps)),
        ),
        of,
    )


def of_auroc(positive: Answers, scores: Scores, name: str = "auroc") -> Sums:
    """Build `aurocs` under a name."""
    return of_wins(positive, ~positive, scores, lambda *counts: {name: _auroc(*counts)["auroc"]})


def _auroc(won: Values, positives: Values, negatives: Values) -> dict[str, Values]:
    return {"auroc": ratio(won, positives * negatives)}


@dataclass(frozen=True, slots=True)
class Curves:
    """True and false positives of each resample as the threshold falls from above all scores to below them.

    A threshold that adds no true positive is left out: it is better for nothing.
    """

    true_positives: Float[np.ndarray, "draw threshold"]
    """Positive photographs at or above each threshold; first 0, last all of them."""
    false_positives: Float[np.ndarray, "draw threshold"]
    """Negative photographs at or above each threshold."""


def curves(weights: Weights, positive: Answers, scores: Scores) -> Curves:
    """Compute the curves of each resample: thresholds above all scores, at each score of a positive, below all."""
    read: list[Curves] = []

    def keep(of: Curves) -> dict[str, Values]:
        read.append(of)
        return {}

    of_curves(positive, scores, keep)(weights)
    return read[0]


def of_curves(positive: Answers, scores: Scores, read: Callable[[Curves], Mapping[str, Values]]) -> Sums:
    """Build statistics that are read off the curves of each resample."""
    # Thresholds fall, so their negatives rise, as `searchsorted` needs; a photograph counts from its first one on.
    thresholds = np.unique(-scores[positive])
    first = np.searchsorted(thresholds, -scores, side="left")

    def of(positives: Totals, negatives: Totals) -> Mapping[str, Values]:
        # (side, threshold, draw), preceded by a threshold above all scores, at which nobody counts.
        counts = np.zeros((2, len(positives) + 1, positives.shape[1]))
        for side, totals in zip(counts, (positives, negatives), strict=True):
            np.add.accumulate(totals, axis=0, out=side[1:])
        return read(Curves(counts[0].T, counts[1].T))  # (threshold, draw) -> (draw, threshold)

    return Sums(tuple(by_cell(np.where(side, first, -1), len(thresholds) + 1) for side in (positive, ~positive)), of)


def average_precisions(of: Curves) -> Values:
    """Compute the average precision of each resample: the precision at each threshold, weighted by the sensitivity it
    adds.

    No interpolation, as scikit-learn. NaN where nothing positive was drawn.
    """
    gain = np.diff(of.true_positives, axis=1)
    precision = ratio(of.true_positives[:, 1:], of.true_positives[:, 1:] + of.false_positives[:, 1:])
    return ratio(np.einsum("dt,dt->d", gain, np.nan_to_num(precision)), of.true_positives[:, -1])


def sensitivities_at(of: Curves, specificity: float) -> Values:
    """Find the highest sensitivity of a threshold with at least this specificity; NaN unless both sides were drawn.

    The threshold is chosen on the same photographs: what could be reached, not a promise for others.
    """
    allowed = (1 - specificity) * of.false_positives[:, -1]
    return _best(of.true_positives, of.false_positives, allowed)


def specificities_at(of: Curves, sensitivity: float) -> Values:
    """Find the highest specificity of a threshold with at least this sensitivity; see `sensitivities_at`."""
    false_negatives = of.true_positives[:, -1:] - of.true_positives
    true_negatives = of.false_positives[:, -1:] - of.false_positives
    # As thresholds rise, so in reverse, both rise, as `_best` needs.
    allowed = (1 - sensitivity) * of.true_positives[:, -1]
    return _best(true_negatives[:, ::-1], false_negatives[:, ::-1], allowed)


def predictive_values(sensitivity: Values, specificity: Values, prevalence: float) -> tuple[Values, Values]:
    """Compute positive and negative predictive value at a prevalence, by Bayes' theorem.

    NaN where a rate is, and where no photograph would be called so.

    Raises:
        ValueError: If `prevalence` does not lie between 0 and 1 exclusive.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie between 0 and 1, got {prevalence}")
    # Shares of all photographs.
    true_positive, false_positive = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_negative, false_negative = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    positive_value = ratio(true_positive, true_positive + false_positive)
    return positive_value, ratio(true_negative, true_negative + false_negative)


def one_vs_one(weights: Weights, grades: Grades, probabilities: Probabilities) -> Values:
    """Compute the mean AUROC of one grade against another, for each resample; see `of_pairs`."""
    return of_pairs(grades, probabilities)(weights)["auroc_one_vs_one"]


def of_pairs(grades: Grades, probabilities: Probabilities) -> Together:
    """Build AUROCs of the grades' own probabilities: one against the rest, and one against another.

    `grade0_auroc`, ...: of each grade against all others, NaN where a side was not drawn; `auroc_one_vs_rest`: their
    mean over the grades that occur; `auroc_one_vs_one`: of each occurring grade against each other one, averaged
    evenly (Hand & Till 2001), NaN for fewer than two, and where one of them was not drawn. All are computed from the
    pairs that each grade's probability wins against each other grade.
    """
    occurring = np.unique(grades).tolist()
    pairs = [(grade, other) for grade in occurring for other in occurring if grade != other]

    def combine(totals: Mapping[str, Values]) -> dict[str, Values]:
        count = [totals[f"photographs {grade}"] for grade in range(GRADES)]
        undefined, everyone = np.full(len(count[0]), np.nan), sum(count)
        aurocs_of = {f"grade{grade}_auroc": undefined for grade in range(GRADES)}
        for grade in occurring:
            won = sum((totals[f"won {one} {other}"] for one, other in pairs if one == grade), np.zeros(len(undefined)))
            aurocs_of[f"grade{grade}_auroc"] = ratio(won, count[grade] * (everyone - count[grade]))
        against_one = [ratio(totals[f"won {one} {other}"], count[one] * count[other]) for one, other in pairs]
        against_rest = [aurocs_of[f"grade{grade}_auroc"] for grade in occurring]
        return aurocs_of | {
            "auroc_one_vs_rest": np.asarray(np.mean(against_rest, axis=0)) if against_rest else undefined,
            "auroc_one_vs_one": np.asarray(np.mean(against_one, axis=0)) if against_one else undefined,
        }

    counts = Sums((by_cell(grades, GRADES),), lambda rows: {f"photographs {at}": row for at, row in enumerate(rows)})
    return Together((counts, *(_pair(grades, probabilities, one, other) for one, other in pairs)), combine)


def _pair(grades: Grades, probabilities: Probabilities, one: int, other: int) -> Sums:
    return of_wins(grades == one, grades == other, probabilities[:, one], lambda won, *_: {f"won {one} {other}": won})


def hit_rates(weights: Weights, positive: Answers, said: Answers) -> tuple[Values, Values]:
    """Compute sensitivity and specificity of each resample; NaN where nothing positive, or negative, was drawn."""
    rates = of_hits(positive, said)(weights)
    return rates["sensitivity"], rates["specificity"]


def of_hits(positive: Answers, said: Answers, *, f1: bool = False) -> Sums:
    """Build `sensitivity` and `specificity` (see `hit_rates`), and `f1` if asked for."""
    # Four cells: false positive, true negative, false negative, true positive.
    cells = by_cell(2 * positive.astype(np.int64) + (positive == said), 4)

    def read(totals: Totals) -> Mapping[str, Values]:
        fp, tn, fn, tp = totals
        rates = {"sensitivity": ratio(tp, tp + fn), "specificity": ratio(tn, tn + fp)}
        return rates | {"f1": ratio(2 * tp, 2 * tp + fn + fp)} if f1 else rates

    return Sums((cells,), read)


def _best(value: _Steps, cost: _Steps, allowed: Values) -> Values:
    """Find the largest share of `value` that costs no more than allowed; both rise along the thresholds."""
    # The last threshold that is affordable, counted from 0: costs rise, so all before it are affordable, too.
    last = (cost <= allowed[:, None] * (1 + ROUNDING)).sum(axis=1) - 1
    best = value[np.arange(len(value)), last]
    return np.where(cost[:, -1] > 0, ratio(best, value[:, -1]), np.nan)
