"""The figures of a comparison."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="needs matplotlib (the research extra)")

from fundoscope.evaluation.report.comparison_figures import (
    confusions_figure,
    curves_figure,
    differences_figure,
    grade_f1_figure,
    png,
)
from fundoscope.evaluation.runs import Curve
from fundoscope.evaluation.statistics.interval import Interval


def interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, 0.95, 0)


def texts(axes) -> list[str]:
    return [each.get_text() for each in axes.texts]


def test_the_thick_line_is_the_mean_of_the_folds_where_all_have_an_epoch():
    folds = (
        Curve("fold0", ((1, 4.0), (2, 2.0), (3, 1.0)), ((2, 0.5),)),
        Curve("fold1", ((1, 2.0), (2, 1.0)), ((2, 0.7),)),
        Curve("final", ((1, 9.0), (2, 9.0)), ()),
    )

    loss, kappa = curves_figure({"run": folds}).axes

    (thick,) = [line for line in loss.lines if line.get_linewidth() == 2]
    assert thick.get_xydata().tolist() == [[1, 3.0], [2, 1.5]]
    (thick,) = [line for line in kappa.lines if line.get_linewidth() == 2]
    assert thick.get_xydata() == pytest.approx(np.array([[2, 0.6]]))
    assert len(loss.lines) == 4


def test_every_run_has_a_look_of_its_own():
    runs = {f"run {n}": (Curve("final", ((1, 1.0), (2, 0.5)), ()),) for n in range(30)}

    loss = curves_figure(runs).axes[0]

    assert len({(line.get_color(), line.get_linestyle()) for line in loss.lines}) == 30


def test_runs_without_validation_get_no_empty_panel():
    figure = curves_figure({"run": (Curve("final", ((1, 1.0),), ()),)})

    assert [axes.get_title(loc="left") for axes in figure.axes] == ["training loss, mean of each epoch"]


def test_confusions_show_counts_and_shares_of_the_reference_grade():
    counts = np.diag([8, 0, 5, 5, 5])
    counts[0, 1] = 2

    figure = confusions_figure({"one": counts.tolist(), "two": counts.tolist()})

    shown = texts(figure.axes[0])
    assert shown[:3] == ["8\n80 %", "2\n20 %", "0"]
    assert shown[5:10] == ["0"] * 5
    *panels, bar = figure.axes
    assert [axes.get_title() for axes in panels] == ["one", "two"]
    assert (bar.get_ylabel(), bar.get_ylim()) == ("share of the reference grade", (0, 1))


def test_bars_are_as_high_as_f1_and_a_missing_interval_has_no_whisker():
    f1 = [interval(0.2 * grade, 0.2 * grade - 0.1, 0.2 * grade + 0.1) for grade in range(1, 5)]
    systems = {name: [*f1, interval(0.3, math.nan, math.nan)] for name in ("one", "two")}

    (axes,) = grade_f1_figure(systems).axes

    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.3] * 2)
    assert [len(each.get_segments()) for each in axes.collections] == [4, 4]


def test_a_difference_stands_out_when_its_interval_leaves_out_nought():
    others = {
        "apart": {"accuracy": interval(0.2, 0.1, 0.3), "mean absolute error": interval(-0.1, -0.2, 0.1)},
        "alike": {"accuracy": interval(0.1, -0.1, 0.3), "mean absolute error": interval(0.1, math.nan, math.nan)},
    }

    accuracy, error = [axes for axes in differences_figure("first", others).axes if axes.axison]

    colours = {line.get_ydata()[0]: line.get_color() for line in accuracy.lines if line.get_marker() == "o"}
    assert colours[0] != colours[1]
    assert accuracy.get_title(loc="left") == "accuracy\nright of 0: the first is better"
    assert error.get_title(loc="left") == "mean absolute error\nleft of 0: the first is better"
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["apart", "alike"]
    low, high = accuracy.get_xlim()
    assert low < -0.3
    assert high > 0.3


def test_one_figure_gives_the_same_bytes_and_is_a_picture():
    counts = np.eye(5, dtype=int).tolist()

    once, again = (png(confusions_figure({"one": counts})) for _ in range(2))

    assert once == again
    assert Image.open(io.BytesIO(once)).format == "PNG"
