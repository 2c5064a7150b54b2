"""Heatmaps against lesions: by slow loops, scikit-learn, closed forms and identities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from fundoscope.arrays import Canvas
from fundoscope.heatmaps.baselines import (
    best_on_grid,
    centre_blob,
    chance_off_target_share,
    chance_scores,
    uniform_map,
    vessel_map,
)
from fundoscope.heatmaps.scores import MapScores, energy_inside, off_target_share, pointing_game, rank_map, upsample
from fundoscope.photo.fov import Field
from fundoscope.photo.illustration import lay_on_photograph
from fundoscope.photo.recipe import Placement
from fundoscope.runtime.reading import Reading

SIDE = 40


def score_map(relevance: np.ndarray, lesions: np.ndarray, field: np.ndarray, **options: Any) -> MapScores:
    return rank_map(relevance, field).scores(lesions, **options)


def scene(rng):
    """A round field, some square lesions in it, and their share of the field."""
    field = Field(SIDE / 2, SIDE / 2, SIDE / 2 - 2, 1.0).mask(SIDE, SIDE)
    lesions = np.zeros((SIDE, SIDE), bool)
    for row, column in rng.integers(8, SIDE - 10, size=(5, 2)):
        lesions[row : row + 3, column : column + 2] = True
    return field, lesions & field


def slow_rank(values, inside):
    """Mean share of lesion pixels among the K most relevant over random orders of equal values, by expectation."""
    wanted, left, found = int(inside.sum()), int(inside.sum()), 0.0
    for level in sorted(set(values.tolist()), reverse=True):
        tied = values == level
        taken = min(left, int(tied.sum()))
        found += taken * inside[tied].mean()
        left -= taken
    return found / wanted


@pytest.mark.parametrize("decimals", [12, 1, 0])
def test_auroc_and_average_precision_are_scikit_learns_with_ties_too(rng, decimals):
    field, lesions = scene(rng)
    relevance = np.round(rng.random((SIDE, SIDE)) + 0.3 * lesions, decimals)

    found = score_map(relevance, lesions, field)

    truth, values = lesions[field], relevance[field]
    assert found.auroc == pytest.approx(roc_auc_score(truth, values), abs=1e-10)
    assert found.average_precision == pytest.approx(average_precision_score(truth, values), abs=1e-10)
    assert found.rank == pytest.approx(slow_rank(values, truth), abs=1e-10)
    assert found.mass == pytest.approx(values[truth].sum() / values.sum(), abs=1e-10)
    assert found.energy == pytest.approx(relevance[lesions].sum() / relevance.sum(), abs=1e-10)


def test_leaving_out_other_lesions_is_scikit_learn_without_their_pixels(rng):
    field, lesions = scene(rng)
    others = (rng.random((SIDE, SIDE)) < 0.1) & ~lesions
    relevance = rng.random((SIDE, SIDE))

    found = score_map(relevance, lesions, field, left_out=others)

    counts = field & ~others
    assert found.auroc == pytest.approx(roc_auc_score(lesions[counts], relevance[counts]), abs=1e-10)
    assert found.mass == pytest.approx(relevance[lesions].sum() / relevance[counts].sum())
    assert found.energy == energy_inside(relevance, lesions)


def test_the_lesions_themselves_are_the_perfect_map(rng):
    field, lesions = scene(rng)

    found = score_map(lesions.astype(float), lesions, field)

    assert set(found.to_dict().values()) == {1.0}


@pytest.mark.parametrize("tolerance_px", [0.0, 3.0])
def test_chance_is_what_a_uniform_map_earns(rng, tolerance_px):
    field, lesions = scene(rng)
    others = np.zeros_like(field)
    others[10:14, 10:30] = True
    others &= ~lesions
    relevance, disc = 0.7 * uniform_map(field), np.roll(lesions, 5, axis=1)

    found = score_map(relevance, lesions, field, left_out=others, tolerance_px=tolerance_px)
    chance = chance_scores(lesions, field, left_out=others, tolerance_px=tolerance_px)

    assert found.to_dict() == pytest.approx(chance.to_dict(), abs=1e-12)
    assert off_target_share(relevance, field, disc=disc).to_dict() == pytest.approx(
        chance_off_target_share(field, disc=disc).to_dict()
    )
    assert chance.energy == pytest.approx(lesions.sum() / field.sum())


def test_chance_is_what_random_maps_earn_on_average(rng):
    field, lesions = scene(rng)
    many = [score_map(rng.random((SIDE, SIDE)) * field, lesions, field).to_dict() for _ in range(100)]

    chance = chance_scores(lesions, field).to_dict()

    for name in ("energy", "mass", "rank", "auroc"):
        assert np.mean([each[name] for each in many]) == pytest.approx(chance[name], abs=0.015)


def test_turning_a_map_round_turns_its_auroc_round(rng):
    field, lesions = scene(rng)
    relevance = np.round(rng.random((SIDE, SIDE)), 1)

    there, back = (score_map(values, lesions, field).auroc for values in (relevance, 1 - relevance))

    assert there == pytest.approx(1 - back, abs=1e-12)


@settings(deadline=None, max_examples=10)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 2**32 - 1))
def test_brighter_relevance_is_not_better_relevance(scale, seed):
    data = np.random.default_rng(seed)
    field, lesions = scene(data)
    relevance = data.integers(0, 6, (SIDE, SIDE)).astype(float)

    once, again = (score_map(values, lesions, field).to_dict() for values in (relevance, scale * relevance))

    assert once == pytest.approx(again, abs=1e-9)


def test_flipping_map_and_masks_together_changes_no_score(rng):
    field, lesions = scene(rng)
    relevance = rng.random((7, 7))

    there = score_map(upsample(relevance, SIDE, SIDE), lesions, field)
    back = score_map(upsample(relevance[:, ::-1], SIDE, SIDE), lesions[:, ::-1], field[:, ::-1])

    assert there.to_dict() == pytest.approx(back.to_dict(), abs=1e-5)


def test_the_pointing_game_shares_equal_maxima_and_allows_a_tolerance():
    lesions = np.zeros((20, 20), bool)
    lesions[5, 5] = True
    relevance = np.zeros((20, 20))
    relevance[5, 5] = relevance[5, 8] = relevance[15, 15] = relevance[9, 8] = 2.0

    shares = [pointing_game(relevance, lesions, tolerance_px=px) for px in (0.0, 2.9, 3.0, 5.0)]

    assert shares == [0.25, 0.25, 0.5, 0.75]


def test_a_map_that_shows_nothing_earns_nothing(rng):
    field, lesions = scene(rng)
    nothing = np.zeros((SIDE, SIDE))

    found, astray = score_map(nothing, lesions, field), off_target_share(nothing, field, disc=lesions)

    assert (found.pointing, found.energy, found.mass, found.rank, found.auroc) == (0, 0, 0, 0, 0.5)
    assert found.average_precision == pytest.approx(lesions.sum() / field.sum())
    assert np.isnan([astray.outside, astray.disc]).all()


def test_relevance_in_the_black_surround_is_astray_and_points_nowhere(rng):
    field, lesions = scene(rng)
    relevance = np.where(field, 1.0, 3.0)

    assert off_target_share(relevance, field).outside == pytest.approx(3 * (~field).sum() / relevance.sum())
    assert np.isnan(off_target_share(relevance, field).disc)
    assert score_map(relevance, lesions, field).pointing == 0


def test_lesions_that_fill_the_field_leave_nothing_to_tell_them_from(rng):
    field, _ = scene(rng)

    assert np.isnan(score_map(rng.random((SIDE, SIDE)), field, field).auroc)
    assert np.isnan(chance_scores(field, field).auroc)


def test_a_coarse_map_is_laid_as_the_report_draws_it(rng):
    heatmap = rng.random((7, 7)).astype(np.float32)
    heatmap /= heatmap.max()
    canvas = 112
    words = dict.fromkeys(("image", "status", "reason", "release", "graded_at"), "-")
    reading = Reading(
        **words, heatmap=heatmap, placement=Placement(1.0, 0.0, 0.0), decoded=(canvas, canvas), side=canvas
    )

    drawn = lay_on_photograph(reading, longer_px=canvas)

    np.testing.assert_allclose(upsample(heatmap, canvas, canvas), drawn, atol=0.02)


def test_a_constant_map_stays_constant_and_no_value_leaves_the_grids_range(rng):
    spiky = np.zeros((6, 6))
    spiky[2, 3] = 5.0

    assert upsample(np.full((3, 4), 2.0), 30, 40) == pytest.approx(np.full((30, 40), 2.0))
    for name in ("cubic", "linear", "nearest"):
        laid = upsample(spiky, 60, 60, interpolation=name)
        assert laid.min() == 0
        assert laid.max() <= 5
    assert upsample(spiky, 6, 6) is not None
    np.testing.assert_array_equal(upsample(spiky, 60, 60, interpolation="nearest"), np.kron(spiky, np.ones((10, 10))))


def test_one_sorting_serves_every_type_of_lesion(rng):
    field, lesions = scene(rng)
    relevance = rng.random((SIDE, SIDE))
    ranked = rank_map(relevance, field)

    for mask in (lesions, np.roll(lesions, 3, axis=0) & field):
        assert ranked.scores(mask) == score_map(relevance, mask, field)


def test_the_best_map_of_a_grid_beats_every_other_of_that_grid(rng):
    field, lesions = scene(rng)
    best = upsample(best_on_grid(lesions, field, (8, 8)), SIDE, SIDE, interpolation="nearest")
    most = score_map(best, lesions, field)

    for _ in range(20):
        other = upsample(rng.random((8, 8)), SIDE, SIDE, interpolation="nearest")
        assert score_map(other, lesions, field).auroc <= most.auroc
    full = upsample(best_on_grid(lesions, field, (SIDE, SIDE)), SIDE, SIDE)
    assert score_map(full, lesions, field).auroc == 1


def test_a_blob_peaks_in_the_middle_and_falls_to_the_gaussians_height_at_its_width(rng):
    field = Field(50.0, 50.0, 40.0, 1.0).mask(100, 100)

    blob = centre_blob(field, sigma=0.5)

    assert blob.max() == pytest.approx(1, abs=0.01)
    assert blob[50, 70] == pytest.approx(np.exp(-0.5), abs=0.03)
    assert not blob[~field].any()
    np.testing.assert_allclose(blob, blob.T)


def painted() -> tuple[Canvas, np.ndarray]:
    """A reddish disc with one dark line across it."""
    field = Field(64.0, 64.0, 60.0, 1.0).mask(128, 128)
    canvas = np.where(field[..., None], np.array([170, 110, 60], np.uint8), np.uint8(0))
    canvas[62:65, 10:118] = (140, 60, 40)
    return np.where(field[..., None], canvas, np.uint8(0)), field


def test_a_vessel_map_finds_the_dark_line_and_not_the_fields_edge():
    canvas, field = painted()
    line = np.zeros_like(field)
    line[62:65, 10:118] = True

    relevance = vessel_map(canvas, field)

    assert score_map(relevance, line, field).auroc > 0.97
    assert pointing_game(relevance, line, tolerance_px=2.0) == 1
    assert not relevance[~field].any()


def test_wrong_use_is_refused_with_what_to_do(rng):
    field, lesions = scene(rng)
    relevance = rng.random((SIDE, SIDE))

    with pytest.raises(ValueError, match=r"field must be of the map's size 7 x 7, got 40 x 40; bring the map"):
        score_map(relevance[:7, :7], lesions, field)
    with pytest.raises(ValueError, match=r"lesions must be of the map's size 40 x 40, got 9 x 40"):
        score_map(relevance, lesions[:9], field)
    with pytest.raises(ValueError, match=r"left_out must be of the map's size"):
        score_map(relevance, lesions, field, left_out=lesions[:9])
    with pytest.raises(ValueError, match=r"disc must be of the map's size"):
        off_target_share(relevance, field, disc=lesions[:9])
    with pytest.raises(ValueError, match=r"lesions must have a pixel in the part of the field that counts, got none"):
        score_map(relevance, lesions & False, field)
    with pytest.raises(ValueError, match=r"lesions must have a pixel in the part of the field that counts, got none"):
        chance_scores(~field, field)
    with pytest.raises(ValueError, match=r"relevance must be finite, got 1 values that are not"):
        score_map(np.where(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) == 3, np.nan, relevance), lesions, field)
    with pytest.raises(ValueError, match=r"relevance must be >= 0, got -0.5; choose what a negative value means"):
        score_map(np.full((SIDE, SIDE), -0.5), lesions, field)
    with pytest.raises(ValueError, match=r"relevance must hold at least one value"):
        upsample(np.zeros((0, 3)), 4, 4)
    with pytest.raises(ValueError, match=r"field must have at least one pixel, got none"):
        score_map(relevance, lesions, field & False)
    with pytest.raises(ValueError, match=r"no finer than the canvas of 30 x 40, got a map of 40 x 40; average it"):
        upsample(relevance, 30, 40)
    with pytest.raises(ValueError, match=r"interpolation must be one of cubic, linear, nearest, got 'area'"):
        upsample(relevance, 80, 80, interpolation="area")
    with pytest.raises(ValueError, match=r"sigma must be positive, got 0"):
        centre_blob(field, sigma=0.0)
    with pytest.raises(ValueError, match=r"grid must have 1 to 40 rows and 1 to 40 columns.* got 41 x 7"):
        best_on_grid(lesions, field, (41, 7))
