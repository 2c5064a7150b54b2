"""A share of a count: what sensitivities, precisions and means over weighted photographs all are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num


def ratio(part: Float[np.ndarray, "*any"], whole: Num[np.ndarray, "*whole"]) -> Float[np.ndarray, "*any"]:
    """`part` by `whole`, which broadcasts to it; NaN where the whole is 0, for nothing can be said of none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))
