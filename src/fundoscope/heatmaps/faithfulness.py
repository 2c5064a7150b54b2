"""Whether the network needs what a heatmap marks: pixels are taken away in the map's order and the answer watched.

These scores ask the network, not a doctor: a map can be faithful and yet show no lesion. Only pixels of the field of
view are taken, for the black round it holds nothing that could be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int

from fundoscope.arrays import Canvas, Canvases, Scores
from fundoscope.heatmaps.imputation import impute
from fundoscope.heatmaps.scores import Region, Relevance, check_field, check_map

Score = Callable[[Canvases], Scores]
"""What the network says of prepared photographs (photo, row, column, RGB): one number each, such as P(grade >= 2)."""

STEPS: Final = 20
"""Into so many equal parts the field is divided for deletion and insertion."""

ROAD_FRACTIONS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the field that ROAD takes away, as in its paper."""

BATCH: Final = 16
"""Photographs given to the network at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What the network said as pixels were taken or given."""

    fractions: tuple[float, ...]
    """Shares of the field's pixels that were changed, ascending."""
    scores: tuple[float, ...]

    @property
    def area(self) -> float:
        """Area under the scores by the trapezoid rule, as a mean: by the width of the fractions."""
        width = self.fractions[-1] - self.fractions[0]
        return float(np.trapezoid(self.scores, self.fractions) / width)

    @property
    def mean(self) -> float:
        """Mean of the scores."""
        return float(np.mean(self.scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """Remove and debias: most relevant first against least relevant first."""

    most_first: Trace
    least_first: Trace

    @property
    def gap(self) -> float:
        """Mean score with the least relevant gone minus that with the most relevant gone; more is better, 0 is chance.

        Half of it is what the package grad-cam calls ROADCombined.
        """
        return self.least_first.mean - self.most_first.mean


def deletion(
    score: Score,
    photo: Canvas,
    relevance: Relevance,
    baseline: Canvas,
    field: Region,
    *,
    rng: np.random.Generator,
    steps: int = STEPS,
) -> Trace:
    """Replace the most relevant pixels by the baseline, step by step; a small `area` is good.

    Petsiuk et al., RISE, British Machine Vision Conference 2018. Compare only with the same baseline: a replaced
    pixel's edges can be news to the network (that is what ROAD mends).

    Args:
        score: See `Score`; asked in batches of `BATCH`.
        photo: The prepared photograph.
        relevance: Of its size.
        baseline: What takes a pixel's place: `field_mean`.
        field: The field of view.
        rng: Decides among pixels of equal relevance, which else would go in the order of the rows.
        steps: Equal parts.

    Raises:
        ValueError: If shapes differ, the map is no map, the field is empty or `steps` is not positive.
    """
    return _replaced(score, photo, baseline, _order(photo, relevance, field, baseline, rng), steps)


def insertion(
    score: Score,
    photo: Canvas,
    relevance: Relevance,
    baseline: Canvas,
    field: Region,
    *,
    rng: np.random.Generator,
    steps: int = STEPS,
) -> Trace:
    """Put the most relevant pixels back into the baseline, step by step; a large `area` is good.

    As `deletion`; Petsiuk et al. start from a blurred photograph. Outside the field the photograph stays.
    """
    order = _order(photo, relevance, field, baseline, rng)
    start = np.where(field[..., None], baseline, photo)
    return _replaced(score, start, photo, order, steps)


def road(
    score: Score,
    photo: Canvas,
    relevance: Relevance,
    field: Region,
    *,
    rng: np.random.Generator,
    fractions: Sequence[float] = ROAD_FRACTIONS,
) -> Road:
    """Remove pixels and impute them from their neighbours, most relevant first and least relevant first.

    Rong et al., ICML 2022: with a fixed value the *shape* of what was removed tells the network the class; noisy linear
    imputation (`imputation.impute`) hides it. Neighbours outside the field do not count, so that its black does not
    bleed in.

    Args:
        score: See `Score`.
        photo: The prepared photograph.
        relevance: Of its size.
        field: The field of view.
        rng: Of ties and of the imputation's noise.
        fractions: Shares of the field to take, ascending, above 0 and below 1.

    Raises:
        ValueError: If shapes differ, the map is no map, the field is empty or a fraction is out of range.
    """
    shares = tuple(float(share) for share in fractions)
    if not shares or sorted(set(shares)) != list(shares) or shares[0] <= 0 or shares[-1] >= 1:
        raise ValueError(
            f"fractions must ascend, above 0 and below 1, got {shares}; nothing can be imputed from nothing"
        )
    order = _order(photo, relevance, field, photo, rng)
    traces = []
    for pixels in (order, order[::-1]):
        photos = (_without(photo, pixels[: round(share * len(pixels))], field, rng) for share in shares)
        traces.append(Trace(fractions=shares, scores=_asked(score, photos)))
    return Road(most_first=traces[0], least_first=traces[1])


def field_mean(photo: Canvas, field: Region) -> Canvas:
    """Return the photograph with its field filled with the field's mean colour: a retina without anything on it."""
    check_field(photo[..., 0].astype(np.float32), field)
    return np.where(field[..., None], np.rint(photo[field].mean(axis=0)).astype(np.uint8), photo)


Pixels = Int[np.ndarray, " pixel"]


def _order(photo: Canvas, relevance: Relevance, field: Region, baseline: Canvas, rng: np.random.Generator) -> Pixels:
    """Return the pixels of the field, most relevant first, equal ones in random order."""
    if photo.shape[:2] != relevance.shape or baseline.shape != photo.shape:
        raise ValueError(
            f"relevance and baseline must be of the photograph's size {photo.shape[0]} x {photo.shape[1]}, got "
            f"{relevance.shape[0]} x {relevance.shape[1]} and {baseline.shape[0]} x {baseline.shape[1]}; "
            "bring the map there with `scores.upsample`"
        )
    check_map(relevance)
    check_field(relevance, field)
    pixels = rng.permutation(np.flatnonzero(field))
    return pixels[np.argsort(-relevance.ravel()[pixels], kind="stable")]


def _replaced(score: Score, start: Canvas, end: Canvas, order: Pixels, steps: int) -> Trace:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    fractions = tuple(float(share) for share in np.linspace(0, 1, steps + 1))

    def photos() -> Iterator[Canvas]:
        for share in fractions:
            mixed = start.reshape(-1, 3).copy()
            taken = order[: round(share * len(order))]
            mixed[taken] = end.reshape(-1, 3)[taken]
            yield mixed.reshape(start.shape)

    return Trace(fractions=fractions, scores=_asked(score, photos()))


def _without(photo: Canvas, pixels: Pixels, field: Region, rng: np.random.Generator) -> Canvas:
    missing = np.zeros(field.size, dtype=bool)
    missing[pixels] = True
    return impute(photo, missing.reshape(field.shape), rng=rng, within=field)


def _asked(score: Score, photos: Iterator[Canvas]) -> tuple[float, ...]:
    """Score photographs in batches, so that no more than a batch is in memory."""
    scores: list[float] = []
    batch: list[Canvas] = []
    for photo in photos:
        batch.append(photo)
        if len(batch) == BATCH:
            scores += _batch(score, batch)
            batch = []
    if batch:
        scores += _batch(score, batch)
    return tuple(scores)


def _batch(score: Score, photos: list[Canvas]) -> list[float]:
    scores = np.asarray(score(np.stack(photos)), dtype=np.float64)
    if scores.shape != (len(photos),) or not np.isfinite(scores).all():
        raise ValueError(
            f"score must give one finite number for each of {len(photos)} photographs, got shape {scores.shape}"
            f"{'' if np.isfinite(scores).all() else ' with values that are not finite'}; pick one output of the network"
        )
    return [float(value) for value in scores]
