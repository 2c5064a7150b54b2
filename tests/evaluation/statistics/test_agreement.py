"""Figures from confusion matrices, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.decide.kappa import kappa
from fundoscope.evaluation.statistics.agreement import (
    accuracy,
    agreement_statistics,
    class_statistics,
    confusions,
    cut_statistics,
    grade_statistics,
    row_shares,
)


@pytest.fixture
def pairs(rng) -> tuple[np.ndarray, np.ndarray]:
    grades = rng.integers(0, 5, 120)
    return grades, np.clip(grades + rng.integers(-2, 3, 120), 0, 4)


def one(grades: np.ndarray, answered: np.ndarray) -> np.ndarray:
    return confusions(np.ones((1, len(grades))), grades, answered)


def test_overall_figures_equal_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")

    values = {name: float(each[0]) for name, each in agreement_statistics(one(*pairs)).items()}

    grades, answered = pairs
    assert values == pytest.approx(
        {
            "quadratic_kappa": metrics.cohen_kappa_score(grades, answered, weights="quadratic"),
            "linear_kappa": metrics.cohen_kappa_score(grades, answered, weights="linear"),
            "unweighted_kappa": metrics.cohen_kappa_score(grades, answered),
            "accuracy": metrics.accuracy_score(grades, answered),
            "mean_absolute_error": metrics.mean_absolute_error(grades, answered),
            "off_by_one": (abs(grades - answered) == 1).mean(),
            "within_one": (abs(grades - answered) <= 1).mean(),
        },
        abs=1e-10,
    )
    assert kappa(grades, answered) == pytest.approx(values["quadratic_kappa"])
    assert accuracy(grades, answered) == pytest.approx(values["accuracy"])


@pytest.mark.parametrize("grade", range(5))
def test_figures_of_each_grade_equal_scikit_learn(pairs, grade):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    grades, answered = pairs

    values = {name: float(each[0]) for name, each in grade_statistics(one(*pairs), grade).items()}

    is_it, said_it = grades == grade, answered == grade
    assert values == pytest.approx(
        {
            "sensitivity": metrics.recall_score(is_it, said_it),
            "specificity": metrics.recall_score(~is_it, ~said_it),
            "precision": metrics.precision_score(is_it, said_it),
            "f1": metrics.f1_score(is_it, said_it),
        },
        abs=1e-10,
    )


def test_the_healthy_grade_counts_like_every_other(pairs):
    """A reference code base averages over grades 1 to 4 only and calls it accuracy."""
    healthy = np.zeros(10, int)

    assert float(grade_statistics(one(healthy, healthy), 0)["sensitivity"][0]) == 1.0
    assert float(agreement_statistics(one(healthy, healthy))["accuracy"][0]) == 1.0


@pytest.mark.parametrize(("name", "cut"), [("any", 1), ("referable", 2), ("sight_threatening", 3)])
def test_a_cut_turns_grades_into_yes_and_no_as_scikit_learn_counts_them(pairs, name, cut):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    is_it, said = (each >= cut for each in pairs)

    values = {key: float(each[0]) for key, each in cut_statistics(one(*pairs)).items() if key.startswith(f"{name}_")}

    assert values == pytest.approx(
        {
            f"{name}_sensitivity": metrics.recall_score(is_it, said),
            f"{name}_specificity": metrics.recall_score(~is_it, ~said),
            f"{name}_f1": metrics.f1_score(is_it, said),
        },
        abs=1e-10,
    )


def test_the_photographs_of_each_grade_are_counted_as_scikit_learn_counts_support(pairs):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")

    *_, support = metrics.precision_recall_fscore_support(*pairs, labels=range(5))

    assert one(*pairs)[0].sum(axis=1).tolist() == support.tolist()
    assert (one(*pairs)[0] == metrics.confusion_matrix(*pairs, labels=range(5))).all()


def test_a_weight_of_two_is_the_photograph_twice(pairs):
    grades, answered = pairs
    weights = np.ones((1, len(grades)))
    weights[0, :7] = 2

    twice = one(np.r_[grades, grades[:7]], np.r_[answered, answered[:7]])

    assert (confusions(weights, grades, answered) == twice).all()


def test_without_photographs_nothing_is_defined():
    nothing = one(np.zeros(0, int), np.zeros(0, int))

    assert all(np.isnan(each[0]) for each in agreement_statistics(nothing).values())
    assert all(np.isnan(each[0]) for each in class_statistics(nothing).values())
    assert all(np.isnan(each[0]) for each in grade_statistics(nothing, 2).values())
    assert np.isnan(accuracy(np.zeros(0, int), np.zeros(0, int)))


@pytest.mark.parametrize("grades_used", [5, 3])
def test_averages_over_grades_equal_scikit_learn_also_where_grades_are_missing(pairs, grades_used):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    grades, answered = (each % grades_used for each in pairs)

    values = {name: float(each[0]) for name, each in class_statistics(one(grades, answered)).items()}

    assert values == pytest.approx(
        {
            "mean_squared_error": metrics.mean_squared_error(grades, answered),
            "balanced_accuracy": metrics.balanced_accuracy_score(grades, answered),
            "macro_f1": metrics.f1_score(grades, answered, average="macro"),
            "weighted_f1": metrics.f1_score(grades, answered, average="weighted"),
        },
        abs=1e-10,
    )


def test_a_grade_that_is_only_answered_lowers_macro_f1_as_in_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    grades, answered = np.array([0, 0, 1, 1]), np.array([0, 4, 1, 1])

    ours = class_statistics(one(grades, answered))["macro_f1"][0]

    assert ours == pytest.approx(metrics.f1_score(grades, answered, average="macro"), abs=1e-10)


def test_row_shares_equal_scikit_learn_and_are_open_for_a_grade_nobody_has(pairs):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")

    shares = row_shares(one(*pairs))[0]

    assert shares == pytest.approx(metrics.confusion_matrix(*pairs, normalize="true"))
    assert np.isnan(row_shares(one(np.zeros(3, int), np.zeros(3, int)))[0, 1:]).all()
