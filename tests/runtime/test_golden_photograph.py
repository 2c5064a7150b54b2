"""The golden photograph lets decoders differ as decoders do, and nothing else."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

import fundoscope.photo.decoding.picture as decoding
import fundoscope.photo.read as reading
import fundoscope.photo.recipe as preparing
from fundoscope.errors import BadRelease
from fundoscope.files import write_bytes
from fundoscope.photo.enhance import ben_graham
from fundoscope.photo.recipe import Recipe, prepare
from fundoscope.runtime.golden_photograph import (
    GOLDEN_CANVAS,
    GOLDEN_PHOTOGRAPH,
    check_golden_photograph,
    golden_photograph_from,
    make_golden_photograph,
)

RECIPES = [
    Recipe(side=64, crop="square"),
    Recipe(side=384, crop="circle"),
    Recipe(side=224, crop="none"),
    Recipe(side=224, crop="radius", margin=0.05, enhance="clahe"),
    Recipe(side=224, crop="circle", enhance="ben_graham"),
]


def by_words(recipe):
    return f"{recipe.side} {recipe.crop} {recipe.enhance}"


@pytest.fixture(params=RECIPES, ids=by_words)
def recipe(request) -> Recipe:
    return request.param


def failures(recipe) -> list[str]:
    checks = check_golden_photograph(make_golden_photograph(recipe), recipe)
    return [check.name for check in checks if not check.passed]


def replace_in_prepare(monkeypatch, **functions):
    """Change OpenCV's functions or constants for `prepare` alone."""
    monkeypatch.setattr(preparing, "cv2", SimpleNamespace(**(vars(cv2) | functions)))


def test_the_photograph_passes_where_it_was_made(recipe):
    golden = make_golden_photograph(recipe)

    names = [check.name for check in check_golden_photograph(golden, recipe) if check.passed]

    expected = ["golden photograph", "golden canvas"] + ["golden enhancement"] * (recipe.enhance != "none")
    assert names == expected


def test_it_takes_every_step_of_reading(recipe, tmp_path):
    golden = make_golden_photograph(recipe)
    (tmp_path / "eye.jpg").write_bytes(golden.jpeg)
    photograph = reading.read_photo(tmp_path / "eye.jpg", target_px=recipe.decode_px)

    assert photograph.reduced == 2
    assert photograph.pixels.shape[0] < photograph.pixels.shape[1]
    assert Image.open(io.BytesIO(golden.jpeg)).size[0] < Image.open(io.BytesIO(golden.jpeg)).size[1]
    assert golden.field is None or golden.field.confidence > 0.5
    np.testing.assert_array_equal(golden.canvas, prepare(photograph.pixels, recipe).canvas)
    assert len(golden.jpeg) < 150_000


def test_another_decoder_may_round_otherwise(recipe, monkeypatch, rng):
    read = reading.read_photo

    def read_noisily(path, **options):
        photograph = read(path, **options)
        noise = rng.integers(-1, 2, photograph.pixels.shape)
        return replace(photograph, pixels=np.clip(photograph.pixels + noise, 0, 255).astype(np.uint8))

    make_golden_photograph(recipe)
    monkeypatch.setattr("fundoscope.runtime.golden_photograph.read_photo", read_noisily)

    assert failures(recipe) == []


def test_opencv_decodes_it_alike(recipe, monkeypatch):
    read = reading.read_photo

    def read_by_opencv(path, **options):
        picture = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2)
        return replace(read(path, **options), pixels=np.ascontiguousarray(picture[..., ::-1]))

    make_golden_photograph(recipe)
    monkeypatch.setattr("fundoscope.runtime.golden_photograph.read_photo", read_by_opencv)

    assert failures(recipe) == []


@pytest.mark.parametrize("how", ["INTER_NEAREST", "INTER_LINEAR", "INTER_CUBIC", "INTER_LANCZOS4"])
def test_another_interpolation_fails(recipe, how, monkeypatch):
    make_golden_photograph(recipe)
    replace_in_prepare(monkeypatch, INTER_AREA=getattr(cv2, how))

    assert failures(recipe) == ["golden canvas"]


@pytest.mark.parametrize("how", ["BILINEAR", "BICUBIC", "LANCZOS", "BOX"])
def test_another_library_s_resize_fails(recipe, how, monkeypatch):
    def resize(picture, size, interpolation):
        return np.asarray(Image.fromarray(picture).resize(size, getattr(Image.Resampling, how)))

    make_golden_photograph(recipe)
    replace_in_prepare(monkeypatch, resize=resize)

    assert failures(recipe) == ["golden canvas"]


def test_another_decoder_scale_fails(recipe, monkeypatch):
    make_golden_photograph(recipe)
    monkeypatch.setattr(decoding, "_draft", lambda picture, target_px: 1)

    assert failures(recipe)[0] == "golden photograph"


def test_a_decoder_that_leaves_the_picture_on_its_side_fails(recipe, monkeypatch):
    make_golden_photograph(recipe)
    monkeypatch.setattr(decoding, "_TURNS", {})

    assert failures(recipe)[:2] == ["golden photograph", "golden canvas"]


@pytest.mark.parametrize(("down", "along"), [(1, 0), (0, -1)])
def test_a_crop_moved_by_a_pixel_fails(recipe, down, along, monkeypatch):
    box = preparing._box

    def moved(*arguments):
        right = box(*arguments)
        return replace(right, top=right.top + down, left=right.left + along)

    make_golden_photograph(recipe)
    monkeypatch.setattr(preparing, "_box", moved)

    assert failures(recipe)[:1] == ["golden canvas"]


def test_another_width_of_the_enhancement_s_blur_fails(monkeypatch):
    recipe = RECIPES[-1]
    make_golden_photograph(recipe)
    monkeypatch.setattr(
        preparing,
        "ben_graham",
        lambda canvas, *, radius_px, **options: ben_graham(canvas, radius_px=1.02 * radius_px, **options),
    )

    assert failures(recipe) == ["golden enhancement"]


def test_exchanged_colours_fail(recipe, monkeypatch):
    read = reading.read_photo
    make_golden_photograph(recipe)
    monkeypatch.setattr(
        "fundoscope.runtime.golden_photograph.read_photo",
        lambda path, **options: replace(
            (photograph := read(path, **options)), pixels=np.ascontiguousarray(photograph.pixels[..., ::-1])
        ),
    )

    assert failures(recipe)[0] == "golden canvas"


def test_a_tint_that_leaves_the_luminance_as_it_is_fails(recipe, monkeypatch):
    """Red up by 6 levels, blue down by 6 * 0.299 / 0.114 = 16."""
    read = reading.read_photo
    make_golden_photograph(recipe)
    monkeypatch.setattr(
        "fundoscope.runtime.golden_photograph.read_photo",
        lambda path, **options: replace(
            (photograph := read(path, **options)),
            pixels=np.clip(photograph.pixels + np.array((6, 0, -16)), 0, 255).astype(np.uint8),
        ),
    )

    assert failures(recipe)[0] == "golden canvas"


def test_the_crop_stays_where_it_is_when_a_decoder_rounds_otherwise(recipe, tmp_path):
    (tmp_path / "eye.jpg").write_bytes(make_golden_photograph(recipe).jpeg)
    pixels = reading.read_photo(tmp_path / "eye.jpg", target_px=recipe.decode_px).pixels

    placements = {prepare(pixels, recipe).placement}
    for seed in range(100, 112):
        noise = np.random.default_rng(seed).integers(-2, 3, pixels.shape)
        placements.add(prepare(np.clip(pixels + noise, 0, 255).astype(np.uint8), recipe).placement)

    assert len(placements) == 1


def test_a_release_without_one_says_that_nothing_of_the_kind_is_checked():
    (check,) = check_golden_photograph(None, RECIPES[0])

    assert check.passed is None
    assert check.detail == "the release has no golden photograph: decoding and preprocessing are not checked"


def test_a_damaged_photograph_is_a_failed_check():
    golden = make_golden_photograph(RECIPES[0])

    (check,) = check_golden_photograph(replace(golden, jpeg=golden.jpeg[:4000]), RECIPES[0])

    assert check.passed is False
    assert "expected a whole JPEG picture" in check.detail


def test_its_files_give_it_back(recipe, tmp_path):
    golden = make_golden_photograph(recipe)

    back = golden_photograph_from(golden.files(), recipe, tmp_path)

    assert back is not None
    assert (back.jpeg, back.decoded, back.field) == (golden.jpeg, golden.decoded, golden.field)
    np.testing.assert_array_equal(back.plain, golden.plain)
    np.testing.assert_array_equal(back.canvas, golden.canvas)


def test_a_photograph_without_its_canvas_or_with_another_s_is_refused(tmp_path):
    files = make_golden_photograph(RECIPES[0]).files()
    write_bytes(tmp_path / GOLDEN_CANVAS, files[GOLDEN_CANVAS])

    assert golden_photograph_from({}, RECIPES[0], tmp_path) is None
    with pytest.raises(BadRelease, match=r"golden_canvas\.npz together, got golden_photograph\.jpg alone"):
        golden_photograph_from({GOLDEN_PHOTOGRAPH: files[GOLDEN_PHOTOGRAPH]}, RECIPES[0], tmp_path)
    with pytest.raises(BadRelease, match=r"must be uint8 \(224, 224, 3\), got uint8 \(64, 64, 3\)"):
        golden_photograph_from(files, RECIPES[2], tmp_path)
    with pytest.raises(BadRelease, match=r"expected decoded and plain in golden_canvas\.npz, got"):
        golden_photograph_from(files | {GOLDEN_CANVAS: b"no arrays"}, RECIPES[0], tmp_path)
