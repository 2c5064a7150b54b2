"""Referring the least certain: each figure is what counting the rest gives, and no order or chance decides."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.decide.abstention import CERTAINTIES, abstention_curve, certainty_of
from fundoscope.decide.kappa import kappa_of


def test_with_nobody_referred_it_is_the_plain_figure(rng):
    grades, answered = rng.integers(0, 5, 200), rng.integers(0, 5, 200)

    (point,) = abstention_curve(grades, answered, rng.random(200), shares=[0.0])

    assert point.photographs == 200
    assert point.accuracy == (grades == answered).mean()
    assert point.sensitivity == point.sensitivity_of_all == (answered >= 2)[grades >= 2].mean()
    assert point.specificity == (answered < 2)[grades < 2].mean()
    assert point.referred == (answered >= 2).mean()


def test_each_figure_is_a_count_of_the_rest(rng):
    grades, answered, certainty = rng.integers(0, 5, 100), rng.integers(0, 5, 100), rng.permutation(100) / 100

    for point in abstention_curve(grades, answered, certainty, shares=[0.1, 0.25, 0.5]):
        kept = certainty >= point.share - 1e-9
        matrix = np.zeros((5, 5))
        np.add.at(matrix, (grades[kept], answered[kept]), 1)
        assert point.photographs == kept.sum() == round(100 * (1 - point.share))
        assert point.accuracy == pytest.approx((grades == answered)[kept].mean())
        assert point.quadratic_kappa == pytest.approx(float(kappa_of(matrix)))
        assert point.sensitivity == pytest.approx((answered >= 2)[kept & (grades >= 2)].mean())
        assert point.sensitivity_of_all == pytest.approx(((answered >= 2) | ~kept)[grades >= 2].mean())
        assert point.referred == pytest.approx(((answered >= 2) | ~kept).mean())


def test_referring_more_never_finds_less_disease(rng):
    points = abstention_curve(rng.integers(0, 5, 90), rng.integers(0, 5, 90), rng.random(90))

    for name in ("sensitivity_of_all", "referred", "share"):
        assert (np.diff([point.to_dict()[name] for point in points]) >= 0).all()


def test_calibrated_answers_gain_by_referring_the_least_certain(rng):
    shares = rng.dirichlet(np.full(5, 0.4), 20_000)
    grades = (shares.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1)
    curves = {
        by: abstention_curve(grades, shares.argmax(axis=1), certainty_of(shares, by=by), shares=[0.0, 0.5])
        for by in CERTAINTIES
    }

    assert curves["grade"][1].accuracy > curves["grade"][0].accuracy + 0.1
    assert curves["spread"][1].quadratic_kappa > curves["spread"][0].quadratic_kappa + 0.1
    assert curves["referable"][1].sensitivity > curves["referable"][0].sensitivity + 0.05


def test_equally_certain_photographs_go_together_whatever_their_order(rng):
    grades, answered, certainty = rng.integers(0, 5, 40), rng.integers(0, 5, 40), np.repeat([0.2, 0.8], 20)
    order = rng.permutation(40)

    one, other = (abstention_curve(grades[at], answered[at], certainty[at], shares=[0.1]) for at in (slice(40), order))

    assert one == other
    assert one[0].share == 0.5


def test_where_nobody_is_left_nothing_is_claimed():
    (point,) = abstention_curve(np.array([0, 3]), np.array([0, 3]), np.array([0.5, 0.5]), shares=[0.5])

    assert point.photographs == 0
    assert np.isnan([point.accuracy, point.quadratic_kappa, point.sensitivity, point.specificity]).all()
    assert point.sensitivity_of_all == 1


def test_a_decision_other_than_by_the_grade_can_be_given():
    grades, answered = np.array([2, 2, 0, 0]), np.array([0, 2, 0, 2])
    referred = np.array([True, True, False, False])

    (point,) = abstention_curve(grades, answered, np.arange(4.0), referred=referred, shares=[0.0])

    assert point.sensitivity == point.specificity == 1


@pytest.mark.parametrize(
    ("certainty", "shares", "message"),
    [
        ([0.5, np.nan], [0.0], "certainty must be known, got 1 that are NaN"),
        ([0.5, 0.6], [1.0], "shares must be at least 0 and below 1, got 1.0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(certainty, shares, message):
    with pytest.raises(ValueError, match=message):
        abstention_curve(np.array([0, 3]), np.array([0, 3]), np.array(certainty), shares=shares)


def test_a_decision_for_each_photograph_is_needed():
    with pytest.raises(ValueError, match="got 2 grades, 2 answers, 2 certainties and 1 decisions"):
        abstention_curve(np.array([0, 3]), np.array([0, 3]), np.arange(2.0), referred=np.array([True]))


def test_an_unknown_kind_of_certainty_is_refused():
    with pytest.raises(ValueError, match="by must be one of grade, spread, referable, got 'entropy'"):
        certainty_of(np.full((1, 5), 0.2), by="entropy")
