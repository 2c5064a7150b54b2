"""Chance-corrected agreement (Cohen's kappa): of two lists of classes, or of many confusion matrices at once.

Cohen, Psychological Bulletin 70 (1968) 213-220. With weights w[i, j] = |i - j|^power:
kappa = 1 - sum(w * observed) / sum(w * expected), where `expected` is the outer product of the margins.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Int, Num

from fundoscope.grades import GRADES

POWERS: Final = {"quadratic": 2, "linear": 1, "unweighted": 0}
"""Power of the distance between two grades by which a disagreement counts; 0: every one counts alike."""


def kappa_of(
    confusions: Num[np.ndarray, "*batch grade grade"], *, weights: str = "quadratic"
) -> Float[np.ndarray, "*batch"]:
    """Kappa of each confusion matrix, at most 1; 0 is chance.

    Args:
        confusions: Counts, rows the reference and columns the answer; leading axes are kept.
        weights: A name in `POWERS`.

    Returns:
        NaN where it is undefined: no count at all, or both sides used one and the same grade only.

    Raises:
        ValueError: If `weights` is not a name in `POWERS`.
    """
    if weights not in POWERS:
        raise ValueError(f"weights must be one of {', '.join(POWERS)}, got {weights!r}")
    counts = confusions.astype(np.float64)
    grades = np.arange(counts.shape[-1])
    apart = np.abs(grades[:, None] - grades).astype(np.float64)
    penalty = apart ** POWERS[weights] if POWERS[weights] else (apart > 0).astype(np.float64)
    total = counts.sum(axis=(-2, -1))
    expected = np.einsum("...i,ij,...j->...", counts.sum(axis=-1), penalty, counts.sum(axis=-2))
    observed = (counts * penalty).sum(axis=(-2, -1)) * total
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected > 0, 1 - observed / expected, np.nan))


def confusion(
    reference: Int[np.ndarray, " photo"], answered: Int[np.ndarray, " photo"], *, classes: int = GRADES
) -> Float[np.ndarray, "reference answered"]:
    """Count photographs by reference class (rows) and answered class (columns), both numbered from 0."""
    cells = np.bincount(reference * classes + answered, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.float64)  # (classes * classes,) -> (reference, answered)


def kappa(
    reference: Int[np.ndarray, " photo"],
    answered: Int[np.ndarray, " photo"],
    *,
    weights: str = "quadratic",
    classes: int = GRADES,
) -> float:
    """Compute the kappa of two lists of classes; NaN where `kappa_of` of their confusion matrix is.

    Args:
        reference: Class of each photograph, from 0.
        answered: The class answered for each.
        weights: A name in `POWERS`.
        classes: How many there are.
    """
    return float(kappa_of(confusion(reference, answered, classes=classes), weights=weights))
