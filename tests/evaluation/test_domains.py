from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.domains import AVERAGE, METRICS, domain_table
from fundoscope.evaluation.summary import summarise


def answers(rng: np.random.Generator, source: str, photographs: int = 60, grades: int = 5) -> pd.DataFrame:
    """Joined rows of one source: two photographs of each patient, probabilities that lean to the right grade."""
    grade = rng.permutation(np.arange(photographs) % grades)
    given = rng.dirichlet(np.ones(5), photographs) + 0.5 * np.eye(5)[grade]
    given /= given.sum(axis=1, keepdims=True)
    frame = pd.DataFrame(
        {
            "image": [f"{source}{number}.png" for number in range(photographs)],
            "source": source,
            "patient": [f"p{number // 2}" for number in range(photographs)],
            "grade": pd.array(grade, dtype="Int64"),
            "predicted_grade": pd.array(given.argmax(axis=1), dtype="Int64"),
        }
    )
    return frame.assign(**{f"p{k}": given[:, k] for k in range(5)})


def test_each_sources_figures_are_scikit_learns_as_gdrbench_computes_them(rng):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    frame = answers(rng, "B")

    row = domain_table({("all others", "B"): frame}, protocol="leave_one_out", resamples=20).rows[0]

    grades, said = frame["grade"].to_numpy(int), frame["predicted_grade"].to_numpy(int)
    given = frame[[f"p{k}" for k in range(5)]].to_numpy()
    expected = {
        "auroc_one_vs_one": metrics.roc_auc_score(grades, given, average="macro", multi_class="ovo"),
        "accuracy": metrics.accuracy_score(grades, said),
        "macro_f1": metrics.f1_score(grades, said, average="macro"),
        "quadratic_kappa": metrics.cohen_kappa_score(grades, said, weights="quadratic"),
    }
    assert {name: row.intervals[name].estimate for name in METRICS} == pytest.approx(expected)


def test_a_sources_intervals_are_those_that_evaluate_prints(rng):
    frame = answers(rng, "B")

    row = domain_table({("all others", "B"): frame}, protocol="leave_one_out", resamples=200, seed=3).rows[0]
    whole = summarise(cases_of(frame), resamples=200, seed=3)

    assert row.intervals == {name: whole.intervals[name] for name in METRICS}
    assert (row.photographs, row.patients) == (60, 30)


def test_the_average_counts_every_source_alike_however_large_it_is(rng):
    cells = {("all others", "A"): answers(rng, "A", 200), ("all others", "B"): answers(rng, "B", 40)}

    *each, average = domain_table(cells, protocol="leave_one_out", resamples=50).rows

    assert [row.tested for row in each] == ["A", "B"]
    assert average.tested == AVERAGE
    for name in METRICS:
        mean = sum(row.intervals[name].estimate for row in each) / 2
        assert average.intervals[name].estimate == pytest.approx(mean)
        assert average.intervals[name].low < mean < average.intervals[name].high
    assert (average.photographs, average.patients) == (240, 120)


def test_a_source_without_a_grade_is_measured_on_the_pairs_it_has_and_the_table_says_so(rng):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    frame = answers(rng, "B", grades=4)
    table = domain_table({("all others", "B"): frame}, protocol="leave_one_out", resamples=20)

    grades, given = frame["grade"].to_numpy(int), frame[[f"p{k}" for k in range(5)]].to_numpy()
    pairs = []
    for first in range(4):
        for other in range(4):
            if first != other:
                among = np.isin(grades, (first, other))
                pairs.append(metrics.roc_auc_score(grades[among] == first, given[among, first]))
    assert table.rows[0].intervals["auroc_one_vs_one"].estimate == pytest.approx(np.mean(pairs))
    assert table.to_frame()["grades_missing"].tolist() == ["4", "4"]
    assert "| 4 |" in table.to_markdown()


def test_single_source_has_the_whole_matrix_and_a_row_for_each_source_trained_on(rng):
    names = ("A", "B", "C")
    cells = {(one, other): answers(rng, other) for one in names for other in names if one != other}
    table = domain_table(cells, protocol="single_source", resamples=20)

    frame = table.to_frame()
    assert len(frame) == 6 + 3 + 1
    of_a = frame[(frame["trained_on"] == "A")]
    assert of_a["tested_on"].tolist() == ["B", "C", AVERAGE]
    assert of_a["accuracy"].iloc[2] == pytest.approx(of_a["accuracy"].iloc[:2].mean())
    assert frame["accuracy"].iloc[-1] == pytest.approx(frame["accuracy"][frame["tested_on"] != AVERAGE].mean())
    rows = [line.split(" | ")[0] for line in table.to_markdown().splitlines() if line.startswith("| ")]
    assert rows == ["| trained on", "| ---", "| A", "| B", "| C", f"| {AVERAGE}"]


def test_a_figure_that_cannot_be_had_is_blank_in_json_and_named_so_in_the_table(rng):
    """One grade only: no pair to tell apart."""
    table = domain_table({("all others", "B"): answers(rng, "B", grades=1)}, protocol="leave_one_out", resamples=20)

    assert math.isnan(table.rows[0].intervals["auroc_one_vs_one"].estimate)
    assert json.loads(json.dumps(table.to_dict(), allow_nan=False))["rows"][0]["auroc_one_vs_one"] is None
    assert "n/a" in table.to_markdown()
