"""A share is the part by the whole, and of nothing it is unknown."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.evaluation.statistics.rates import ratio


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
