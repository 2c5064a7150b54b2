"""What all pages for people share: templates that escape what they are given, and pictures that no page fetches."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fundoscope.grades import NOT_A_DEVICE


def environment(folder: Path, **shared: object) -> jinja2.Environment:
    """Templates of a folder; a name that a template uses and nobody gave is an error.

    Args:
        folder: Where the templates lie.
        shared: What every template may use, beside `not_a_device`.
    """
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(not_a_device=NOT_A_DEVICE, **shared)
    return found


def data_uri(pixels: UInt8[np.ndarray, "height width channel"], kind: str, *, quality: int) -> str:
    """A picture as a data: URI.

    Args:
        pixels: RGB, or RGB and opacity where the kind has it.
        kind: JPEG or WEBP.
        quality: 1 to 100.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, quality=quality)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
