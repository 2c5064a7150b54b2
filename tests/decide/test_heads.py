"""Raw outputs become probabilities that mean what they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special, stats

from fundoscope.decide.heads import HEADS, SEPARATION, exceedance, expected_grade, outputs_of, probabilities

PHOTOS = 6
numbers = st.floats(-30, 30, width=64)
temperatures = st.floats(0.05, 20)


def raws(head: str) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (PHOTOS, outputs_of(head)), elements=numbers)


@pytest.mark.parametrize("head", HEADS)
@settings(deadline=None, max_examples=50)
@given(data=st.data(), temperature=temperatures)
def test_every_row_is_a_distribution(head, data, temperature):
    shares = probabilities(head, data.draw(raws(head)), temperature=temperature)

    assert shares.shape == (PHOTOS, 5)
    assert (shares >= 0).all()
    assert shares.sum(axis=1) == pytest.approx(np.ones(PHOTOS), abs=1e-12)


def test_softmax_equals_scipy(rng):
    raw = rng.normal(size=(20, 5)) * 4

    assert probabilities("softmax", raw, temperature=1.7) == pytest.approx(special.softmax(raw / 1.7, axis=1))


def test_regression_equals_a_loop_over_the_normal_distribution(rng):
    raw = rng.uniform(-1, 5, size=(20, 1))
    edges = [-np.inf, 0.5, 1.5, 2.5, 3.5, np.inf]

    shares = probabilities("regression", raw, temperature=0.6)

    for row, value in zip(shares, raw[:, 0], strict=True):
        spread = stats.norm(value, 0.6)
        assert row == pytest.approx([spread.cdf(edges[k + 1]) - spread.cdf(edges[k]) for k in range(5)])


def test_coral_equals_the_papers_differences(rng):
    raw = -np.sort(-rng.normal(size=(20, 4)) * 3, axis=1)

    shares = probabilities("coral", raw, temperature=1.3)

    for row, logits in zip(shares, raw, strict=True):
        above = [1.0, *(1 / (1 + np.exp(-logit / 1.3)) for logit in logits), 0.0]
        assert row == pytest.approx([above[k] - above[k + 1] for k in range(5)])


def test_a_cut_that_rises_is_lowered_to_the_one_before_it():
    """The second cut claims more than the first; grade 1 gets next to nothing rather than less than nothing."""
    shares = probabilities("cumulative", np.array([[0.0, 2.0, -1.0, -2.0]]))

    assert shares[0, 1] == pytest.approx(SEPARATION * 0.5)
    assert shares[0, 0] == pytest.approx((1 - SEPARATION) * 0.5)
    assert shares[0, 2] == pytest.approx(0.5 - special.expit(-1.0))


@settings(deadline=None, max_examples=100)
@given(raw=arrays(np.float64, (PHOTOS, 4), elements=st.floats(-1e4, 1e4)), temperature=temperatures)
@pytest.mark.parametrize("head", ["cumulative", "coral", "corn"])
def test_no_grade_is_impossible_and_the_chance_of_referable_is_that_of_the_lowered_cuts(head, raw, temperature):
    shares = probabilities(head, raw, temperature=temperature)

    assert np.isfinite(np.log(shares)).all()
    # Each grade between two cuts keeps a share of what is on its side of the referable cut, from itself outwards.
    for grade, outwards in ((1, [0, 1]), (2, [2, 3, 4]), (3, [3, 4])):
        assert (shares[:, grade] >= 0.99 * SEPARATION * shares[:, outwards].sum(axis=1) - 1e-11).all()
    if head != "corn":
        lowered = np.minimum.accumulate(special.expit(raw / temperature), axis=1)[:, 1]
        assert exceedance(shares, 2) == pytest.approx(lowered, abs=1e-11)


def test_corn_equals_the_papers_products_written_with_loops(rng):
    raw = rng.normal(size=(200, 4)) * 3
    shares = probabilities("corn", raw)
    # Where no grade has so little that the cuts are moved apart.
    plain = (shares[:, :2] > 1.001 * SEPARATION * shares[:, :2].sum(axis=1, keepdims=True)).all(axis=1)
    plain &= (shares[:, 2:] > 1.001 * SEPARATION * shares[:, 2:].sum(axis=1, keepdims=True)).all(axis=1)
    assert 50 < plain.sum() < 200
    raw, shares = raw[plain], shares[plain]

    for row, logits in zip(shares, raw, strict=True):
        above = [1.0]
        for logit in logits:
            above.append(above[-1] / (1 + np.exp(-logit)))
        above.append(0.0)
        assert row == pytest.approx([above[k] - above[k + 1] for k in range(5)], abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(raw=arrays(np.float64, (PHOTOS, 4), elements=st.floats(-1e4, 1e4)), temperature=temperatures)
def test_corns_chance_of_a_higher_grade_never_rises_with_the_grade(raw, temperature):
    shares = probabilities("corn", raw, temperature=temperature)

    above = np.stack([exceedance(shares, cut) for cut in range(5)], axis=1)

    assert (np.diff(above, axis=1) <= 1e-12).all()
    assert (shares >= 0).all()


ORDINAL = ["regression", "coral", "cumulative", "corn"]


@pytest.mark.parametrize("head", ORDINAL)
def test_another_temperature_changes_the_probabilities_of_an_ordinal_head(head, rng):
    """RetinaScan's "ordinal temperature" changed no answer, whatever it was set to.

    That nothing is fitted on what it is reported on, its other error, is tested in training/test_crossfit.py.
    """
    raw = rng.uniform(0, 4, size=(20, outputs_of(head)))

    moved = np.abs(probabilities(head, raw, temperature=0.2) - probabilities(head, raw, temperature=1.0))

    assert (moved.max(axis=1) > 0.01).all()


@pytest.mark.parametrize("head", ORDINAL)
@settings(deadline=None, max_examples=50)
@given(data=st.data(), cut=st.integers(1, 4), first=st.floats(0.3, 5), second=st.floats(0.3, 5))
def test_no_temperature_puts_photographs_into_another_order_at_any_cut(head, data, cut, first, second):
    near = arrays(np.float64, (PHOTOS, outputs_of(head)), elements=st.floats(-4, 4))
    raw = data.draw(near)
    if head == "coral":
        raw = raw[:, :1] + np.array([1.5, 0.5, -0.25, -2.0])

    here, there = (exceedance(probabilities(head, raw, temperature=each), cut) for each in (first, second))

    above = np.subtract.outer(here, here) > 1e-9
    assert (np.subtract.outer(there, there)[above] > -1e-12).all()


@pytest.mark.parametrize("head", ["softmax", "prototype", "coral", "corn"])
def test_temperature_one_leaves_the_logits_as_they_are(head, rng):
    raw = rng.normal(size=(9, outputs_of(head)))

    assert (probabilities(head, raw) == probabilities(head, raw, temperature=1.0)).all()
    if head != "corn":  # whose temperature divides the logits of the products, not of the factors
        assert probabilities(head, 3 * raw, temperature=3.0) == pytest.approx(probabilities(head, raw))


@settings(deadline=None, max_examples=50)
@given(low=numbers, step=st.floats(0, 5), temperature=temperatures, cut=st.integers(1, 4))
def test_a_higher_regression_value_never_lowers_the_chance_of_a_higher_grade(low, step, temperature, cut):
    shares = probabilities("regression", np.array([[low], [low + step]]), temperature=temperature)

    first, second = exceedance(shares, cut)

    assert second >= first - 1e-12


@settings(deadline=None, max_examples=50)
@given(shift=st.floats(0, 5), logit=numbers, cut=st.integers(1, 4))
def test_a_higher_coral_score_never_lowers_the_chance_of_a_higher_grade(shift, logit, cut):
    biases = np.array([1.0, 0.75, 0.5, 0.25])

    first, second = exceedance(probabilities("coral", np.stack([logit + biases, logit + shift + biases])), cut)

    assert second >= first - 1e-12


@pytest.mark.parametrize(
    ("head", "flipped"),
    [
        ("softmax", lambda raw: raw[:, ::-1]),
        ("regression", lambda raw: 4 - raw),
        ("coral", lambda raw: -raw[:, ::-1]),
        ("cumulative", lambda raw: -raw[:, ::-1]),
        ("prototype", lambda raw: raw[:, ::-1]),
    ],
)
def test_turning_the_scale_round_turns_the_probabilities_round(head, flipped, rng):
    raw = -np.sort(-rng.normal(size=(12, outputs_of(head))) * 2, axis=1)

    assert probabilities(head, flipped(raw)) == pytest.approx(probabilities(head, raw)[:, ::-1])


def test_expected_grade_and_exceedance_of_a_known_row():
    shares = np.array([[0.1, 0.2, 0.3, 0.25, 0.15]])

    assert expected_grade(shares) == pytest.approx([0.2 + 0.6 + 0.75 + 0.6])
    assert exceedance(shares, 0) == pytest.approx([1.0])
    assert exceedance(shares, 2) == pytest.approx([0.7])
    assert exceedance(shares, 4) == pytest.approx([0.15])


def test_single_precision_is_read_like_double(rng):
    raw = rng.normal(size=(5, 5)).astype(np.float32)

    assert (probabilities("softmax", raw) == probabilities("softmax", raw.astype(np.float64))).all()


def test_huge_logits_do_not_overflow():
    assert probabilities("softmax", np.array([[1e4, 0, 0, 0, -1e4]])).tolist() == [[1, 0, 0, 0, 0]]


def test_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match=r"head must be one of softmax, .*, corn, prototype, got 'probit'"):
        probabilities("probit", np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"raw output of a coral head must have 4 columns, got 5"):
        probabilities("coral", np.zeros((1, 5)))
    with pytest.raises(ValueError, match=r"temperature must be a number above 0, got 0"):
        probabilities("softmax", np.zeros((1, 5)), temperature=0.0)
    with pytest.raises(ValueError, match=r"raw output must be finite, got \[nan\] in row 1"):
        probabilities("regression", np.array([[1.0], [np.nan]]))
    with pytest.raises(ValueError, match=r"cut must be a grade from 0 to 4, got 5"):
        exceedance(np.full((1, 5), 0.2), 5)


def test_no_probability_is_negative_zero():
    """A table would print it as -0.0, and a person would wonder."""
    given = probabilities("cumulative", np.array([[40.0, 40.0, -40.0, -40.0]]))

    assert not np.signbit(given).any()
