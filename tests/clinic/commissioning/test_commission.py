"""The commissioning bound: its coverage over many drawn sites."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fundoscope.clinic.commissioning.commission import Patients, Terms, choose_threshold, commission
from fundoscope.clinic.commissioning.planning import positives_needed, sample_size
from fundoscope.decide.referral import SCORE_TOLERANCE, fit_threshold, threshold_at

SITES = 2000


def test_fewer_than_23_referable_patients_guarantee_nothing():
    assert positives_needed(sensitivity=0.85, confidence=0.975) == 23
    assert choose_threshold(np.linspace(0.5, 1, 22), sensitivity=0.85, confidence=0.975) is None
    chosen = choose_threshold(np.linspace(0.5, 1, 23), sensitivity=0.85, confidence=0.975)
    assert chosen is not None
    assert (chosen.rank, chosen.threshold) == (1, threshold_at(0.5))


def shortfall(draw, survival, *, sensitivity: float, confidence: float, rng: np.random.Generator) -> float:
    """Share of the sites whose true sensitivity at the chosen threshold is below the wanted one."""
    below = 0
    for _ in range(SITES):
        chosen = choose_threshold(draw(int(rng.integers(40, 160)), rng), sensitivity=sensitivity, confidence=confidence)
        assert chosen is not None
        assert chosen.low >= sensitivity - 1e-12
        below += survival(chosen.threshold) < sensitivity
    return below / SITES


SITE_KINDS = {
    "no two scores alike": (lambda n, rng: rng.uniform(size=n), lambda t: 1 - t),
    "scores rounded to a tenth": (lambda n, rng: np.floor(rng.uniform(size=n) * 10) / 10, lambda t: 1 - t),
    "one to three photographs a patient": (
        lambda n, rng: rng.uniform(size=n) ** (1 / rng.integers(1, 4, size=n)),
        lambda t: np.mean([1 - t**photos for photos in (1, 2, 3)]),
    ),
    "one in twenty cannot be graded": (
        lambda n, rng: np.where(rng.uniform(size=n) < 0.05, np.inf, rng.uniform(size=n)),
        lambda t: 0.05 + 0.95 * (1 - t),
    ),
}


@pytest.mark.parametrize("kind", SITE_KINDS)
@pytest.mark.parametrize(("sensitivity", "confidence"), [(0.85, 0.975), (0.8, 0.9)])
def test_a_site_is_promised_too_much_no_more_often_than_it_was_told(kind, sensitivity, confidence, rng):
    draw, survival = SITE_KINDS[kind]

    found = shortfall(draw, survival, sensitivity=sensitivity, confidence=confidence, rng=rng)

    doubt = 1 - confidence
    assert found <= doubt + 3 * math.sqrt(doubt * confidence / SITES)


def test_a_threshold_that_just_finds_the_wanted_share_promises_too_much_every_second_time(rng):
    """What commissioning is there to avoid; also shows that the simulation above can fail."""
    everybody = np.ones(80, dtype=bool)
    below = [1 - fit_threshold(rng.uniform(size=80), everybody, sensitivity=0.85) < 0.85 for _ in range(1000)]

    assert 0.3 < np.mean(below) < 0.7


def site(rng: np.random.Generator, *, positives: int = 80, negatives: int = 120) -> Patients:
    """Scores u of the healthy, and the square root of u of the referable; nobody is ungradable."""
    referable = np.arange(positives + negatives) < positives
    scores = rng.uniform(size=len(referable))
    return Patients(
        np.where(referable, np.sqrt(scores), scores),
        np.zeros(len(referable), dtype=bool),
        referable,
        np.arange(len(referable)) < positives // 2,
    )


def test_specificity_and_predictive_values_are_covered_although_the_threshold_was_chosen(rng):
    held = {"specificity": 0, "ppv": 0, "npv": 0, "referred": 0}
    sites = 250
    for _ in range(sites):
        found = commission(site(rng), Terms(), prevalence=0.2)
        clear, hit = found.threshold, 1 - found.threshold**2
        truth = {
            "specificity": clear,
            "ppv": 0.2 * hit / (0.2 * hit + 0.8 * (1 - clear)),
            "npv": 0.8 * clear / (0.8 * clear + 0.2 * (1 - hit)),
            "referred": 0.2 * hit + 0.8 * (1 - clear),
        }
        for name, value in truth.items():
            interval = found.figures.specificity if name == "specificity" else getattr(found.expected, name)
            held[name] += interval.low <= value <= interval.high

    assert all(share / sites >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / sites) for share in held.values()), held


def test_the_threshold_does_not_look_at_the_healthy(rng):
    seen = site(rng)
    others = Patients(np.where(seen.referable, seen.scores, 0.3), seen.ungradable, seen.referable, seen.threatening)

    assert commission(seen, Terms()).threshold == commission(others, Terms()).threshold


def test_stretching_the_scores_stretches_the_threshold_and_changes_nobody(rng):
    seen = site(rng)
    stretched = Patients(seen.scores**3, seen.ungradable, seen.referable, seen.threatening)
    first, second = commission(seen, Terms()), commission(stretched, Terms())

    assert second.threshold == pytest.approx(first.threshold**3, abs=3 * SCORE_TOLERANCE)
    assert second.figures == first.figures


def test_who_looks_three_times_is_promised_less_each_time(rng):
    seen = site(rng)
    once, thrice = commission(seen, Terms()), commission(seen, Terms(looks=3))

    assert Terms(looks=3).confidence_each == pytest.approx(1 - 0.025 / 3)
    assert thrice.threshold < once.threshold
    assert thrice.figures.sensitivity.confidence == Terms(looks=3).confidence_each


def test_too_few_referable_patients_are_told_how_many_more(rng):
    found = commission(site(rng, positives=20), Terms())

    assert (found.guaranteed, found.threshold, found.positives_missing) == (False, None, 3)
    assert (found.figures, found.expected) == (None, None)


def test_who_cannot_be_graded_is_referred_and_shown_the_other_way(rng):
    seen = site(rng)
    ungradable = np.arange(200) % 10 == 0
    found = commission(
        Patients(np.where(ungradable, -np.inf, seen.scores), ungradable, seen.referable, seen.threatening), Terms()
    )

    lost = int((ungradable & seen.referable).sum())
    assert found.otherwise.sensitivity.hits == found.figures.sensitivity.hits - lost
    assert found.otherwise.spared == found.figures.spared + int((ungradable & ~seen.referable).sum())


def test_where_all_of_the_referable_cannot_be_graded_the_strictest_threshold_will_do():
    referable = np.arange(60) < 40
    patients = Patients(np.where(referable, -np.inf, 0.2), referable, referable, referable)
    found = commission(patients, Terms())

    assert (found.guaranteed, found.threshold, found.figures.spared) == (True, 1.0, 20)


def test_a_cut_of_grades_is_not_chosen_but_only_judged():
    referable = np.arange(250) < 150
    grades = np.where(referable, 2.0, 0.0)
    grades[:13] = 1
    patients = Patients(grades, np.zeros(250, dtype=bool), referable, np.arange(250) < 30)

    enough = commission(patients, Terms(), fixed=2.0)
    assert (enough.guaranteed, enough.chosen, enough.rank, enough.figures.sensitivity.hits) == (True, False, None, 137)

    grades[13] = 1
    one_less = commission(patients, Terms(), fixed=2.0)
    assert not one_less.guaranteed
    assert one_less.positives_missing == sample_size(136 / 150, wanted=0.85) - 150

    grades[14:40] = 1
    assert commission(patients, Terms(), fixed=2.0).positives_missing is None


def test_a_site_without_healthy_patients_gets_its_guarantee_but_no_specificity():
    everybody = np.ones(60, dtype=bool)
    found = commission(Patients(np.linspace(0, 1, 60), ~everybody, everybody, everybody), Terms())

    assert found.guaranteed
    assert math.isnan(found.figures.specificity.estimate)
    assert found.expected is None


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"sensitivity": 1.0}, r"sensitivity must lie between 0 and 1, got 1\.0"),
        ({"confidence": 0.2}, r"confidence must be at least 0\.5 and below 1, got 0\.2"),
        ({"looks": 0}, "looks must be at least 1, got 0"),
    ],
)
def test_terms_that_nobody_can_mean_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        Terms(**terms)


def test_what_cannot_be_computed_is_refused(rng):
    nobody = np.zeros(5, dtype=bool)
    with pytest.raises(ValueError, match="at least one referable patient is needed, got none"):
        commission(Patients(np.ones(5), nobody, nobody, nobody), Terms())
    with pytest.raises(ValueError, match=r"prevalence must lie between 0 and 1, got 1\.5"):
        commission(site(rng), Terms(), prevalence=1.5)
    with pytest.raises(ValueError, match="scores must be numbers, got 1 NaN"):
        choose_threshold(np.array([0.5, np.nan]), sensitivity=0.85, confidence=0.975)
