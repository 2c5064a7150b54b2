from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment
from fundoscope.training.augmentation.parameters import (
    AugmentParams,
    Erased,
    apply_params,
    draw_params,
    move_mask,
    plane,
)
from fundoscope.training.augmentation.rand_augment import MOVES, Operation
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.photographs import Sampling
from fundoscope.training.experiment.ranges import Augment

NOTHING = Augment.plain()

EVERYTHING = Augment(
    turn_probability=0.9, flip_down=0.5, stretch=0.1, crop_area=(0.7, 1.0), crop_ratio=(0.8, 1.25), side_padding=0.9,
    hue_degrees=10.0, colour_probability=0.9, grey=0.3, rand_augment=2, rand_probability=1.0, sharpness=0.9, halo=0.9,
    hole=0.9, spot=0.9, blur=0.9, erase=0.9, mixup=0.5, cutmix=0.5,
    vignette=0.9, motion=0.9, specks=0.9, dust=0.9, noise=0.9, gain=0.3, gamma=0.3, jpeg=0.9,
)  # fmt: skip

VERSION_ONE = {
    (0, 0, 0): AugmentParams(
        49.306207435723536, True, 0.9162190622819852, -0.038677789157717676, 0.02506161913602179, 0.1238266731833165,
        1.039649878616337, 1.0872856276562082, (1.0042660146350302, 1.0433685924197005, 1.031300980950637),
    ),
    (0, 3, 17): AugmentParams(
        148.06782996699587, True, 1.0842092548434155, 0.025719383260708932, 0.007777245953925045,
        -0.006817993158614644, 0.8981171012958177, 1.080688050975567,
        (1.0382332538292858, 1.0318678509443524, 1.0123672959694103),
    ),
    (7, 23, 412): AugmentParams(
        163.76961048278804, False, 0.9519706696082929, 0.032797865924582274, 0.025731217016056733,
        0.12799083404990327, 0.865119883759374, 0.9351909913142961,
        (0.9778805250183988, 0.9749552861296201, 1.0104542536923788),
    ),
}  # fmt: skip
"""What the code drew that trained the shipped release, by (seed, epoch, photograph)."""


def picture(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 255, (33, 33, 3)).astype(np.uint8)


def test_a_stored_tweak_does_the_same_again(rng):
    canvas, params = picture(rng), draw_params(rng, Augment())

    assert np.array_equal(apply_params(canvas, params), apply_params(canvas, AugmentParams.from_json(params.to_json())))


def test_ranges_of_nought_draw_the_tweak_that_changes_nothing(rng):
    canvas = picture(rng)

    params = draw_params(rng, NOTHING)

    assert params == AugmentParams()
    assert np.array_equal(apply_params(canvas, params), canvas)


def test_the_same_generator_state_draws_the_same_tweak():
    draws = [draw_params(np.random.default_rng([1, 2, 3]), Augment()) for _ in range(2)]

    assert draws[0] == draws[1] != draw_params(np.random.default_rng([1, 2, 4]), Augment())


def test_flip_alone_mirrors_left_to_right(rng):
    canvas = picture(rng)

    assert np.array_equal(apply_params(canvas, AugmentParams(flip=True)), canvas[:, ::-1])


def test_a_quarter_turn_is_numpys_quarter_turn(rng):
    """numpy.rot90 turns counter-clockwise, as `turn_degrees` says."""
    canvas = picture(rng)

    assert np.array_equal(apply_params(canvas, AugmentParams(turn_degrees=90.0)), np.rot90(canvas))


def test_the_centre_stays_and_a_shift_moves_it():
    centre = np.array([16.0, 16.0, 1.0])

    assert plane(AugmentParams(turn_degrees=37.0, zoom=1.2, flip=True), 33) @ centre == pytest.approx([16, 16])
    assert plane(AugmentParams(shift_right=0.1, shift_down=-0.2), 30) @ np.array([14.5, 14.5, 1]) == pytest.approx(
        [17.5, 8.5]
    )


def test_lesions_move_with_the_photograph(rng):
    """A bright square on the photograph and its mask land on the same pixels."""
    canvas, mask = np.zeros((65, 65, 3), np.uint8), np.zeros((65, 65, 2), np.uint8)
    canvas[10:30, 40:52], mask[10:30, 40:52, 0] = 255, 255
    params = dataclasses.replace(
        draw_params(rng, Augment()), brightness=0.0, contrast=1.0, saturation=1.0, tint=(1.0, 1.0, 1.0)
    )

    seen, moved = apply_params(canvas, params)[..., 0] > 127, move_mask(mask, params)[..., 0] > 127

    assert np.logical_and(seen, moved).sum() / np.logical_or(seen, moved).sum() > 0.9
    assert not move_mask(mask, params)[..., 1].any()


def test_black_surroundings_stay_black_however_it_is_brightened():
    canvas = np.zeros((9, 9, 3), np.uint8)
    canvas[4, 4] = 100

    brightened = apply_params(canvas, AugmentParams(brightness=0.2))

    assert (brightened[0] == 0).all()
    assert brightened[4, 4].tolist() == [151, 151, 151]


@pytest.mark.parametrize("key", VERSION_ONE)
def test_the_shipped_release_would_draw_the_same_parameters_again(key):
    drawn, stored = draw_params(np.random.default_rng(key), Augment()), VERSION_ONE[key]

    for field in dataclasses.fields(AugmentParams):
        value = getattr(stored, field.name)
        # The last bit of a power is the machine's.
        near = pytest.approx(value, rel=1e-13) if isinstance(value, (float, tuple)) and value else value
        assert getattr(drawn, field.name) == near, field.name


def test_the_shipped_release_would_see_the_same_pixels_again(rng):
    """Against the code that trained it: one movement, one colour matrix, black stays black."""
    canvas = picture(rng)
    canvas[:5] = 0
    for params in VERSION_ONE.values():
        angle, mirror = np.radians(params.turn_degrees), -1.0 if params.flip else 1.0
        cos, sin = params.zoom * np.cos(angle), params.zoom * np.sin(angle)
        matrix = np.array([[cos * mirror, sin], [-sin * mirror, cos]])
        target = np.array([16 + params.shift_right * 33, 16 + params.shift_down * 33])
        moved = cv2.warpAffine(canvas, np.column_stack([matrix, target - matrix @ np.array([16, 16])]), (33, 33))
        colours = (params.saturation * np.eye(3) + (1 - params.saturation) / 3) @ np.diag(params.tint)
        offset = 127.5 * (1 - params.contrast) + 255 * params.brightness
        expected = cv2.transform(moved, np.column_stack([params.contrast * colours, np.full(3, offset)]))
        expected[moved.max(axis=2) == 0] = 0

        assert np.array_equal(apply_params(canvas, params), expected)


def test_a_stored_tweak_with_every_part_does_the_same_again(rng):
    canvas = picture(rng)
    for _ in range(20):
        params = draw_params(rng, EVERYTHING)
        again = AugmentParams.from_json(params.to_json())

        assert again == params
        assert np.array_equal(apply_params(canvas, params), apply_params(canvas, again))


@pytest.mark.parametrize("name", EVERYTHING.enabled())
def test_switching_one_augmentation_off_changes_no_other_draw(name):
    """So that two experiments that differ in one augmentation differ in nothing else."""
    off = dataclasses.replace(EVERYTHING, **{name: getattr(NOTHING, name)})
    changed = set()
    for photograph in range(8):
        with_it, without = (draw_params(np.random.default_rng([4, 2, photograph]), r) for r in (EVERYTHING, off))
        changed |= {
            f.name for f in dataclasses.fields(AugmentParams) if getattr(with_it, f.name) != getattr(without, f.name)
        }

    part = {
        "scale": {"zoom"}, "shift": {"shift_right", "shift_down"}, "crop_area": {"window"}, "spot": {"spots"},
        "rand_augment": {"operations"}, "erase": {"erased"}, "mixup": set(), "cutmix": set(),
        **{key: {"camera"} for key in ("vignette", "motion", "specks", "dust", "noise", "gain", "gamma", "jpeg")},
    }.get(name, {name})  # fmt: skip
    if name == "flip":  # version 1's coin, which is not drawn where no flip is asked for: all that follows moves on
        assert "flip" in changed
        return
    assert part == changed


def test_each_augmentation_alone_is_what_the_experiment_says_of_it():
    alone = EVERYTHING.enabled()

    assert not Augment.plain().enabled()
    assert alone["turn_degrees"] == dataclasses.replace(NOTHING, turn_degrees=180.0, turn_probability=0.9)
    assert dataclasses.replace(NOTHING, crop_ratio=(0.8, 1.25)).enabled()["crop_area"].crop_ratio == (0.8, 1.25)


def test_flip_down_alone_mirrors_top_to_bottom(rng):
    canvas = picture(rng)

    assert np.array_equal(apply_params(canvas, AugmentParams(flip_down=True)), canvas[::-1])


MOVEMENTS = [
    AugmentParams(flip_down=True, turn_degrees=30.0),
    AugmentParams(stretch=1.2, turn_degrees=-20.0),
    AugmentParams(side_padding=0.14, turn_degrees=10.0),
    AugmentParams(window=(0.2, 0.1, 0.7, 0.8), flip=True),
    AugmentParams(side_padding=0.1, stretch=0.9, window=(0.1, 0.05, 0.9, 0.9), zoom=1.1),
    *(AugmentParams(operations=(Operation(name, value),)) for name, value in [
        ("turn", 25.0), ("shear_right", -0.25), ("shear_down", 0.2), ("shift_right", 0.1), ("shift_down", -0.1),
    ]),
    AugmentParams(operations=(Operation("shear_right", 0.2), Operation("turn", -15.0)), turn_degrees=40.0, flip=True),
    AugmentParams(operations=(Operation("invert", 0.0),), halo=None, turn_degrees=5.0),
]  # fmt: skip


@pytest.mark.parametrize("params", MOVEMENTS)
def test_every_movement_takes_the_lesions_along(params):
    canvas, mask = np.full((129, 129, 3), 60, np.uint8), np.zeros((129, 129, 2), np.uint8)
    canvas[40:75, 60:92], mask[40:75, 60:92, 1] = 200, 255

    seen, moved = apply_params(canvas, params)[..., 0], move_mask(mask, params)
    inverted = any(operation.name == "invert" for operation in params.operations)
    marked = np.logical_and(seen > 0, seen < 127) if inverted else seen > 127

    shared, either = np.logical_and(marked, moved[..., 1] > 0), np.logical_or(marked, moved[..., 1] > 0)
    assert moved[..., 1].any()
    assert shared.sum() / either.sum() > 0.9
    assert set(np.unique(moved)) <= {0, 255}
    assert not moved[..., 0].any()


def test_a_window_is_enlarged_edge_to_edge():
    """Edges of the frame lie half a pixel outside the first and last pixels' centres."""
    shown = plane(AugmentParams(window=(0.25, 0.5, 0.5, 0.25)), 40)

    assert shown @ np.array([9.5, 19.5, 1.0]) == pytest.approx([-0.5, -0.5])
    assert shown @ np.array([29.5, 29.5, 1.0]) == pytest.approx([39.5, 39.5])


def test_side_padding_squeezes_the_picture_between_two_bars():
    """RETFound-Green: p pixels of black on either side, then back to the square."""
    canvas = np.full((100, 100, 3), 90, np.uint8)

    padded = apply_params(canvas, AugmentParams(side_padding=0.125))

    assert (padded[:, :9] == 0).all()
    assert (padded[:, -9:] == 0).all()
    assert (padded[2:-2, 12:-12] == 90).all()


def test_bars_are_as_wide_as_those_of_retfound_green():
    """33 to 150 of its 1024 pixels."""
    drawn = [
        draw_params(np.random.default_rng([0, 0, n]), dataclasses.replace(NOTHING, side_padding=0.3)).side_padding
        for n in range(400)
    ]
    bars = [bar for bar in drawn if bar]

    assert len(bars) == pytest.approx(120, abs=30)
    assert 33 / 1024 <= min(bars) < 0.04
    assert 0.14 < max(bars) <= 150 / 1024


def test_random_resized_crops_lie_inside_and_have_the_area_asked_for():
    ranges = dataclasses.replace(NOTHING, crop_area=(0.5, 0.8), crop_ratio=(0.75, 4 / 3))
    windows = np.array([draw_params(np.random.default_rng([1, 0, n]), ranges).window for n in range(300)])
    left, top, width, height = windows.T

    assert (windows >= 0).all()
    assert (left + width).max() <= 1 + 1e-12
    assert (top + height).max() <= 1 + 1e-12
    assert 0.5 <= (width * height).min() < 0.52
    assert 0.78 < (width * height).max() <= 0.8 + 1e-12
    assert 0.75 - 1e-9 <= (width / height).min() < 0.78
    assert np.median(np.log(width / height)) == pytest.approx(0, abs=0.06)


def test_a_crop_that_never_fits_shows_the_whole_picture():
    ranges = dataclasses.replace(NOTHING, crop_area=(1.1, 1.2))

    assert draw_params(np.random.default_rng(0), ranges) == AugmentParams()


def test_grey_has_one_value_in_all_channels(rng):
    grey = apply_params(picture(rng), AugmentParams(grey=True))

    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()


def test_a_third_of_a_turn_of_hue_takes_red_to_green_and_leaves_grey():
    canvas = np.array([[[200, 0, 0], [90, 90, 90]], [[0, 0, 50], [0, 0, 0]]], np.uint8)

    turned = apply_params(canvas, AugmentParams(hue_degrees=120.0))

    assert turned.tolist() == [[[0, 200, 0], [90, 90, 90]], [[50, 0, 0], [0, 0, 0]]]


def test_an_erased_box_is_noise_and_hides_its_lesions():
    canvas, mask = np.full((60, 60, 3), 100, np.uint8), np.full((60, 60, 2), 255, np.uint8)
    params = AugmentParams(erased=Erased(left=0.25, top=0.5, width=0.5, height=0.25, seed=3))

    covered, left = apply_params(canvas, params), move_mask(mask, params)

    changed = (covered != 100).any(axis=2)
    assert changed[30:45, 15:45].mean() > 0.99
    assert changed.sum() == changed[30:45, 15:45].sum()
    assert np.array_equal(left[..., 0] == 0, left[..., 1] == 0)
    assert (left == 0).sum() == 2 * 15 * 30
    assert covered[30:45, 15:45].mean() == pytest.approx(255 * 0.449, abs=6)


def test_erased_boxes_lie_inside_and_cover_what_is_asked_for():
    ranges = dataclasses.replace(NOTHING, erase=0.25)
    boxes = [draw_params(np.random.default_rng([1, 0, n]), ranges).erased for n in range(400)]
    drawn = [box for box in boxes if box is not None]

    assert len(drawn) == pytest.approx(100, abs=30)
    for box in drawn:
        top, bottom, left, right = box.box_px(32)
        assert 0 <= top < bottom <= 32
        assert 0 <= left < right <= 32
        assert 0.02 <= box.width * box.height <= 1 / 3 + 1e-9
        assert 0.3 - 1e-9 <= box.height / box.width <= 1 / 0.3 + 1e-9


def test_turns_and_colours_happen_as_often_as_they_are_asked_for():
    ranges = Augment(turn_probability=0.25, colour_probability=0.25, hue_degrees=5.0)
    drawn = [draw_params(np.random.default_rng([9, 0, n]), ranges) for n in range(300)]

    assert sum(params.turn_degrees != 0 for params in drawn) == pytest.approx(75, abs=25)
    assert sum(params.contrast != 1 for params in drawn) == pytest.approx(75, abs=25)
    assert all((params.contrast != 1) == (params.hue_degrees != 0) for params in drawn)


def test_black_surroundings_stay_black_under_everything(rng):
    """The field's edge must not tell what was done; only an erased box is noise wherever it lies."""
    canvas = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(canvas, (32, 32), 20, (180, 90, 40), -1)
    ranges = dataclasses.replace(EVERYTHING, erase=0.0)
    for _ in range(25):
        params = draw_params(rng, ranges)
        moved = dataclasses.replace(
            AugmentParams(operations=tuple(operation for operation in params.operations if operation.name in MOVES)),
            **{name: getattr(params, name) for name in ("turn_degrees", "flip", "zoom", "shift_right", "shift_down",
                                                       "flip_down", "stretch", "side_padding", "window")},
        )  # fmt: skip
        outside = apply_params(canvas, moved).max(axis=2) == 0

        assert not apply_params(canvas, params)[cv2.erode(outside.astype(np.uint8), np.ones((3, 3))) > 0].any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grey": 1.5}, "augment.grey: expected a number from 0 to 1, got 1.5. Change augment.grey"),
        ({"halo": -0.1}, "augment.halo: expected a number from 0 to 1, got -0.1. Change augment.halo"),
        ({"turn_degrees": -5}, "augment.turn_degrees: expected a number from 0 to 360, got -5. Change"),
        ({"rand_magnitude": 11}, "augment.rand_magnitude: expected a number from 0 to 10, got 11. Change"),
        ({"crop_area": [1.0, 0.7]}, "augment.crop_area: expected two numbers from 0.01 to 2, the smaller first, got"),
        ({"erase_area": [0.0, 0.3]}, "augment.erase_area: expected two numbers from 0.001 to 0.99, the smaller"),
        ({"crop_ratio": [1.2, 1.5]}, "augment.crop_ratio: expected a span that holds 1, for a crop that does not fit"),
        ({"jpeg_quality": [0, 50]}, "augment.jpeg_quality: expected two numbers from 1 to 100, the smaller first, got"),
        ({"speck_cameras": 0}, "augment.speck_cameras: expected a whole number from 1 to 1000000, got 0. Change"),
        ({"specks": 2}, "augment.specks: expected a number from 0 to 1, got 2. Change augment.specks"),
        ({"mixup": float("nan")}, "augment.mixup: expected a number from 0 to 100, got nan. Change augment.mixup"),
    ],
)  # fmt: skip
def test_a_range_that_cannot_be_is_refused_by_its_key(values, message):
    with pytest.raises(BadExperiment, match=re.escape(message)):
        experiment_from_dict({"name": "x", "augment": values}, where="x")


@pytest.mark.parametrize("section", [Augment, Sampling])
def test_every_field_of_the_section_is_explained(section):
    """A field without its line of documentation is a field nobody can set with reason."""
    body = ast.parse(inspect.getsource(section)).body[0].body
    for field, following in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(following, ast.Expr), field.target.id
