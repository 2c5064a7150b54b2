from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fundoscope.decide.cut_thresholds import GRID, KERNEL, count_passed, fit_cut_thresholds, smooth

LOGITS = arrays(np.float64, (30, 4), elements=st.floats(-9, 9, width=32))


def test_a_photograph_is_of_the_grade_whose_cuts_it_passes():
    logits = np.array([[-1, -1, -1, -1], [2, 1, -1, -3], [5, 4, 3, 2.0]])

    assert count_passed(logits, np.zeros(4)).tolist() == [0, 2, 4]
    assert count_passed(logits, np.array([3.0, 3, 3, 3])).tolist() == [0, 0, 2]


@given(LOGITS, st.floats(0.05, 20))
def test_an_ordinal_temperature_changes_no_grade(logits, temperature):
    """RetinaScan tuned one for kappa. Dividing by it moves no logit across 0."""
    assert (count_passed(logits / temperature, np.zeros(4)) == count_passed(logits, np.zeros(4))).all()


def f1(above, passed):
    """2 TP / (2 TP + FP + FN)."""
    hits = (above & passed).sum()
    return 2 * hits / (2 * hits + (~above & passed).sum() + (above & ~passed).sum())


@settings(deadline=None, max_examples=25)
@given(LOGITS, arrays(np.int64, 30, elements=st.integers(0, 4)))
def test_no_threshold_of_the_grid_has_a_better_f1_than_the_fitted_one(logits, grades):
    fitted = fit_cut_thresholds(logits, grades)

    for cut in range(4):
        above = grades > cut
        if above.all() or not above.any():
            assert fitted[cut] == 0
        else:
            best = max(f1(above, logits[:, cut] > threshold) for threshold in GRID)
            assert f1(above, logits[:, cut] > fitted[cut]) == pytest.approx(best)


def test_thresholds_that_graded_the_photographs_are_found_again():
    """RetinaScan's tuned ones: 0.5, -1.2, -6.6, -4.2; each photograph's logits are one severity and four offsets."""
    rng = np.random.default_rng(0)
    true = np.array([0.5, -1.2, -6.6, -4.2])
    logits = rng.uniform(-9, 9, 2000)[:, None] + np.array([3.0, 0.0, -7.5, -7.0])
    grades = count_passed(logits, true)

    fitted = fit_cut_thresholds(logits, grades)

    assert fitted == pytest.approx(true, abs=0.11)
    assert (count_passed(logits, fitted) == grades).mean() > 0.98


def test_smoothing_keeps_the_sum_and_is_the_kernel_in_the_middle_of_the_scale():
    spread = smooth(np.eye(5))

    assert spread.sum(axis=1) == pytest.approx(np.ones(5))
    assert spread[2] == pytest.approx(KERNEL)
    assert spread[0] == pytest.approx(np.array([0.40, 0.25, 0.05, 0, 0]) / 0.70)
