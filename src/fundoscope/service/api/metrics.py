"""Figures in Prometheus's text format, version 0.0.4: a few lines, for which no library is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fundoscope.service.work.grading import GradingWork

SHARE_HIDDEN: Final = "hidden"
"""Label of all answers in shadow mode, in which it is not told how many photographs could be graded."""


def metrics_text(work: GradingWork, counts: Mapping[str, int], *, hides_answers: bool = False) -> str:
    """Return the figures of a service.

    Args:
        work: Its workers.
        counts: Photographs in the database, by state.
        hides_answers: Whether answers are counted without what they are, as in shadow mode.
    """
    figures = work.figures
    answered = {SHARE_HIDDEN: figures.answered.total()} if hides_answers else figures.answered
    lines = [
        *_metric("fundoscope_photographs", "gauge", "Photographs in the database.", "state", sorted(counts.items())),
        *_metric(
            "fundoscope_queue_depth", "gauge", "Photographs that wait or are graded.", "", [("", work.queue.depth)]
        ),
        *_metric("fundoscope_queue_length", "gauge", "Most photographs that may wait.", "", [("", work.queue.length)]),
        *_metric("fundoscope_workers", "gauge", "Photographs graded side by side.", "", [("", work.grader.threads)]),
        *_metric(
            "fundoscope_answers_total",
            "counter",
            "Photographs answered since the start.",
            "status",
            sorted(answered.items()),
        ),
        *_metric(
            "fundoscope_grading_seconds_total",
            "counter",
            "Time of grading since the start.",
            "",
            [("", figures.seconds)],
        ),
    ]
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, words: str, label: str, values: Sequence[tuple[str, int | float]]) -> list[str]:
    samples = [f"{name} {value:g}" if not label else f'{name}{{{label}="{word}"}} {value:g}' for word, value in values]
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *samples]
