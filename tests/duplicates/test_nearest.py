"""Nearest neighbours by features: exact, by cells, and among the unreadable."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.duplicates.nearest import nearest


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
