"""Figures of one evaluation; needs matplotlib, from the research extra."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fundoscope.decide.abstention import Abstention
from fundoscope.evaluation.curves import CurveSet, Line
from fundoscope.evaluation.evaluate import Evaluation
from fundoscope.evaluation.report.comparison_figures import confusions_figure
from fundoscope.evaluation.report.drawing import (
    ACCENT,
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
from fundoscope.evaluation.report.words import DME_WORDS
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.subgroups import Subgroups
from fundoscope.evaluation.summary import Summary
from fundoscope.grades import CUTS

CUT_WORDS: Final = {
    "any": "any retinopathy",
    "referable": "referable",
    "sight_threatening": "sight-threatening",
} | DME_WORDS


def draw(evaluation: Evaluation) -> dict[str, tuple[str, bytes]]:
    """Draw all figures of an evaluation: caption and PNG, by a name. Figures without any data are left out."""
    summary, curves = evaluation.summary, evaluation.curves
    figures = {}
    level = f"{summary.level:.0%}"
    if sum(summary.support):
        figures["confusion"] = (
            "Photographs by reference and answered grade, and their share of the reference grade.",
            confusions_figure({"": summary.confusion}),
        )
    if curves is not None and curves.roc:
        figures["roc"] = (
            f"ROC and precision-recall curves; bands: {level} bootstrap intervals by patient, pointwise. "
            "Cross: the decision (of a table without one, the grade) for referable disease. Dotted in the right panel: "
            "the precision of referring everybody.",
            ranking_figure(curves, {name: summary.intervals[f"{name}_auroc"] for name in curves.roc}),
        )
        figures["reliability"] = (
            "Reliability: what share of the photographs given a probability had the disease, in bins of equally many "
            f"photographs. Bars: {level}, the wider of the bootstrap's and Wilson's interval.",
            reliability_figure(curves.reliability),
        )
    if curves is not None and curves.net_benefit:
        figures["net_benefit"] = (
            "Decision curve (Vickers & Elkin 2006) for referable disease: referring from a threshold on is worth more "
            f"than referring everybody or nobody where its line is the highest. Bands: {level} bootstrap "
            "intervals by patient. Net benefit is that of the prevalence in these photographs.",
            net_benefit_figure(curves.net_benefit),
        )
    if evaluation.abstention:
        figures["abstention"] = (
            "What is gained by referring the photographs whose likeliest grade is least probable: the grades of the "
            "rest, and the share of all referable photographs that is referred, for disease or for doubt, against the "
            "share of all photographs that is then referred.",
            abstention_figure(evaluation.abstention),
        )
    for column in evaluation.subgroups:
        figures[f"subgroups_{column.column}"] = (
            f"By {column.column.replace('_', ' ')}, with {level} intervals. Grey: too small to say anything. "
            "Line: all photographs.",
            subgroups_figure(column, summary),
        )
    return {name: (caption, png(figure)) for name, (caption, figure) in figures.items()}


def ranking_figure(curves: CurveSet, aurocs: Mapping[str, Interval]) -> Figure:
    """ROC curves left, precision-recall curves right, each cut in its colour.

    Args:
        curves: All lines.
        aurocs: For each cut that has a curve.
    """
    figure = Figure(figsize=(11, 5.3), layout="constrained")
    roc, precision = figure.subplots(1, 2)
    for at, name in enumerate(CUT_WORDS):
        if name in curves.roc:
            words = f"{CUT_WORDS[name]} (AUROC {aurocs[name].estimate:.3f})"
            _banded(roc, curves.roc[name], colour(at), words)
            _banded(precision, curves.precision_recall[name], colour(at), words)
            precision.axhline(curves.prevalence[name], color=colour(at), lw=1, ls=":")
    roc.plot((0, 1), (0, 1), color=SOFT, lw=0.8, ls=":")
    if point := curves.operating:
        mark = {"marker": "P", "ms": 10, "color": INK, "mec": "white", "ls": "", "label": "decision, referable"}
        roc.plot(1 - point["specificity"], point["sensitivity"], **mark)
        precision.plot(point["sensitivity"], point["precision"], **mark)
    for axes, title, across, up in (
        (roc, "ROC", "1 - specificity", "sensitivity"),
        (precision, "precision and recall", "sensitivity (recall)", "PPV (precision)"),
    ):
        plain(axes, title)
        _unit(axes, across, up)
    legend(figure, roc)
    return figure


def reliability_figure(lines: Mapping[str, Line]) -> Figure:
    """Observed share against probability, one panel for each cut; the diagonal is calibrated."""
    figure = Figure(figsize=(3.7 * len(lines), 3.9), layout="constrained")
    for at, (axes, (name, line)) in enumerate(
        zip(figure.subplots(1, len(lines), squeeze=False).flat, lines.items(), strict=True)
    ):
        axes.plot((0, 1), (0, 1), color=SOFT, lw=0.8, ls=":")
        values, low, high = (np.array(ends) for ends in (line.values, line.low, line.high))
        spread = np.maximum([values - low, high - values], 0)
        axes.errorbar(
            line.at,
            values,
            np.nan_to_num(spread),
            fmt="o-",
            color=colour(list(CUTS).index(name)),
            ms=5,
            lw=1.2,
            capsize=2,
        )
        plain(axes, CUT_WORDS[name])
        _unit(axes, "probability", "observed share" if not at else "")
    return figure


def net_benefit_figure(lines: Mapping[str, Line]) -> Figure:
    """Net benefit against the threshold: the score, the decision as it is, referring all and none."""
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    axes = figure.subplots()
    looks = {
        "model": ("referred from the threshold on", ACCENT),
        "decision": ("referred as decided, whatever the threshold", colour(1)),
    }
    for name, (words, shade) in looks.items():
        if name in lines:
            _banded(axes, lines[name], shade, words)
    axes.plot(lines["refer_all"].at, lines["refer_all"].values, color=SOFT, lw=1.3, ls="--", label="all referred")
    axes.axhline(0, color=INK, lw=1.3, ls=":", label="nobody referred")
    best = max(value for name in ("model", "refer_all") for value in lines[name].values)
    plain(axes, "net benefit, referable disease")
    axes.set_ylim(-0.1 * max(best, 0.1), 1.1 * max(best, 0.1))
    axes.set_xlim(0, 1)
    axes.set_xlabel("threshold: probability from which on one would refer", color=SOFT)
    legend(figure, axes)
    return figure


def abstention_figure(points: Sequence[Abstention]) -> Figure:
    """Left, the remaining photographs' grades; right, what is found for which workload."""
    figure = Figure(figsize=(10.5, 4.3), layout="constrained")
    rest, all_ = figure.subplots(1, 2)
    shares = [point.share for point in points]
    for at, (name, words) in enumerate({"quadratic_kappa": "quadratic kappa", "accuracy": "accuracy"}.items()):
        rest.plot(shares, [getattr(point, name) for point in points], "o-", ms=4, color=colour(at), label=words)
    plain(rest, "grades of the remaining photographs")
    rest.set_xlabel("share referred as uncertain", color=SOFT)
    rest.legend(frameon=False, fontsize=9)
    all_.plot(
        [point.referred for point in points], [point.sensitivity_of_all for point in points], "o-", ms=4, color=ACCENT
    )
    for point, place, side in ((points[0], (9, -4), "left"), (points[-1], (-9, 2), "right")):
        words = f"{point.share:.0%} uncertain"
        at_point = (point.referred, point.sensitivity_of_all)
        all_.annotate(words, at_point, place, textcoords="offset points", ha=side, fontsize=8, color=SOFT)
    plain(all_, "referable photographs that are referred, of all")
    all_.set_xlabel("share of all photographs referred", color=SOFT)
    all_.margins(0.12)
    for axis in (rest.xaxis, all_.xaxis):
        axis.set_major_formatter(PercentFormatter(1))
    return figure


def subgroups_figure(of: Subgroups, summary: Summary) -> Figure:
    """Forest plot: one panel for each statistic, one line for each group; grey where it is too small.

    The calibration error of few photographs is too large, so that no line of all photographs is drawn there.
    """
    panels = 3
    down = math.ceil(len(of.statistics) / panels)
    figure = Figure(figsize=(11.5, down * (1.15 + 0.27 * len(of.groups))), layout="constrained")
    grid = figure.subplots(down, panels, squeeze=False, sharey=True)
    for axes, (name, words) in zip(grid.flat, of.statistics.items(), strict=False):
        if name != "calibration_error" and not math.isnan(all_photographs := overall(summary, name)):
            axes.axvline(all_photographs, color=SOFT, lw=1)
        for at, group in enumerate(of.groups):
            whisker(axes, group.intervals[name], at, FAINT if name in group.too_small else ACCENT)
        plain(axes, words)
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(of.groups)), [f"{short(group.value)} ({group.patients})" for group in of.groups])
        axes.set_ylim(len(of.groups) - 0.4, -0.6)
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    for axes in list(grid.flat)[len(of.statistics) :]:
        axes.set_axis_off()
    figure.supylabel("group (patients)", color=SOFT, fontsize=10)
    return figure


def overall(summary: Summary, name: str) -> float:
    """Return a statistic of subgroups of all photographs; rates of the decision, else of the grade."""
    rate, _, question = name.partition("_")
    if rate not in ("sensitivity", "specificity"):
        return summary.intervals[name].estimate
    reference = f"referable_{question}" if question else "referable"
    decided = summary.intervals[f"decision_{reference}_{rate}" if question else f"decision_{rate}"].estimate
    return summary.intervals[f"{reference}_{rate}"].estimate if math.isnan(decided) else decided


def _banded(axes: Axes, line: Line, shade: object, words: str) -> None:
    axes.fill_between(line.at, line.low, line.high, color=shade, alpha=0.15, lw=0)
    axes.plot(line.at, line.values, color=shade, lw=1.8, label=words)


def _unit(axes: Axes, across: str, up: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel(across, color=SOFT)
    axes.set_ylabel(up, color=SOFT)
    axes.axhline(0, color=LINE, lw=1)
