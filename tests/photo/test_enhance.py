from __future__ import annotations

import cv2
import numpy as np
import pytest

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.enhance import ben_graham, clahe


@pytest.fixture(scope="module")
def canvas():
    photo = paint_retina(RetinaSpec(side_px=512, grade=2), rng=np.random.default_rng(1)).photo
    return np.ascontiguousarray(photo[:, 85:597])


def published(canvas, radius_px):
    """Ben Graham's published lines, word for word."""
    a = cv2.addWeighted(canvas, 4, cv2.GaussianBlur(canvas, (0, 0), radius_px / 30), -4, 128)
    b = np.zeros(a.shape)
    cv2.circle(b, (a.shape[1] // 2, a.shape[0] // 2), int(radius_px * 0.9), (1, 1, 1), -1, 8, 0)
    return a * b + 128 * (1 - b)


def test_a_narrow_blur_equals_the_published_lines(canvas):
    ours = ben_graham(canvas, radius_px=150.0)

    difference = np.abs(ours.astype(float) - published(canvas, 150.0))
    # Only the circle's very edge may differ: ours is placed to a fraction of a pixel.
    assert np.percentile(difference, 99) == 0


@pytest.mark.parametrize("radius_px", [240.0, 300.0, 500.0])
def test_a_wide_blur_on_a_reduced_copy_stays_within_three_grey_levels(canvas, radius_px):
    ours = ben_graham(canvas, radius_px=radius_px, kept=float("inf"))
    exact = cv2.addWeighted(canvas, 4, cv2.GaussianBlur(canvas, (0, 0), radius_px / 30), -4, 128)

    assert np.abs(ours.astype(float) - exact).mean() < 3


def test_an_even_field_becomes_middle_grey():
    assert (ben_graham(np.full((64, 64, 3), 77, np.uint8), radius_px=32.0) == 128).all()


def test_beyond_nine_tenths_of_the_radius_everything_is_grey(canvas):
    ours = ben_graham(canvas, radius_px=200.0, centre=(240.0, 260.0))
    rows, columns = np.mgrid[:512, :512] + 0.5
    away = np.hypot(rows - 240, columns - 260)

    assert (ours[away > 181.5] == 128).all()
    assert (ours[away < 178.5] != 128).any(axis=1).mean() > 0.5


def test_mirroring_before_or_after_is_the_same(canvas):
    mirrored = np.ascontiguousarray(canvas[:, ::-1])

    np.testing.assert_array_equal(clahe(mirrored).shape, canvas.shape)
    difference = ben_graham(mirrored, radius_px=150.0)[:, ::-1].astype(int) - ben_graham(canvas, radius_px=150.0)
    assert np.percentile(np.abs(difference), 99) <= 4


def test_clahe_spreads_the_lightness_and_keeps_the_hue(canvas):
    ours = clahe(canvas)
    before, after = (cv2.cvtColor(photo, cv2.COLOR_RGB2LAB).astype(float) for photo in (canvas, ours))
    inside = np.hypot(*(np.mgrid[:512, :512] - 256.0)) < 180

    assert after[inside][:, 0].std() > 1.2 * before[inside][:, 0].std()
    assert np.abs(after - before)[inside][:, 1:].mean() < 3


@pytest.mark.parametrize("wrong", [{"radius_px": 0.0}, {"radius_px": -1.0}, {"radius_px": 10.0, "kept": 0.0}])
def test_a_radius_that_is_not_positive_is_refused(canvas, wrong):
    with pytest.raises(ValueError, match="radius_px and kept must be positive, got"):
        ben_graham(canvas, **wrong)


def test_clahe_refuses_no_tiles_and_no_clip(canvas):
    with pytest.raises(ValueError, match=r"clip must be positive and tiles at least 1, got 2\.0 and 0"):
        clahe(canvas, tiles=0)
    with pytest.raises(ValueError, match=r"got 0\.0 and 8"):
        clahe(canvas, clip=0.0)
