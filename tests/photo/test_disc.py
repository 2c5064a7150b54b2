"""The optic disc: on painted retinas, whose disc is known, and on IDRiD's photographs with their boxes."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.disc import find_disc
from fundoscope.photo.fov import find_field
from fundoscope.photo.read import read_photo
from fundoscope.photo.recipe import Recipe, prepare

SQUARE = Recipe(side=256, crop="circle")


def laid(photo):
    """The green channel on the field's square, and what takes places there."""
    prepared = prepare(photo, SQUARE)
    return np.ascontiguousarray(prepared.canvas[..., 1]), prepared.placement


def painted(seed, **spec):
    made = paint_retina(RetinaSpec(side_px=320, **spec), rng=np.random.default_rng(seed))
    frame, placement = laid(made.photo)
    row, column = placement.to_canvas(*made.disc[:2])
    return frame, row / 256, column / 256, made.disc[2] * placement.scale / 256


@pytest.mark.parametrize("grade", [0, 2, 3, 4])
@pytest.mark.parametrize("eye", ["left", "right"])
def test_the_disc_of_a_painted_eye_is_found_whatever_its_lesions(grade, eye):
    for seed in range(3):
        frame, row, column, radius = painted(seed, grade=grade, eye=eye)

        disc = find_disc(frame)

        assert disc is not None
        assert np.hypot(disc.row - row, disc.column - column) < 0.6 * radius
        assert 0.6 < disc.radius / radius < 1.4
        assert disc.confidence > 0.5


def test_a_mirrored_eye_has_its_disc_at_the_mirrored_place():
    for seed in range(4):
        frame = painted(seed, grade=seed)[0]

        disc, mirrored = find_disc(frame), find_disc(np.ascontiguousarray(frame[:, ::-1]))

        assert (mirrored.row, mirrored.radius) == (disc.row, pytest.approx(disc.radius))
        assert mirrored.column == pytest.approx(1 - disc.column)
        assert mirrored.confidence == pytest.approx(disc.confidence, abs=1e-3)


def test_brighter_light_moves_the_disc_nowhere():
    frame = painted(5)[0]

    disc, dim = find_disc(frame), find_disc((frame * 0.7).astype(np.uint8))

    assert dim.row == pytest.approx(disc.row, abs=0.01)
    assert dim.column == pytest.approx(disc.column, abs=0.01)


def test_the_picture_may_have_any_side():
    frame = painted(6)[0]

    disc, large = find_disc(frame), find_disc(cv2.resize(frame, (512, 512), interpolation=cv2.INTER_CUBIC))

    assert large.row == pytest.approx(disc.row, abs=0.01)
    assert large.column == pytest.approx(disc.column, abs=0.01)


def test_where_nothing_is_to_be_seen_there_is_no_disc():
    rows, columns = np.mgrid[:256, :256] + 0.5
    inside = np.hypot(rows - 128, columns - 128) < 128

    assert find_disc(np.zeros((256, 256), np.uint8)) is None
    assert find_disc((120 * inside).astype(np.uint8)) is None
    assert find_disc((120 * inside * (rows < 40)).astype(np.uint8)) is None


def test_noise_is_no_disc(rng):
    rows, columns = np.mgrid[:256, :256] + 0.5
    inside = np.hypot(rows - 128, columns - 128) < 128
    noise = rng.normal(100, 12, (256, 256)) * inside

    assert find_disc(np.clip(noise, 0, 255).astype(np.uint8)) is None


def test_a_bright_exudate_without_vessels_does_not_outvote_the_disc():
    frame, row, column, radius = painted(7)
    bright = frame.copy()
    cv2.circle(bright, (70, 128), 20, 250, -1, cv2.LINE_AA)

    disc = find_disc(bright)

    assert np.hypot(disc.row - row, disc.column - column) < 0.6 * radius


def test_real_discs_lie_where_idrids_boxes_say(shared_data):
    boxes = pd.read_csv(shared_data / "idrid" / "boxes.csv")
    discs = boxes[(boxes["class"] == "optic_disc") & boxes["image"].str.contains("_test_")].iloc[::4]
    hits = 0
    for box in discs.itertuples():
        photo = read_photo(shared_data / "idrid" / box.image, target_px=384).pixels
        frame, placement = laid(photo)
        assert find_field(photo) is not None
        disc = find_disc(frame)
        if disc is not None:
            row, column = placement.to_photo(256 * disc.row, 256 * disc.column)
            row, column = row / photo.shape[0], column / photo.shape[1]
            hits += abs(row - box.cy) < box.h / 2 and abs(column - box.cx) < box.w / 2

    assert len(discs) == 26
    assert hits >= 25
