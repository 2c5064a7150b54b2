"""A share of a count: what sensitivities, precisions and means over weighted photographs all are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num


def ratio(part: Float[np.ndarray, "*any"], total: Num[np.ndarray, "*total"]) -> Float[np.ndarray, "*any"]:
    """Divide `part` by `total`, which broadcasts to it; NaN where the total is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, part / total, np.nan))
