"""AUROC and hit rates, against scikit-learn and the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.evaluation.statistics.detection import (
    auroc,
    aurocs,
    average_precisions,
    curves,
    hit_rates,
    of_pairs,
    one_vs_one,
    predictive_values,
    sensitivities_at,
    specificities_at,
)


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
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    positive, scores = rng.uniform(size=500) < 0.3, rng.uniform(size=500).round(2)

    assert auroc(positive, scores) == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-10)


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


@pytest.fixture
def scored(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, and how often each photograph counts in three draws."""
    positive = rng.uniform(size=150) < 0.3
    scores = (rng.uniform(size=150) + positive * 0.4).round(2)
    return positive, scores, np.vstack([np.ones(150), rng.integers(0, 4, (2, 150))])


def test_average_precision_equals_scikit_learn_on_every_draw(scored):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    positive, scores, weights = scored

    ours = average_precisions(curves(weights, positive, scores))

    theirs = [metrics.average_precision_score(positive, scores, sample_weight=each) for each in weights]
    assert ours.tolist() == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("wanted", [0.8, 0.9, 0.95])
def test_the_best_rate_at_a_fixed_other_one_is_that_of_scikit_learns_curve(scored, wanted):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    positive, scores, weights = scored
    of = curves(weights, positive, scores)

    for draw, each in enumerate(weights):
        false, true, _ = metrics.roc_curve(positive, scores, sample_weight=each, drop_intermediate=False)
        assert sensitivities_at(of, wanted)[draw] == pytest.approx(true[1 - false >= wanted - 1e-9].max(), abs=1e-10)
        assert specificities_at(of, wanted)[draw] == pytest.approx((1 - false)[true >= wanted - 1e-9].max(), abs=1e-10)


def test_a_rate_that_is_just_reached_counts_as_reached():
    """One false alarm among ten is a specificity of 0.9, whatever 1 - 0.9 is in binary."""
    positive, scores = np.arange(11) == 9, np.arange(11) / 10

    of = curves(np.ones((1, 11)), positive, scores)

    assert sensitivities_at(of, 0.9)[0] == 1
    assert sensitivities_at(of, 0.95)[0] == 0


def test_one_side_alone_has_no_curve():
    of = curves(np.ones((1, 3)), np.zeros(3, bool), np.arange(3.0))

    assert np.isnan(average_precisions(of)[0])
    assert np.isnan(sensitivities_at(of, 0.9)[0])
    assert np.isnan(specificities_at(of, 0.9)[0])
    assert np.isnan(average_precisions(curves(np.ones((1, 0)), np.zeros(0, bool), np.zeros(0)))[0])


def test_aurocs_over_all_grades_equal_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    grades, given = rng.integers(0, 5, 90), rng.dirichlet(np.ones(5), 90).round(2)
    given[:, 0] += 1 - given.sum(axis=1)

    ours = of_pairs(grades, given)(np.ones((1, 90)))
    for theirs, name in (("ovr", "auroc_one_vs_rest"), ("ovo", "auroc_one_vs_one")):
        assert ours[name][0] == pytest.approx(metrics.roc_auc_score(grades, given, multi_class=theirs), abs=1e-10)
    for grade, each in enumerate(metrics.roc_auc_score(grades, given, multi_class="ovr", average=None)):
        assert ours[f"grade{grade}_auroc"][0] == pytest.approx(each, abs=1e-10)


def test_a_grade_that_does_not_occur_has_no_auroc_and_the_others_do(rng):
    grades, given = rng.integers(0, 4, 60), rng.dirichlet(np.ones(5), 60)

    found = of_pairs(grades, given)(np.ones((1, 60)))

    assert [np.isnan(found[f"grade{grade}_auroc"][0]) for grade in range(5)] == [False] * 4 + [True]
    assert found["grade2_auroc"][0] == pytest.approx(slow_auroc(grades == 2, given[:, 2]))


def test_a_grade_that_was_not_drawn_leaves_the_pairs_open(rng):
    grades, given = np.arange(10) % 5, rng.dirichlet(np.ones(5), 10)
    weights = np.vstack([np.ones(10), grades != 4]).astype(float)

    assert np.isnan(one_vs_one(weights, grades, given)).tolist() == [False, True]
    assert np.isnan(one_vs_one(weights, np.zeros(10, int), given)).all()


def test_at_the_datas_own_prevalence_predictive_values_are_those_counted():
    """90 of 100 sick found, 20 of 400 well called sick."""
    ppv, npv = predictive_values(np.array([0.9]), np.array([0.95]), 0.2)

    assert (ppv[0], npv[0]) == pytest.approx((90 / 110, 380 / 390))
    with pytest.raises(ValueError, match=r"prevalence must lie between 0 and 1, got 1\.0"):
        predictive_values(np.array([0.9]), np.array([0.9]), 1.0)
