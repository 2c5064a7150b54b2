"""Progress of long verbs: a bar on a terminal, and a line every half minute in a log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from fundoscope.cli.console import print_text, troubles

LOG_EVERY_SECONDS: Final = 30.0
"""Seconds between two lines in a log."""

Show = Callable[[str, int, int], None]
"""Called as `show(what, done, total)` while work goes on."""


@dataclass(slots=True)
class Estimate:
    """The time that is left, from the share of the work that was done since the first report."""

    now: Callable[[], float]
    _begun: tuple[float, float] | None = field(default=None, init=False)

    def seconds_left(self, share: float) -> float | None:
        """Return the seconds that are left when `share` of the work is done; None while nothing can be said."""
        if self._begun is None:
            self._begun = (self.now(), share)
            return None
        begun, first = self._begun
        return None if share <= first else (self.now() - begun) / (share - first) * (1 - share)


@dataclass(slots=True)
class Stages:
    """The share done of work in several stages, of which each takes about a known part of the time.

    A stage that is not listed counts nothing, and those before the current one are taken to be finished.
    """

    weights: dict[str, float]

    def share(self, what: str, done: int, total: int) -> float:
        """Return the share of all the work, 0 to 1, when `done` of the `total` parts of a stage are done."""
        names = list(self.weights)
        within = done / total if total else 1.0
        if not names:
            return within
        before = names[: names.index(what)] if what in names else []
        finished = sum(self.weights[name] for name in before) + self.weights.get(what, 0.0) * within
        return finished / sum(self.weights.values())


@contextmanager
def progress(*, stages: dict[str, float] | None = None, now: Callable[[], float] = time.monotonic) -> Iterator[Show]:
    """Yield a function that shows how much is done and how long the rest will take.

    On a terminal it is a bar, which is removed at the end. In a log it is a line at most every `LOG_EVERY_SECONDS`.

    Args:
        stages: Names of the stages with the part of the time that each takes, where there are several. The time left
            is then that of all of them. Without stages it is that of the current work.
        now: Clock, in seconds.
    """
    meter = _Meter(Stages(stages or {}), now)
    if troubles.is_terminal:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), TaskProgressColumn())
        with Progress(*columns, TextColumn("{task.fields[counts]}"), console=troubles, transient=True) as bar:
            yield _on_terminal(bar, meter)
    else:
        yield _in_log(meter)


@dataclass(slots=True)
class _Meter:
    """Measures the share of the work that is done, and estimates the time left."""

    stages: Stages
    now: Callable[[], float]
    _estimates: dict[str, Estimate] = field(default_factory=dict, init=False)

    def read(self, what: str, done: int, total: int) -> tuple[float, str]:
        """Return the share that is done, 0 to 1, and the time left in words; no words while nothing can be said."""
        share = self.stages.share(what, done, total)
        estimate = self._estimates.setdefault("" if self.stages.weights else what, Estimate(self.now))
        left = estimate.seconds_left(share)
        return share, "" if left is None else f"{duration(left)} left"


def _on_terminal(bar: Progress, meter: _Meter) -> Show:
    task = bar.add_task("", total=1.0, counts="")

    def show(what: str, done: int, total: int) -> None:
        share, left = meter.read(what, done, total)
        bar.update(
            task, description=what, completed=share, counts=", ".join([f"{done}/{total}", *([left] * bool(left))])
        )

    return show


def _in_log(meter: _Meter) -> Show:
    last = meter.now()

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        share, left = meter.read(what, done, total)
        if meter.now() - last < LOG_EVERY_SECONDS:
            return
        last = meter.now()
        of_all = f" ({math.floor(100 * share)} % of all stages)" if meter.stages.weights else ""
        print_text(f"{what}: {done} of {total}{of_all}" + (f", about {left}" if left else ""), to=troubles)

    return show


def duration(seconds: float) -> str:
    """Return a length of time in words, such as `40 s`, `12 min` or `3 h 05 min`.

    Example:
        >>> duration(11_100.0)
        '3 h 05 min'
    """
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


@contextmanager
def dust_progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many photographs were searched for dust."""
    with progress() as show:
        yield lambda done, total: show("looking for dust", done, total)
