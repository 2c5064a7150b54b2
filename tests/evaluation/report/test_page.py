"""The page of an evaluation, its figures, and all that stands around a summary."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="needs matplotlib (the research extra)")

from tests.evaluation.test_summary import clinic_rows, refuse

from fundoscope.evaluation.extras import whole
from fundoscope.evaluation.report.checklist import checklists
from fundoscope.evaluation.report.drawing import ACCENT, FAINT
from fundoscope.evaluation.report.figures import draw, overall, reliability_figure, subgroups_figure
from fundoscope.evaluation.report.page import Told, write_evaluation
from fundoscope.evaluation.report.presets import preset_table
from fundoscope.evaluation.summary import evaluate

FIGURES = {"confusion", "roc", "reliability", "net_benefit", "abstention", "subgroups_site"}


@pytest.fixture(scope="module")
def rows():
    rows = clinic_rows(np.random.default_rng(3), 140)
    return refuse(rows, [3]).assign(site=["<north>" if k < 100 else "south" for k in range(140)])


@pytest.fixture(scope="module")
def summary(rows):
    return evaluate(rows, resamples=100)


@pytest.fixture(scope="module")
def around(rows, summary):
    return whole(summary, rows, rows)


def told(summary, around, figures, paper=None) -> Told:
    return Told(
        title="a.csv against b.csv",
        summary=summary,
        subgroups=around.subgroups,
        mistakes=around.mistakes,
        flow=around.flow,
        checklists=checklists({"software": "fundoscope 1"}),
        figures=figures,
        paper=paper,
        data=("139 photographs.",),
    )


def test_the_page_is_one_file_that_fetches_nothing_and_shows_the_photographs(tmp_path, rows, summary, around):
    worst = around.mistakes.worst[0].image
    Image.fromarray(np.full((300, 400, 3), 90, np.uint8)).save(tmp_path / "eye.png")
    figures = draw(summary, around.curves, around.subgroups, around.abstention)
    paper = preset_table("retfound", summary, rows)

    path = write_evaluation(
        told(summary, around, figures, paper), tmp_path / "out", photographs={worst: tmp_path / "eye.png"}
    )

    text = path.read_text()
    assert set(figures) == FIGURES
    assert set(re.findall(r'(?:src|href)="([^:"]*:)', text)) == {"data:"}
    assert text.count('src="data:image/png') == len(FIGURES)
    assert text.count('src="data:image/jpeg') == 1
    assert text.count("The file is missing or cannot be read.") == len(around.mistakes.worst) - 1
    for words in (
        "quadratic kappa 0.554, linear 0.438",
        f"{summary.intervals['quadratic_kappa'].low:.3f} to {summary.intervals['quadratic_kappa'].high:.3f}",
        "left out: ungradable: 1 photographs of 1 patients",
        "RETFound",
        "south: 20 patients, too few for anything",
        "1 of 42 items filled in",
        "not a medical device",
    ):
        assert words in text, words
    assert "&lt;north&gt;" in text
    assert "<north>" not in text


def test_a_page_without_scores_has_no_curves_and_says_why(tmp_path, rows):
    bare = rows[["image", "patient", "grade", "predicted_grade"]]
    summary = evaluate(bare, resamples=100)
    around = whole(summary, bare, bare)

    figures = draw(summary, around.curves, around.subgroups, around.abstention)
    text = write_evaluation(told(summary, around, figures), tmp_path, photographs={}).read_text()

    assert set(figures) == {"confusion"}
    assert "n/a - the predictions hold no probability of it" in text
    assert "sensitivity of the decision, gradable ones</span>" not in text


def test_the_same_draws_give_the_same_page(tmp_path, summary, around):
    pages = [
        write_evaluation(
            told(summary, around, draw(summary, around.curves, around.subgroups, around.abstention)),
            tmp_path / name,
            photographs={},
        ).read_bytes()
        for name in ("a", "b")
    ]

    assert pages[0] == pages[1]


def test_groups_too_small_are_grey_in_the_forest(summary, around):
    (site,) = around.subgroups

    kappa = subgroups_figure(site, summary).axes[0]

    assert [line.get_color() for line in kappa.lines if line.get_marker() == "o"] == [ACCENT, FAINT]
    assert [label.get_text() for label in kappa.get_yticklabels()] == ["<north> (50)", "south (20)"]


def test_the_line_through_the_forest_is_all_photographs(rows, summary):
    assert overall(summary, "sensitivity") == summary.intervals["decision_sensitivity"].estimate
    graded = evaluate(rows.drop(columns="decision"), resamples=100)
    assert overall(graded, "sensitivity") == graded.intervals["referable_sensitivity"].estimate


def test_reliability_has_a_panel_for_each_cut(around):
    panels = reliability_figure(around.curves.reliability).axes

    assert [each.get_title(loc="left") for each in panels] == ["any retinopathy", "referable", "sight-threatening"]


def test_all_around_a_summary_is_plain_json(around):
    answer = json.loads(json.dumps(around.to_dict(), allow_nan=False))

    assert set(answer) == {"subgroups", "subgroups_rule", "errors", "flow", "curves", "abstention"}
    assert set(answer["flow"][0]) == {"name", "words", "photographs", "patients", "leaves"}
    assert answer["abstention"][0]["certainty"] is None
    assert answer["errors"]["photographs"] == 139


def test_curves_are_drawn_only_where_they_are_asked_for(rows, summary):
    around = whole(summary, rows, rows, with_curves=False)

    assert (around.curves, around.abstention) == (None, ())
    assert "curves" not in around.to_dict()
