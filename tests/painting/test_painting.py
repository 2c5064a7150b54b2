from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.painting import FRAMINGS, RetinaSpec, paint_retina
from fundoscope.painting.lesions import COUNTS, draw_lesions
from fundoscope.painting.sheet import Sheet
from fundoscope.painting.vessels import MACULA, grow_vessels


def painted(seed=1, **spec):
    return paint_retina(RetinaSpec(**spec), rng=np.random.default_rng(seed))


def inside(made):
    rows, columns = np.mgrid[: made.photo.shape[0], : made.photo.shape[1]] + 0.5
    row, column, radius = made.field
    return np.hypot(rows - row, columns - column) < radius - 2


def test_the_same_draws_paint_the_same_picture():
    first, again, other = painted(seed=1, grade=4), painted(seed=1, grade=4), painted(seed=2, grade=4)

    np.testing.assert_array_equal(first.photo, again.photo)
    np.testing.assert_array_equal(first.lesion_mask, again.lesion_mask)
    assert (first.photo != other.photo).any()


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    side_px=st.integers(32, 200),
    grade=st.integers(0, 4),
    eye=st.sampled_from(["left", "right"]),
    framing=st.sampled_from(sorted(FRAMINGS)),
    blur_px=st.floats(0, 5),
)
def test_any_retina_can_be_painted(seed, side_px, grade, eye, framing, blur_px):
    made = painted(seed, side_px=side_px, grade=grade, eye=eye, framing=framing, blur_px=blur_px)

    assert made.photo.shape[:2] == made.lesion_mask.shape == made.vessel_mask.shape
    assert made.photo.shape[0] == side_px
    assert made.grade == grade
    assert not (made.lesion_mask | made.vessel_mask)[0, 0]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_field_is_bright_and_red_and_its_surround_is_dark(framing):
    made = painted(side_px=300, framing=framing, notch=False)
    field = inside(made)
    row, column, radius = made.field
    rows, columns = np.mgrid[: made.photo.shape[0], : made.photo.shape[1]] + 0.5

    red, green, blue = made.photo[field].mean(axis=0)
    assert red > 1.3 * green > 1.5 * blue
    assert made.photo[field].max(axis=1).min() > 30
    assert made.photo[np.hypot(rows - row, columns - column) > radius + 2].max() < 12


def test_only_the_cropped_framing_cuts_the_field_off():
    cut = {name: painted(framing=name).field for name in FRAMINGS}

    assert {name: field[2] > 256 for name, field in cut.items()} == {
        "full": False,
        "cropped": True,
        "off-centre": False,
    }


@pytest.mark.parametrize(("eye", "side"), [("right", 1), ("left", -1)])
def test_the_disc_lies_on_the_side_of_the_nose_and_is_the_brightest_part(eye, side):
    made = painted(eye=eye)
    row, column, radius = made.disc
    rows, columns = np.mgrid[: made.photo.shape[0], : made.photo.shape[1]] + 0.5
    disc = np.hypot(rows - row, columns - column) < 0.7 * radius

    assert side * (column - made.field[1]) > 0.3 * made.field[2]
    assert np.median(made.photo[disc][:, 1]) > 1.5 * np.median(made.photo[inside(made)][:, 1])


def test_vessels_are_darker_than_what_is_beside_them():
    made = painted(grade=0)
    green = made.photo[..., 1].astype(float)
    elsewhere = inside(made) & ~made.vessel_mask

    assert 0.02 < made.vessel_mask[inside(made)].mean() < 0.2
    assert green[made.vessel_mask].mean() < 0.85 * green[elsewhere].mean()


def test_every_grade_above_none_has_lesions_and_severe_has_more_than_moderate():
    areas = [painted(seed=6, grade=grade).lesion_mask.mean() for grade in range(5)]

    assert areas[0] == 0
    assert 0 < areas[1] < areas[2] < areas[3]
    assert areas[4] > areas[2]


def test_lesions_change_the_photograph_where_the_mask_says_and_nowhere_else():
    healthy, diseased = painted(seed=3, grade=0), painted(seed=3, grade=3)
    change = np.abs(healthy.photo.astype(int) - diseased.photo).max(axis=2)

    assert healthy.disc == diseased.disc
    assert (change[diseased.lesion_mask] > 8).mean() > 0.9
    # Soft rims of lesions reach beyond the mask.
    assert (change[~diseased.lesion_mask] > 8).mean() < 0.03


def test_severe_is_more_than_twenty_haemorrhages_in_each_quadrant():
    """The ICDR scale's first criterion for grade 3."""
    assert COUNTS[3].haemorrhages[0] > 20
    lesions = draw_lesions(np.random.default_rng(0), 3, (0.48, 0.0), (-0.07, 0.05))
    middles = np.array([outline.mean(axis=0) for outline in lesions.red])

    for right in (True, False):
        for down in (True, False):
            assert (((middles[:, 0] > 0) == right) & ((middles[:, 1] > 0) == down)).sum() > 20
    assert not draw_lesions(np.random.default_rng(0), 2, (0.48, 0.0), (-0.07, 0.05)).tufts
    assert draw_lesions(np.random.default_rng(0), 4, (0.48, 0.0), (-0.07, 0.05)).tufts


@pytest.mark.parametrize("seed", range(6))
def test_vessels_leave_the_disc_and_spare_the_fovea(seed):
    disc, fovea = (0.48, 0.0), (-0.07, 0.06)
    veins, arteries = grow_vessels(np.random.default_rng(seed), disc, fovea)

    assert sum(np.allclose(places[0], disc) for places, _ in veins + arteries) == 8
    nearest = min(np.hypot(*(places - fovea).T).min() for places, _ in veins + arteries)
    assert nearest > 0.4 * MACULA
    assert all((np.diff(widths) < 0).all() for _, widths in veins)


def test_a_left_eye_is_a_mirrored_right_one():
    sheet = Sheet(100, 120, 50.0, 60.0, 45.0, mirrored=False)
    mirrored = Sheet(100, 120, 50.0, 60.0, 45.0, mirrored=True)
    outline = np.array([[0.2, 0.1], [0.6, 0.1], [0.6, 0.5]])

    np.testing.assert_allclose(mirrored.blots([outline])[:, ::-1], sheet.blots([outline]), atol=0.6)
    assert mirrored.to_pixels(0.5, 0.0) == (50.0, 60.0 - 22.5)


def test_a_dark_photograph_is_darker_and_a_blurred_one_smoother():
    plain, dark, blurred = painted(), painted(brightness=0.2), painted(blur_px=6.0)
    field = inside(plain)

    assert dark.photo[field].mean() < 0.3 * plain.photo[field].mean()
    steps = [
        np.abs(np.diff(made.photo[..., 1].astype(int), axis=0))[100:400, 200:480].mean() for made in (plain, blurred)
    ]
    assert steps[1] < 0.6 * steps[0]


def test_the_notch_is_a_small_tab_outside_the_field():
    with_tab, without = painted(notch=True), painted(notch=False)
    changed = np.argwhere((with_tab.photo != without.photo).any(axis=2))
    row, column, radius = with_tab.field

    assert 20 < len(changed) < 600
    assert (np.hypot(*(changed + 0.5 - [row, column]).T) > radius - 2).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side_px": 10}, "side_px must be at least 32, got 10"),
        ({"grade": 5}, "grade must be 0 to 4, got 5"),
        ({"eye": "middle"}, "eye must be left or right, got 'middle'"),
        ({"framing": "wide"}, "framing must be one of full, cropped, off-centre, got 'wide'"),
        ({"brightness": -0.5}, "brightness and blur_px must not be negative, got -0.5"),
    ],
)
def test_what_cannot_be_painted_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        RetinaSpec(**wrong)
