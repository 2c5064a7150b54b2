"""The cheapest answer is what a slow sum finds, and quadratic costs answer the rounded mean."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.decide.calibrate import fit_cuts, grade_from_cuts
from fundoscope.decide.costs import QUADRATIC, Costs, costs_of_distance, expected_kappa
from fundoscope.decide.heads import expected_grade
from fundoscope.decide.kappa import kappa_of

SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_no_other_grade_is_expected_to_cost_less(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(0, 10, (5, 5)) * (1 - np.eye(5))
    shares = rng.dirichlet(np.ones(5), 20)

    answered = Costs(tuple(map(tuple, matrix.tolist()))).grade(shares)

    for row, answer in zip(shares, answered, strict=True):
        expected = [sum(row[true] * matrix[true, said] for true in range(5)) for said in range(5)]
        assert expected[answer] == pytest.approx(min(expected))


def test_by_quadratic_costs_the_answer_is_the_expected_grade_rounded(rng):
    shares = rng.dirichlet(np.ones(5), 500)

    assert (QUADRATIC.grade(shares) == np.round(expected_grade(shares))).all()


def test_by_costs_of_nearly_no_distance_the_answer_is_the_likeliest_grade(rng):
    shares = rng.dirichlet(np.ones(5), 500)

    assert (costs_of_distance(1e-9).grade(shares) == shares.argmax(axis=1)).all()


def test_of_equally_cheap_grades_the_worst_is_answered():
    assert QUADRATIC.grade(np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0.5, 0.5]])).tolist() == [1, 4]


def test_a_dearer_miss_never_answers_a_milder_grade(rng):
    shares = rng.dirichlet(np.ones(5), 200)
    dear = tuple(
        tuple(cost * (10 if said < true else 1) for said, cost in enumerate(row))
        for true, row in enumerate(QUADRATIC.of)
    )

    assert (Costs(dear).grade(shares) >= QUADRATIC.grade(shares)).all()


def test_where_probabilities_come_true_the_expected_kappa_does(rng):
    shares = rng.dirichlet(np.full(5, 0.4), 20_000)
    grades = (shares.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1)
    answered = grade_from_cuts(expected_grade(shares), fit_cuts(expected_grade(shares), grades))
    matrix = np.zeros((5, 5))
    np.add.at(matrix, (grades, answered), 1)

    assert expected_kappa(shares, answered) == pytest.approx(float(kappa_of(matrix)), abs=0.01)


def test_costs_come_back_from_json():
    assert Costs.from_dict(json.loads(json.dumps(QUADRATIC.to_dict()))) == QUADRATIC


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0]], "costs must be 5 rows of 5, got 1 rows of 1"),
        ([[1, 0, 1, 1, 1]] * 5, "the right answer must cost least, got .* for grade 0"),
        ([[-1, 0, 0, 0, 0]] * 5, "must be finite and at least 0"),
        ("free", "must be lists of numbers, got 'free'"),
    ],
)
def test_costs_that_make_no_sense_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        Costs.from_dict({"costs": rows})


def test_a_power_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"power must be above 0, got 0\.0"):
        costs_of_distance(0.0)
