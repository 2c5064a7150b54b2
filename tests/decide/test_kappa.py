"""Kappa, against the definition in loops and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.decide.kappa import confusion, kappa, kappa_of


def slow_kappa(matrix: np.ndarray, power: int) -> float:
    """The definition, one cell at a time."""
    total, observed, expected = matrix.sum(), 0.0, 0.0
    for i in range(5):
        for j in range(5):
            weight = abs(i - j) ** power if power else float(i != j)
            observed += weight * matrix[i, j] / total
            expected += weight * matrix[i].sum() * matrix[:, j].sum() / total**2
    return 1 - observed / expected


@pytest.mark.parametrize(("weights", "power"), [("quadratic", 2), ("linear", 1), ("unweighted", 0)])
def test_equals_the_definition_and_scikit_learn(weights, power, rng):
    # The program needs no scikit-learn: it is the independent reference here, and the clinic's install has none.
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    for _ in range(10):
        grades, answered = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
        matrix = np.zeros((5, 5))
        np.add.at(matrix, (grades, answered), 1)

        ours = float(kappa_of(matrix, weights=weights))

        assert ours == pytest.approx(slow_kappa(matrix, power))
        reference = metrics.cohen_kappa_score(
            grades, answered, weights=None if weights == "unweighted" else weights, labels=range(5)
        )
        assert ours == pytest.approx(reference)


def test_reads_many_matrices_as_one_by_one(rng):
    matrices = rng.integers(0, 9, (7, 5, 5))

    assert kappa_of(matrices).tolist() == [float(kappa_of(each)) for each in matrices]


def test_is_undefined_without_photographs_and_where_both_sides_say_one_grade():
    same = np.zeros((5, 5))
    same[2, 2] = 9

    assert np.isnan(kappa_of(np.stack([np.zeros((5, 5)), same]))).all()


def test_refuses_weights_it_does_not_know():
    with pytest.raises(ValueError, match=r"weights must be one of quadratic, linear, unweighted, got 'cubic'"):
        kappa_of(np.ones((5, 5)), weights="cubic")


@pytest.mark.parametrize("weights", ["quadratic", "linear", "unweighted"])
def test_kappa_of_two_lists_is_that_of_their_confusion_matrix_whatever_the_number_of_classes(weights, rng):
    for classes in (2, 5, 7):
        reference, answered = rng.integers(0, classes, 80), rng.integers(0, classes, 80)
        matrix = np.zeros((classes, classes))
        for one, other in zip(reference, answered, strict=True):
            matrix[one, other] += 1

        assert confusion(reference, answered, classes=classes).tolist() == matrix.tolist()
        assert kappa(reference, answered, weights=weights, classes=classes) == float(kappa_of(matrix, weights=weights))


def test_kappa_of_lists_that_hold_one_and_the_same_class_is_undefined():
    assert np.isnan(kappa(np.full(4, 3), np.full(4, 3)))
