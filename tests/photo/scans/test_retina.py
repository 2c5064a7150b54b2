"""The retina's boundaries, against those that were painted and on real scans."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fundoscope.painting.scan import SIGNS, ScanSpec, paint_scan
from fundoscope.photo.scans.retina import find_retina

SIZES = [(496, 768), (248, 384), (200, 512)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", SIGNS)
def test_both_boundaries_lie_where_they_were_painted(sign: str, size: tuple[int, int]):
    made = paint_scan(
        ScanSpec(signs=frozenset({sign}), height_px=size[0], width_px=size[1]), rng=np.random.default_rng(2)
    )
    band = find_retina(made.scan)

    inner = np.abs(band.inner - made.boundaries["nerve fibre layer"])
    outer = np.abs(band.outer - made.boundaries["pigment epithelium"])
    assert inner.mean() < 0.006 * size[0]
    assert np.median(outer) < 0.015 * size[0]
    assert (band.outer > band.inner).all()
    assert band.contrast > 20


def test_a_scan_without_a_retina_has_no_contrast_or_no_vitreous(rng):
    noise = find_retina(rng.integers(0, 40, (300, 500), dtype=np.uint8))

    assert noise.contrast < 1 or noise.cut_off > 0.5
    assert find_retina(np.zeros((300, 500), np.uint8)).contrast == 0


def test_the_share_that_leaves_the_scan_grows_with_what_is_cut_off():
    scan = paint_scan(ScanSpec(), rng=np.random.default_rng(0)).scan
    rows = len(scan)
    above = [find_retina(scan[round(share * rows) :]).cut_off for share in (0, 0.3, 0.42, 0.5)]
    below = [find_retina(scan[: round(share * rows)]).cut_off for share in (1, 0.8, 0.6, 0.48)]

    for shares in (above, below):
        assert shares == sorted(shares)
        assert shares[:2] == [0, 0]
        assert shares[3] > 0.5


def test_a_weak_signal_has_less_contrast():
    contrasts = [
        find_retina(paint_scan(ScanSpec(brightness=light), rng=np.random.default_rng(0)).scan).contrast
        for light in (1.0, 0.5, 0.25)
    ]

    assert contrasts == sorted(contrasts, reverse=True)
    assert contrasts[2] < 0.5 * contrasts[0]


@pytest.mark.parametrize("shape", [(64, 2000), (2000, 64), (64, 64)])
def test_scans_of_any_proportions_have_a_row_for_each_column(shape: tuple[int, int], rng):
    band = find_retina(rng.integers(0, 255, shape, dtype=np.uint8))

    for path in (band.inner, band.outer):
        assert path.shape == (shape[1],)
        assert ((path >= -0.5) & (path <= shape[0])).all()


def test_the_retina_of_patients_stands_out_from_the_vitreous(shared_data):
    folder = shared_data / "octdl" / "images"
    paths = sorted(folder.glob("*.jpg"))[::40]
    contrasts = [find_retina(np.array(Image.open(path).convert("L"))).contrast for path in paths]

    assert len(paths) > 40
    assert np.mean(np.array(contrasts) > 4) > 0.9
