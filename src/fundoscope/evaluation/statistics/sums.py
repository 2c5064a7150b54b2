"""Statistics that are functions of weighted sums: of many resamples at once, over patients instead of photographs.

A sum over photographs that each count as often as their patient was drawn is a sum over patients. So whatever needs
nothing else never sees a photograph's weight: one sparse product for each block of resamples, and a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy import sparse

from fundoscope.evaluation.statistics.interval import Weights

Totals = Float[np.ndarray, "_ draw"]
"""Sums over the photographs drawn; one row for each sum. Blocks differ in their rows, hence no name for them."""

Found = Mapping[str, Float[np.ndarray, " draw"]]
"""Values of each draw by name; NaN where undefined."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Statistics of weights that need only some sums of them; callable as `interval.Statistics`."""

    terms: tuple[sparse.csr_array, ...]
    """Blocks of rows, each row a sum: what every photograph adds to it, once drawn."""
    read: Callable[..., Found]
    """Called with the `Totals` of each block."""

    def __call__(self, weights: Weights) -> Found:
        """Values of each row of weights."""
        columns = np.ascontiguousarray(weights.T)
        return self.read(*(np.asarray(block @ columns) for block in self.terms))

    def of_patients(self, owner: Int[np.ndarray, " photo"]) -> Sums:
        """The same of how often each patient was drawn, who are numbered from 0."""
        photographs = sparse.csr_array((np.ones(len(owner)), owner, np.arange(len(owner) + 1)))
        return Sums(tuple(sparse.csr_array(block @ photographs) for block in self.terms), self.read)

    def among(self, inside: Bool[np.ndarray, " photo"]) -> Sums:
        """The same of weights on more photographs, those inside being the ones that are measured, in their order."""
        places = np.flatnonzero(inside)
        chosen = sparse.csr_array(
            (np.ones(len(places)), places, np.arange(len(places) + 1)), shape=(len(places), len(inside))
        )
        return Sums(tuple(sparse.csr_array(block @ chosen) for block in self.terms), self.read)


@dataclass(frozen=True, slots=True)
class Together:
    """Several on the same resamples; callable as `interval.Statistics`."""

    parts: tuple[Sums | Together, ...]
    combine: Callable[[Found], Found] = dict
    """Makes the reported statistics from the values of all parts."""

    def __call__(self, weights: Weights) -> Found:
        """Values of each row of weights."""
        columns = np.asfortranarray(weights)
        return self.combine({name: values for part in self.parts for name, values in part(columns).items()})

    def of_patients(self, owner: Int[np.ndarray, " photo"]) -> Together:
        """The same of how often each patient was drawn, who are numbered from 0."""
        return Together(tuple(part.of_patients(owner) for part in self.parts), self.combine)


def by_cell(
    cells: Int[np.ndarray, " photo"], count: int, values: Shaped[np.ndarray, " photo"] | None = None
) -> sparse.csr_array:
    """So many sums: each photograph adds its value (default: 1) to the sum of its cell; to none if that is -1."""
    inside = np.flatnonzero(cells >= 0)
    added = np.ones(len(inside)) if values is None else values[inside].astype(np.float64)
    return sparse.csr_array((added, (cells[inside], inside)), shape=(count, len(cells)))


def one_by_one(*values: Shaped[np.ndarray, " photo"]) -> sparse.csr_array:
    """One sum of each row of values."""
    return sparse.csr_array(np.stack(values).astype(np.float64))


def ratio(part: Float[np.ndarray, "*any"], total: Num[np.ndarray, "*total"]) -> Float[np.ndarray, "*any"]:
    """Divide `part` by `total`, which broadcasts to it; NaN where the total is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, part / total, np.nan))
