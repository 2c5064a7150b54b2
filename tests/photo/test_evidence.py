"""A retina has vessels or a disc; a textured orange disc has neither, however good it looks otherwise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import FRAMINGS, RetinaSpec, paint_retina
from fundoscope.photo.evidence import measure_lines, shows_retina
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.gradability import assess_gradability
from fundoscope.photo.quality import Gate

SIZE = (560, 800)
ORANGE = (190, 95, 40)


def disc_of(pattern, *, colour=ORANGE):
    """A round field of one colour, times a pattern, with shade towards the rim."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.hypot(rows - SIZE[0] / 2, columns - SIZE[1] / 2) / 264
    photo = np.array(colour) * ((1 - 0.3 * away**2) * pattern)[..., None]
    photo[away > 1] = 0
    return np.clip(photo, 0, 255).astype(np.uint8)


def noise(rng, sigma_x, sigma_y=None):
    values = cv2.GaussianBlur(rng.standard_normal(SIZE), (0, 0), sigmaX=sigma_x, sigmaY=sigma_y or sigma_x)
    return values / values.std()


def textured(rng):
    return disc_of(1 + 0.2 * noise(rng, 3))


def blotched(rng):
    return disc_of(1 + 0.15 * np.sign(noise(rng, 4)))


def wooden(rng):
    return disc_of(1 + 0.2 * noise(rng, 3, 45))


def coarse_and_fine(rng):
    return disc_of(1 + 0.1 * sum(noise(rng, sigma) for sigma in (2, 4, 8, 16)))


def iris(rng):
    """Fibres that run to a dark pupil."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    down, right = rows - SIZE[0] / 2, columns - SIZE[1] / 2
    fibres = np.convolve(np.tile(rng.standard_normal(720), 3), np.ones(5) / 5, "same")[720:1440]
    turn = ((np.arctan2(down, right) + np.pi) / (2 * np.pi) * 719).astype(int)
    pattern = 1 + 0.15 * fibres[turn] / fibres.std()
    pattern[np.hypot(down, right) < 75] = 0.12
    return cv2.GaussianBlur(disc_of(pattern, colour=(170, 100, 60)), (0, 0), 1.5)


@pytest.mark.parametrize("paint", [textured, blotched, wooden, coarse_and_fine, iris])
def test_a_disc_that_is_no_retina_cannot_be_graded_though_its_quality_is_good(paint):
    for seed in range(4):
        photo = paint(np.random.default_rng(seed))
        field = find_field(photo)
        assert field is not None
        assert not shows_retina(photo, field)
        assert not assess_gradability(photo, Gate()).verdict.gradable


def test_the_reason_says_that_neither_vessels_nor_a_disc_are_seen():
    verdict = assess_gradability(textured(np.random.default_rng(0)), Gate()).verdict

    assert (verdict.gradable, verdict.quality) == (False, "reject")
    assert verdict.reason.startswith("neither vessels nor an optic disc to be seen")


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("grade", range(5))
def test_painted_retinas_are_retinas(framing, grade):
    photo = paint_retina(RetinaSpec(side_px=400, grade=grade, framing=framing), rng=np.random.default_rng(grade)).photo

    assert shows_retina(photo, find_field(photo))


def test_the_way_a_photograph_is_turned_does_not_matter():
    photo = paint_retina(RetinaSpec(side_px=400), rng=np.random.default_rng(1)).photo
    turned = np.ascontiguousarray(np.rot90(photo))

    upright, lying = measure_lines(photo, find_field(photo)), measure_lines(turned, find_field(turned))

    assert lying.coherent == pytest.approx(upright.coherent, rel=0.03)
    assert lying.sparse == pytest.approx(upright.sparse, rel=0.05)
    assert lying.parallel == pytest.approx(upright.parallel, abs=0.05)
    assert (lying.are_vessels, upright.are_vessels) == (True, True)


def test_vessels_that_run_to_a_bright_disc_in_the_middle_are_no_iris(shared_data):
    """The disc of a real photograph in the middle, cut out round."""
    photo = np.asarray(Image.open(shared_data / "idrid" / "images" / "IDRiD_train_010.jpg"))
    field = find_field(photo)
    lit = cv2.GaussianBlur(photo[..., 1] * field.mask(*photo.shape[:2]), (0, 0), 20)
    row, column = np.unravel_index(int(lit.argmax()), lit.shape)
    row, column = int(row), int(column)
    reach = min(row, column, photo.shape[0] - row, photo.shape[1] - column, 260)
    around = photo[row - reach : row + reach, column - reach : column + reach].copy()
    around[~Field(float(reach), float(reach), reach - 6.0, 1.0).mask(2 * reach, 2 * reach)] = 0

    assert shows_retina(around, find_field(around))


def test_a_field_of_nothing_shows_none():
    assert not shows_retina(np.zeros((200, 300, 3), np.uint8), Field(100.0, 150.0, 90.0, 1.0))
    assert not shows_retina(np.full((200, 300, 3), 90, np.uint8), Field(-500.0, 50.0, 90.0, 1.0))


def test_no_real_photograph_that_was_gradable_is_lost(shared_data):
    """Of all 516, 513 pass the gate and all 513 are seen to be retinas."""
    paths = sorted((shared_data / "idrid" / "images").iterdir())[::24]
    photos = [np.asarray(Image.open(path)) for path in paths]

    lost = [path.name for path, photo in zip(paths, photos, strict=True) if not shows_retina(photo, find_field(photo))]
    assert lost == []
