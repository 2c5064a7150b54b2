"""A retina is one by its shape and its vessels, whatever the light; what is none stays refused in any light."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.gradability import assess_gradability
from fundoscope.photo.quality import Gate


def gains(photo, *factors):
    return np.clip(np.rint(photo * np.array(factors)), 0, 255).astype(np.uint8)


def gamma(photo, exponent):
    return np.rint(255 * (photo / 255) ** exponent).astype(np.uint8)


def with_ratio(photo, ratio):
    """Red over green of what is lit, as if under another lamp."""
    red, green, _ = photo[photo.max(axis=2) > 20].mean(axis=0)
    step = np.sqrt(ratio * green / red)
    return gains(photo, step, 1 / step, 1)


def paler(photo, share):
    return np.rint((1 - share) * photo + share * photo.mean(axis=2, keepdims=True)).astype(np.uint8)


LIGHTS = {
    "red/green 0.9": lambda photo: with_ratio(photo, 0.9),
    "red/green 1": lambda photo: with_ratio(photo, 1.0),
    "red/green 1.1": lambda photo: with_ratio(photo, 1.1),
    "yellow and bright": lambda photo: gains(with_ratio(photo, 1.0), 1.25, 1.25, 0.8),
    "greenish": lambda photo: gains(photo, 0.75, 1.3, 1),
    "bluish": lambda photo: gains(photo, 0.9, 1, 1.8),
    "pale": lambda photo: paler(gamma(photo, 0.9), 0.25),
    "bright": lambda photo: gamma(photo, 0.7),
}
"""Of all 413 training photographs of IDRiD none is refused under the first six."""


def verdict(photo):
    return assess_gradability(np.ascontiguousarray(photo), Gate()).verdict


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("framing", ["full", "cropped", "off-centre"])
def test_a_painted_retina_is_gradable_in_any_light(light, framing):
    for seed in range(3):
        photo = paint_retina(
            RetinaSpec(side_px=420, grade=seed, framing=framing), rng=np.random.default_rng(seed)
        ).photo
        assert verdict(LIGHTS[light](photo)).gradable


@pytest.mark.parametrize("light", LIGHTS)
def test_a_real_photograph_that_was_gradable_is_so_in_any_light(shared_data, light):
    paths = sorted((shared_data / "idrid" / "images").glob("*train*"))[::60]
    photos = [np.asarray(Image.open(path)) for path in paths]
    photos = [photo for photo in photos if verdict(photo).gradable]
    fields = [find_field(photo).radius for photo in photos]

    lit = [np.ascontiguousarray(LIGHTS[light](photo)) for photo in photos]
    assert len(photos) >= 6
    assert [verdict(photo).reason for photo in lit if not verdict(photo).gradable] == []
    assert [find_field(photo).radius for photo in lit] == pytest.approx(fields, rel=0.02)


@pytest.mark.parametrize("name", ["IDRiD_train_089", "IDRiD_train_163"])
@pytest.mark.parametrize("light", list(LIGHTS)[:6])
def test_the_two_photographs_whose_lines_or_edges_are_nearest_the_limits_stay_gradable(shared_data, name, light):
    photo = np.asarray(Image.open(shared_data / "idrid" / "images" / f"{name}.jpg"))

    assert verdict(LIGHTS[light](photo)).gradable


@pytest.mark.parametrize("cut", ["middle", "left", "top"])
@pytest.mark.parametrize("ratio", [0.95, 1.6])
def test_a_retina_that_the_frame_cuts_is_found_in_yellow_light_too(shared_data, cut, ratio):
    photo = with_ratio(np.asarray(Image.open(shared_data / "idrid" / "images" / "IDRiD_train_010.jpg")), ratio)
    field = find_field(photo)
    row, column, half = int(field.row), int(field.column), int(0.65 * field.radius)
    part = {
        "middle": photo[row - half : row + half, column - half : column + half],
        "left": photo[:, column - half // 3 :],
        "top": photo[row - half // 3 :],
    }[cut]

    assert verdict(part).gradable


def on_disc(pattern):
    """A pattern inside a round field."""
    height, width = pattern.shape[:2]
    inside = Field(height / 2, width / 2, 0.47 * height, 1.0).mask(height, width)
    return np.where(inside[..., None], pattern, 0).astype(np.uint8)


def cracked(colour):
    """Dried earth: dark lines that branch, long and sparse as vessels are."""
    rng = np.random.default_rng(2)
    seeds = np.full((680, 1024), 255, np.uint8)
    seeds[rng.integers(0, 680, 250), rng.integers(0, 1024, 250)] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    edges = cv2.morphologyEx(cells.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    soft = cv2.GaussianBlur(edges.astype(np.float32), (0, 0), 2)
    return on_disc(np.array(colour) * (1 - 0.7 * np.clip(1.5 * soft, 0, 1))[..., None])


def fruit(colour):
    """An orange: shade, pores, a gloss."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:680, :1024]
    away = np.hypot(rows - 340, columns - 512) / 320
    shade = 0.2 + 0.8 * np.sqrt(np.clip(1 - away**2, 0, 1))
    for row, column in zip(rng.integers(0, 680, 2500), rng.integers(0, 1024, 2500), strict=True):
        cv2.circle(shade, (int(column), int(row)), 3, 0.85 * shade[row, column], -1)
    gloss = 120 * np.exp(-((rows - 240) ** 2 + (columns - 430) ** 2) / 3200)
    return on_disc(
        np.clip(np.array(colour) * cv2.GaussianBlur(shade, (0, 0), 1.2)[..., None] + gloss[..., None], 0, 255)
    )


def plate(colour):
    """Food on a plate: round pieces in several colours, with dark outlines."""
    rng = np.random.default_rng(4)
    picture = np.full((680, 1024, 3), colour, np.float32)
    for _ in range(60):
        centre, radius = (int(rng.integers(200, 820)), int(rng.integers(30, 650))), int(rng.integers(15, 60))
        piece = np.array(colour) * rng.uniform(0.5, 1.2, 3)
        cv2.circle(picture, centre, radius, tuple(float(value) for value in piece), -1)
        cv2.circle(picture, centre, radius, tuple(float(value) for value in 0.6 * piece), 3)
    return on_disc(np.clip(picture, 0, 255))


@pytest.mark.parametrize("paint", [cracked, fruit, plate])
@pytest.mark.parametrize("colour", [(190, 95, 40), (190, 185, 70), (150, 175, 60), (205, 180, 150)])
def test_what_is_no_retina_stays_refused_in_any_light(paint, colour):
    assert not verdict(paint(colour)).gradable


def test_a_tinted_scan_of_the_macula_in_a_round_frame_is_refused(shared_data):
    """A printed scan has lines, but they are as dark in red as in green."""
    paths = sorted((shared_data / "octdl" / "images").iterdir())[::130]
    scans = [cv2.resize(np.asarray(Image.open(path).convert("RGB")), (680, 680)) for path in paths]

    assert len(scans) > 12
    assert not any(
        verdict(on_disc(gains(scan, *tint))).gradable for scan in scans for tint in [(1, 0.9, 0.65), (1, 1, 0.6)]
    )


@pytest.mark.parametrize("light", LIGHTS)
def test_red_free_photographs_are_refused_for_want_of_colour(light):
    photo = paint_retina(RetinaSpec(side_px=420), rng=np.random.default_rng(1)).photo
    grey = np.repeat(LIGHTS[light](photo)[..., 1:2], 3, axis=2)

    assert "the picture has no colour" in verdict(grey).reason


def test_two_retinas_in_yellow_light_are_several():
    photos = [
        with_ratio(paint_retina(RetinaSpec(side_px=360), rng=np.random.default_rng(seed)).photo, 0.97)
        for seed in range(2)
    ]
    inset = photos[0].copy()
    small = cv2.resize(photos[1], None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    inset[-len(small) :, -small.shape[1] :] = small

    for picture in (np.hstack(photos), np.vstack(photos), inset):
        assert verdict(picture).reason.startswith("more than one retina")


def test_a_bright_photograph_is_said_to_be_washed_out_and_a_dark_one_dark():
    photo = paint_retina(RetinaSpec(side_px=420), rng=np.random.default_rng(1)).photo

    bright, dark = verdict(gains(photo, 3.2, 3.2, 3.2)).reason, verdict(gains(photo, 0.06, 0.06, 0.06)).reason

    assert "washed out" in bright
    assert "dark" not in bright
    assert "too dark" in dark
    assert "washed" not in dark


@pytest.mark.parametrize("side", ["upper", "lower"])
def test_a_lid_over_a_quarter_of_the_field_is_named_beside_what_it_hides(side):
    photo = cv2.GaussianBlur(paint_retina(RetinaSpec(side_px=420), rng=np.random.default_rng(1)).photo, (0, 0), 6)
    shade = np.clip(np.linspace(-0.2, 2.2, len(photo)), 0.2, 1)  # a shadow over the upper third, as of a lid
    shade = shade if side == "upper" else shade[::-1]

    faults = verdict(np.rint(photo * shade[:, None, None]).astype(np.uint8)).faults

    assert "lid" in faults
    assert faults[0] != "lid"
    assert "lid" not in verdict(photo).faults


def test_a_gradable_photograph_has_no_fault():
    photo = paint_retina(RetinaSpec(side_px=420), rng=np.random.default_rng(1)).photo

    assert verdict(photo).gradable
    assert verdict(photo).faults == ()


def test_faults_of_quality_are_named_as_the_measures_are_and_light_by_its_direction():
    photo = paint_retina(RetinaSpec(side_px=420), rng=np.random.default_rng(1)).photo

    assert verdict(gains(photo, 3.2, 3.2, 3.2)).faults[0] == "bright"
    assert "dark" in verdict(gains(photo, 0.1, 0.1, 0.1)).faults
    assert verdict(cv2.GaussianBlur(photo, (0, 0), 9)).faults[0] in ("sharpness", "vessels")
