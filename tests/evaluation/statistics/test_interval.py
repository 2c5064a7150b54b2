"""Intervals draw patients, and the quick ones are the slow ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fundoscope.evaluation.statistics.interval import (
    Interval,
    _interval,
    patient_interval,
    patient_intervals,
    proportion_interval,
)


def mean_score(grades: np.ndarray, scores: np.ndarray) -> float:
    return float(scores.mean())


def sensitivity(grades: np.ndarray, scores: np.ndarray) -> float:
    positive = grades >= 2
    return float((scores[positive] > 0.5).mean()) if positive.any() else float("nan")


def test_equals_scipy_when_every_photograph_is_its_own_patient(rng):
    """With nobody photographed twice this is the ordinary percentile bootstrap."""
    scores = rng.uniform(size=40)
    reference = stats.bootstrap((scores,), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(7))

    ours = patient_interval(
        mean_score, np.zeros(40, int), scores, np.arange(40), rng=np.random.default_rng(7), resamples=500
    )

    assert (ours.low, ours.high) == pytest.approx(tuple(reference.confidence_interval))


@settings(deadline=None, max_examples=25)
@given(copies=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_photographing_every_eye_again_teaches_nothing(copies, seed):
    """Copies of a patient's photographs add no patient, so the interval does not move."""
    data = np.random.default_rng(seed)
    grades, scores, patients = data.integers(0, 5, 60), data.uniform(size=60), np.repeat(np.arange(30), 2)

    once = patient_interval(mean_score, grades, scores, patients, rng=np.random.default_rng(seed), resamples=200)
    again = patient_interval(
        mean_score,
        np.tile(grades, copies),
        np.tile(scores, copies),
        np.tile(patients, copies),
        rng=np.random.default_rng(seed),
        resamples=200,
    )

    assert (again.low, again.high) == pytest.approx((once.low, once.high))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(seed):
    data = np.random.default_rng(seed)
    scores, patients, order = data.uniform(size=50), data.integers(0, 20, 50), data.permutation(50)

    def weighted_mean(values):
        return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}

    ours = patient_intervals(weighted_mean(scores), patients, rng=np.random.default_rng(1), resamples=100)["mean"]
    mixed = patient_intervals(
        weighted_mean(scores[order]), patients[order], rng=np.random.default_rng(1), resamples=100
    )["mean"]

    assert (mixed.estimate, mixed.low, mixed.high) == pytest.approx((ours.estimate, ours.low, ours.high))


@pytest.mark.parametrize("block", [7, 10**6])
def test_the_quick_intervals_are_those_of_the_slow_loop_to_the_last_digit(block, rng, monkeypatch):
    """Whatever the size of the blocks that the draws come in."""
    monkeypatch.setattr("fundoscope.evaluation.statistics.interval.BLOCK", block * 50)
    grades, scores = rng.integers(0, 5, 50), rng.uniform(size=50)
    patients = np.array([f"p{k}" for k in rng.integers(0, 23, 50)])
    positive = grades >= 2

    def quick(weights):
        with np.errstate(invalid="ignore"):
            hits = weights @ (positive & (scores > 0.5)).astype(float) / (weights @ positive.astype(float))
        return {"sensitivity": hits, "mean": weights @ scores / weights.sum(axis=1)}

    found = patient_intervals(
        quick, patients, rng=np.random.default_rng(3), resamples=300, level=0.9, method="percentile"
    )

    for name, statistic in (("sensitivity", sensitivity), ("mean", mean_score)):
        slow = patient_interval(
            statistic, grades, scores, patients, rng=np.random.default_rng(3), resamples=300, level=0.9
        )
        ours = found[name]
        assert (ours.estimate, ours.low, ours.high) == pytest.approx((slow.estimate, slow.low, slow.high), abs=1e-12)
        assert ours.undefined == slow.undefined


def test_says_when_the_statistic_has_no_value_on_too_many_draws(rng):
    """One referable patient among twenty is missed by about a third of the draws."""
    grades = np.zeros(20, int)
    grades[0] = 3

    with pytest.raises(ValueError, match=r"undefined on \d+ of 400 resamples"):
        patient_interval(sensitivity, grades, rng.uniform(size=20), np.arange(20), rng=rng, resamples=400)


def test_many_at_once_leave_the_interval_open_where_one_alone_would_refuse(rng):
    rare = np.zeros(20)
    rare[0] = 1

    def statistics(weights):
        return {"rare": np.where(weights @ rare > 0, 1.0, np.nan), "never": np.full(len(weights), np.nan)}

    found = patient_intervals(statistics, np.arange(20), rng=rng, resamples=400)

    assert found["rare"].estimate == 1.0
    assert math.isnan(found["rare"].low)
    assert 90 < found["rare"].undefined < 190
    assert str(found["rare"]) == "1.000 (no interval)"
    assert str(found["never"]) == "n/a"


def test_one_patient_has_no_interval(rng):
    found = patient_intervals(lambda weights: {"one": weights.sum(axis=1)}, np.zeros(5), rng=rng, resamples=10)

    assert found["one"].estimate == 5
    assert math.isnan(found["one"].high)
    with pytest.raises(ValueError, match=r"patients must hold at least 2 patients, got 1"):
        patient_interval(mean_score, np.zeros(5, int), np.ones(5), np.zeros(5), rng=rng)


def test_the_same_seed_gives_the_same_interval():
    scores = np.linspace(0, 1, 30)
    first, second, third = (
        patient_interval(mean_score, np.zeros(30, int), scores, np.arange(30), rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )

    assert first == second != third


def test_reads_as_a_sentence():
    assert str(Interval(0.84, 0.751, 0.9, 0.95, 0)) == "0.840 (95% CI 0.751 to 0.900)"


@pytest.mark.parametrize(("method", "theirs"), [("clopper-pearson", "beta"), ("wilson", "wilson")])
@pytest.mark.parametrize(("hits", "total"), [(0, 1), (48, 50), (50, 50), (3, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_proportions_equal_statsmodels(method, theirs, hits, total, level):
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="needs statsmodels (the dev extra)")

    low, high = proportion.proportion_confint(hits, total, alpha=1 - level, method=theirs)

    assert proportion_interval(hits, total, level=level, method=method) == pytest.approx((low, high), abs=1e-10)


@pytest.mark.parametrize(
    ("hits", "total", "exact", "wilson"),
    [
        (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1684), (0.0, 0.1611)),
        (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
    ],
)
def test_proportions_equal_the_published_worked_examples(hits, total, exact, wilson):
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I: methods 5 (Clopper-Pearson) and 3 (Wilson)."""
    assert proportion_interval(hits, total) == pytest.approx(exact, abs=5e-5)
    assert proportion_interval(hits, total, method="wilson") == pytest.approx(wilson, abs=5e-5)


def test_the_published_sample_size_just_passes():
    """48 hits of 50 are needed for the exact lower bound to pass 85 %."""
    assert proportion_interval(48, 50)[0] > 0.85
    assert proportion_interval(47, 50)[0] < 0.85


def test_refuses_what_is_no_proportion():
    with pytest.raises(ValueError, match=r"hits must lie between 0 and total, .* got 3 of 2"):
        proportion_interval(3, 2)
    with pytest.raises(ValueError, match=r"total be at least 1, got 0 of 0"):
        proportion_interval(0, 0)
    with pytest.raises(ValueError, match=r"method must be one of clopper-pearson, wilson, got 'wald'"):
        proportion_interval(1, 2, method="wald")
    with pytest.raises(ValueError, match=r"level must lie between 0 and 1, got 95"):
        proportion_interval(1, 2, level=95.0)


def mean_of(values: np.ndarray):
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_bca_equals_scipy_when_every_photograph_is_its_own_patient(rng):
    values = rng.lognormal(size=40)
    reference = stats.bootstrap((values,), np.mean, n_resamples=500, method="BCa", rng=np.random.default_rng(7))

    ours = patient_intervals(mean_of(values), np.arange(40), rng=np.random.default_rng(7), resamples=500, method="bca")[
        "mean"
    ]

    assert (ours.low, ours.high) == pytest.approx(tuple(reference.confidence_interval))


def test_bca_equals_percentile_where_nothing_is_biased_or_skewed(rng):
    """Draws and influences that lie alike on both sides of the estimate leave nothing to correct."""
    half = rng.normal(size=200)
    draws, influences = np.r_[0.5 - half, 0.5 + half], np.r_[-half, half]

    corrected, plain = _interval(0.5, draws, 0.95, influences), _interval(0.5, draws, 0.95)

    assert (corrected.low, corrected.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_bca_leaves_out_patients_and_not_photographs(rng):
    """Against the definition in loops, on patients with one to four photographs."""
    patients = np.repeat(np.arange(20), np.arange(20) % 4 + 1)
    values = rng.lognormal(size=len(patients)) + patients / 5
    draws, generator = [], np.random.default_rng(1)
    for _ in range(200):
        draws.append(np.concatenate([values[patients == k] for k in generator.integers(20, size=20)]).mean())
    influence = np.array([values[patients != k].mean() for k in range(20)])
    influence = influence.mean() - influence
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    bias = stats.norm.ppf(np.mean(np.array(draws) < values.mean()))
    moved = bias + stats.norm.ppf([0.025, 0.975])
    expected = np.quantile(draws, stats.norm.cdf(bias + moved / (1 - acceleration * moved)))

    ours = patient_intervals(mean_of(values), patients, rng=np.random.default_rng(1), resamples=200, method="bca")[
        "mean"
    ]

    assert (ours.low, ours.high) == pytest.approx(tuple(expected))


def test_copies_of_every_photograph_move_no_bca_bound(rng):
    values, patients = rng.lognormal(size=60), np.arange(60) // 2

    once, again = (
        patient_intervals(
            mean_of(np.tile(values, k)), np.tile(patients, k), rng=np.random.default_rng(1), resamples=200, method="bca"
        )["mean"]
        for k in (1, 4)
    )

    assert (again.low, again.high) == pytest.approx((once.low, once.high))


def test_leaving_out_groups_of_patients_comes_near_leaving_out_each(rng, monkeypatch):
    values = rng.lognormal(size=2000)

    def bounds():
        of = patient_intervals(
            mean_of(values), np.arange(2000), rng=np.random.default_rng(1), resamples=500, method="bca"
        )["mean"]
        return of.low, of.high

    grouped = bounds()
    monkeypatch.setattr("fundoscope.evaluation.statistics.interval.LEFT_OUT", 2000)

    assert grouped == pytest.approx(bounds(), rel=0.01)


def test_bca_has_no_interval_where_all_draws_lie_on_one_side():
    """A statistic that never falls to its estimate has no bias that could be corrected."""
    above = _interval(0.0, np.linspace(1, 2, 50), 0.95, np.linspace(-1, 1, 20))

    assert math.isnan(above.low)
    assert above.undefined == 0


def test_an_unknown_method_is_refused(rng):
    with pytest.raises(ValueError, match=r"method must be one of auto, percentile, bca, got 'basic'"):
        patient_intervals(mean_of(np.ones(4)), np.arange(4), rng=rng, method="basic")


def test_an_undefined_end_is_none_for_json():
    assert Interval(0.5, math.nan, math.nan, 0.95, 3).ends() == {"estimate": 0.5, "low": None, "high": None}
    assert Interval(0.5, 0.25, 0.75, 0.95, 0).ends() == {"estimate": 0.5, "low": 0.25, "high": 0.75}
