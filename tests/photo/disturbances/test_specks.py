from __future__ import annotations

import cv2
import numpy as np
import pytest

from fundoscope.photo.disturbances.specks import Speck, draw_specks, paint_specks
from fundoscope.photo.fov import Field


def grey(height: int = 100, width: int = 150, level: int = 160) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_a_speck_darkens_its_centre_by_its_depth_and_half_of_that_at_its_radius():
    picture = grey(200, 300)
    field = Field(row=100.0, column=150.0, radius=100.0, confidence=1.0)

    painted = paint_specks(picture, [Speck(100.5 / 200, 150.5 / 300, 0.05, 0.4)], field)

    assert painted[100, 150, 0] == pytest.approx(160 * 0.6, abs=1)
    assert painted[100, 160, 0] == pytest.approx(160 * 0.8, abs=1)  # 0.05 of a diameter of 200 px away
    assert painted[110, 150, 0] == painted[100, 160, 0]
    assert np.array_equal(painted[0], picture[0])


def test_without_a_field_sizes_are_shares_of_the_shorter_side():
    speck = Speck(0.5, 0.5, 0.1, 0.5)

    alone = paint_specks(grey(100, 150), [speck])
    with_field = paint_specks(grey(100, 150), [speck], Field(row=50.0, column=75.0, radius=50.0, confidence=1.0))

    assert np.array_equal(alone, with_field)


def test_a_speck_is_the_same_share_of_a_larger_photograph():
    speck = Speck(0.41, 0.63, 0.03, 0.4)

    large = paint_specks(grey(400, 600), [speck])
    shrunk = cv2.resize(large, (150, 100), interpolation=cv2.INTER_AREA).astype(int)

    assert np.abs(shrunk - paint_specks(grey(), [speck])).max() <= 2


def test_a_speck_smaller_than_a_pixel_keeps_its_total_effect():
    """So that canvases show what the reduced photograph would, wherever the speck lies in a pixel."""
    lost = [
        float((160 - paint_specks(grey(100, 100), [Speck(place, place, 0.004, 0.9)]).astype(float)).sum())
        for place in (0.5, 0.5025, 0.505)
    ]
    gaussian_area = np.pi * (0.004 * 100) ** 2 / np.log(2)

    assert lost == pytest.approx([3 * 160 * 0.9 * gaussian_area] * 3, rel=0.1)


def test_a_negative_depth_brightens():
    painted = paint_specks(grey(100, 100), [Speck(0.505, 0.505, 0.05, -0.5)])

    assert painted[50, 50, 0] == pytest.approx(160 + 0.5 * 95, abs=2)
    assert (painted >= 160).all()


def test_neither_dark_nor_bright_specks_show_on_the_surround(rng):
    picture = np.zeros((120, 120, 3), np.uint8)
    cv2.circle(picture, (60, 60), 40, (180, 90, 40), -1)
    before = picture.copy()
    specks = [Speck(row, column, 0.05, depth) for row, column, depth in rng.uniform(-1, 1, (200, 3)).clip(-1, 0.99)]

    painted = paint_specks(picture, [speck for speck in specks if speck.row > 0 and speck.column > 0])

    assert not painted[before.max(axis=2) == 0].any()
    assert not np.array_equal(painted, before)
    assert np.array_equal(picture, before)


def test_specks_on_or_beyond_the_frames_edge_are_cut_off():
    picture = grey(40, 40)

    painted = paint_specks(picture, [Speck(0.0, 1.0, 0.1, 0.5), Speck(-3.0, 0.5, 0.1, 0.5), Speck(0.5, 4.0, 0.1, 0.5)])

    assert painted[0, 39, 0] < 100
    assert np.array_equal(painted[20:], picture[20:])


def test_the_same_camera_has_the_same_pattern_and_others_have_others():
    ranges = {"count": (5, 30), "radius": (0.001, 0.006), "depth": (0.1, 0.4)}
    first, again, other = (draw_specks(np.random.default_rng(camera), **ranges) for camera in (1, 1, 2))

    assert first == again
    assert first != other


def test_drawn_specks_keep_to_their_ranges_and_some_are_bright_or_large(rng):
    patterns = [draw_specks(rng, count=(4, 40), radius=(0.001, 0.006), depth=(0.1, 0.4)) for _ in range(100)]
    specks = [speck for pattern in patterns for speck in pattern]
    radii = np.array([speck.radius for speck in specks])

    assert all(4 <= len(pattern) <= 40 for pattern in patterns)
    assert all(0 <= speck.row <= 1 and 0 <= speck.column <= 1 for speck in specks)
    assert 0.001 <= radii.min() < radii.max() <= 4 * 0.006
    assert max(abs(speck.depth) for speck in specks) <= 0.4
    assert np.mean([speck.depth < 0 for speck in specks]) == pytest.approx(0.12, abs=0.04)
    assert np.mean(radii > 0.006) == pytest.approx(0.05, abs=0.04)
