from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.artefacts.retouch import Spot
from fundoscope.photo.disturbances.specks import paint_specks
from fundoscope.photo.fov import Field
from fundoscope.photo.read import read_photo
from fundoscope.photo.recipe import CROPS, ENHANCEMENTS, Placement, Recipe, lit_rows, normalise, prepare, shown_retina


@pytest.fixture(scope="module")
def made():
    return paint_retina(RetinaSpec(side_px=420, grade=2, framing="cropped"), rng=np.random.default_rng(8))


@pytest.fixture
def dotted():
    """A dark field with one bright square of 12 px at rows 100-111, columns 260-271."""
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[Field(150.0, 210.0, 140.0, 1.0).mask(300, 400)] = (60, 30, 15)
    photo[100:112, 260:272] = (255, 250, 240)
    return photo


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("side", [64, 150, 512])
def test_the_placement_says_where_everything_went(dotted, crop, side):
    prepared = prepare(dotted, Recipe(side=side, crop=crop), field=Field(150.0, 210.0, 140.0, 1.0))

    weight = np.clip(prepared.canvas[..., 1].astype(float) - 60, 0, None)
    rows, columns = np.mgrid[:side, :side] + 0.5
    seen = (rows * weight).sum() / weight.sum(), (columns * weight).sum() / weight.sum()
    assert seen == pytest.approx(prepared.placement.to_canvas(106.0, 266.0), abs=0.6)
    assert prepared.placement.to_photo(*prepared.placement.to_canvas(106.0, 266.0)) == pytest.approx((106, 266))
    assert prepared.canvas.shape == (side, side, 3)


@settings(deadline=None, max_examples=30)
@given(
    scale=st.floats(0.01, 20),
    stretch=st.floats(0.3, 3),
    offsets=st.tuples(*[st.floats(-999, 999)] * 2),
    row=st.floats(0, 5000),
)
def test_going_to_the_canvas_and_back_arrives(scale, stretch, offsets, row):
    placement = Placement(scale, *offsets, stretch=stretch)

    assert placement.to_photo(*placement.to_canvas(row, 7.5)) == pytest.approx((row, 7.5), abs=1e-4)


def test_the_circle_fills_the_canvas_and_black_surrounds_it(made):
    prepared = prepare(made.photo, Recipe(side=256, crop="circle"))
    rows, columns = np.mgrid[:256, :256] + 0.5
    away = np.hypot(rows - prepared.field.row, columns - prepared.field.column)

    assert (prepared.field.row, prepared.field.column) == pytest.approx((128, 128), abs=1)
    assert prepared.field.radius == pytest.approx(128, abs=1)
    assert (prepared.canvas[away > prepared.field.radius] == 0).all()
    assert prepared.canvas[120:136].max(axis=2)[:, 4:-4].min() > 40


def test_a_margin_leaves_room_round_the_circle(made):
    prepared = prepare(made.photo, Recipe(side=256, crop="circle", margin=0.25))

    assert prepared.field.radius == pytest.approx(128 / 1.25, abs=1)


def test_radius_keeps_what_lies_outside_the_circle_and_circle_does_not(made):
    bright = np.maximum(made.photo, 30)
    field = Field(*made.field, 1.0)

    kept = prepare(bright, Recipe(side=128, crop="radius"), field=field).canvas
    cut = prepare(bright, Recipe(side=128, crop="circle"), field=field).canvas

    assert kept[64, 64].tolist() == cut[64, 64].tolist()
    assert kept[28, 4].min() == 30
    assert cut[28, 4].max() == 0


def test_square_pads_and_none_stretches(dotted):
    square = prepare(dotted, Recipe(side=200, crop="square"))
    stretched = prepare(dotted, Recipe(side=200, crop="none"))

    assert (square.placement.scale, square.placement.row_offset, square.placement.column_scale) == (0.5, 25, 0.5)
    assert (square.canvas[:25] == 0).all()
    assert stretched.placement.scale == pytest.approx(200 / 300)
    assert stretched.placement.column_scale == pytest.approx(200 / 400)
    assert square.field is None


def test_rows_removes_dark_rows_and_pads_to_a_square(rng):
    photo = rng.integers(0, 8, size=(400, 300, 3), dtype=np.uint8)
    photo[100:350, 20:280] = (150, 80, 40)

    prepared = prepare(photo, Recipe(side=300, crop="rows"))

    assert lit_rows(photo) == (100, 350)
    assert prepared.placement == Placement(1.0, -75.0, 0.0)
    assert (prepared.canvas[:25] == 0).all()
    assert (prepared.canvas[275:] == 0).all()
    np.testing.assert_array_equal(prepared.canvas[25:275], photo[100:350])


def test_a_black_photograph_keeps_all_its_rows():
    assert lit_rows(np.zeros((40, 30, 3), np.uint8)) == (0, 40)


@pytest.mark.parametrize("crop", ["circle", "radius"])
@pytest.mark.parametrize("enhance", ENHANCEMENTS)
def test_without_a_field_the_whole_picture_is_padded(rng, crop, enhance):
    noise = rng.integers(0, 256, size=(90, 120, 3), dtype=np.uint8)

    prepared = prepare(noise, Recipe(side=60, crop=crop, enhance=enhance))

    assert prepared.field is None
    assert prepared.placement == prepare(noise, Recipe(side=60, crop="square")).placement


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (5000, 2)])
@pytest.mark.parametrize("crop", CROPS)
def test_even_the_oddest_picture_is_prepared(size, crop):
    assert prepare(np.full((*size, 3), 90, np.uint8), Recipe(side=32, crop=crop)).canvas.shape == (32, 32, 3)


def test_a_field_that_is_given_is_not_looked_for(made):
    elsewhere = Field(200.0, 220.0, 100.0, 1.0)

    prepared = prepare(made.photo, Recipe(side=200), field=elsewhere)

    assert prepared.placement == Placement(1.0, -100.0, -120.0)


def test_a_field_outside_the_frame_shows_nothing():
    photo = np.full((90, 120, 3), 200, np.uint8)

    assert not prepare(photo, Recipe(side=32), field=Field(-500.0, 60.0, 50.0, 1.0)).canvas.any()


def test_the_photograph_is_left_as_it_was(made):
    before = made.photo.copy()
    for crop in CROPS:
        for enhance in ENHANCEMENTS:
            prepare(made.photo, Recipe(side=64, crop=crop, enhance=enhance))

    np.testing.assert_array_equal(made.photo, before)


def test_a_half_size_photograph_gives_nearly_the_same_canvas(made):
    height, width = made.photo.shape[:2]
    half = np.asarray(Image.fromarray(made.photo).resize((width // 2, height // 2), Image.Resampling.BOX))

    whole, reduced = (prepare(photo, Recipe(side=128)).canvas.astype(int) for photo in (made.photo, half))

    assert np.abs(whole - reduced).mean() < 4


def test_normalising_equals_the_formula_pixel_by_pixel(rng):
    recipe = Recipe(side=16, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    canvases = rng.integers(0, 256, size=(2, 16, 16, 3), dtype=np.uint8)

    ours = normalise(canvases, recipe)

    assert ours.shape == (2, 3, 16, 16)
    assert ours.dtype == np.float32
    for channel in range(3):
        expected = (canvases[..., channel] / 255 - recipe.mean[channel]) / recipe.std[channel]
        np.testing.assert_allclose(ours[:, channel], expected, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    side=st.integers(16, 4096),
    crop=st.sampled_from(CROPS),
    enhance=st.sampled_from(ENHANCEMENTS),
    margin=st.floats(-0.5, 1),
    std=st.tuples(*[st.floats(0.01, 9)] * 3),
)
def test_a_recipe_survives_json(side, crop, enhance, margin, std):
    recipe = Recipe(side=side, crop=crop, enhance=enhance, margin=margin, std=std)

    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"side": 64, "colour": "red"}, r"recipe\.colour is unknown; expected keys among crop, enhance"),
        ({}, r"recipe\.side is missing"),
        ({"side": 3}, r"recipe\.side must be a whole number from 16 to 4096, got 3"),
        ({"side": 64.5}, r"recipe\.side must be a whole number of pixels, got 64\.5"),
        ({"side": float("inf")}, r"recipe\.side must be a whole number of pixels, got inf"),
        ({"side": "64"}, r"recipe\.side must be a whole number of pixels, got '64'"),
        ({"side": 64, "crop": "oval"}, r"recipe\.crop must be one of none, rows, .* got 'oval'"),
        ({"side": 64, "enhance": 1}, r"recipe\.enhance must be a word, got 1"),
        ({"side": 64, "enhance": "sharpen"}, r"recipe\.enhance must be one of none, ben_graham, clahe"),
        ({"side": 64, "margin": 2}, r"recipe\.margin must be a number from -0\.5 to 1, got 2\.0"),
        ({"side": 64, "mean": [0.5, 0.5]}, r"recipe\.mean must be three numbers, got \[0\.5, 0\.5\]"),
        ({"side": 64, "std": [0.5, 0, 0.5]}, r"recipe\.std must be three positive numbers"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_by_its_key(mapping, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(mapping)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.3])
def test_enough_is_decoded_that_nothing_is_enlarged(crop, margin):
    """A field whose diameter is 0.94 of the frame's height, decoded at exactly `decode_px`."""
    recipe = Recipe(side=512, crop=crop, margin=margin)
    height = recipe.decode_px
    field = Field(height / 2, height * 0.66, 0.47 * height, 1.0)

    placement = prepare(np.zeros((height, height * 4 // 3, 3), np.uint8), recipe, field=field).placement

    assert max(placement.scale, placement.column_scale) <= 1


def test_oversampling_multiplies_what_is_decoded_and_nothing_else(tmp_path):
    photo = paint_retina(RetinaSpec(side_px=1600, grade=3), rng=np.random.default_rng(4)).photo
    Image.fromarray(photo).save(tmp_path / "eye.jpg", quality=92, subsampling=2)
    plain, fine = Recipe(side=64), Recipe(side=64, oversampling=4.0)
    assert fine.decode_px == 4 * plain.decode_px
    whole = prepare(read_photo(tmp_path / "eye.jpg").pixels, plain).canvas.astype(int)

    apart = [
        np.abs(prepare(read_photo(tmp_path / "eye.jpg", target_px=recipe.decode_px).pixels, recipe).canvas - whole)
        for recipe in (plain, fine)
    ]
    assert apart[1].mean() < 0.7 * apart[0].mean()


@pytest.mark.parametrize("value", [0.5, 9, "twice"])
def test_an_oversampling_out_of_bounds_is_refused(value):
    with pytest.raises(ValueError, match=r"recipe\.oversampling must be a number"):
        Recipe.from_dict({"side": 384, "oversampling": value})


def test_a_real_photograph_is_prepared_by_every_recipe(shared_data):
    photo = np.asarray(Image.open(shared_data / "idrid" / "images" / "IDRiD_train_100.jpg"))
    for crop in CROPS:
        for enhance in ENHANCEMENTS:
            prepared = prepare(photo, Recipe(side=256, crop=crop, enhance=enhance))
            assert prepared.canvas.std() > 8


def test_a_field_that_the_frame_cuts_off_ends_where_the_photograph_ends():
    """A circle of 100 pixels across in a frame of 60 rows: above and below there is no retina to be wrong about."""
    photo = np.full((60, 120, 3), 90, np.uint8)
    circle = Field(30.0, 60.0, 50.0, 1.0)

    prepared = prepare(photo, Recipe(side=100), field=circle)
    field = shown_retina(prepared.placement, circle, size=(60, 120), side=100)

    assert not field[:20].any()
    assert not field[80:].any()
    np.testing.assert_array_equal(field, prepared.canvas[..., 0] > 0)
    whole = prepare(photo, Recipe(side=100, crop="square"))
    everything = shown_retina(whole.placement, None, size=(60, 120), side=100)
    assert everything.sum() == pytest.approx(100 * 50, abs=100)
    coarse = shown_retina(whole.placement, None, size=(60, 120), side=100, grid=(4, 10))
    assert coarse.tolist() == [[False] * 10, [True] * 10, [True] * 10, [False] * 10]


def test_specks_are_painted_over_before_the_photograph_is_reduced(clean_retinas, dust):
    clean, dusty = clean_retinas[0], paint_specks(clean_retinas[0], dust)
    recipe = Recipe(side=144)
    spots = [Spot(speck.row * 288, speck.column * 384, 2.2 * speck.radius * 288) for speck in dust]

    canvases = [prepare(photo, recipe).canvas.astype(int) for photo in (clean, dusty)]
    prepared = prepare(dusty, recipe, specks=[*spots, Spot(2.0, 2.0, 2.0)])

    errors = [np.abs(canvas - canvases[0]).sum() for canvas in (canvases[1], prepared.canvas)]
    assert errors[1] < 0.4 * errors[0]
    assert prepared.retouched == tuple(spots)
    assert prepare(dusty, recipe).retouched == ()
