"""A photograph small enough for a page that shows many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fundoscope.errors import UnreadablePhotograph
from fundoscope.pages import picture_uri
from fundoscope.photo.read import read_photo


def thumbnail(path: Path, *, longer_px: int) -> str | None:
    """A JPEG in a data: URI, its longer side at most `longer_px`; None where the file cannot be read."""
    try:
        pixels = read_photo(path, target_px=longer_px).pixels
    except UnreadablePhotograph:
        return None
    picture = Image.fromarray(pixels)
    picture.thumbnail((longer_px, longer_px))
    return picture_uri(np.asarray(picture), "jpeg", quality=80)
