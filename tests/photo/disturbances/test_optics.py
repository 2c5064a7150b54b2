from __future__ import annotations

import cv2
import numpy as np
import pytest

from fundoscope.photo.disturbances.optics import Motion, Noise, add_noise, compress, defocus, move


def dot(side: int = 101) -> np.ndarray:
    picture = np.full((side, side, 3), 40, np.uint8)
    picture[side // 2, side // 2] = 250
    return picture


@pytest.mark.parametrize(("degrees", "axis"), [(0.0, 1), (90.0, 0), (180.0, 1)])
def test_motion_draws_a_dot_out_along_its_path_only(degrees, axis):
    moved = move(dot(), Motion(length=0.1, degrees=degrees)).astype(int) - 40
    across, along = moved[..., 0].sum(axis=axis), moved[..., 0].sum(axis=1 - axis)

    assert (along > 5).sum() == 11  # a tenth of 101 px, and a little of the pixels at its ends
    assert (across > 0).sum() == 1


def test_motion_goes_up_to_the_right_at_45_degrees_and_keeps_the_light():
    moved = move(dot(), Motion(length=0.1, degrees=45.0)).astype(int)[..., 0] - 40

    assert moved[47, 53] > 0
    assert moved[53, 53] == 0
    assert moved.sum() == pytest.approx(210, abs=15)


def test_motion_of_no_length_changes_nothing(rng):
    picture = rng.integers(20, 256, (30, 40, 3)).astype(np.uint8)

    assert np.array_equal(move(picture, Motion(0.0, 30.0)), picture)


@pytest.mark.parametrize("level", [40, 120, 220])
def test_noise_has_the_spread_that_its_light_gives_and_no_offset(level):
    noise = Noise(shot=0.04, read=0.01, seed=3)
    picture = np.full((300, 420, 3), level, np.uint8)

    added = add_noise(picture, noise).astype(float) - level

    expected = 255 * np.sqrt(0.04**2 * level / 255 + 0.01**2)
    assert added.std() == pytest.approx(expected, rel=0.03)
    assert abs(added.mean()) < 0.1
    assert abs(np.corrcoef(added[:-1, :, 0].ravel(), added[1:, :, 0].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.02


def test_the_same_seed_gives_the_same_noise(rng):
    picture = rng.integers(20, 256, (30, 40, 3)).astype(np.uint8)
    first, again, other = (add_noise(picture, Noise(0.05, 0.02, seed)) for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_compression_keeps_size_and_colours_and_loses_more_at_low_quality(rng):
    blurred = cv2.GaussianBlur(rng.integers(0, 256, (90, 121, 3)).astype(np.uint8), (0, 0), 3)
    blurred[:30] = (200, 90, 30)
    lost = [np.abs(compress(blurred, quality).astype(int) - blurred).mean() for quality in (95, 50, 10)]

    assert compress(blurred, 95).shape == blurred.shape
    assert compress(blurred, 95)[10, 60] == pytest.approx((200, 90, 30), abs=4)
    assert lost[0] < lost[1] < lost[2]


@pytest.mark.parametrize("spoil", [
    lambda picture: defocus(picture, 0.02), lambda picture: move(picture, Motion(0.06, 20.0)),
    lambda picture: add_noise(picture, Noise(0.1, 0.1, 1)),
])  # fmt: skip
def test_the_surround_stays_as_it_was(spoil):
    picture = np.zeros((70, 100, 3), np.uint8)
    cv2.circle(picture, (50, 35), 30, (180, 90, 40), -1)
    picture[30:34, 40:60] = (240, 200, 90)
    before = picture.copy()

    spoilt = spoil(picture)

    assert np.array_equal(spoilt[before.max(axis=2) == 0], before[before.max(axis=2) == 0])
    assert not np.array_equal(spoilt, before)
    assert np.array_equal(picture, before)
