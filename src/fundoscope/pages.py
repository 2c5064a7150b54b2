"""What all pages for people share: templates, pictures that no page has to fetch, and numbers in words."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from fundoscope.files import write_text
from fundoscope.grades import NOT_A_DEVICE


def environment(folder: Path, *, escaped: bool = True, **shared: object) -> jinja2.Environment:
    """Templates of a folder; a name that a template uses and nobody gave is an error.

    Args:
        folder: Where the templates lie.
        escaped: Whether what they are given is escaped for HTML; False for Markdown.
        shared: What every template may use, beside `not_a_device`.
    """
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(not_a_device=NOT_A_DEVICE, **shared)
    return found


def write_page(path: Path, template: jinja2.Template, **shown: object) -> Path:
    """Fill in a template and write it, whole or not at all; returns the path."""
    write_text(path, template.render(shown))
    return path


def data_uri(data: bytes, kind: str) -> str:
    """An encoded picture as a data: URI.

    Args:
        data: The file's bytes.
        kind: png, jpeg or webp.
    """
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def picture_uri(pixels: UInt8[np.ndarray, "height width channel"], kind: str, *, quality: int) -> str:
    """A picture, encoded, as a data: URI.

    Args:
        pixels: RGB, or RGB and opacity where the kind has it.
        kind: jpeg or webp.
        quality: 1 to 100.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind.upper(), quality=quality)
    return data_uri(buffer.getvalue(), kind)


def number_words(value: float | None, style: str = ".3f") -> str:
    """A number in a format, or n/a where it is undefined (NaN, in JSON null)."""
    return "n/a" if value is None or math.isnan(value) else f"{value:{style}}"


def interval_words(
    estimate: float | None, low: float | None, high: float | None, *, level: float | None = None, style: str = ".3f"
) -> str:
    """An estimate with its bounds; n/a where it is undefined, and said to have no interval where they are.

    Args:
        estimate: NaN or None: undefined.
        low: The same of both bounds.
        high: The upper bound.
        level: Share of draws between the bounds; None: not said.
        style: Format of each number.

    Example:
        >>> interval_words(0.9, 0.85, 0.94, level=0.95, style=".2f")
        '0.90 (95% CI 0.85 to 0.94)'
    """
    if estimate is None or math.isnan(estimate):
        return "n/a"
    if low is None or high is None or math.isnan(low):
        return f"{estimate:{style}} (no interval)"
    of = "" if level is None else f"{level:.0%} CI "
    return f"{estimate:{style}} ({of}{low:{style}} to {high:{style}})"


def stored_interval_words(interval: Mapping[str, Any], *, style: str = ".3f") -> str:
    """`interval_words` of what JSON holds: `estimate`, `low`, `high` and, where it is known, `level`."""
    estimate, low, high = (interval[name] for name in ("estimate", "low", "high"))
    return interval_words(estimate, low, high, level=interval.get("level"), style=style)
