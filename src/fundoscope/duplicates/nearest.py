"""Which photographs look most alike to a network: nearest neighbours of features."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float32, Int

from fundoscope.errors import BadRequest

EXACT_UP_TO: Final = 20_000
"""Photographs up to which all are compared with all; beyond it an inverted file index searches cells only."""

BLOCK: Final = 1024
"""Photographs compared with all others at once."""

CELLS_SEARCHED: Final = 16

Features = Float32[np.ndarray, "photo feature"]
Neighbours = Int[np.ndarray, "photo neighbour"]


def nearest(features: Features, count: int, *, exact_up_to: int = EXACT_UP_TO) -> Neighbours:
    """Find the `count` photographs with the largest cosine similarity, nearest first; -1 where there are fewer.

    Args:
        features: Rows of length 1. A row of zeros has no neighbours.
        count: How many for each photograph, itself not counted.
        exact_up_to: Up to so many photographs every one is compared with every other; beyond it faiss searches the
            nearest `CELLS_SEARCHED` of 4 sqrt(n) cells (recall 0.99 at a million).

    Raises:
        BadRequest: If there are more and faiss is not installed.
    """
    nonzero = np.flatnonzero(np.abs(features).sum(axis=1) > 0)
    neighbours = np.full((len(features), count), -1, dtype=np.int64)
    if len(nonzero) < 2:
        return neighbours
    rows = features[nonzero]
    wanted = min(count, len(nonzero) - 1)
    local = _exact(rows, wanted) if len(nonzero) <= exact_up_to else _by_cells(rows, wanted)
    neighbours[nonzero[:, None], np.arange(wanted)] = np.where(local >= 0, nonzero[local], -1)
    return neighbours


def _exact(rows: Features, count: int) -> Neighbours:
    neighbours = np.empty((len(rows), count), dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        alike = rows[start : start + BLOCK] @ rows.T
        here = np.arange(len(alike))
        alike[here, start + here] = -np.inf
        top = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(alike, top, axis=1), axis=1, kind="stable")
        neighbours[start : start + BLOCK] = np.take_along_axis(top, order, axis=1)
    return neighbours


def _by_cells(rows: Features, count: int) -> Neighbours:
    try:
        import faiss
    except ImportError:
        raise BadRequest(
            f"audit: {len(rows)} photographs need faiss to be compared by features, and it is not installed. "
            "Install fundoscope[research], or say --release none to compare hashes alone."
        ) from None
    cells = round(4 * len(rows) ** 0.5)
    quantiser = faiss.IndexFlatIP(rows.shape[1])
    index = faiss.IndexIVFFlat(quantiser, rows.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    rng = np.random.default_rng(0)
    index.train(rows[rng.choice(len(rows), min(len(rows), 64 * cells), replace=False)])
    index.add(rows)
    index.nprobe = CELLS_SEARCHED
    _, hits = index.search(rows, count + 1)
    itself = hits == np.arange(len(rows))[:, None]
    # Where a photograph did not find itself (an equal one came first), the last of its hits goes instead.
    itself[~itself.any(axis=1), -1] = True
    return np.asarray(hits[~itself].reshape(len(rows), count), dtype=np.int64)
