"""The page of an evaluation, its figures, and all that stands around a summary."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="needs matplotlib (the research extra)")

from tests.evaluation.test_summary import clinic_rows, evaluation_of, refuse

from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.report.drawing import ACCENT, FAINT
from fundoscope.evaluation.report.figures import draw, overall, reliability_figure, subgroups_figure
from fundoscope.evaluation.report.page import write_evaluation, write_page_of
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.summary import summarise

FIGURES = {"confusion", "roc", "reliability", "net_benefit", "abstention", "subgroups_site"}


@pytest.fixture(scope="module")
def rows():
    rows = clinic_rows(np.random.default_rng(3), 140)
    return refuse(rows, [3]).assign(site=["<north>" if k < 100 else "south" for k in range(140)])


@pytest.fixture(scope="module")
def evaluation(rows):
    return evaluation_of(rows, preset="retfound")


def test_the_page_is_one_file_that_fetches_nothing_and_shows_the_photographs(tmp_path, evaluation):
    worst, summary = evaluation.mistakes.worst[0].image, evaluation.summary
    reference = replace(evaluation.pair.reference, path=tmp_path / "b.csv")
    Image.fromarray(np.full((300, 400, 3), 90, np.uint8)).save(tmp_path / worst, format="PNG")
    placed = replace(evaluation, pair=replace(evaluation.pair, reference=reference))
    figures = draw(placed)

    path = write_page_of(placed, tmp_path / "out", figures=figures)

    text = path.read_text()
    assert set(figures) == FIGURES
    assert set(re.findall(r'(?:src|href)="([^:"]*:)', text)) == {"data:"}
    assert text.count('src="data:image/png') == len(FIGURES)
    assert text.count('src="data:image/jpeg') == 1
    assert text.count("The file is missing or cannot be read.") == len(evaluation.mistakes.worst) - 1
    for words in (
        "quadratic kappa 0.554, linear 0.438",
        f"{summary.intervals['quadratic_kappa'].low:.3f} to {summary.intervals['quadratic_kappa'].high:.3f}",
        "left out: ungradable: 1 photographs of 1 patients",
        "RETFound",
        "south: 20 patients, too few for anything",
        "of 42 items filled in",
        "139 grades differ from the reference",
        "not a medical device",
    ):
        assert words in text, words
    assert "&lt;north&gt;" in text
    assert "<north>" not in text


def test_a_page_without_scores_has_no_curves_and_says_why(tmp_path, rows):
    evaluation = evaluation_of(rows[["image", "patient", "grade", "predicted_grade"]])

    figures = draw(evaluation)
    text = write_page_of(evaluation, tmp_path, figures=figures).read_text()

    assert set(figures) == {"confusion"}
    assert "n/a - the predictions have no probability of it" in text
    assert "sensitivity of the decision, referable</span>" not in text


def test_a_page_of_scores_alone_has_no_confusion_of_grades(rows):
    scores = rows[["image", "patient", "grade"]].assign(p_referable=rows[["p2", "p3", "p4"]].sum(axis=1))

    figures = draw(evaluation_of(scores))

    assert "roc" in figures
    assert "confusion" not in figures


def test_the_same_resamples_give_the_same_page_and_the_same_file_of_figures(tmp_path, evaluation):
    first, second = (
        [path.read_bytes() for path in write_evaluation(evaluation, tmp_path / name)] for name in ("a", "b")
    )

    assert first == second
    assert json.loads(first[0]) == evaluation.to_dict()


def test_a_statistic_that_no_group_has_gets_no_panel(evaluation):
    (site,) = evaluation.subgroups
    missing = Interval(math.nan, math.nan, math.nan, 0.95, 0)
    name = next(iter(site.statistics))
    groups = tuple(replace(group, intervals={**group.intervals, name: missing}) for group in site.groups)

    figure = subgroups_figure(replace(site, groups=groups), evaluation.summary)

    shown = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
    assert shown == list(site.statistics.values())[1:]


def test_every_figure_has_a_title_and_a_caption(tmp_path, evaluation):
    figures = draw(evaluation)
    text = write_page_of(evaluation, tmp_path, figures=figures).read_text()

    assert len({figure.title for figure in figures.values()}) == len(figures)
    for figure in figures.values():
        assert figure.title
        assert figure.caption.endswith(".")
        assert f'alt="{figure.title}"' in text


def test_groups_too_small_are_grey_in_the_forest(evaluation):
    (site,) = evaluation.subgroups

    kappa = subgroups_figure(site, evaluation.summary).axes[0]

    assert [line.get_color() for line in kappa.lines if line.get_marker() == "o"] == [ACCENT, FAINT]
    assert [label.get_text() for label in kappa.get_yticklabels()] == ["<north> (50)", "south (20)"]


def test_the_line_through_the_forest_is_all_photographs(rows, evaluation):
    summary = evaluation.summary
    assert overall(summary, "sensitivity") == summary.intervals["decision_sensitivity"].estimate
    graded = summarise(cases_of(rows.drop(columns="decision")), resamples=100)
    assert overall(graded, "sensitivity") == graded.intervals["referable_sensitivity"].estimate


def test_reliability_has_a_panel_for_each_cut(evaluation):
    panels = reliability_figure(evaluation.curves.reliability).axes

    assert [each.get_title(loc="left") for each in panels] == ["any retinopathy", "referable", "sight-threatening"]
