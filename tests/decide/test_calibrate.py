"""Temperatures and cuts are found where they were hidden."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.decide.calibrate import (
    CUTTERS,
    TEMPERATURES,
    answered_grades,
    fit_cuts,
    fit_temperature,
    grade_from_cuts,
    rounded_cuts,
)
from fundoscope.decide.heads import HEADS, outputs_of, probabilities
from fundoscope.decide.kappa import kappa_of

HIDDEN = 2.5


def drawn_grades(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(5, p=row) for row in shares])


def kappa(grades: np.ndarray, answered: np.ndarray) -> float:
    matrix = np.zeros((5, 5))
    np.add.at(matrix, (grades, answered), 1)
    return float(kappa_of(matrix))


@pytest.mark.parametrize(("head", "hidden"), [("softmax", HIDDEN), ("coral", HIDDEN), ("regression", 0.7)])
def test_finds_the_temperature_that_the_grades_were_drawn_with(head, hidden, rng):
    raw = rng.normal(size=(4000, outputs_of(head))) * 4
    if head == "coral":
        raw = -np.sort(-raw, axis=1)
    grades = drawn_grades(probabilities(head, raw, temperature=hidden), rng)

    assert fit_temperature(head, raw, grades) == pytest.approx(hidden, rel=0.1)


@pytest.mark.parametrize("head", HEADS)
def test_no_other_temperature_is_likelier(head, rng):
    raw = rng.normal(size=(300, outputs_of(head))) * 2
    grades = rng.integers(0, 5, 300)

    def loss(temperature: float) -> float:
        shares = probabilities(head, raw, temperature=temperature)
        return -float(np.log(shares[np.arange(300), grades].clip(1e-12)).mean())

    best = loss(fit_temperature(head, raw, grades))

    assert best <= min(loss(temperature) for temperature in np.geomspace(*TEMPERATURES, 300)) + 1e-6


def test_calibration_never_reorders_patients_of_a_regression(rng):
    raw = rng.uniform(0, 4, (50, 1))
    before = probabilities("regression", raw)[:, 2:].sum(axis=1)
    after = probabilities("regression", raw, temperature=0.4)[:, 2:].sum(axis=1)

    assert (np.argsort(before, kind="stable") == np.argsort(after, kind="stable")).all()


def test_the_order_of_photographs_does_not_matter(rng):
    raw, grades, order = rng.normal(size=(80, 5)), rng.integers(0, 5, 80), rng.permutation(80)

    assert fit_temperature("softmax", raw[order], grades[order]) == pytest.approx(
        fit_temperature("softmax", raw, grades), rel=1e-4
    )
    assert fit_cuts(raw[order, 0], grades[order]) == fit_cuts(raw[:, 0], grades)


@pytest.mark.parametrize(
    ("raw", "grades", "message"),
    [
        (np.zeros((0, 5)), np.zeros(0, int), "held-out photographs are needed, got none"),
        (np.array([[0, 0, np.inf, 0, 0]]), np.array([0]), "must be finite, got 1 that are not"),
        (np.zeros((2, 5)), np.array([0, 5]), "grades must be 0 to 4, got 0 to 5"),
    ],
)
def test_refuses_what_nothing_can_be_fitted_on(raw, grades, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature("softmax", raw, grades)


def test_finds_the_cuts_that_the_grades_were_made_with(rng):
    hidden = (0.8, 1.9, 2.4, 3.1)
    expected = rng.uniform(0, 4, 3000)

    found = fit_cuts(expected, grade_from_cuts(expected, hidden))

    assert found == pytest.approx(hidden, abs=0.05)


def test_fitted_cuts_agree_better_than_the_natural_ones_on_squeezed_outputs(rng):
    grades = rng.integers(0, 5, 400)
    expected = 0.6 * grades + 0.8 + rng.normal(0, 0.25, 400)

    cuts = fit_cuts(expected, grades)

    natural = kappa(grades, grade_from_cuts(expected, (0.5, 1.5, 2.5, 3.5)))
    assert kappa(grades, grade_from_cuts(expected, cuts)) > natural + 0.05


def test_centred_cuts_give_up_hardly_any_agreement(rng):
    """Against all four cuts searched on a coarse grid together."""
    grades = rng.integers(0, 5, 150)
    expected = np.clip(0.8 * grades + 0.4 + rng.normal(0, 0.5, 150), 0, 4)
    grid = np.linspace(0.2, 3.8, 13)
    best = max(
        kappa(grades, grade_from_cuts(expected, (a, b, c, d)))
        for a in grid
        for b in grid[grid > a]
        for c in grid[grid > b]
        for d in grid[grid > c]
    )

    assert kappa(grades, grade_from_cuts(expected, fit_cuts(expected, grades))) > best - 0.01


@pytest.mark.parametrize("expected", [np.full(6, 2.0), np.zeros(6), np.array([0.0, 0, 0, 4, 4, 4])])
def test_cuts_rise_and_are_finite_whatever_the_outputs(expected):
    cuts = fit_cuts(expected, np.array([0, 1, 2, 3, 4, 4]))

    assert list(cuts) == sorted(cuts)
    assert np.isfinite(cuts).all()


def test_one_grade_alone_leaves_the_natural_cuts():
    assert fit_cuts(np.array([0.1, 2.0]), np.array([3, 3])) == (0.5, 1.5, 2.5, 3.5)


def test_a_value_on_a_cut_belongs_to_the_higher_grade():
    assert grade_from_cuts(np.array([0.49, 0.5, 3.6]), (0.5, 1.5, 2.5, 3.5)).tolist() == [0, 1, 4]
    with pytest.raises(ValueError, match=r"cuts must be 4 rising numbers"):
        grade_from_cuts(np.array([1.0]), (0.5, 2.5, 1.5, 3.5))


def test_rounding_gives_the_nearest_grade_whatever_it_is_shown(rng):
    expected = rng.uniform(0, 4, 200)

    cuts = rounded_cuts(expected, rng.integers(0, 5, 200))

    assert grade_from_cuts(expected, cuts).tolist() == np.floor(expected + 0.5).astype(int).tolist()
    assert CUTTERS["rounded"] is rounded_cuts
    with pytest.raises(ValueError, match=r"held-out photographs are needed, got none"):
        rounded_cuts(np.empty(0), np.empty(0, int))


@pytest.mark.parametrize(
    ("shares", "expected", "median"),
    [
        ((0.1, 0.6, 0.3, 0.0, 0.0), 1, 1),
        # Referable is likelier, so the grade is: 1.1 lies on a grade without probability, between 0 and 2.
        ((0.45, 0.0, 0.55, 0.0, 0.0), 2, 2),
        ((0.5, 0.0, 0.5, 0.0, 0.0), 2, 2),
        # It is not, so the grade is not either: 1.14 and the rounded 1, which nobody would believe.
        ((0.7, 0.02, 0.0, 0.0, 0.28), 0, 0),
        ((0.3, 0.2, 0.3, 0.1, 0.1), 2, 2),  # 1.5 is below the cut of 1.6, but referable is as likely as not
        # Among referable grades the median is 3, which has too little beside 2 and 4: of equally near ones the worse.
        ((0.0, 0.0, 0.45, 0.1, 0.45), 4, 4),
        ((0.0, 0.1, 0.5, 0.4, 0.0), 2, 2),
    ],
)
def test_the_answered_grade_is_credible_and_on_the_likelier_side_of_the_referable_cut(shares, expected, median):
    assert answered_grades(np.array([shares]), (0.5, 1.6, 2.5, 3.5)).tolist() == [expected]
    assert answered_grades(np.array([shares]), ()).tolist() == [median]


@given(st.lists(st.floats(0.001, 1), min_size=5, max_size=5))
def test_the_median_grade_is_where_half_of_the_probability_is_passed(shares):
    by_grade = np.array([shares]) / sum(shares)

    grade = int(answered_grades(by_grade, ())[0])

    medians = {grade for grade in range(5) if by_grade[0, grade:].sum() >= 0.5 - 1e-9}
    likeliest = by_grade[0, 2:].max() if grade >= 2 else by_grade[0, :2].max()
    assert by_grade[0, grade] >= 0.5 * likeliest
    assert (grade >= 2) == (by_grade[0, 2:].sum() >= 0.5) or by_grade[0, 2:].sum() == pytest.approx(0.5)
    if by_grade[0, max(medians)] >= 0.5 * likeliest:
        assert grade == max(medians) or by_grade[0, grade + 1 :].sum() == pytest.approx(0.5)
