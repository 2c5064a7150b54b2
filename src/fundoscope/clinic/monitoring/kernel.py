"""Whether features are spread as they were: the kernel two-sample test, of patients and not of photographs.

A patient is the mean of the kernel's features of the photographs of that patient, so that somebody photographed six
times counts once, and what is permuted are patients (Gretton, Borgwardt, Rasch, Schoelkopf and Smola, "A Kernel
Two-Sample Test", Journal of Machine Learning Research 13, 2012, 723-773).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist, pdist

Vectors = Float[np.ndarray, "_ feature"]
"""Of one patient: a row for each photograph."""

_ROWS: Final = 512
"""Photographs whose kernel is held at once."""

_TOGETHER: Final = 256
"""Permutations computed at once."""

_ROUNDING: Final = 1e-12
"""By which a permutation that is the sample over again may miss its discrepancy."""


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """How far apart two groups of patients are, and how often chance puts them as far apart."""

    squared: float
    """Unbiased estimate of the squared maximum mean discrepancy; about 0, or below, where nothing changed."""
    p_value: float
    """Share of the permutations, the sample itself among them, at least as far apart: exact, whatever their number."""
    bandwidth: float
    permutations: int


def compare_features(
    before: Sequence[Vectors], now: Sequence[Vectors], rng: np.random.Generator, *, permutations: int
) -> Discrepancy:
    """Test whether two groups of patients have features of one distribution.

    Args:
        before: The photographs' features of each patient, at least one photograph each.
        now: The same of the later patients.
        rng: Draws the permutations of the patients.
        permutations: How many; the smallest p-value is 1 / (permutations + 1).

    Raises:
        ValueError: If one of the groups has fewer than two patients.
    """
    if min(len(before), len(now)) < 2:
        raise ValueError(f"at least two patients of each are needed, got {len(before)} and {len(now)}")
    patients = [*before, *now]
    bandwidth = median_distance(patients)
    kernel = patient_kernel(patients, bandwidth)
    later = np.arange(len(patients)) >= len(before)
    observed = float(squared_discrepancies(kernel, later[None])[0])
    as_far = 0
    for start in range(0, permutations, _TOGETHER):
        drawn = np.tile(later, (min(_TOGETHER, permutations - start), 1))
        as_far += int((squared_discrepancies(kernel, rng.permuted(drawn, axis=1)) >= observed - _ROUNDING).sum())
    return Discrepancy(observed, (1 + as_far) / (1 + permutations), bandwidth, permutations)


def median_distance(patients: Sequence[Vectors]) -> float:
    """Compute the median of the non-zero distances between the patients' first photographs; 1 if all are 0."""
    distances = pdist(np.stack([vectors[0] for vectors in patients]).astype(np.float64))
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def patient_kernel(patients: Sequence[Vectors], bandwidth: float) -> Float[np.ndarray, "patient patient"]:
    """Compute the mean of exp(-distance^2 / (2 bandwidth^2)) over the pairs of photographs of each two patients."""
    photographs = np.concatenate(patients).astype(np.float64)
    counts = np.array([len(vectors) for vectors in patients])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    by_photograph = np.empty((len(photographs), len(patients)))
    for start in range(0, len(photographs), _ROWS):
        distances = cdist(photographs[start : start + _ROWS], photographs, "sqeuclidean")
        alike = np.exp(distances / (-2 * bandwidth**2))
        by_photograph[start : start + _ROWS] = np.add.reduceat(alike, starts, axis=1) / counts
    return np.asarray(np.add.reduceat(by_photograph, starts, axis=0) / counts[:, None], dtype=np.float64)


def squared_discrepancies(
    kernel: Float[np.ndarray, "patient patient"], later: Bool[np.ndarray, "division patient"]
) -> Float[np.ndarray, " division"]:
    """Compute the unbiased squared discrepancy (Gretton et al., equation 3) for each division of the patients in two.

    No patient is compared with themselves. Every division must put the same number on either side.
    """
    between = kernel - np.diag(np.diag(kernel))
    sides = later.astype(np.float64)
    second, first = int(later[0].sum()), int((~later[0]).sum())
    reach = sides @ between.sum(axis=0)
    within_second = np.einsum("dp,dp->d", sides @ between, sides)
    within_first = between.sum() - 2 * reach + within_second
    across = reach - within_second
    return np.asarray(
        within_first / (first * (first - 1)) + within_second / (second * (second - 1)) - 2 * across / (first * second),
        dtype=np.float64,
    )
