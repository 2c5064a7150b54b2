"""Templates of an evaluation's and of a comparison's pages."""

from __future__ import annotations

from pathlib import Path

import jinja2

from fundoscope import pages


def environment(suffix: str) -> jinja2.Environment:
    """Return the templates of evaluations; those of `.html` escape their values."""
    templates = pages.environment(Path(__file__).parent / "templates", escaped=suffix == ".html")
    templates.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    return templates
