"""How alike maps are: SciPy's correlations, structural similarity by slow loops, and moved photographs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fundoscope.heatmaps.stability import (
    likeness,
    seed_agreement,
    shift_stability,
    shifted,
    ssim,
)

SIDE = 24


def slow_ssim(first, second):
    """Wang et al. (2004), equations 13 to 17, window by window."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for row in range(5, SIDE - 5):
        for column in range(5, SIDE - 5):
            one, other = (each[row - 5 : row + 6, column - 5 : column + 6] for each in (first, second))
            mean_one, mean_other = (window * one).sum(), (window * other).sum()
            spread_one = (window * (one - mean_one) ** 2).sum()
            spread_other = (window * (other - mean_other) ** 2).sum()
            shared = (window * (one - mean_one) * (other - mean_other)).sum()
            values.append(
                (2 * mean_one * mean_other + 0.01**2)
                * (2 * shared + 0.03**2)
                / ((mean_one**2 + mean_other**2 + 0.01**2) * (spread_one + spread_other + 0.03**2))
            )
    return np.mean(values)


def test_structural_similarity_is_what_the_papers_windows_give(rng):
    first, second = rng.random((SIDE, SIDE)), rng.random((SIDE, SIDE))

    assert ssim(first, second) == pytest.approx(slow_ssim(first, second), abs=1e-9)
    assert ssim(first, first) == pytest.approx(1)


def test_correlations_are_scipys_within_the_field_and_signs_do_not_count(rng):
    first, second = np.round(rng.normal(size=(SIDE, SIDE)), 1), rng.normal(size=(SIDE, SIDE))
    field = rng.random((SIDE, SIDE)) < 0.7

    found = likeness(first, second, within=field)

    one, other = np.abs(first[field]), np.abs(second[field])
    assert found.spearman == pytest.approx(stats.spearmanr(one, other).statistic)
    assert found.pearson == pytest.approx(stats.pearsonr(one, other).statistic)
    assert likeness(-first, second, within=field) == found


def test_a_map_is_like_itself_at_any_scale_and_like_nothing_where_it_is_even(rng):
    relevance = rng.random((SIDE, SIDE))

    assert likeness(relevance, 7 * relevance).to_dict() == pytest.approx({"spearman": 1, "ssim": 1, "pearson": 1})
    for even in (np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE))):
        assert np.isnan(list(likeness(relevance, even).to_dict().values())).all()
    assert np.isnan(likeness(relevance[:8], relevance[:8]).ssim)


def test_agreement_of_seeds_is_the_mean_over_pairs(rng):
    maps = [rng.random((9, 9)) + each for each in (0.0, rng.random((9, 9)), rng.random((9, 9)))]
    field = rng.random((9, 9)) < 0.8

    pairs = [likeness(maps[a], maps[b], within=field).spearman for a, b in ((0, 1), (0, 2), (1, 2))]

    assert seed_agreement(maps, within=field) == pytest.approx(np.mean(pairs))
    assert seed_agreement([maps[0], maps[0]]) == pytest.approx(1)
    assert np.isnan(seed_agreement([maps[0], np.zeros((9, 9))]))


def test_a_map_that_follows_its_photograph_is_stable_and_one_that_does_not_is_not(rng):
    photo = rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)
    field = np.ones((40, 40), bool)
    fixed = rng.random((40, 40))

    follows = shift_stability(lambda photos: photos[..., 1] / 255.0, photo, field)
    stays = shift_stability(lambda photos: np.repeat(fixed[None], len(photos), axis=0), photo, field)

    assert follows[["spearman", "pearson"]].to_numpy() == pytest.approx(np.ones((6, 2)))
    assert stays["spearman"].abs().max() < 0.2
    assert follows[["rows", "columns"]].iloc[0].tolist() == [0, 4]


def test_only_what_is_seen_before_and_after_a_shift_is_compared(rng):
    """A map that marks the black edge which the shift brought in is not blamed: the edge is no part of the field."""
    photo = rng.integers(1, 256, (40, 40, 3)).astype(np.uint8)

    def explain(photos):
        return np.where(photos[..., 0] == 0, 99.0, photos[..., 0] / 255.0)

    table = shift_stability(explain, photo, np.ones((40, 40), bool), shifts=[(3, -5), (-7, 2)])

    assert table["pearson"].tolist() == pytest.approx([1, 1])


def test_a_shift_moves_down_and_to_the_right_and_brings_in_black():
    photo = np.full((20, 20, 3), 9, np.uint8)
    photo[4, 6] = 200

    moved = shifted(photo, (2, -3))

    assert (moved[6, 3] == 200).all()
    assert not moved[:2].any()
    assert not moved[:, 17:].any()
    assert not shifted(photo, (25, 0)).any()


def test_wrong_use_is_refused_with_what_to_do(rng):
    relevance = rng.random((SIDE, SIDE))
    photo = np.zeros((SIDE, SIDE, 3), np.uint8)
    field = np.ones((SIDE, SIDE), bool)

    with pytest.raises(ValueError, match=r"second must be of the first map's size 24 x 24, got 5 x 24; bring both"):
        likeness(relevance, relevance[:5])
    with pytest.raises(ValueError, match=r"within must be of the map's size"):
        likeness(relevance, relevance, within=field[:5])
    with pytest.raises(ValueError, match=r"within must leave at least 2 pixels to compare, got 0"):
        likeness(relevance, relevance, within=~field)
    with pytest.raises(ValueError, match=r"maps must be finite to be compared"):
        ssim(relevance, np.full((SIDE, SIDE), np.inf))
    with pytest.raises(ValueError, match=r"maps must hold those of at least 2 networks, got 1"):
        seed_agreement([relevance])
    with pytest.raises(ValueError, match=r"explain must give a map for each of 7 photographs, got 1"):
        shift_stability(lambda photos: np.zeros((1, 4, 4)), photo, field)
    with pytest.raises(ValueError, match=r"within must leave at least 2 pixels to compare, got 0"):
        shift_stability(lambda photos: np.ones((len(photos), 4, 4)), photo, field, shifts=[(30, 0)])
