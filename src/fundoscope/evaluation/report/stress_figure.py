"""The dose-response figure of a stress test; needs matplotlib, from the research extra."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundoscope.evaluation.report.drawing import ACCENT, ACROSS, FAINT, LINE, SOFT, plain, png
from fundoscope.evaluation.stress.stress_set import DOSES
from fundoscope.evaluation.stress.summary import DoseFigures, StressSummary


def dose_response(summary: StressSummary) -> bytes:
    """Draw for each disturbance AUROC with its interval, and the share refused as bars, against the dose; a PNG."""
    names = list(dict.fromkeys(one.disturbance for one in summary.doses))
    down = math.ceil(len(names) / ACROSS)
    figure = Figure(figsize=(11.5, 2.3 * down + 0.4), layout="constrained")
    panels = figure.subplots(down, ACROSS, squeeze=False, sharex=True, sharey=True)
    for axes, name in zip(panels.flat, names, strict=False):
        _panel(axes, summary, [one for one in summary.doses if one.disturbance == name], name.replace("_", " "))
    for axes in list(panels.flat)[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel("dose; 0: the photograph as it is", color=SOFT, fontsize=10)
    figure.supylabel("AUROC (line), share refused (bars)", color=SOFT, fontsize=10)
    return png(figure)


def _panel(axes: Axes, summary: StressSummary, doses: Sequence[DoseFigures], title: str) -> None:
    plain(axes, title)
    axes.bar([one.dose for one in doses], [one.refused.estimate for one in doses], color=LINE, width=0.7)
    axes.axhline(summary.means["auroc"]["clean"].estimate, color=FAINT, lw=1, ls="--")
    points = [(0, summary.means["auroc"]["clean"]), *((one.dose, one.auroc) for one in doses)]
    shown = [(dose, interval) for dose, interval in points if not math.isnan(interval.estimate)]
    axes.plot([dose for dose, _ in shown], [interval.estimate for _, interval in shown], "o-", color=ACCENT, ms=4)
    for dose, interval in shown:
        if not math.isnan(interval.low):
            axes.plot((dose, dose), (interval.low, interval.high), color=ACCENT, lw=1.2)
    axes.set_ylim(0, 1.02)
    axes.set_xticks(range(DOSES + 1))
