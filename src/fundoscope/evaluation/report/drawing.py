"""What all figures of an evaluation share: colours, plain axes, and the way to a PNG; needs matplotlib."""

from __future__ import annotations

import io
import math
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fundoscope.evaluation.statistics.interval import Interval

DPI: Final = 130

ACROSS: Final = 4
"""Panels, or names of a legend, beside each other at most."""

LONG: Final = 28
"""Longest name written whole; of a longer one the end, which tells runs apart."""

COLOURS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#7f5aa2", "#5b5b5b", "#8c510a",
)  # fmt: skip
"""Colours that the colour-blind tell apart: Okabe and Ito's (2008), then three of our own."""

INK, SOFT, LINE, ACCENT, FAINT = "#17212b", "#526070", "#d9dfe6", "#1f5f8b", "#9aa5b1"


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def colour(at: int) -> str:
    """Return one of ten colours, after the last the first again."""
    return COLOURS[at % len(COLOURS)]


def short(name: str) -> str:
    """A name as a figure has room for."""
    return name if len(name) <= LONG else "..." + name[3 - LONG :]


def plain(axes: Axes, title: str) -> None:
    """Axes with a grid, a line below, and the title at the left."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.grid(visible=True, color=LINE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, length=0, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)


def whisker(axes: Axes, interval: Interval, at: int, shade: str, *, width: float = 1.6) -> None:
    """An estimate as a dot on line `at`, its interval through it; nothing where it is undefined."""
    if math.isnan(interval.estimate):
        return
    axes.plot(interval.estimate, at, "o", ms=5, color=shade)
    if not math.isnan(interval.low):
        axes.plot((interval.low, interval.high), (at, at), color=shade, lw=width)


def legend(figure: Figure, axes: Axes) -> None:
    """What is drawn in the axes, named below the figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(ACROSS, len(labels)), frameon=False, fontsize=9
    )
