"""Each sign is measured as a question of its own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.evaluation.signs import evaluate_signs
from fundoscope.tables.pair import check_signs


@pytest.fixture
def rows(rng) -> pd.DataFrame:
    """80 photographs of 40 patients; microaneurysms with a score, haemorrhages with a plain answer."""
    ma, he = rng.integers(0, 2, 80), rng.integers(0, 2, 80)
    return pd.DataFrame(
        {
            "image": [f"{k}.jpg" for k in range(80)],
            "patient": [f"p{k // 2}" for k in range(80)],
            "sign_ma": pd.array(ma, dtype="Int64"),
            "sign_he": pd.array(he, dtype="Int64"),
            "sign_ex": pd.array([1] * 80, dtype="Int64"),
            "p_ma": (rng.uniform(size=80) * 0.7 + 0.3 * ma).round(2),
            "predicted_sign_he": np.where(rng.uniform(size=80) < 0.8, he, 1 - he).astype(float),
        }
    )


def test_figures_of_a_sign_equal_scikit_learn(rows):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")

    ours = evaluate_signs(rows, resamples=100)["ma"]

    target, score = rows["sign_ma"].to_numpy(int), rows["p_ma"].to_numpy()
    said = score >= 0.5
    assert {name: interval.estimate for name, interval in ours.intervals.items()} == pytest.approx(
        {
            "auroc": metrics.roc_auc_score(target, score),
            "average_precision": metrics.average_precision_score(target, score),
            "sensitivity": metrics.recall_score(target, said),
            "specificity": metrics.recall_score(1 - target, ~said),
            "accuracy": metrics.accuracy_score(target, said),
            "kappa": metrics.cohen_kappa_score(target, said),
        },
        abs=1e-10,
    )
    assert (ours.photographs, ours.positives) == (80, target.sum())
    assert all(interval.low <= interval.estimate <= interval.high for interval in ours.intervals.values())


def test_only_signs_that_both_sides_speak_of_are_measured(rows):
    assert set(evaluate_signs(rows, resamples=100)) == {"ma", "he"}


def test_a_blank_on_either_side_is_unknown_and_not_absent(rows):
    rows.loc[:9, "sign_ma"] = pd.NA
    rows.loc[70:, "p_ma"] = np.nan

    ours = evaluate_signs(rows, resamples=100)["ma"]

    assert ours == evaluate_signs(rows.iloc[10:70].reset_index(drop=True), resamples=100)["ma"]
    assert ours.photographs == 60


def test_a_sign_that_nobody_has_leaves_its_figures_open(rows):
    rows["sign_ma"] = pd.array([0] * 80, dtype="Int64")

    ours = evaluate_signs(rows, resamples=100)["ma"].intervals

    assert math.isnan(ours["auroc"].estimate)
    assert not math.isnan(ours["specificity"].low)


def test_predicted_signs_are_never_taken_for_targets():
    """A table that answers sign_ma beside a manifest without it has nothing to be measured against."""
    given = pd.DataFrame({"image": ["0.jpg"], "sign_ma": ["1"], "p_ma": ["0.9"], "sign_zz": ["x"]})

    checked = check_signs(given, ["image", "grade"], path=Path("theirs.csv"))

    assert evaluate_signs(checked, resamples=100) == {}


def test_a_score_that_is_no_share_is_named_by_its_row():
    given = pd.DataFrame({"image": ["0.jpg", "1.jpg"], "p_ma": ["0.9", "much"]})

    with pytest.raises(BadTable, match=r"theirs\.csv: row 3, column p_ma: expected .*, got 'much'"):
        check_signs(given, ["image", "sign_ma"], path=Path("theirs.csv"))
