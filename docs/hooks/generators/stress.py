"""Disturbances of the stress set, from `fundoscope.evaluation.stress`."""

from __future__ import annotations

from fundoscope.evaluation.stress.stress_set import DISTURBANCES
from generators.markdown import plain, table


def stress_set() -> str:
    """Return a table of the disturbances in their five doses."""
    rows = (
        (f"`{name}`", plain(one.unit), ", ".join(f"{amount:g}" for amount in one.amounts))
        for name, one in DISTURBANCES.items()
    )
    return table(("disturbance", "unit", "doses 1 to 5"), rows)
