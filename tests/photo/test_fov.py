from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fundoscope.painting import FRAMINGS, RetinaSpec, paint_retina
from fundoscope.photo.fov import UNSEEN_CONFIDENCE, Field, find_field


def painted(seed=5, **spec):
    return paint_retina(RetinaSpec(**spec), rng=np.random.default_rng(seed))


def assert_found(photo, truth, *, slack=0.015):
    """Centre and radius within a small share of the radius."""
    field = find_field(photo)
    assert field is not None
    assert (field.row, field.column, field.radius) == pytest.approx(truth, abs=slack * truth[2] + 0.5)
    return field


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("eye", ["left", "right"])
@pytest.mark.parametrize("side_px", [200, 700])
def test_the_field_is_found_on_every_framing_and_size(framing, eye, side_px):
    made = painted(framing=framing, eye=eye, side_px=side_px, grade=3)

    assert assert_found(made.photo, made.field).confidence > 0.9


@pytest.mark.parametrize("brightness", [0.3, 0.1, 0.05])
def test_the_field_of_a_dark_photograph_is_found(brightness):
    made = painted(brightness=brightness)

    assert_found(made.photo, made.field, slack=0.03)


def test_an_eyelid_over_the_field_does_not_move_it():
    made = painted()
    photo = made.photo.copy()
    photo[:90] = 3

    assert_found(photo, made.field)


def test_light_around_the_field_is_not_taken_for_it():
    """A bright photograph shows what the camera scatters past the edge of its aperture."""
    made = painted(side_px=480, framing="full")
    row, column, radius = made.field
    away = np.hypot(*np.ogrid[0.5 - row : 480 - row, 0.5 - column : 640 - column]) / radius
    halo = np.where(away < 1, 0, np.clip(70 - 25 * (away - 1), 0, None) * (away < 1.35))
    bright = np.rint(255 * (made.photo / 255) ** 0.6)

    field = assert_found(np.maximum(bright, halo[..., None]).astype(np.uint8), made.field)
    assert field.confidence > 0.9


def test_the_field_is_found_whatever_the_black_level():
    made = painted(framing="cropped")

    assert_found(np.clip(made.photo.astype(int) + 25, 0, 255).astype(np.uint8), made.field)


@settings(deadline=None, max_examples=10)
@given(
    row=st.floats(0.3, 0.7),
    column=st.floats(0.3, 0.7),
    radius=st.floats(0.25, 0.65),
    mirrored=st.booleans(),
    upside_down=st.booleans(),
)
def test_flipping_a_photograph_flips_its_field(row, column, radius, mirrored, upside_down):
    height, width = 300, 400
    truth = (row * height, column * width, radius * height)
    inside = Field(*truth, 1.0).mask(height, width)
    photo = np.where(inside[..., None], np.array([180, 90, 40], np.uint8), np.uint8(2))
    photo = photo[:: -1 if upside_down else 1, :: -1 if mirrored else 1].copy()

    assert_found(
        photo,
        (height - truth[0] if upside_down else truth[0], width - truth[1] if mirrored else truth[1], truth[2]),
        slack=0.03,
    )


def natural_picture(name):
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn's sample pictures")
    return datasets.load_sample_image(name)


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_ordinary_pictures_have_no_field(name):
    assert find_field(natural_picture(name)) is None


@pytest.mark.parametrize("low_high", [(0, 1), (0, 13), (0, 256), (128, 129), (255, 256)])
def test_blank_frames_and_noise_have_no_field(rng, low_high):
    assert find_field(rng.integers(*low_high, size=(300, 400, 3), dtype=np.uint16).astype(np.uint8)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (31, 31), (33, 700)])
def test_tiny_and_narrow_pictures_have_no_field(size):
    assert find_field(np.full((*size, 3), 90, np.uint8)) is None


def test_a_grey_circle_is_no_fundus():
    made = painted()
    grey = np.repeat(made.photo.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)

    assert find_field(grey) is None


def test_a_bright_rectangle_is_no_circle():
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[60:240, 80:320] = (180, 90, 40)

    assert find_field(photo) is None


def test_a_picture_cut_inside_the_field_is_covered_by_it_with_little_confidence():
    made = painted(side_px=600)
    row, column, radius = (int(value) for value in made.field)
    half = int(0.65 * radius)
    inside = made.photo[row - half : row + half, column - half : column + half].copy()

    field = find_field(inside)

    assert field is not None
    assert field.confidence == UNSEEN_CONFIDENCE
    assert (field.row, field.column, field.radius) == pytest.approx((half, half, half * np.sqrt(2)), abs=0.5)


def test_a_mask_holds_the_pixels_whose_centres_lie_inside():
    field = Field(row=2.0, column=3.0, radius=1.0, confidence=1.0)

    rows, columns = np.nonzero(field.mask(5, 6))

    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(1, 2), (1, 3), (2, 2), (2, 3)}
    assert field.scaled(10.0).mask(50, 60).sum() == pytest.approx(np.pi * 100, rel=0.02)


def test_the_field_of_real_photographs_is_the_cameras(shared_data):
    """One camera took all of IDRiD: the radius is 0.602 of the height on every photograph."""
    paths = sorted((shared_data / "idrid" / "images").glob("*train*"))[::21]
    fields = [find_field(np.asarray(Image.open(path))) for path in paths]

    assert len(fields) >= 19
    assert all(field is not None and field.confidence > 0.75 for field in fields)
    assert [field.radius / 680 for field in fields] == pytest.approx([0.603] * len(fields), abs=0.004)


def test_reducing_a_real_photograph_reduces_its_field(shared_data):
    photo = np.asarray(Image.open(shared_data / "idrid" / "originals" / "IDRiD_train_090.jpg"))
    small = cv2.resize(photo, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)

    whole, reduced = find_field(photo), find_field(small)

    assert (reduced.row, reduced.column, reduced.radius) == pytest.approx(
        (whole.row / 5, whole.column / 5, whole.radius / 5), abs=1.5
    )


def test_scans_of_the_macula_have_no_field(shared_data):
    paths = sorted((shared_data / "octdl" / "images").iterdir())[::100]

    assert len(paths) > 15
    assert all(find_field(np.asarray(Image.open(path).convert("RGB"))) is None for path in paths)
