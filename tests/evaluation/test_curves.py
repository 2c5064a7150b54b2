"""The lines that the figures draw."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.evaluation.test_summary import clinic_rows

from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.curves import GRID, THRESHOLDS, compute_curves, net_benefits
from fundoscope.evaluation.summary import summarise


@pytest.fixture(scope="module")
def rows():
    return clinic_rows(np.random.default_rng(5), 120)


@pytest.fixture(scope="module")
def lines(rows):
    return compute_curves(cases_of(rows), np.ones(120, dtype=bool), resamples=100)


def test_the_roc_curve_is_scikit_learns_read_at_the_grid(rows, lines):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    false_alarms, found, _ = metrics.roc_curve(rows["grade"] >= 2, rows["p_referable"], drop_intermediate=False)

    expected = [found[false_alarms <= place + 1e-9].max() for place in GRID]

    assert lines.roc["referable"].values == pytest.approx(expected)


def test_the_precision_is_that_of_the_highest_threshold_with_the_sensitivity(rows, lines):
    positive, score = (rows["grade"] >= 2).to_numpy(bool), rows["p_referable"].to_numpy(float)

    for place, precision in zip(
        lines.precision_recall["referable"].at, lines.precision_recall["referable"].values, strict=True
    ):
        enough = [cut for cut in np.unique(score) if positive[score >= cut].sum() >= place * positive.sum() - 1e-9]
        assert precision == pytest.approx(positive[score >= max(enough)].mean())


def test_the_sensitivity_at_a_tenth_of_false_alarms_is_that_of_the_summary_with_its_interval(rows, lines):
    summary = summarise(cases_of(rows), resamples=100, method="percentile").intervals[
        "referable_sensitivity_at_specificity_90"
    ]

    line, place = lines.roc["referable"], GRID.index(0.1)
    assert line.values[place] == pytest.approx(summary.estimate)
    assert (line.low[place], line.high[place]) == pytest.approx((summary.low, summary.high))


def test_net_benefit_is_the_papers_formula_person_by_person(rows):
    positive, score = (rows["grade"] >= 2).to_numpy(bool), rows["p_referable"].to_numpy(float)

    found = net_benefits(positive, score[:, None] >= np.array(THRESHOLDS))(np.ones((1, 120)))[0]

    for threshold, benefit in zip(THRESHOLDS, found, strict=True):
        hits = sum(ill and given >= threshold for ill, given in zip(positive, score, strict=True))
        alarms = sum(not ill and given >= threshold for ill, given in zip(positive, score, strict=True))
        assert benefit == pytest.approx(hits / 120 - alarms / 120 * threshold / (1 - threshold))


def test_referring_all_is_worth_nothing_where_the_threshold_is_the_prevalence(rows, lines):
    all_, none = lines.net_benefit["refer_all"], lines.net_benefit["refer_none"]

    prevalence = lines.prevalence["referable"]
    assert np.interp(prevalence, all_.at, all_.values) == pytest.approx(0, abs=1e-3)
    assert set(none.values) == {0.0}


def test_the_decision_lies_on_the_curve_where_it_is_the_threshold(lines):
    """These decisions refer from 0.5 on."""
    place = THRESHOLDS.index(0.5)

    assert lines.net_benefit["decision"].values[place] == pytest.approx(lines.net_benefit["model"].values[place])


def test_the_operating_point_is_the_decisions(rows, lines):
    summary = summarise(cases_of(rows), resamples=100).intervals

    assert lines.operating["sensitivity"] == pytest.approx(summary["decision_sensitivity"].estimate)
    assert lines.operating["specificity"] == pytest.approx(summary["decision_specificity"].estimate)


def test_reliability_bins_hold_equally_many_and_a_bin_without_a_hit_has_an_interval(rows, lines):
    line = lines.reliability["referable"]

    assert len(line.at) == 10
    assert np.mean(line.at) == pytest.approx(rows["p_referable"].mean())
    assert np.mean(line.values) == pytest.approx((rows["grade"] >= 2).mean())
    assert all(
        low <= value <= high and low < high for low, value, high in zip(line.low, line.values, line.high, strict=True)
    )
    assert min(line.values) == 0


def test_without_scores_there_are_no_curves_but_a_decision(rows):
    found = compute_curves(
        cases_of(rows[["image", "grade", "predicted_grade"]]), np.ones(120, dtype=bool), resamples=100
    )

    assert (found.roc, found.net_benefit) == ({}, {})
    assert found.operating["sensitivity"] > 0.5


def test_where_nobody_is_ill_there_is_no_curve(rows):
    healthy = rows[rows["grade"] == 0].reset_index(drop=True)

    found = compute_curves(cases_of(healthy), np.ones(len(healthy), dtype=bool), resamples=100)

    assert (found.roc, found.prevalence) == ({}, {})
    assert found.to_dict()["operating"]["sensitivity"] is None


def test_the_answer_is_plain_json_with_these_keys(lines):
    answer = json.loads(json.dumps(lines.to_dict(), allow_nan=False))

    assert set(answer) == {"roc", "precision_recall", "reliability", "net_benefit", "operating", "prevalence"}
    assert set(answer["roc"]) == {"any", "referable", "sight_threatening"}
    assert set(answer["roc"]["any"]) == {"at", "values", "low", "high"}
