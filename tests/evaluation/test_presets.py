"""The tables of five papers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.evaluation.test_summary import clinic_rows

from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.presets import PRESETS, preset_table
from fundoscope.evaluation.summary import summarise

metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")


@pytest.fixture(scope="module")
def rows():
    return clinic_rows(np.random.default_rng(8), 120)


@pytest.fixture(scope="module")
def summary(rows):
    return summarise(cases_of(rows), resamples=100)


def values(name: str, summary, rows) -> dict[str, float]:
    return {words: each.estimate for words, each in preset_table(name, summary, cases_of(rows)).values.items()}


def test_every_table_is_the_papers_as_scikit_learn_computes_it(rows, summary):
    true, said = rows["grade"].to_numpy(int), rows["predicted_grade"].to_numpy(int)
    given = rows[[f"p{k}" for k in range(5)]].to_numpy(float)
    ill, called = true >= 2, said >= 2
    kappa, f1, auc = metrics.cohen_kappa_score, metrics.f1_score, metrics.roc_auc_score
    expected = {
        "gdrbench": (auc(true, given, multi_class="ovo"), np.mean(true == said), f1(true, said, average="macro")),
        "drstagenet": (
            kappa(true, said, weights="linear"),
            np.mean(true == said),
            metrics.mean_squared_error(true, said),
            metrics.mean_absolute_error(true, said),
            auc(ill, given[:, 2:].sum(axis=1)),
            f1(ill, called),
        ),
        "retinascan": (
            np.mean(true == said),
            kappa(true, said, weights="quadratic"),
            f1(true, said, average="macro"),
            f1(true, said, average="weighted"),
            metrics.mean_absolute_error(true, said),
            np.mean(abs(true - said) <= 1),
        ),
        "retfound": (
            auc(true, given, multi_class="ovr"),
            kappa(true, said),
            f1(true, said, average="macro"),
            np.mean(true == said),
        ),
    }

    for name, figures in expected.items():
        assert list(values(name, summary, rows).values()) == pytest.approx(list(figures), abs=1e-10), name


def test_the_studys_formulas_with_the_typo_put_right(rows, summary):
    ill, called = (rows["grade"] >= 2).to_numpy(bool), (rows["predicted_grade"] >= 2).to_numpy(bool)
    true_positive, false_negative = (ill & called).sum(), (ill & ~called).sum()
    true_negative, false_positive = (~ill & ~called).sum(), (~ill & called).sum()

    assert values("densenet-study", summary, rows) == pytest.approx(
        {
            "sensitivity = TP / (TP + FN)": true_positive / (true_positive + false_negative),
            "specificity = TN / (TN + FP)": true_negative / (true_negative + false_positive),
            "accuracy = (TP + TN) / (TP + TN + FP + FN)": (true_positive + true_negative) / 120,
        }
    )


@pytest.mark.parametrize("name", PRESETS)
def test_every_figure_of_every_table_has_an_interval(name, rows, summary):
    paper = preset_table(name, summary, cases_of(rows))

    for words, interval in paper.values.items():
        assert interval.low <= interval.estimate <= interval.high, words
        assert interval.low < interval.high, words
    answer = json.loads(json.dumps(paper.to_dict(), allow_nan=False))
    assert set(answer) == {"name", "title", "note", "rows"}
    assert list(answer["rows"]) == list(PRESETS[name].rows.values())


def test_a_paper_that_nobody_knows_is_refused(rows, summary):
    with pytest.raises(ValueError, match=r"name must be one of gdrbench, .*, got 'thesis'"):
        preset_table("thesis", summary, cases_of(rows))
