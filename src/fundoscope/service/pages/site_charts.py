"""Charts of shares by week as SVG: points with their intervals. The same numbers stand in a table beside each chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fundoscope.evaluation.statistics.interval import Interval

WIDTH: Final = 360
HEIGHT: Final = 170
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 10, 24
"""Margins, in the units of the view box."""

LABELS: Final = 4
"""Weeks that are named below a chart at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A share of a week, placed in the view box."""

    x: float
    y: float
    low: float
    high: float
    """Where the interval ends; y grows downwards, so that `high` is the smaller number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart of shares, as the template draws it."""

    title: str
    points: tuple[Point, ...]
    lines: tuple[tuple[float, str], ...]
    """Height and name of each line of the grid."""
    labels: tuple[tuple[float, str], ...]
    """Place and name of the weeks that are named."""
    reference: float | None
    """Height of the share at the commissioning; None: there is none."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


def chart_of(title: str, weeks: Sequence[tuple[str, Interval]], *, reference: float | None = None) -> Chart:
    """Return the chart of a share by week.

    Args:
        title: What the share is.
        weeks: Name and share of each, the earliest first; at least one.
        reference: The share at the commissioning, drawn as a line; None: there is none.
    """
    top = _scale(max([*(share.high for _, share in weeks), reference or 0.0]))
    step = (WIDTH - LEFT - RIGHT) / len(weeks)
    places = [LEFT + step * (number + 0.5) for number in range(len(weeks))]

    def height(share: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share / top), 1)

    points = tuple(
        Point(x=round(x, 1), y=height(share.estimate), low=height(share.low), high=height(share.high))
        for x, (_, share) in zip(places, weeks, strict=True)
    )
    every = -(-len(weeks) // LABELS)
    return Chart(
        title=title,
        points=points,
        lines=tuple((height(part * top), f"{part * top:.0%}") for part in (0.0, 0.5, 1.0)),
        labels=tuple(
            (round(x, 1), name.partition("-")[2] or name)
            for number, (x, (name, _)) in enumerate(zip(places, weeks, strict=True))
            if number % every == 0
        ),
        reference=None if reference is None else height(reference),
    )


def _scale(highest: float) -> float:
    """Return the share at the top of a chart: the next of a few round ones."""
    return next((top for top in (0.1, 0.2, 0.4, 0.6, 0.8) if highest <= top), 1.0)
