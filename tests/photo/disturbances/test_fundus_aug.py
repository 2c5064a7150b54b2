from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest

from fundoscope.photo.disturbances.fundus_aug import (
    Halo,
    Hole,
    Spot,
    add_halo,
    add_spots,
    dig_hole,
    draw_halo,
    draw_hole,
    draw_spots,
    sharpen,
)
from fundoscope.photo.disturbances.optics import defocus

SIDE = 256  # of the published code


@pytest.fixture
def canvas(rng: np.random.Generator) -> np.ndarray:
    """A field of view: a mottled orange disc on black."""
    mottled = cv2.resize(rng.integers(0, 40, (9, 9, 3)).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return disc_of(np.clip(np.array([170, 100, 60]) + mottled.astype(int), 1, 255).astype(np.uint8))


def disc_of(picture: np.ndarray) -> np.ndarray:
    side = picture.shape[0]
    within = np.zeros((side, side), np.uint8)
    cv2.circle(within, (side // 2, side // 2), round(0.47 * side), 1, -1)
    return np.asarray(picture * within[..., None])


def circle(right: float, down: float, radius: float) -> np.ndarray:
    """Pixel by pixel, as the published code has it."""
    mask = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        for column in range(SIDE):
            mask[row, column] = math.hypot(column - right, row - down) <= radius
    return mask


def blurred(mask: np.ndarray, wide: int, high: int, sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(mask, (wide | 1, high | 1), sigma))


def lit(canvas: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Added on the scale 0 to 1, clipped, within the field."""
    added = np.clip(canvas / 255 + light, 0, 1) * (canvas.max(axis=2) > 0)[..., None]
    return 255 * added


def test_a_halo_is_the_published_formula(canvas):
    """mask_b - mask_a, each the picture's mean, blurred over the distance of the rim, times a colour."""
    halo = Halo(right=0.45, down=0.55, inner=0.8, outer=1.5, strength=1.2, colour=(0.7, 0.8, 0.6))
    mean = canvas.mean() / 255
    centre = (0.45 * SIDE - 0.5, 0.55 * SIDE - 0.5)
    ring = np.abs(circle(*centre, 0.8 * SIDE / 2) - circle(*centre, 1.5 * SIDE / 2)) * mean * 1.2
    rim = int(abs(0.55 * SIDE * 2 - 0.8 * SIDE))
    light = blurred(ring, rim, rim, 2 / 3 * rim + 0.01)[..., None] * np.array(halo.colour)

    assert add_halo(canvas, halo) == pytest.approx(lit(canvas, light), abs=3)


def test_a_hole_is_the_published_formula(canvas):
    hole = Hole(right=0.4, down=0.5, diameter=0.6, base=-0.261, slope=-0.055, blur_wide=0.6, blur_high=0.7)
    mean = canvas.sum() / 255 / (3 * (canvas.max(axis=2) > 0).sum())
    mask = circle(0.4 * SIDE - 0.5, 0.5 * SIDE - 0.5, 0.3 * SIDE) * (-0.261 - 0.055 * mean)
    wide, high = int(0.6 * 0.6 * SIDE), int(0.7 * 0.6 * SIDE)
    light = blurred(mask, wide, high, 2 / 3 * max(wide, high) * 1.2)[..., None]

    assert dig_hole(canvas, hole) == pytest.approx(lit(canvas, light), abs=3)


def test_a_spot_is_the_published_formula(canvas):
    radius = 11.0
    spot = Spot(right=0.5, down=0.4, radius=radius / SIDE, blur_wide=0.22, blur_high=0.24)
    k, beta, d = 14 / 25 + (1.0 - radius / 25), 0.5 + radius / 25, 0.3 * (radius / 25)
    sigma = (5 + 20 * (radius / 25)) * 2
    mask = circle(0.5 * SIDE - 0.5, 0.4 * SIDE - 0.5, radius / 2) * k * (1 - math.exp(-beta * d))
    light = blurred(mask, int(0.22 * sigma), int(0.24 * sigma), sigma)[..., None]

    spotted = add_spots(canvas, (spot,))

    assert spotted == pytest.approx(lit(canvas, light), abs=2)
    assert (spotted > canvas).any()


def test_the_published_blur_never_blurs_and_ours_does(canvas):
    """Its kernel is randint(int(sigma / 3), int(sigma / 2)) pixels, made odd: one pixel for sigma up to 3."""
    widest = max(int(sigma / 2) | 1 for sigma in np.linspace(0.1, 3, 50)[:-1])

    assert widest == 1
    assert np.abs(defocus(canvas, 2 / SIDE).astype(int) - canvas).max() > 10


def test_defocus_is_as_strong_on_a_larger_photograph(canvas):
    large = cv2.resize(canvas, (512, 512), interpolation=cv2.INTER_CUBIC)

    small_again = cv2.resize(defocus(large, 3 / SIDE), (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(int)

    inner = np.s_[60:200, 60:200]
    assert np.abs(small_again - defocus(canvas, 3 / SIDE))[inner].max() <= 4


@pytest.mark.parametrize("spoil", [
    lambda canvas, rng: add_halo(canvas, draw_halo(rng)), lambda canvas, rng: dig_hole(canvas, draw_hole(rng)),
    lambda canvas, rng: add_spots(canvas, draw_spots(rng)), lambda canvas, rng: defocus(canvas, 2 / SIDE),
    lambda canvas, rng: sharpen(canvas, 2.0),
])  # fmt: skip
def test_nothing_spoils_what_lies_outside_the_field(canvas, spoil, rng):
    before = canvas.copy()

    spoilt = spoil(canvas, rng)

    assert not spoilt[canvas.max(axis=2) == 0].any()
    assert np.array_equal(canvas, before)
    assert not np.array_equal(spoilt, canvas)


def test_halos_and_spots_only_add_light_and_holes_only_take_it(canvas, rng):
    for _ in range(8):
        assert (add_halo(canvas, draw_halo(rng)) >= canvas).all()
        assert (add_spots(canvas, draw_spots(rng)) >= canvas).all()
        assert (dig_hole(canvas, draw_hole(rng)) <= canvas).all()


def test_a_dark_photograph_gets_no_hole(canvas, rng):
    """Below a quarter of full range the published factor is 0."""
    dark = canvas // 3

    assert np.array_equal(dig_hole(dark, draw_hole(rng)), dark)


def test_a_black_picture_stays_black(rng):
    black = np.zeros((32, 32, 3), np.uint8)

    assert not dig_hole(add_halo(black, draw_halo(rng)), draw_hole(rng)).any()


def test_sharpening_by_one_changes_nothing(canvas):
    assert np.array_equal(sharpen(canvas, 1.0), canvas)


def test_draws_keep_to_the_published_ranges(rng):
    halos, holes = [draw_halo(rng) for _ in range(400)], [draw_hole(rng) for _ in range(400)]
    spots = [draw_spots(rng) for _ in range(100)]
    each = [spot for drawn in spots for spot in drawn]

    assert all(0.375 <= halo.right <= 0.625 and 0.75 <= halo.inner <= 1 < halo.outer for halo in halos)
    assert np.mean([halo.strength == 1.0 for halo in halos]) == pytest.approx(0.8, abs=0.07)
    assert all(0.4 <= hole.diameter <= 0.9 and 0.375 <= hole.down <= 0.625 for hole in holes)
    assert {len(drawn) for drawn in spots} == set(range(5, 11))
    assert all(0.01 <= spot.radius <= 0.05 and spot.radius <= spot.right <= 1 - spot.radius for spot in each)


def test_a_halo_moves_in_both_directions_apart(rng):
    """The published code has one number for both, so its halos lie on the diagonal."""
    places = np.array([(halo.right, halo.down) for halo in (draw_halo(rng) for _ in range(400))])

    assert abs(np.corrcoef(places.T)[0, 1]) < 0.15


def test_a_smaller_canvas_is_spoilt_alike(canvas, rng):
    """So that a spoilt photograph looks the same whatever side an experiment works at."""
    small = cv2.resize(canvas, (128, 128), interpolation=cv2.INTER_AREA)
    halo, hole = draw_halo(rng), dataclasses.replace(draw_hole(rng), diameter=0.7)
    inner = np.s_[24:104, 24:104]

    for large_one, small_one in [
        (add_halo(canvas, halo), add_halo(small, halo)), (dig_hole(canvas, hole), dig_hole(small, hole)),
    ]:  # fmt: skip
        shrunk = cv2.resize(large_one, (128, 128), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(shrunk - small_one)[inner].max() <= 4
