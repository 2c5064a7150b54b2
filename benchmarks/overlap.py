"""How the search for repeated photographs grows from 1,000 to 100,000, against comparing all with all.

    python benchmarks/overlap.py

Synthetic hashes of 256 bits: as many as asked for, one in fifty a copy of another with 20 bits changed. Three searches
of every hash in one mirroring: ours (`audit.hamming`, multi-index hashing), the same hashes by NumPy in blocks, every
one against every other, and by faiss' IndexBinaryFlat where faiss is installed. The last two are not run beyond
`--all-pairs-up-to`. Printed: seconds, planted copies found, pairs found that were not planted, peak memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from fundoscope.duplicates.candidates import HASH_BITS, close_pairs

RADIUS = 44
CHANGED_BITS = 20
BLOCK = 2_000_000

Search = Callable[[np.ndarray], set[tuple[int, int]]]


def main() -> None:
    """Print a table of one line per size and search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 3_000, 10_000, 30_000, 100_000])
    parser.add_argument("--all-pairs-up-to", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{'photographs':>11}  {'search':<22}{'seconds':>9}{'ratio':>8}{'found':>8}{'others':>8}{'peak MiB':>10}")
    for size in arguments.sizes:
        hashes, planted = planted_hashes(size, np.random.default_rng(arguments.seed))
        searches: dict[str, Search] = {"multi-index": ours}
        if size <= arguments.all_pairs_up_to:
            searches |= {"all pairs, NumPy": all_pairs} | with_faiss()
        base = 0.0
        for name, search in searches.items():
            start = time.perf_counter()
            found = search(hashes)
            seconds = time.perf_counter() - start
            base = base or seconds
            hit, others = len(found & planted) / len(planted), len(found - planted)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{size:>11,}  {name:<22}{seconds:>9.2f}{seconds / base:>8.2f}{hit:>8.3f}{others:>8}{peak:>10.0f}")


def planted_hashes(size: int, rng: np.random.Generator) -> tuple[np.ndarray, set[tuple[int, int]]]:
    """Random hashes, of which one in fifty is another with some bits changed; and the pairs of those."""
    hashes = rng.integers(0, 256, (size, HASH_BITS // 8), dtype=np.uint8)
    order = rng.permutation(size)
    originals, copies = order[: size // 50], order[size // 50 : 2 * (size // 50)]
    bits = np.unpackbits(hashes[originals], axis=1)
    for row in bits:
        row[rng.choice(HASH_BITS, CHANGED_BITS, replace=False)] ^= 1
    hashes[copies] = np.packbits(bits, axis=1)
    pairs = {(min(a, b), max(a, b)) for a, b in zip(originals.tolist(), copies.tolist(), strict=True)}
    return hashes, pairs


def ours(hashes: np.ndarray) -> set[tuple[int, int]]:
    """Multi-index hashing."""
    return {(q, h) for q, h, _ in close_pairs(hashes, hashes, radius=RADIUS).tolist() if q < h}


def all_pairs(hashes: np.ndarray) -> set[tuple[int, int]]:
    """Every hash against every later one, in blocks."""
    words = np.ascontiguousarray(hashes).view(np.uint64)
    rows = max(1, BLOCK // len(words))
    found = set()
    for start in range(0, len(words), rows):
        apart = np.bitwise_count(words[start : start + rows, None] ^ words[None]).sum(axis=2, dtype=np.int64)
        for query, hit in zip(*np.nonzero(apart <= RADIUS), strict=True):
            if start + query < hit:
                found.add((int(start + query), int(hit)))
    return found


def with_faiss() -> dict[str, Search]:
    """faiss' exhaustive binary index, where faiss is installed."""
    try:
        import faiss
    except ImportError:
        return {}

    def search(hashes: np.ndarray) -> set[tuple[int, int]]:
        index = faiss.IndexBinaryFlat(HASH_BITS)
        index.add(hashes)
        limits, _, hits = index.range_search(hashes, RADIUS + 1)
        queries = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
        return {(q, h) for q, h in zip(queries.tolist(), hits.tolist(), strict=True) if q < h}

    return {"all pairs, faiss": search}


if __name__ == "__main__":
    main()
