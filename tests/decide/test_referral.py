"""The worst answer wins, and what cannot be graded never counts as healthy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.decide.referral import (
    SCORE_TOLERANCE,
    OperatingPoint,
    decide_eye,
    decide_patient,
    decide_photo,
    fit_threshold,
    threshold_at,
)
from fundoscope.grades import CANNOT_GRADE, CANNOT_GRADE_REFER, DECISIONS, REFER, RESCREEN

decision_lists = st.lists(st.sampled_from(DECISIONS), min_size=1, max_size=5)
shares = st.floats(0, 1)


@given(p_referable=shares, threshold=shares)
def test_a_photograph_that_cannot_be_graded_is_never_sent_home(p_referable, threshold):
    decision = decide_photo(p_referable, False, threshold)

    assert decision == (CANNOT_GRADE_REFER if p_referable >= threshold else CANNOT_GRADE)
    assert decide_eye([decision]) == decide_patient([RESCREEN, decision]) == decision


@given(p_referable=shares, threshold=shares)
def test_a_gradable_photograph_is_referred_from_the_threshold_on(p_referable, threshold):
    assert decide_photo(p_referable, True, threshold) == (REFER if p_referable >= threshold else RESCREEN)


def test_an_ungradable_photograph_needs_no_probability():
    assert decide_photo(float("nan"), False, 0.5) == CANNOT_GRADE
    with pytest.raises(ValueError, match=r"p_referable must lie between 0 and 1, got nan"):
        decide_photo(float("nan"), True, 0.5)


@given(before=decision_lists, another=st.sampled_from(DECISIONS))
def test_another_photograph_or_eye_never_takes_a_referral_back(before, another):
    for decide in (decide_eye, decide_patient):
        if decide(before) == REFER:
            assert decide([*before, another]) == REFER


@given(eyes=decision_lists)
def test_a_patient_is_sent_home_only_if_every_eye_is(eyes):
    assert (decide_patient(eyes) == RESCREEN) == all(eye == RESCREEN for eye in eyes)


@given(decisions=decision_lists, seed=st.randoms())
def test_the_order_of_photographs_and_eyes_does_not_matter(decisions, seed):
    mixed = list(decisions)
    seed.shuffle(mixed)

    assert decide_eye(mixed) == decide_eye(decisions)
    assert decide_patient(mixed) == decide_patient(decisions)


def test_one_good_photograph_is_enough_for_an_eye_but_one_eye_not_for_a_patient():
    assert decide_eye([CANNOT_GRADE, RESCREEN]) == RESCREEN
    assert decide_patient([CANNOT_GRADE, RESCREEN]) == CANNOT_GRADE


@pytest.mark.parametrize("decide", [decide_eye, decide_patient])
def test_refuses_no_decision_and_words_it_does_not_know(decide):
    with pytest.raises(ValueError, match=r"at least one (photograph|eye) is needed, got none"):
        decide([])
    with pytest.raises(ValueError, match=r"decisions must be among 'refer', 'cannot grade, refer', .*, got 'healthy'"):
        decide(["healthy"])


def test_what_a_refused_photograph_shows_outweighs_good_ones_but_no_grade_that_is_referred():
    assert decide_eye([CANNOT_GRADE_REFER, RESCREEN, CANNOT_GRADE]) == CANNOT_GRADE_REFER
    assert decide_eye([CANNOT_GRADE_REFER, REFER]) == REFER
    assert decide_patient([CANNOT_GRADE, CANNOT_GRADE_REFER, RESCREEN]) == CANNOT_GRADE_REFER


@given(eyes=st.lists(decision_lists, min_size=1, max_size=3))
def test_no_patient_is_answered_healthier_than_without_the_answer_cannot_grade_refer(eyes):
    """What older versions answered: each such photograph was "cannot grade"."""
    older = [[CANNOT_GRADE if decision == CANNOT_GRADE_REFER else decision for decision in eye] for eye in eyes]

    now, before = (decide_patient([decide_eye(eye) for eye in patient]) for patient in (eyes, older))

    assert DECISIONS.index(now) <= DECISIONS.index(before)


@given(
    positives=st.lists(st.integers(0, 100), min_size=1, max_size=40),
    negatives=st.lists(st.integers(0, 100), max_size=20),
    wanted=st.sampled_from([0.1, 0.7, 0.85, 0.9, 0.95, 1.0]),
)
def test_the_threshold_is_the_largest_that_finds_enough(positives, negatives, wanted):
    scores = np.array([*positives, *negatives]) / 100
    positive = np.arange(len(scores)) < len(positives)

    threshold = fit_threshold(scores, positive, sensitivity=wanted)

    found = [(scores[positive] >= candidate).mean() for candidate in (threshold, threshold + 2 * SCORE_TOLERANCE)]
    assert found[0] >= wanted - 1e-12
    assert found[1] < wanted


def test_shares_that_computers_cannot_hold_exactly_do_not_cost_a_case():
    """0.7 of 10 is 7, although 0.7 * 10 computes to a little more."""
    assert fit_threshold(np.arange(10) / 10, np.ones(10, bool), sensitivity=0.7) == threshold_at(0.3)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=40), st.floats(0.05, 1))
def test_the_threshold_of_a_table_of_six_decimals_finds_as_many_unrounded_scores(tenmillionths, wanted):
    scores = np.array(tenmillionths) / 10**7
    positive = np.ones(len(scores), dtype=bool)

    threshold = fit_threshold(scores.round(6), positive, sensitivity=wanted)

    assert (scores >= threshold).mean() >= wanted - 1e-12


def test_a_threshold_at_an_end_of_the_scale_stays_there():
    assert (threshold_at(0.0), threshold_at(np.inf), threshold_at(-np.inf)) == (0, np.inf, -np.inf)
    assert 0 < threshold_at(1.0) < 1


@pytest.mark.parametrize(
    ("grade", "decision"), [(None, RESCREEN), (0, RESCREEN), (1, RESCREEN), (2, REFER), (4, REFER)]
)
def test_a_referable_grade_is_referred_whatever_the_threshold(grade, decision):
    assert decide_photo(0.4, True, 0.9, grade) == decision
    assert decide_photo(0.4, False, 0.9, grade) == CANNOT_GRADE


def test_refuses_to_fit_a_threshold_on_nothing():
    with pytest.raises(ValueError, match=r"a positive photograph is needed to fit a threshold, got none"):
        fit_threshold(np.array([0.5]), np.array([False]), sensitivity=0.9)
    with pytest.raises(ValueError, match=r"sensitivity must lie above 0 and at most at 1, got 90.0"):
        fit_threshold(np.array([0.5]), np.array([True]), sensitivity=90.0)
    with pytest.raises(ValueError, match=r"scores must be finite, got 1 that are not"):
        fit_threshold(np.array([np.nan]), np.array([True]), sensitivity=0.9)


def test_an_operating_point_survives_json():
    point = OperatingPoint(name="out-of-fold", threshold=0.31, sensitivity=0.95)

    assert OperatingPoint.from_dict(point.to_dict()) == point


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "threshold": 0.5, "colour": 1}, "unknown keys colour"),
        ({"name": "x"}, "lacks threshold"),
        ({"name": "x", "threshold": 1.5}, "threshold must lie between 0 and 1, got 1.5"),
        ({"name": "x", "threshold": True}, "threshold of an operating point must be a number, got True"),
        (
            {"name": "x", "threshold": 0.5, "cut": "dme"},
            "cut must be one of any, referable, sight_threatening, got 'dme'",
        ),
        ({"name": "x", "threshold": 0.5, "sensitivity": 0}, "sensitivity must lie above 0 and at most at 1, got 0.0"),
        ({"name": 3, "threshold": 0.5}, "name of an operating point must be text, got 3"),
        ({"name": "x", "threshold": None}, "operating point lacks threshold"),
    ],
)
def test_refuses_an_operating_point_that_makes_no_sense(values, message):
    with pytest.raises(ValueError, match=message):
        OperatingPoint.from_dict(values)
