"""Weights of photographs by how frequent their grade or source is."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Shaped

Weights = Float[np.ndarray, " photo"]
"""How often each photograph is drawn, relative to the others."""


Labels = Int[np.ndarray, " photo"]


Sources = Shaped[np.ndarray, " photo"]


def frequency(labels: Labels | Sources) -> Weights:
    """Share of the photographs that have each photograph's own label."""
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(counts[place] / len(labels), dtype=np.float64)


def flattened(labels: Labels | Sources, power: float) -> Weights:
    """GDRNet's weight of each photograph's label: 1 / q with q = p^power / sum over the labels of p^power.

    Che, Cheng, Jin and Chen, MICCAI 2023, "Towards generalizable diabetic retinopathy grading in unseen
    domains"; p is a label's frequency among the training photographs.
    """
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    smooth = (counts / len(labels)) ** power
    return np.asarray((smooth.sum() / smooth)[place], dtype=np.float64)


GRADE_SOURCE_POWER = 0.5
"""GDRNet's exponent on the frequencies of grades and sources (its beta)."""


def grade_source_weights(
    grades: Int[np.ndarray, " row"], sources: Shaped[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Weight of each training row: 1 / q(grade) times 1 / q(source), q = p^0.5 / sum p^0.5, scaled to mean 1.

    Che, Cheng, Jin and Chen, MICCAI 2023, domain-class-aware re-balancing; p is a grade's, or a source's, frequency
    among the training rows. GDRNet's code divides by the means of the two weights in each batch; here the scale is that
    of all rows, so that no photograph's loss depends on its batch, and counts are counted, not listed in the code.
    """
    product = flattened(grades, GRADE_SOURCE_POWER) * flattened(sources, GRADE_SOURCE_POWER)
    return np.asarray(product / product.mean())
