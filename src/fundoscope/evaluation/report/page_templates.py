"""Templates of an evaluation's and of a comparison's pages, and the figures on them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jinja2

from fundoscope import pages


class Drawn(NamedTuple):
    """A figure as a page shows it."""

    title: str
    caption: str
    png: bytes


def environment(suffix: str) -> jinja2.Environment:
    """Return the templates of evaluations; those of `.html` escape their values."""
    templates = pages.environment(Path(__file__).parent / "templates", escaped=suffix == ".html")
    templates.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    return templates
