"""Options of bootstrap intervals, which several verbs have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class IntervalMethod(StrEnum):
    """Method of the bootstrap intervals; the names of `interval.INTERVALS`."""

    AUTO = "auto"
    PERCENTILE = "percentile"
    BCA = "bca"


Resamples = Annotated[int, typer.Option(min=100, help="Number of bootstrap resamples. Of patients.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed of the resamples.")]
Level = Annotated[float, typer.Option(min=0.5, max=0.999, help="Confidence level of the intervals.")]
Interval = Annotated[
    IntervalMethod,
    typer.Option(
        help="Bootstrap method: auto, percentile or bca. Bias-corrected and accelerated (BCa); auto: BCa "
        "of fewer than 100 patients."
    ),
]
