"""Taking pixels away: deletion, insertion and ROAD on networks whose answer is known, imputation by slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.heatmaps.faithfulness import BATCH, ROAD_FRACTIONS, deletion, field_mean, insertion, road
from fundoscope.heatmaps.imputation import NEIGHBOURS, impute
from fundoscope.photo.fov import Field

SIDE = 32
FIELD = Field(16.0, 16.0, 15.0, 1.0).mask(SIDE, SIDE)
LESION = np.zeros((SIDE, SIDE), bool)
LESION[10:14, 12:18] = True


def retina(rng):
    """Dark noise with a bright lesion, black outside the field."""
    photo = rng.integers(60, 80, (SIDE, SIDE, 3)).astype(np.uint8)
    photo[LESION] = 250
    photo[~FIELD] = 0
    return photo


def even(value):
    """A grey retina without anything on it."""
    return np.repeat(np.where(FIELD, np.uint8(value), np.uint8(0))[..., None], 3, axis=2)


def brightness_there(photos):
    """A network that looks at the lesion only."""
    return photos[:, LESION].mean(axis=(1, 2)) / 255


def slow_impute(photo, missing):
    """Every missing pixel the weighted mean of its neighbours, repeated until nothing moves."""
    values = np.where(missing[..., None], 100.0, photo)
    for _ in range(150):
        for row, column in zip(*np.nonzero(missing), strict=True):
            near = [
                (weight, values[row + down, column + along])
                for (down, along), weight in NEIGHBOURS.items()
                if 0 <= row + down < len(photo) and 0 <= column + along < len(photo)
            ]
            values[row, column] = sum(weight * value for weight, value in near) / sum(weight for weight, _ in near)
    return values


def test_imputed_pixels_are_the_weighted_means_of_their_neighbours(rng):
    photo = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    missing = rng.random((6, 6)) < 0.6

    filled = impute(photo, missing, rng=rng, noise=0.0)

    np.testing.assert_allclose(filled[missing], slow_impute(photo, missing)[missing], atol=0.51)
    np.testing.assert_array_equal(filled[~missing], photo[~missing])


def test_one_missing_pixel_takes_a_sixth_of_each_direct_and_a_twelfth_of_each_diagonal_neighbour():
    photo = np.zeros((3, 3, 3), np.uint8)
    photo[0, 1, 0], photo[0, 0, 1], photo[1, 1, 2] = 240, 240, 240
    missing = np.zeros((3, 3), bool)
    missing[1, 1] = True

    filled = impute(photo, missing, rng=np.random.default_rng(0), noise=0.0)

    assert filled[1, 1].tolist() == [40, 20, 0]
    assert sum(NEIGHBOURS.values()) == pytest.approx(1)


def test_a_slope_is_imputed_exactly_and_what_was_there_is_forgotten(rng):
    slope = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[:, None], 20, axis=1)
    photo = np.repeat(slope[..., None], 3, axis=2)
    missing = np.zeros((20, 20), bool)
    missing[4:16, 5:15] = True
    spoilt = photo.copy()
    spoilt[missing] = rng.integers(0, 256, (int(missing.sum()), 3))

    first, second = (impute(each, missing, rng=rng, noise=0.0) for each in (photo, spoilt))

    np.testing.assert_allclose(first.astype(int).mean(), photo.astype(int).mean(), atol=1.5)
    np.testing.assert_array_equal(first, second)


def test_imputation_adds_noise_of_the_stated_width_and_the_surround_does_not_bleed_in(rng):
    photo = even(100)
    missing = FIELD & (rng.random((SIDE, SIDE)) < 0.7)

    noisy = impute(photo, missing, rng=rng, noise=0.02, within=FIELD)
    still = impute(photo, missing, rng=rng, noise=0.0, within=FIELD)
    bled = impute(photo, missing, rng=rng, noise=0.0)

    assert noisy[missing].std() == pytest.approx(0.02 * 255, rel=0.1)
    assert (still[FIELD] == 100).all()
    assert bled[FIELD].min() < 90
    np.testing.assert_array_equal(impute(photo, FIELD & False, rng=rng), photo)


def test_a_network_that_needs_the_lesion_loses_it_at_once_by_the_right_map_and_last_by_the_wrong_one(rng):
    photo, empty = retina(rng), field_mean(retina(rng), FIELD)
    right, wrong = LESION.astype(float), (~LESION).astype(float)

    taken = [deletion(brightness_there, photo, each, empty, FIELD, rng=rng, steps=50) for each in (right, wrong)]
    given = [insertion(brightness_there, photo, each, empty, FIELD, rng=rng, steps=50) for each in (right, wrong)]

    assert taken[0].area < 0.4 < 0.9 < taken[1].area
    assert given[0].area > 0.9 > 0.4 > given[1].area
    for trace in (*taken, *given):
        assert trace.fractions[0] == 0
        assert trace.fractions[-1] == 1
    assert taken[0].scores[0] == given[0].scores[-1] == pytest.approx(250 / 255)
    assert taken[0].scores[-1] == pytest.approx(given[0].scores[0])


def test_the_area_of_a_score_that_falls_evenly_is_its_mean(rng):
    """A network that counts what is left loses the same with every step, whatever the map."""
    photo = even(200)

    trace = deletion(
        lambda photos: photos[:, FIELD].mean(axis=(1, 2)), photo, np.zeros((SIDE, SIDE)), photo // 2, FIELD, rng=rng
    )

    assert trace.area == pytest.approx(150, abs=0.2)
    assert trace.scores == pytest.approx(np.linspace(200, 100, 21), abs=0.2)


def test_of_equal_relevance_pixels_are_taken_at_random_not_from_the_top(rng):
    photo = even(200)
    upper = FIELD.copy()
    upper[16:] = False

    trace = deletion(
        lambda photos: photos[:, upper].mean(axis=(1, 2)),
        photo,
        np.ones((SIDE, SIDE)),
        photo // 2,
        FIELD,
        rng=rng,
        steps=2,
    )

    assert trace.scores[1] == pytest.approx(150, abs=8)


def test_road_prefers_the_right_map_and_chance_has_no_gap(rng):
    photo = retina(rng)

    right, wrong = (road(brightness_there, photo, each, FIELD, rng=rng) for each in (LESION * 1.0, 1.0 - LESION))
    chance = np.mean([road(brightness_there, photo, np.ones((SIDE, SIDE)), FIELD, rng=rng).gap for _ in range(4)])

    assert right.gap > 0.3
    assert wrong.gap < -0.3
    assert abs(chance) < 0.1
    assert right.most_first.fractions == ROAD_FRACTIONS


def test_turning_the_map_round_turns_roads_gap_round(rng):
    photo, relevance = retina(rng), rng.random((SIDE, SIDE))

    there, back = (road(brightness_there, photo, each, FIELD, rng=rng).gap for each in (relevance, 1 - relevance))

    assert there == pytest.approx(-back, abs=0.02)


def test_the_network_is_asked_in_batches_of_canvases(rng):
    asked = []

    def score(photos):
        asked.append(len(photos))
        assert photos.dtype == np.uint8
        return photos.mean(axis=(1, 2, 3))

    deletion(score, retina(rng), rng.random((SIDE, SIDE)), retina(rng), FIELD, rng=rng, steps=BATCH + 3)

    assert asked == [BATCH, 4]


def test_the_baseline_changes_the_field_only_and_keeps_its_colour(rng):
    photo = retina(rng)
    photo[~FIELD] = 7

    baseline = field_mean(photo, FIELD)

    assert (baseline[~FIELD] == 7).all()
    assert baseline[FIELD].mean() == pytest.approx(photo[FIELD].mean(), abs=1)
    assert np.ptp(baseline[FIELD], axis=0).max() == 0


def test_wrong_use_is_refused_with_what_to_do(rng):
    photo, relevance = retina(rng), rng.random((SIDE, SIDE))

    with pytest.raises(ValueError, match=r"relevance and baseline must be of the photograph's size 32 x 32, got 7 x 7"):
        deletion(brightness_there, photo, relevance[:7, :7], photo, FIELD, rng=rng)
    with pytest.raises(ValueError, match=r"steps must be at least 1, got 0"):
        insertion(brightness_there, photo, relevance, photo, FIELD, rng=rng, steps=0)
    with pytest.raises(ValueError, match=r"fractions must ascend, above 0 and below 1, got \(0.5, 1.0\)"):
        road(brightness_there, photo, relevance, FIELD, rng=rng, fractions=(0.5, 1.0))
    with pytest.raises(ValueError, match=r"score must give one finite number for each of 16 photographs, got shape"):
        deletion(lambda photos: photos[:, :, 0, 0].astype(float), photo, relevance, photo, FIELD, rng=rng)
    with pytest.raises(ValueError, match=r"with values that are not finite; pick one output"):
        deletion(lambda photos: np.full(len(photos), np.nan), photo, relevance, photo, FIELD, rng=rng)
    with pytest.raises(ValueError, match=r"missing must leave at least one pixel of each connected part"):
        impute(photo, FIELD, rng=rng, within=FIELD)
    with pytest.raises(ValueError, match=r"missing must lie in within, got \d+ pixels outside; take"):
        impute(photo, ~FIELD, rng=rng, within=FIELD)
    with pytest.raises(ValueError, match=r"missing and within must be of the photograph's size 32 x 32"):
        impute(photo, FIELD[:5], rng=rng)
