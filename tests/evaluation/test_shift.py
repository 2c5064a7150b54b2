"""How differently grades and scores are distributed among groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.evaluation.test_summary import clinic_rows

from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.shift import scores_apart, shifts
from fundoscope.evaluation.statistics.groups import Grouping


def test_the_distance_of_scores_is_scipys_kolmogorov_smirnov_with_ties_too(rng):
    for scores in (rng.random(60), np.round(rng.random(60), 1)):
        codes = rng.integers(0, 3, 60)
        codes[0] = -1
        inside, outside = codes == 1, (codes >= 0) & (codes != 1)

        found = scores_apart(scores, codes[None], 1)

        assert found[0] == pytest.approx(stats.ks_2samp(scores[inside], scores[outside]).statistic, abs=1e-12)


def test_sites_that_are_alike_are_not_called_apart_and_others_are(rng):
    cases = cases_of(clinic_rows(rng, 240))
    counted = np.ones(240, dtype=bool)
    alike = Grouping("site", ("a", "b", "c"), cases.patients % 3)
    ill = np.minimum(cases.reference // 2, 1)
    by_disease = Grouping("clinic", ("well", "ill"), ill)

    same = shifts(cases, counted, alike, rng=rng, shuffles=199)
    (other,) = shifts(cases, counted, by_disease, rng=rng, shuffles=199)

    assert len(same) == 3
    assert min(each.scores_p for each in same) > 0.05
    assert other.value == "well"
    assert (other.referable_share, other.grades_apart) == pytest.approx((0, 1))
    assert other.scores_p == other.grades_p == pytest.approx(1 / 200)


def test_a_column_with_one_group_left_has_nothing_to_compare(rng):
    cases = cases_of(clinic_rows(rng, 20))
    grouping = Grouping("site", ("a", "b"), np.zeros(20, dtype=np.int64))

    assert shifts(cases, np.ones(20, dtype=bool), grouping, rng=rng, shuffles=9) == ()


def test_a_table_without_scores_compares_grades_only(rng):
    rows = clinic_rows(rng, 40)[["image", "patient", "grade", "predicted_grade"]]
    cases = cases_of(rows)

    (found,) = shifts(cases, np.ones(40, bool), Grouping("site", ("a", "b"), cases.patients % 2), rng=rng, shuffles=9)

    assert found.to_dict()["scores_apart"] is None
    assert found.to_dict()["scores_p"] is None
    assert 0 < found.grades_p <= 1
