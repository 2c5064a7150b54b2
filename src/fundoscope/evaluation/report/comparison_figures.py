"""Figures of a comparison; needs matplotlib, from the research extra."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fundoscope.evaluation.compare import System
from fundoscope.evaluation.report.drawing import (
    ACCENT,
    ACROSS,
    FAINT,
    INK,
    LINE,
    SOFT,
    colour,
    legend,
    plain,
    png,
    short,
    whisker,
)
from fundoscope.evaluation.report.page_templates import Drawn
from fundoscope.evaluation.runs import Curve
from fundoscope.evaluation.statistics.agreement import row_shares
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.systems import LOWER_IS_BETTER
from fundoscope.grades import GRADE_NAMES, GRADES

LINES: Final = ("-", "--", ":", "-.")
"""Ten colours tell ten systems apart; beyond, the line changes."""

HATCHES: Final = ("", "//", "..", "xx")
"""The same of bars."""


def draw(systems: Sequence[System]) -> dict[str, Drawn]:
    """Draw all figures of a comparison, by the file's name without suffix; curves only of runs with a log."""
    first, *others = systems
    figures: dict[str, tuple[str, str, Figure]] = {}
    if curves := {system.name: system.run.curves for system in systems if system.run and system.run.curves}:
        figures["curves"] = (
            "Training curves",
            "Training loss and validation kappa by epoch. Thin: each fold; thick: mean of the folds; dotted: the final "
            "fit. Losses can be compared only between runs that minimise the same loss.",
            curves_figure(curves),
        )
    # A system that gives no grades has nothing but zeros there.
    grading = [system for system in systems if any(map(any, system.summary.confusion))]
    if grading:
        figures["confusions"] = (
            "Confusion matrices",
            "Number of photographs by reference and answered grade. Percentages and colours: share of the photographs "
            "of that reference grade.",
            confusions_figure({system.name: system.summary.confusion for system in grading}),
        )
        figures["grade_f1"] = (
            "F1 of each grade",
            "F1 of each grade against all others. Bars: each system's own interval, not of a difference.",
            grade_f1_figure({system.name: system.grade_f1 for system in grading}),
        )
    figures["differences"] = (
        "Differences from the first system",
        f"{first.name} minus each other system, with paired intervals. Blue: the interval excludes 0.",
        differences_figure(first.name, {system.name: system.differences for system in others}),
    )
    return {name: Drawn(title, caption, png(figure)) for name, (title, caption, figure) in figures.items()}


def curves_figure(runs: Mapping[str, Sequence[Curve]]) -> Figure:
    """Training loss and, if any fit was validated, validation kappa against epochs: fits thin, mean of folds thick."""
    figure = Figure(figsize=(11, 4.2 + 0.22 * math.ceil(len(runs) / ACROSS)), layout="constrained")
    validated = any(curve.kappas for curves in runs.values() for curve in curves)
    loss, *others = figure.subplots(1, 1 + validated, squeeze=False).flat
    for at, (name, curves) in enumerate(runs.items()):
        folds = [curve for curve in curves if curve.fit != "final"] or list(curves)
        _curve(loss, [curve.losses for curve in folds], at, name)
        for kappa in others:
            _curve(kappa, [curve.kappas for curve in folds if curve.kappas], at, name)
        for curve in curves:
            if curve not in folds:
                loss.plot(*zip(*curve.losses, strict=True), color=colour(at), lw=0.8, ls=(0, (1, 2)), alpha=0.7)
    titles = ("training loss, mean of each epoch", "quadratic kappa, validation")
    for axes, title in zip((loss, *others), titles, strict=False):
        plain(axes, title)
        axes.set_xlabel("epochs", color=SOFT)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, loss)
    return figure


def _curve(axes: Axes, folds: Sequence[Sequence[tuple[int, float]]], at: int, name: str) -> None:
    shade, line = colour(at), LINES[at // 10 % len(LINES)]
    if len(folds) > 1:
        for points in folds:
            marker = "." if len(points) == 1 else None
            axes.plot(*zip(*points, strict=True), color=shade, lw=0.7, alpha=0.4, marker=marker, ms=4)
    values = [dict(points) for points in folds]
    shared = sorted(set.intersection(*map(set, values))) if values else []
    means = [float(np.mean([fold[epoch] for fold in values])) for epoch in shared]
    axes.plot(shared, means, color=shade, ls=line, lw=2, label=short(name), marker="." if len(shared) < 12 else None)


def confusions_figure(confusions: Mapping[str, Sequence[Sequence[int]]]) -> Figure:
    """Confusion matrices side by side: counts, and the share of each reference grade as number and colour."""
    across = min(ACROSS, len(confusions))
    down = math.ceil(len(confusions) / across)
    figure = Figure(figsize=(3.1 * across + 1.3, 3.4 * down + 0.3))
    figure.set_layout_engine("constrained", h_pad=0.09, w_pad=0.06)
    panels = figure.subplots(down, across, squeeze=False)
    for axes, (name, counts) in zip(panels.flat, confusions.items(), strict=False):
        image = _confusion(axes, np.array(counts, dtype=np.float64), short(name))
    for axes in list(panels.flat)[len(confusions) :]:
        axes.set_axis_off()
    bar = figure.colorbar(image, ax=panels, shrink=0.8, aspect=30, format=PercentFormatter(1))
    bar.set_label("share of the reference grade", color=SOFT, fontsize=9)
    bar.ax.tick_params(colors=SOFT, length=0, labelsize=8)
    bar.outline.set_visible(False)
    figure.supylabel("reference grade", color=SOFT, fontsize=10)
    figure.supxlabel("answered grade", color=SOFT, fontsize=10)
    return figure


def _confusion(axes: Axes, counts: Any, title: str) -> AxesImage:
    shares = row_shares(counts[None])[0]
    image = axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        words = f"{count:.0f}\n{share * 100:.0f} %" if count else "0"
        shade = "white" if share > 0.55 else INK if count else FAINT
        axes.text(column, row, words, ha="center", va="center", fontsize=8, color=shade, linespacing=1.1)
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xticks(range(GRADES))
    axes.set_yticks(range(GRADES))
    axes.tick_params(length=0, colors=SOFT)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    return image


def grade_f1_figure(systems: Mapping[str, Sequence[Interval]]) -> Figure:
    """F1 of each grade as bars, one colour a system, with intervals.

    Args:
        systems: For each name the F1 of grades 0 to 4.
    """
    rows = math.ceil(len(systems) / ACROSS)
    figure = Figure(figsize=(max(8.5, 1.5 + 0.95 * len(systems)), 4 + 0.22 * rows), layout="constrained")
    axes = figure.subplots()
    width = 0.84 / len(systems)
    for at, (name, intervals) in enumerate(systems.items()):
        places = np.arange(GRADES) + (at - (len(systems) - 1) / 2) * width
        values = np.array([interval.estimate for interval in intervals])
        spread = np.array([(e.estimate - e.low, e.high - e.estimate) for e in intervals]).T
        hatch = HATCHES[at // 10 % len(HATCHES)]
        axes.bar(
            places, values, width * 0.92, color=colour(at), hatch=hatch, edgecolor="white", lw=0, label=short(name)
        )
        defined = ~np.isnan(spread).any(axis=0)
        if defined.any():
            reach = np.maximum(spread[:, defined], 0)
            axes.errorbar(places[defined], values[defined], reach, fmt="none", ecolor=INK, lw=1, capsize=2)
    plain(axes, "F1")
    axes.set_ylim(0, 1)
    axes.set_xticks(range(GRADES), [f"{at} {name}".replace(" non-", "\nnon-") for at, name in enumerate(GRADE_NAMES)])
    legend(figure, axes)
    return figure


def differences_figure(first: str, others: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """Forest plot: for each statistic the first system minus each other one, with its paired interval.

    Args:
        first: Name of the first system.
        others: For each other one's name the differences by the name of the statistic (of `systems.STATISTICS`).
    """
    names = list(next(iter(others.values())))
    across = min(ACROSS, len(names))
    down = math.ceil(len(names) / across)
    figure = Figure(figsize=(11.5, down * (1.35 + 0.27 * len(others))), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes, name in zip(panels.flat, names, strict=False):
        _forest(axes, [differences[name] for differences in others.values()])
        worse = name in LOWER_IS_BETTER
        plain(axes, f"{name}\n{'left' if worse else 'right'} of 0: the first is better")
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(others)), [short(other) for other in others])
        axes.set_ylim(len(others) - 0.4, -0.6)
    for axes in list(panels.flat)[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel(f"{short(first)} minus the other", color=SOFT, fontsize=10)
    return figure


def _forest(axes: Axes, intervals: Sequence[Interval]) -> None:
    axes.axvline(0, color=SOFT, lw=1)
    for at, interval in enumerate(intervals):
        apart = interval.low > 0 or interval.high < 0
        whisker(axes, interval, at, ACCENT if apart else FAINT, width=2.0 if apart else 1.3)
    ends = [abs(end) for d in intervals for end in (d.estimate, d.low, d.high) if not math.isnan(end)]
    reach = 1.12 * max(ends, default=0) or 0.01
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, symmetric=True))
