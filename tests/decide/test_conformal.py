"""Sets hold the reference grade as often as promised: of a new photograph, of a whole patient, of each group."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from fundoscope.decide.conformal import (
    Conformal,
    fewest_patients,
    fit_conformal,
    grades_text,
    lowest_threshold,
    ordinal_scores,
)
from fundoscope.decide.held_out import HeldOut

SEEDS = st.integers(0, 2**32 - 1)
ALPHA = 0.2


def drawn(rng, count, *, blur=1.0):
    """Probabilities that are not calibrated, and grades; `blur` says how far they are from telling the grade."""
    grades = rng.integers(0, 5, count)
    logits = -((np.arange(5) - grades[:, None] - rng.normal(size=(count, 1)) * blur) ** 2)
    return softmax(logits + rng.normal(size=(count, 5)) * 0.3, axis=1), grades


def held_out(shares, grades, patients=None, **more):
    return HeldOut(shares, grades, np.arange(len(grades)) if patients is None else patients, **more)


def true_scores(shares, grades):
    return ordinal_scores(shares)[np.arange(len(grades)), grades]


def slow_set(row, threshold, start):
    """Lu et al., algorithm 1, with the next grade added as long as at most `threshold` is taken up."""
    low = high = start
    while high - low < 4 and row[low : high + 1].sum() <= threshold:
        if low == 0 or (high < 4 and row[high + 1] >= row[low - 1]):
            high += 1
        else:
            low -= 1
    return [low <= grade <= high for grade in range(5)]


@settings(deadline=None, max_examples=50)
@given(seed=SEEDS, threshold=st.floats(0, 0.999))
def test_a_set_grows_as_the_paper_says(seed, threshold):
    shares = np.random.default_rng(seed).dirichlet(np.full(5, 0.5), 20)
    sets = Conformal(alpha=0.1, threshold=threshold, patients=99).sets(shares)

    for row, found in zip(shares, sets, strict=True):
        assert found.tolist() == slow_set(row, threshold, int(row.argmax()))


@settings(deadline=None, max_examples=50)
@given(seed=SEEDS, threshold=st.floats(0, 1), wider=st.floats(0, 1))
def test_a_set_has_no_gap_is_never_empty_holds_the_answer_and_grows_with_the_threshold(seed, threshold, wider):
    rng = np.random.default_rng(seed)
    shares, answers = rng.dirichlet(np.full(5, 0.3), 20), rng.integers(0, 5, 20)
    narrow, wide = (
        Conformal(alpha=0.1, threshold=each, patients=99).sets(shares, answers=answers)
        for each in sorted((threshold, wider))
    )

    assert narrow[np.arange(20), answers].all()
    assert (np.abs(np.diff(np.pad(narrow.astype(int), ((0, 0), (1, 1))), axis=1)).sum(axis=1) == 2).all()
    assert (narrow <= wide).all()


def test_of_equally_likely_neighbours_the_worse_is_taken_first():
    assert ordinal_scores(np.array([[0.1, 0.2, 0.4, 0.2, 0.1]])) == pytest.approx(np.array([[0.9, 0.6, 0, 0.4, 0.8]]))


def test_of_one_photograph_each_the_threshold_is_the_rank_of_split_conformal_prediction(rng):
    for count, alpha in ((9, 0.1), (10, 0.1), (57, 0.05), (200, 0.25)):
        scores = rng.random(count)
        rank = math.ceil((1 - alpha) * (count + 1) - 1e-9)

        assert lowest_threshold(scores, np.arange(count), alpha) == np.sort(scores)[rank - 1]


@settings(deadline=None, max_examples=50)
@given(seed=SEEDS, alpha=st.floats(0.05, 0.5))
def test_a_patient_of_many_photographs_weighs_as_one_of_few(seed, alpha):
    """The sum as it is written, tried at every score."""
    rng = np.random.default_rng(seed)
    scores, patients = rng.random(40).round(1), rng.integers(0, 20, 40) ** 2 // 20
    names = np.unique(patients)

    def missed(threshold):
        return sum(float((scores[patients == name] > threshold).mean()) for name in names) + 1

    allowed = [each for each in sorted(scores) if missed(each) <= alpha * (len(names) + 1) + 1e-9]

    assert lowest_threshold(scores, patients, alpha) == (allowed[0] if allowed else math.inf)


def test_photographing_everybody_again_changes_nothing(rng):
    shares, grades = drawn(rng, 60)
    once = fit_conformal(held_out(shares, grades), alpha=ALPHA)

    again = fit_conformal(held_out(np.tile(shares, (3, 1)), np.tile(grades, 3), np.tile(np.arange(60), 3)), alpha=ALPHA)

    assert again == once


def test_the_order_of_photographs_does_not_matter(rng):
    shares, grades = drawn(rng, 60)
    patients, order = np.arange(60) // 3, rng.permutation(60)

    one, other = (fit_conformal(held_out(shares[at], grades[at], patients[at])) for at in (np.arange(60), order))

    assert one.threshold == other.threshold


@pytest.mark.parametrize(("count", "alpha"), [(50, 0.1), (50, 0.2), (173, 0.1)])
def test_coverage_lies_between_what_is_promised_and_one_patient_more(count, alpha, rng):
    """Exchangeable continuous scores: 1 - alpha to 1 - alpha + 1/(n + 1), over 4,000 calibrations."""
    shares, grades = drawn(rng, 400_000, blur=1.5)
    scores = true_scores(shares, grades)[rng.integers(0, 400_000, (4000, count + 1))]
    rank = math.ceil((1 - alpha) * (count + 1) - 1e-9)

    covered = (scores[:, -1] <= np.sort(scores[:, :-1], axis=1)[:, rank - 1]).mean()

    error = 4 * math.sqrt(alpha * (1 - alpha) / 4000)
    assert 1 - alpha - error <= covered <= 1 - alpha + 1 / (count + 1) + error


def families(rng, draws, patients):
    """Patients with 1 photograph or 6 that resemble one another: those of many err alike, and less often."""
    owner = np.repeat(np.arange(draws * patients), rng.choice([1, 6], draws * patients))
    many = np.bincount(owner)[owner]
    luck = rng.normal(size=draws * patients)[owner]
    grades = rng.integers(0, 5, len(owner))
    logits = -((np.arange(5) - grades[:, None] - luck[:, None] * 2 / many[:, None]) ** 2)
    return softmax(logits, axis=1), grades, owner


@pytest.mark.parametrize("unit", ["photograph", "patient"])
def test_the_promise_is_kept_for_patients_with_several_photographs(unit, rng):
    """40 patients calibrate, one is new: 600 times. Of a photograph of hers, or of all of them."""
    shares, grades, owner = families(rng, 600, 41)
    kept = []
    for draw in range(600):
        first, last, end = np.searchsorted(owner, [41 * draw, 41 * draw + 40, 41 * draw + 41])
        old, new = slice(first, last), slice(last, end)
        fitted = fit_conformal(held_out(shares[old], grades[old], owner[old]), alpha=ALPHA, unit=unit)
        hit = fitted.sets(shares[new])[np.arange(end - last), grades[new]]
        kept.append(hit.mean() if unit == "photograph" else hit.all())

    error = 4 * math.sqrt(ALPHA * (1 - ALPHA) / 600)
    assert np.mean(kept) >= 1 - ALPHA - error
    assert unit == "patient" or np.mean(kept) <= 1 - ALPHA + 1 / 41 + error


def test_a_group_whose_photographs_are_worse_is_covered_only_with_a_threshold_of_its_own(rng):
    good, worse = drawn(rng, 3000, blur=0.5), drawn(rng, 600, blur=2.5)
    shares, grades = np.concatenate([good[0], worse[0]]), np.concatenate([good[1], worse[1]])
    groups = ("good",) * 3000 + ("usable",) * 600
    new, truth = drawn(rng, 20_000, blur=2.5)
    together = fit_conformal(held_out(shares, grades), alpha=ALPHA)
    apart = fit_conformal(held_out(shares, grades, groups=groups), alpha=ALPHA, by="quality")

    pooled, own = (
        each.sets(new, groups=["usable"] * 20_000)[np.arange(20_000), truth].mean() for each in (together, apart)
    )

    assert pooled < 1 - ALPHA - 0.1
    assert own == pytest.approx(1 - ALPHA, abs=5 * math.sqrt(ALPHA * (1 - ALPHA) / 600))


def test_a_group_too_small_has_the_threshold_of_all_and_says_so(rng):
    shares, grades = drawn(rng, 60)
    groups = ("a clinic",) * 57 + ("a van",) * 2 + ("",)

    fitted = fit_conformal(held_out(shares, grades, groups=groups), alpha=ALPHA, by="source")

    assert set(fitted.groups) == {"a clinic"}
    assert fitted.too_small == {"a van": 2}
    assert fitted.warnings()[0].startswith("source a van: 2 patients are too few for a threshold of its own at 80% (4 ")
    everybody = Conformal(alpha=ALPHA, threshold=fitted.threshold, patients=60)
    assert (fitted.sets(shares, groups=["a van"] * 60) == everybody.sets(shares)).all()
    assert (fitted.sets(shares, groups=[""] * 60) == everybody.sets(shares)).all()


def test_with_too_few_patients_no_grade_is_excluded(rng):
    shares, grades = drawn(rng, 8)

    fitted = fit_conformal(held_out(shares, grades), alpha=0.1)

    assert fitted.sets(shares).all()
    assert fitted.warnings() == (
        "8 patients are too few to exclude any grade at 90% (9 are needed): every set holds all grades.",
    )
    assert fewest_patients(0.1) == 9
    assert fewest_patients(0.05) == 19


def test_sets_of_networks_of_folds_say_so(rng):
    shares, grades = drawn(rng, 30)

    fitted = fit_conformal(held_out(shares, grades, folds=np.arange(30) % 3))

    assert fitted.out_of_fold
    assert "networks of folds" in fitted.warnings()[0]


def test_a_release_carries_it_through_json(rng):
    shares, grades = drawn(rng, 60)
    groups = ("here",) * 40 + ("there",) * 17 + ("nowhere",) * 3

    fitted = fit_conformal(held_out(shares, grades, groups=groups), alpha=ALPHA, by="source")

    assert Conformal.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


def test_the_column_of_sets_can_be_read_back_and_is_no_date():
    sets = np.array([[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=bool)

    assert grades_text(sets) == ["1 2 3", "0", "0 1 2 3 4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.0}, "alpha must lie between 0 and 1, got 1.0"),
        ({"alpha": "low"}, "alpha of conformal sets must be a number, got 'low'"),
        ({"threshold": 1.5}, "threshold of all must lie between 0 and 1, got 1.5"),
        ({"groups": {"here": -1.0}}, "threshold of here must lie between 0 and 1, got -1.0"),
        ({"unit": "eye"}, "unit must be one of photograph, patient, got 'eye'"),
        ({"more": 1}, "expected the keys .*, got .*more"),
    ],
)
def test_damaged_thresholds_are_refused(change, message):
    whole = Conformal(alpha=0.1, threshold=0.9, patients=99).to_dict()

    with pytest.raises(ValueError, match=message):
        Conformal.from_dict(whole | change)


def test_groups_that_are_needed_must_be_given(rng):
    shares, grades = drawn(rng, 20)
    fitted = fit_conformal(held_out(shares, grades, groups=("here",) * 20), by="source")

    with pytest.raises(ValueError, match="the source of each photograph is needed, got none"):
        fitted.sets(shares)
    with pytest.raises(ValueError, match="got 20 photographs and 1 groups"):
        fitted.sets(shares, groups=["here"])
    with pytest.raises(ValueError, match="the source of each held-out photograph is needed, got none"):
        fit_conformal(held_out(shares, grades), by="source")
    with pytest.raises(ValueError, match="unit must be one of"):
        fit_conformal(held_out(shares, grades), unit="eye")
    with pytest.raises(ValueError, match="held-out photographs are needed, got none"):
        fit_conformal(held_out(shares[:0], grades[:0]))
