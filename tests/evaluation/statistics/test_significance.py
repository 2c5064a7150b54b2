"""McNemar, Holm and the verdict "not worse"."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.statistics.significance import holm, mcnemar, not_worse


def discordant(first: int, second: int, together: int = 10) -> tuple[np.ndarray, np.ndarray]:
    ours = np.repeat([True, False, True], [first, second, together])
    return ours, np.repeat([False, True, True], [first, second, together])


def test_equals_the_published_worked_example():
    """Fagerland, Lydersen & Laake 2013: 1 and 7 discordant pairs, exact p 0.0703, mid-p 0.0391."""
    found = mcnemar(*discordant(1, 7))

    assert (found.only_first, found.only_second) == (1, 7)
    assert found.p_exact == pytest.approx(0.0703, abs=5e-5)
    assert found.p_mid == pytest.approx(0.0391, abs=5e-5)


@pytest.mark.parametrize(("first", "second"), [(3, 9), (9, 3), (5, 5), (0, 6), (40, 61)])
def test_the_exact_p_value_equals_statsmodels(first, second):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason="needs statsmodels (the dev extra)")

    theirs = tables.mcnemar([[10, first], [second, 4]], exact=True).pvalue

    assert mcnemar(*discordant(first, second)).p_exact == pytest.approx(theirs, abs=1e-10)


def test_systems_that_are_right_together_do_not_differ():
    assert (mcnemar(*discordant(0, 0)).p_exact, mcnemar(*discordant(0, 0)).p_mid) == (1, 1)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 30), st.integers(0, 30))
def test_the_mid_p_value_lies_below_the_exact_one_and_sides_do_not_matter(first, second):
    there, back = mcnemar(*discordant(first, second)), mcnemar(*discordant(second, first))

    assert 0 < there.p_mid <= there.p_exact <= 1
    assert (back.p_exact, back.p_mid) == (there.p_exact, there.p_mid)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(values):
    corrected = holm(values)

    assert all(after >= before for after, before in zip(corrected, values, strict=True))
    ranked = [after for _, after in sorted(zip(values, corrected, strict=True))]
    assert ranked == sorted(ranked)
    assert max(corrected) <= 1


def test_holm_equals_statsmodels(rng):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="needs statsmodels (the dev extra)")
    values = rng.uniform(size=20) ** 3

    assert holm(values.tolist()) == pytest.approx(multitest.multipletests(values, method="holm")[1].tolist(), abs=1e-10)


def test_a_test_that_could_not_be_made_is_not_of_the_family():
    assert holm([0.02, math.nan, 0.5])[0] == 0.04
    assert math.isnan(holm([0.02, math.nan, 0.5])[1])


def test_not_worse_is_read_off_the_bound_that_could_hurt():
    better = Interval(0.02, -0.01, 0.2, 0.95, 0)

    assert (not_worse(better, 0.05).first, not_worse(better, 0.05).second) == (True, False)
    assert not_worse(better, 0.005).first is False
    turned = not_worse(better, 0.05, lower_is_better=True)
    assert (turned.first, turned.second) == (False, True)
    assert not_worse(Interval(0.1, math.nan, math.nan, 0.95, 9), 0.1).first is None
    with pytest.raises(ValueError, match=r"margin must be a positive number, got 0\.0"):
        not_worse(better, 0.0)
