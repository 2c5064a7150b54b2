"""Statistics read off weighted sums, over photographs and over patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.evaluation.statistics.interval import INTERVALS, OfPatients, patient_intervals
from fundoscope.evaluation.statistics.sums import Sums, Together, by_cell, one_by_one, ratio


def mean_and_counts(values: np.ndarray, cells: np.ndarray) -> Together:
    """The mean of values, and how often each of three cells was drawn; none for cell -1."""
    everyone = one_by_one(np.ones(len(values)))
    mean = Sums((one_by_one(values), everyone), lambda sums, drawn: {"mean": sums[0] / drawn[0]})
    counts = Sums((by_cell(cells, 3),), lambda rows: {f"cell {at}": row for at, row in enumerate(rows)})
    return Together((mean, counts), lambda found: {**found, "twice": 2 * found["mean"]})


def plainly(values: np.ndarray, cells: np.ndarray):
    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        mean = weights @ values / weights.sum(axis=1)
        counts = {f"cell {at}": weights @ (cells == at).astype(float) for at in range(3)}
        return {"mean": mean, **counts, "twice": 2 * mean}

    return statistics


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_sum_over_patients_as_often_as_drawn_is_the_sum_over_their_photographs(seed):
    rng = np.random.default_rng(seed)
    owner = np.unique(rng.integers(0, 7, 20), return_inverse=True)[1]
    ours = mean_and_counts(rng.uniform(size=20), rng.integers(-1, 3, 20))
    drawn = rng.integers(0, 3, (4, int(owner.max()) + 1)).astype(float) + 0.5

    of_patients, of_photographs = ours.of_patients(owner)(drawn), ours(drawn[:, owner])

    assert of_patients.keys() == of_photographs.keys()
    for name, values in of_patients.items():
        assert values.tolist() == pytest.approx(of_photographs[name].tolist(), abs=1e-12), name


@pytest.mark.parametrize("method", INTERVALS)
@pytest.mark.parametrize("block", [1, 130, 10**6])
def test_intervals_of_patients_are_those_of_photographs_however_many_draws_come_at_once(
    rng, monkeypatch, method, block
):
    monkeypatch.setattr("fundoscope.evaluation.statistics.interval.PATIENT_BLOCK", block)
    values, cells = rng.uniform(size=60), rng.integers(-1, 3, 60)
    patients = np.array([f"p{each}" for each in rng.integers(0, 25, 60)])

    quick, slow = (
        patient_intervals(statistics, patients, rng=np.random.default_rng(4), resamples=200, method=method)
        for statistics in (mean_and_counts(values, cells), plainly(values, cells))
    )

    assert quick.keys() == slow.keys()
    for name, ours in quick.items():
        assert (ours.estimate, ours.low, ours.high) == pytest.approx(
            (slow[name].estimate, slow[name].low, slow[name].high), abs=1e-12
        )


def test_a_photograph_of_no_cell_is_in_no_sum():
    assert by_cell(np.array([0, -1, 1, 1]), 3, np.array([2.0, 9.0, 3.0, 4.0])).toarray().sum(axis=1).tolist() == [
        2,
        7,
        0,
    ]


def test_only_what_is_made_of_sums_is_taken_over_patients(rng):
    assert isinstance(mean_and_counts(np.ones(3), np.zeros(3, int)), OfPatients)
    assert not isinstance(plainly(np.ones(3), np.zeros(3, int)), OfPatients)


def test_among_more_photographs_only_those_inside_are_measured(rng):
    values, cells, inside = rng.uniform(size=9), rng.integers(-1, 3, 9), rng.permutation(20) < 9
    weights = rng.integers(0, 3, (4, 20)).astype(float)
    mean = Sums((one_by_one(values), one_by_one(np.ones(9))), lambda sums, drawn: {"mean": sums[0] / (drawn[0] + 1)})
    counts = Sums((by_cell(cells, 3),), lambda rows: {f"cell {at}": row for at, row in enumerate(rows)})

    for few in (mean, counts):
        found, expected = few.among(inside)(weights), few(weights[:, inside])
        assert found.keys() == expected.keys()
        for name, ours in found.items():
            assert ours.tolist() == pytest.approx(expected[name].tolist(), abs=1e-12), name


def test_among_photographs_of_whom_none_is_inside_nothing_is_counted():
    nobody = Sums((by_cell(np.zeros(0, int), 3),), lambda rows: {"drawn": rows.sum(axis=0)}).among(np.zeros(5, bool))

    assert nobody(np.ones((2, 5)))["drawn"].tolist() == [0, 0]
    assert nobody.of_patients(np.array([0, 0, 1, 1, 2]))(np.ones((2, 3)))["drawn"].tolist() == [0, 0]


@given(counts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1))
def test_a_rate_is_its_part_of_the_whole_and_unknown_where_there_is_none(counts):
    part, rest = np.array(counts, dtype=np.float64).T

    found = ratio(part, part + rest)

    assert np.isnan(found).tolist() == (part + rest == 0).tolist()
    np.testing.assert_allclose(np.nan_to_num(found) * (part + rest), part)


def test_rows_of_counts_are_shared_out_by_their_own_sums():
    counts = np.array([[1.0, 3.0], [0.0, 0.0]])

    shares = ratio(counts, counts.sum(axis=1, keepdims=True))

    np.testing.assert_array_equal(shares, [[0.25, 0.75], [np.nan, np.nan]])
