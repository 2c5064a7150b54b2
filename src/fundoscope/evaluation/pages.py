"""What the pages of an evaluation and of a comparison share: templates, and pictures inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
from PIL import Image

from fundoscope.errors import UnreadablePhotograph
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.photo.read import read_photo

THUMBNAIL_PX = 260
"""Longest side of a photograph on a page."""


def environment(suffix: str) -> jinja2.Environment:
    """Templates of this room; `.html` escapes what it is given. A name that nobody gave is an error."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=suffix == ".html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(not_a_device=NOT_A_DEVICE)
    found.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    return found


def data_uri(data: bytes, kind: str) -> str:
    """An encoded picture as a data: URI, so that no page fetches anything.

    Args:
        data: The file's bytes.
        kind: png or jpeg.
    """
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(path: Path) -> str | None:
    """A photograph as a small JPEG in a data: URI; None where the file is missing or cannot be read."""
    try:
        pixels = read_photo(path, target_px=THUMBNAIL_PX).pixels
    except UnreadablePhotograph:
        return None
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return data_uri(buffer.getvalue(), "jpeg")
