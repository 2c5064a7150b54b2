"""What belongs together when pairs do: the connected parts of a graph."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """For each of `count` things the number of the first one it is connected with by pairs; its own where by none."""
    links = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(count, count))
    parts = connected_components(graph, directed=False)[1]
    first = np.unique(parts, return_index=True)[1]
    return [int(at) for at in first[parts]]
