"""The camera that a file names, read without decoding a pixel."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

from PIL import Image

from fundoscope.photo.decoding.header import QUIET, element_text, quiet, read_elements
from fundoscope.photo.decoding.picture import camera_name

MAKE: Final = 0x010F
MODEL: Final = 0x0110
"""EXIF's tags of a camera's make and model."""


def read_camera(path: Path | str) -> str | None:
    """Return the make and model of the camera that took a photograph; None where the file does not name it.

    Never raises because of what is in the file.

    Args:
        path: A DICOM file, or a picture with EXIF data.
    """
    elements = read_elements(path)
    if elements is not None:
        with quiet():
            return camera_name(element_text(elements, "Manufacturer"), element_text(elements, "ManufacturerModelName"))
    try:
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                tags = picture.getexif()
                return camera_name(tags.get(MAKE), tags.get(MODEL))
    except Exception:  # Pillow raises nearly anything on damaged files
        return None
