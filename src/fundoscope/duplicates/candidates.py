"""Candidates for repeated photographs: hashes that differ in few bits, and features that lie nearest to one another.

Multi-index hashing (Norouzi, Punjani, Fleet 2012): the hash is cut into bands of about log2(n) bits. Two
hashes that differ in few bits have a band in which they differ in none or one; only such pairs are counted
out. Bands take their bits from all over the hash, because neighbouring coefficients of pictures agree by habit.

Faiss has such an index, but the core install has no faiss, and would need it for this one search; here the time grows
near-linearly with NumPy alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float32, Int, UInt8, UInt64

from fundoscope.errors import BadRequest

HASH_BYTES: Final = 32
HASH_BITS: Final = 8 * HASH_BYTES

SMALLEST_BAND: Final = 12
LARGEST_BAND: Final = 24

BLOCK: Final = 2_000_000
"""Pairs counted out at once: what bounds the memory."""

Hashes = UInt8[np.ndarray, "photo 32"]
Queries = UInt8[np.ndarray, "query 32"]
Pairs = Int[np.ndarray, "pair 3"]
"""Number of the query, number of the hash found, bits in which they differ."""


def close_pairs(queries: Queries, hashes: Hashes, *, radius: int) -> Pairs:
    """Return the pairs of a query and a hash that differ in at most `radius` bits.

    Every pair within `2 * bands - 1` bits is found (29 at 100,000 hashes); of those further apart nearly all, since
    some band is nearly always spared: of pairs 40 bits apart, spread at random, 98 in 100. Time grows a little
    faster than the number of hashes; memory beyond the hashes is bounded by `BLOCK` and by what is found.

    Args:
        queries: What is looked for, 256 bits each.
        hashes: Where it is looked for.
        radius: Largest number of differing bits, 0 to 255.

    Returns:
        Each pair once, by query and then by hash.

    Raises:
        ValueError: If the radius is not a number of bits.
    """
    if not 0 <= radius < HASH_BITS:
        raise ValueError(f"radius must be 0 to {HASH_BITS - 1} bits, got {radius}")
    if not len(queries) or not len(hashes):
        return np.empty((0, 3), dtype=np.int64)
    words, query_words = _words(hashes), _words(queries)
    pairs = [np.empty((0, 3), dtype=np.int64)]
    for ours, theirs, width in _bands(queries, hashes):
        order = np.argsort(theirs, kind="stable")
        for query, place in _meetings(ours, theirs[order], width):
            hit = order[place]
            bits = np.bitwise_count(query_words[query] ^ words[hit]).sum(axis=1, dtype=np.int64)
            near = bits <= radius
            pairs.append(np.column_stack([query[near], hit[near], bits[near]]))
        pairs = [np.unique(np.concatenate(pairs), axis=0)]
    return pairs[0]


def _words(hashes: Hashes) -> UInt64[np.ndarray, "photo 4"]:
    return np.ascontiguousarray(hashes).view(np.uint64)


def _bands(
    queries: Queries, hashes: Hashes
) -> Iterator[tuple[Int[np.ndarray, " query"], Int[np.ndarray, " hash"], int]]:
    """Return each band's value for every query and every hash, and its width in bits."""
    width = int(np.clip(np.ceil(np.log2(max(len(hashes), 2))), SMALLEST_BAND, LARGEST_BAND))
    shuffled = np.random.default_rng(0).permutation(HASH_BITS)
    for start in range(0, HASH_BITS - width + 1, width):
        chosen = shuffled[start : start + width]
        yield _values(queries, chosen), _values(hashes, chosen), width


def _values(hashes: Hashes, chosen: Int[np.ndarray, " bit"]) -> Int[np.ndarray, " photo"]:
    """Return the chosen bits of each hash as one number."""
    bits = (hashes[:, chosen // 8] >> (7 - chosen % 8)) & 1
    return np.asarray(bits.astype(np.int64) @ (1 << np.arange(len(chosen), dtype=np.int64)))


def _meetings(
    ours: Int[np.ndarray, " query"], theirs: Int[np.ndarray, " hash"], width: int
) -> Iterator[tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]]:
    """Return the queries and places in the sorted `theirs` whose band differs in no bit, then in each one bit."""
    for mask in (0, *(1 << bit for bit in range(width))):
        sought = ours ^ mask
        first = np.searchsorted(theirs, sought, side="left")
        count = np.searchsorted(theirs, sought, side="right") - first
        yield from _expanded(first, count)


def _expanded(
    first: Int[np.ndarray, " query"], count: Int[np.ndarray, " query"]
) -> Iterator[tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]]:
    """Yield every (query, place) of the ranges that start at `first` and have `count` places, in blocks."""
    total = np.concatenate([[0], np.cumsum(count)])
    begin = 0
    while begin < len(count):
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + BLOCK, side="right")) - 1)
        query = np.repeat(np.arange(begin, end), count[begin:end])
        if len(query):
            place = np.arange(len(query)) - np.repeat(total[begin:end] - total[begin], count[begin:end])
            yield query, place + first[query]
        begin = end


EXACT_UP_TO: Final = 20_000
"""Photographs up to which all are compared with all; beyond it an inverted file index searches cells only."""


ROWS_AT_ONCE: Final = 1024
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
    for start in range(0, len(rows), ROWS_AT_ONCE):
        alike = rows[start : start + ROWS_AT_ONCE] @ rows.T
        here = np.arange(len(alike))
        alike[here, start + here] = -np.inf
        top = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(alike, top, axis=1), axis=1, kind="stable")
        neighbours[start : start + ROWS_AT_ONCE] = np.take_along_axis(top, order, axis=1)
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
