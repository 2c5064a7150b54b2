"""Sizes of studies and exact bounds: golden numbers."""

from __future__ import annotations

import pytest
from scipy import stats

from fundoscope.clinic.commissioning.planning import hits_needed, lower_bound, sample_size


@pytest.mark.parametrize(
    ("wanted", "true", "patients"),
    [
        *((0.85, true, size) for true, size in ((0.90, 364), (0.92, 177), (0.95, 75))),
        *((0.825, true, size) for true, size in ((0.90, 178), (0.92, 108), (0.95, 56))),
        *((0.80, true, size) for true, size in ((0.90, 113), (0.92, 75), (0.95, 41))),
        *((0.95, true, size) for true, size in ((0.98, 312), (0.99, 142))),
    ],
)
def test_a_study_is_as_large_as_the_published_endpoints_need(wanted, true, patients):
    assert sample_size(true, wanted=wanted) == patients


def test_a_study_has_its_power_by_brute_force_and_keeps_it_with_a_few_patients_more():
    def power(patients: int) -> float:
        chances = [
            stats.binom.pmf(hits, patients, 0.92)
            for hits in range(patients + 1)
            if stats.binomtest(hits, patients, 0.85, alternative="greater").pvalue <= 0.025
        ]
        return float(sum(chances))

    assert all(power(patients) >= 0.8 for patients in range(177, 181))
    assert not all(power(patients) >= 0.8 for patients in range(176, 180))


def test_a_study_for_what_is_not_better_than_wanted_is_refused():
    with pytest.raises(ValueError, match=r"true must lie above wanted and at most at 1, got 0\.85 and 0\.85"):
        sample_size(0.85, wanted=0.85)


def test_a_hopelessly_large_study_is_not_planned():
    assert sample_size(0.8501, wanted=0.85) is None


@pytest.mark.parametrize(("patients", "hits"), [(50, 48), (100, 93), (150, 137), (200, 181), (300, 268)])
def test_so_many_of_the_referable_must_be_found_for_the_bound_to_pass_85_percent(patients, hits):
    assert hits_needed(patients, sensitivity=0.85, confidence=0.975) == hits
    assert lower_bound(hits, patients, confidence=0.975) >= 0.85 > lower_bound(hits - 1, patients, confidence=0.975)


def test_the_bound_is_that_of_the_exact_binomial_test():
    for hits, patients in ((0, 5), (3, 7), (48, 50), (20, 20)):
        published = stats.binomtest(hits, patients, alternative="greater").proportion_ci(0.975, method="exact")
        assert lower_bound(hits, patients, confidence=0.975) == pytest.approx(published.low, abs=1e-12)


def test_more_hits_than_patients_are_refused():
    with pytest.raises(ValueError, match="hits must lie between 0 and total, and total be at least 1, got 4 of 3"):
        lower_bound(4, 3, confidence=0.975)
