"""Templates of an evaluation's and of a comparison's pages."""

from __future__ import annotations

from pathlib import Path

import jinja2

from fundoscope import pages


def environment(suffix: str) -> jinja2.Environment:
    """Templates of this room; `.html` escapes what it is given."""
    found = pages.environment(Path(__file__).parent / "templates", escaped=suffix == ".html")
    found.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    return found
