from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundoscope.photo.artefacts.frame import Frame, as_written, to_upright
from fundoscope.photo.read import read_photo


def write_turned(folder: Path, orientation: int, suffix: str = "jpg") -> Path:
    """A frame of 64 x 48 px, black but for a white square at row 8 to 16, column 40 to 56, with EXIF's orientation."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[8:16, 40:56] = 255
    path = folder / f"{orientation}.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_place_of_the_sensor_is_found_again_in_the_upright_photograph(tmp_path, orientation, suffix):
    photograph = read_photo(write_turned(tmp_path, orientation, suffix))

    row, column = to_upright(12 / 48, 48 / 64, photograph.orientation)
    height, width = photograph.pixels.shape[:2]

    assert photograph.pixels[int(row * height), int(column * width)].min() > 200
    assert photograph.orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_photograph_is_turned_back_to_what_the_camera_wrote(tmp_path, orientation):
    photograph = read_photo(write_turned(tmp_path, orientation))

    written = as_written(photograph.pixels, photograph.orientation)

    assert written.shape == (48, 64, 3)
    assert written[9:15, 42:54].min() > 200
    assert Frame.of(photograph) == Frame(64, 48)


def test_a_frame_is_fitted_without_being_enlarged():
    assert Frame(4288, 2848).fitted(1024) == Frame(1024, 680)
    assert Frame(640, 480).fitted(1024) == Frame(640, 480)
