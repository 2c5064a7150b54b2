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
from fundoscope.evaluation.report.page_templates import Drawn
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


def draw(evaluation: Evaluation) -> dict[str, Drawn]:
    """Draw all figures of an evaluation, by name. Figures without any data are left out."""
    summary, curves = evaluation.summary, evaluation.curves
    figures: dict[str, tuple[str, str, Figure]] = {}
    level = f"{summary.level:.0%}"
    if any(map(any, summary.confusion)):
        figures["confusion"] = (
            "Confusion matrix",
            "Number of photographs by reference and answered grade. Percentages and colours: share of the photographs "
            "of that reference grade.",
            confusions_figure({"": summary.confusion}),
        )
    if curves is not None and curves.roc:
        figures["roc"] = (
            "ROC and precision-recall curves",
            f"Bands: {level} pointwise bootstrap intervals, resampled by patient. Cross: sensitivity and specificity "
            "of the decision for referable disease (of the grade, if the table has no decision). Dotted lines in the "
            "right panel: precision if everybody were referred, that is, the prevalence.",
            ranking_figure(curves, {name: summary.intervals[f"{name}_auroc"] for name in curves.roc}),
        )
    if curves is not None and curves.reliability:
        figures["reliability"] = (
            "Reliability of the probabilities",
            "Observed proportion with disease against predicted probability, in bins of equal size. On the dotted line "
            f"the probabilities are calibrated. Bars: {level} intervals, the wider of bootstrap and Wilson.",
            reliability_figure(curves.reliability),
        )
    if curves is not None and curves.net_benefit:
        figures["net_benefit"] = (
            "Decision curve for referable disease",
            "Net benefit (Vickers & Elkin 2006) by threshold probability, at the prevalence in these photographs. The "
            f"highest line is the best strategy at that threshold. Bands: {level} bootstrap intervals, resampled by "
            "patient.",
            net_benefit_figure(curves.net_benefit),
        )
    if evaluation.abstention:
        figures["abstention"] = (
            "Referring the least certain photographs",
            "Left: agreement on the photographs that remain when those with the lowest probability of the answered "
            "grade are referred instead. Right: sensitivity for referable disease over all photographs, counting these "
            "referrals, against the share of photographs that is referred in all.",
            abstention_figure(evaluation.abstention),
        )
    for column in evaluation.subgroups:
        words = column.column.replace("_", " ")
        figures[f"subgroups_{column.column}"] = (
            f"Figures by {words}",
            f"Estimates with {level} intervals for each group. Vertical line: all photographs. Grey: group too small "
            "to be interpreted.",
            subgroups_figure(column, summary),
        )
    return {name: Drawn(title, caption, png(figure)) for name, (title, caption, figure) in figures.items()}


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
        (roc, "ROC curves", "1 - specificity", "sensitivity"),
        (precision, "precision-recall curves", "sensitivity (recall)", "PPV (precision)"),
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
        _unit(axes, "predicted probability", "observed proportion" if not at else "")
    return figure


def net_benefit_figure(lines: Mapping[str, Line]) -> Figure:
    """Net benefit against the threshold: the score, the decision as it is, referring all and none."""
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    axes = figure.subplots()
    looks = {
        "model": ("refer at or above the threshold", ACCENT),
        "decision": ("the decision as made (fixed threshold)", colour(1)),
    }
    for name, (words, shade) in looks.items():
        if name in lines:
            _banded(axes, lines[name], shade, words)
    axes.plot(lines["refer_all"].at, lines["refer_all"].values, color=SOFT, lw=1.3, ls="--", label="refer everybody")
    axes.axhline(0, color=INK, lw=1.3, ls=":", label="refer nobody")
    best = max(value for name in ("model", "refer_all") for value in lines[name].values)
    plain(axes, "net benefit")
    axes.set_ylim(-0.1 * max(best, 0.1), 1.1 * max(best, 0.1))
    axes.set_xlim(0, 1)
    axes.set_xlabel("threshold probability", color=SOFT)
    legend(figure, axes)
    return figure


def abstention_figure(points: Sequence[Abstention]) -> Figure:
    """Left, the remaining photographs' grades; right, what is found for which workload."""
    figure = Figure(figsize=(10.5, 4.3), layout="constrained")
    rest, all_ = figure.subplots(1, 2)
    shares = [point.share for point in points]
    for at, (name, words) in enumerate({"quadratic_kappa": "quadratic kappa", "accuracy": "accuracy"}.items()):
        rest.plot(shares, [getattr(point, name) for point in points], "o-", ms=4, color=colour(at), label=words)
    plain(rest, "agreement on the remaining photographs")
    rest.set_xlabel("share referred as uncertain", color=SOFT)
    rest.legend(frameon=False, fontsize=9)
    all_.plot(
        [point.referred for point in points], [point.sensitivity_of_all for point in points], "o-", ms=4, color=ACCENT
    )
    for point, place, side in ((points[0], (9, -4), "left"), (points[-1], (-9, 2), "right")):
        words = f"{point.share:.0%} uncertain"
        at_point = (point.referred, point.sensitivity_of_all)
        all_.annotate(words, at_point, place, textcoords="offset points", ha=side, fontsize=8, color=SOFT)
    plain(all_, "sensitivity for referable disease, all photographs")
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
    # A statistic that no group has, for want of a score or a decision, gets no panel.
    defined = {
        name: words
        for name, words in of.statistics.items()
        if not all(math.isnan(group.intervals[name].estimate) for group in of.groups)
    }
    down = max(1, math.ceil(len(defined) / panels))
    figure = Figure(figsize=(11.5, down * (1.15 + 0.27 * len(of.groups))), layout="constrained")
    grid = figure.subplots(down, panels, squeeze=False, sharey=True)
    for axes, (name, words) in zip(grid.flat, defined.items(), strict=False):
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
    for axes in list(grid.flat)[len(defined) :]:
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
