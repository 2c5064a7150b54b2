"""Close hashes are found without comparing all with all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.duplicates import candidates
from fundoscope.duplicates.candidates import HASH_BITS, close_pairs, nearest


def scattered(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 256, (count, HASH_BITS // 8), dtype=np.uint8)


def disturbed(hashes: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Copies that differ from the hashes in exactly so many bits."""
    spread = np.unpackbits(hashes, axis=1)
    for row in spread:
        row[rng.choice(HASH_BITS, bits, replace=False)] ^= 1
    return np.packbits(spread, axis=1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(0, 29))
def test_finds_what_a_comparison_of_all_with_all_finds(seed, bits):
    """Up to 29 bits the pigeonholes promise it; the slow and obvious way agrees pair by pair."""
    rng = np.random.default_rng(seed)
    hashes = scattered(rng, 60)
    queries = np.concatenate([disturbed(hashes[:20], bits, rng), scattered(rng, 20)])

    found = close_pairs(queries, hashes, radius=29)

    apart = np.unpackbits(queries[:, None] ^ hashes[None], axis=2).sum(axis=2)
    expected = [[q, h, apart[q, h]] for q, h in zip(*np.nonzero(apart <= 29), strict=True)]
    assert found.tolist() == expected


def test_finds_nearly_all_that_are_further_apart(rng):
    hashes = scattered(rng, 2000)

    found = close_pairs(disturbed(hashes, 40, rng), hashes, radius=44)

    assert (found[:, 0] == found[:, 1]).sum() >= 0.98 * len(hashes)
    assert (found[:, 2] <= 44).all()


def test_small_blocks_change_nothing(rng, monkeypatch):
    """The bound on memory must not lose a pair at a block's edge, even where one query meets more than a block."""
    hashes = np.repeat(scattered(rng, 5), 9, axis=0)
    whole = close_pairs(hashes, hashes, radius=10)

    monkeypatch.setattr(candidates, "BLOCK", 4)

    assert (close_pairs(hashes, hashes, radius=10) == whole).all()
    assert len(whole) == 5 * 9 * 9


def test_nothing_among_nothing(rng):
    hashes = scattered(rng, 3)

    assert close_pairs(hashes, hashes[:0], radius=5).shape == (0, 3)
    assert close_pairs(hashes[:0], hashes, radius=5).shape == (0, 3)


@pytest.mark.parametrize("radius", [-1, 256])
def test_a_radius_that_is_no_number_of_bits_is_refused(rng, radius):
    with pytest.raises(ValueError, match=rf"radius must be 0 to 255 bits, got {radius}"):
        close_pairs(scattered(rng, 2), scattered(rng, 2), radius=radius)


@pytest.fixture
def features(rng) -> np.ndarray:
    rows = rng.normal(size=(300, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_equals_sorting_all_similarities(features):
    found = nearest(features, 4)

    for at, row in enumerate(found):
        alike = features @ features[at]
        alike[at] = -np.inf
        assert row.tolist() == np.argsort(-alike, kind="stable")[:4].tolist()


def test_searching_cells_finds_nearly_the_same(features):
    pytest.importorskip("faiss", reason="needs faiss (the research extra)")  # cells are its own; all else needs none
    twice = np.concatenate([features, features[:1]])

    exact, by_cells = nearest(features, 4), nearest(features, 4, exact_up_to=10)
    repeated = nearest(twice, 1, exact_up_to=10)

    assert (by_cells[:, 0] == exact[:, 0]).mean() > 0.8
    assert (by_cells != np.arange(300)[:, None]).all()
    assert (repeated[0, 0], repeated[300, 0]) == (300, 0)


def test_equal_photographs_find_one_another_and_not_themselves(features):
    found = nearest(np.concatenate([features, features[:1]]), 1)

    assert (found[0, 0], found[300, 0]) == (300, 0)


def test_photographs_without_features_have_no_neighbours(features):
    features[[3, 7]] = 0

    found = nearest(features, 2)

    assert (found[[3, 7]] == -1).all()
    assert not np.isin(found, [3, 7]).any()


def test_one_photograph_is_alone():
    assert nearest(np.ones((1, 4), np.float32), 3).tolist() == [[-1, -1, -1]]
    assert nearest(np.zeros((2, 0), np.float32), 3).tolist() == [[-1, -1, -1], [-1, -1, -1]]
