"""Which photographs an epoch shows, and in which order: the answers to grades and sources that are rare.

Every strategy draws from a generator keyed by (seed, epoch), so a resumed run repeats its epochs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from fundoscope.errors import BadExperiment
from fundoscope.grades import GRADES
from fundoscope.training.experiment.photographs import PerGrade, Sampling
from fundoscope.training.experiment.weights import Labels, Sources, Weights, flattened, frequency

Order = Int[np.ndarray, " shown"]
"""Positions of the photographs that an epoch shows, in the order it shows them."""


def draw_epoch(
    sampling: Sampling, grades: Labels, sources: Sources | None, *, seed: int, epoch: int, batch: int
) -> Order:
    """Draw the photographs of one epoch.

    Args:
        sampling: The strategy.
        grades: Grade of each photograph, 0 to 4.
        sources: Where each photograph is from; only `source` and `grade_source` ask for it.
        seed: The run's seed.
        epoch: Counted from 0.
        batch: Photographs in one batch of all processes together; only `balanced` asks for it.

    Returns:
        As many positions as there are photographs; under `balanced` the whole batches that fit into
        that number, at least one.

    Raises:
        BadExperiment: If the batch cannot be balanced, sources are missing, or every weight is 0.
    """
    rng = np.random.default_rng([seed, epoch])
    if sampling.strategy == "none":
        return rng.permutation(len(grades))
    if sampling.strategy == "balanced":
        return _balanced(rng, grades, batch)
    weights = photo_weights(sampling, grades, sources, epoch=epoch)
    return rng.choice(len(grades), size=len(grades), p=weights / weights.sum())


def epoch_size(sampling: Sampling, photographs: int, batch: int) -> int:
    """How many photographs an epoch shows, as `draw_epoch` returns them."""
    return max(1, photographs // batch) * batch if sampling.strategy == "balanced" else photographs


def photo_weights(sampling: Sampling, grades: Labels, sources: Sources | None, *, epoch: int) -> Weights:
    """How often each photograph is drawn in an epoch, relative to the others.

    Raises:
        BadExperiment: If sources are asked for and missing, or no photograph has a weight above 0.
    """
    weights = _weights(sampling, grades, sources, epoch)
    if not weights.sum() > 0:
        raise BadExperiment(
            f"sampling.strategy {sampling.strategy!r}: expected a weight above 0 for some grade of the training rows, "
            f"which are {', '.join(map(str, np.unique(grades)))}; all are 0. Change sampling.weights, start or end"
        )
    return weights


def _weights(sampling: Sampling, grades: Labels, sources: Sources | None, epoch: int) -> Weights:
    match sampling.strategy:
        case "inverse":
            return np.asarray(1 / frequency(grades))
        case "inverse_sqrt":
            return np.asarray(1 / np.sqrt(frequency(grades)))
        case "weights":
            return _by_grade(sampling.weights, grades)
        case "decaying":
            return _by_grade(decayed(sampling, epoch), grades)
        case "source":
            return np.asarray(1 / frequency(_present(sampling, sources)))
        case "grade_source":
            power = sampling.power
            return np.asarray(flattened(grades, power) * flattened(_present(sampling, sources), power))
        case _:
            return np.ones(len(grades))


def decayed(sampling: Sampling, epoch: int) -> PerGrade:
    """Weights of an epoch: alpha start + (1 - alpha) end with alpha = decay ** epoch (EyePACS 2015, 2nd place)."""
    alpha = sampling.decay**epoch
    first, second, third, fourth, fifth = (
        alpha * a + (1 - alpha) * b for a, b in zip(sampling.start, sampling.end, strict=True)
    )
    return first, second, third, fourth, fifth


def repeats(order: Order) -> Order:
    """How often each entry of an order was there before: 0 the first time, then 1, 2, ..."""
    ranked = np.argsort(order, kind="stable")
    in_order = order[ranked]
    new = np.r_[True, in_order[1:] != in_order[:-1]]
    starts = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    counts = np.empty(len(order), dtype=np.int64)
    counts[ranked] = np.arange(len(order)) - starts
    return counts


def _by_grade(weights: PerGrade, grades: Labels) -> Weights:
    if grades.min() < 0 or grades.max() >= GRADES:
        raise BadExperiment(
            f"sampling.strategy: weights by grade expect grades from 0 to {GRADES - 1}, got labels from "
            f"{grades.min()} to {grades.max()}. Use inverse or balanced for other labels"
        )
    return np.asarray(np.array(weights, dtype=np.float64)[grades])


def _present(sampling: Sampling, sources: Sources | None) -> Sources:
    if sources is None or any(source is None or source != source for source in sources.tolist()):  # NaN is not itself
        came = "no column source" if sources is None else "rows without one"
        raise BadExperiment(
            f"sampling.strategy {sampling.strategy!r}: expected a source for every training row of the manifest, got "
            f"{came}. Fill the column, or change sampling.strategy"
        )
    return sources


def _balanced(rng: np.random.Generator, grades: Labels, batch: int) -> Order:
    """Whole batches with equally many of each grade that occurs, drawn with replacement, in mixed order."""
    present = np.unique(grades)
    if batch % len(present):
        possible = max(1, batch // len(present)) * len(present)
        raise BadExperiment(
            f"fit.batch: expected a multiple of {len(present)} for sampling.strategy 'balanced', for the training rows "
            f"have {len(present)} grades, got {batch}. Change fit.batch, to {possible} for instance"
        )
    share = batch // len(present)
    rows = [np.flatnonzero(grades == grade) for grade in present]
    batches = [
        rng.permutation(np.concatenate([rng.choice(of_grade, size=share) for of_grade in rows]))
        for _ in range(max(1, len(grades) // batch))
    ]
    return np.concatenate(batches)
