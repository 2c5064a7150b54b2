"""Where no field is found, the reason names what is wrong; a white or grey surround is none of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.fov import find_field
from fundoscope.photo.gradability import assess_gradability
from fundoscope.photo.quality import Gate
from fundoscope.photo.recipe import CROPS, Recipe, prepare


@pytest.fixture(scope="module")
def retina():
    return paint_retina(RetinaSpec(side_px=420, grade=2), rng=np.random.default_rng(4)).photo


def reason(photo):
    assessment = assess_gradability(np.ascontiguousarray(photo), Gate())
    assert not assessment.verdict.gradable
    return assessment.verdict.reason


def faults(photo):
    return assess_gradability(np.ascontiguousarray(photo), Gate()).verdict.faults


def on_surround(photo, level):
    return np.where(photo.max(axis=2, keepdims=True) < 14, np.uint8(level), photo)


@pytest.mark.parametrize("share", [0.66, 0.75, 1.33, 1.5])
def test_a_squashed_picture_is_said_to_be_squashed_and_how_much(retina, share):
    height, width = retina.shape[:2]

    said = reason(cv2.resize(retina, (round(share * width), height), interpolation=cv2.INTER_AREA))

    assert "the field is an ellipse" in said
    assert float(said.split("ellipse, ")[1].split()[0]) == pytest.approx(share, abs=0.02)


def test_a_picture_without_colour_is_said_to_have_none(retina):
    one = np.zeros_like(retina)
    one[..., 1] = retina[..., 1]

    assert "the picture has no colour" in reason(np.repeat(retina[..., 1:2], 3, axis=2))
    assert "the picture has only one colour" in reason(one)


def test_each_refusal_names_its_fault(retina):
    height, width = retina.shape[:2]
    squashed = cv2.resize(retina, (round(0.7 * width), height), interpolation=cv2.INTER_AREA)
    pictures = {
        "dark": retina // 60, "too_small": retina[:20, :30], "no_retina": retina[..., ::-1], "squashed": squashed,
        "no_colour": np.repeat(retina[..., 1:2], 3, axis=2), "light_surround": on_surround(retina, 255),
        "several_retinas": np.hstack([retina, retina]),
    }  # fmt: skip

    assert {name: faults(picture) for name, picture in pictures.items()} == {name: (name,) for name in pictures}


def test_dark_small_and_other_pictures_are_told_apart(retina, rng):
    assert reason(retina // 60).startswith("no retina found: the picture is too dark")
    assert "has 30 x 20 px, at least 32 each way are needed" in reason(retina[:20, :30])
    assert reason(retina[..., ::-1]) == "no retina found: not a fundus photograph"
    assert "neither black nor white nor grey" in reason(rng.integers(0, 256, (200, 300, 3)).astype(np.uint8))


@pytest.mark.parametrize("level", [255, 200, 128, 60])
def test_a_field_on_white_or_grey_is_found_where_it_lies_on_black(retina, level):
    black, light = find_field(retina), find_field(on_surround(retina, level))

    assert (light.row, light.column, light.radius) == pytest.approx((black.row, black.column, black.radius), abs=2)
    assert (black.light_surround, light.light_surround) == (False, True)


@pytest.mark.parametrize("level", [255, 128])
def test_a_photograph_on_white_or_grey_is_refused_by_that_name(retina, level):
    assert reason(on_surround(retina, level)).startswith("the retina lies on white or grey: expected it on black")


@pytest.mark.parametrize("crop", CROPS)
def test_a_photograph_on_white_is_prepared_as_on_black(retina, crop):
    recipe = Recipe(side=96, crop=crop)
    light = on_surround(retina, 255)
    black = np.where(find_field(light).mask(*retina.shape[:2])[..., None], light, np.uint8(0))

    prepared = prepare(light, recipe, field=find_field(light)).canvas
    expected = prepare(black, recipe, field=find_field(light)).canvas

    np.testing.assert_array_equal(prepared, expected)


def test_a_page_with_a_grey_circle_on_it_is_still_no_retina():
    page = np.full((300, 400, 3), 250, np.uint8)
    cv2.circle(page, (200, 150), 110, (120, 120, 120), cv2.FILLED)

    assert find_field(page) is None
