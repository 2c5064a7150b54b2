"""AUROC and hit rates, against scikit-learn and the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.evaluation.detection import auroc, aurocs, hit_rates


def slow_auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Every pair of a positive and a negative photograph, ties half."""
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    return float(np.mean(pairs)) if pairs else float("nan")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_equals_the_definition_with_ties_and_weights(rows):
    positive = np.array([row[0] for row in rows])
    scores, weights = np.array([row[1] / 7 for row in rows]), np.array([row[2] for row in rows])

    ours = aurocs(np.stack([np.ones(len(rows)), weights.astype(float)]), positive, scores)

    assert ours[0] == pytest.approx(slow_auroc(positive, scores), nan_ok=True)
    assert ours[1] == pytest.approx(slow_auroc(positive.repeat(weights), scores.repeat(weights)), nan_ok=True)


def test_equals_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    positive, scores = rng.uniform(size=500) < 0.3, rng.uniform(size=500).round(2)

    assert auroc(positive, scores) == pytest.approx(metrics.roc_auc_score(positive, scores))


def test_turning_question_and_score_round_changes_nothing(rng):
    positive, scores = rng.uniform(size=80) < 0.5, rng.uniform(size=80).round(1)

    assert auroc(~positive, -scores) == pytest.approx(auroc(positive, scores))


def test_one_side_alone_has_no_auroc():
    assert np.isnan(auroc(np.ones(3, bool), np.arange(3.0)))
    assert np.isnan(auroc(np.zeros(0, bool), np.zeros(0)))


def test_hit_rates_of_a_known_case():
    positive = np.array([True, True, True, False, False])
    said = np.array([True, False, True, False, True])

    sensitivity, specificity = hit_rates(np.array([[1.0] * 5, [0, 3, 1, 0, 0]]), positive, said)

    assert sensitivity.tolist() == pytest.approx([2 / 3, 1 / 4])
    assert specificity[0] == pytest.approx(1 / 2)
    assert np.isnan(specificity[1])
