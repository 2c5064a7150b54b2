"""Several systems on the same patients."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fundoscope.decide.kappa import kappa
from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.statistics.interval import patient_interval
from fundoscope.evaluation.systems import ANSWERS, OF_GRADES, RIGHT, STATISTICS, compare_systems, shared_answers


def system(rng: np.random.Generator, noise: float) -> Cases:
    """120 photographs of 60 patients; the same reference always, answers better or worse."""
    reference = np.arange(120) * 7 % 5
    shares = rng.dirichlet(np.full(5, 0.5), 120) * noise
    shares[np.arange(120), reference] += 1
    shares /= shares.sum(axis=1, keepdims=True)
    return Cases(
        reference=reference,
        answered=shares.argmax(axis=1),
        probabilities=shares,
        p_referable=shares[:, 2:].sum(axis=1),
        decision=("",) * 120,
        status=("graded",) * 120,
        patients=np.arange(120) // 2,
        without_patient=0,
    )


def compared(*systems: Cases, **options):
    return compare_systems(systems, rng=np.random.default_rng(3), resamples=200, **options)


def repeated(cases: Cases) -> Cases:
    """Every photograph twice."""
    arrays = ("reference", "answered", "probabilities", "p_referable", "patients")
    twice = {name: np.concatenate([getattr(cases, name)] * 2) for name in arrays}
    return replace(cases, **twice, status=cases.status * 2, decision=cases.decision * 2)


@pytest.fixture
def three(rng) -> tuple[Cases, Cases, Cases]:
    return system(rng, 1.2), system(rng, 2.5), system(rng, 4)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_a_system_does_not_differ_from_itself(three, method):
    found = compared(three[1], three[1], method=method).against[0]

    for name, interval in found.differences.items():
        assert interval.estimate == 0, name
        # Resamples that are all 0 say nothing of how far 0 is certain.
        assert math.isnan(interval.low), name
        assert math.isnan(interval.high), name
    assert {each.p for each in found.delong.values()} == {1}
    assert {each.p_exact for each in found.mcnemar.values()} == {1}


def test_the_difference_is_that_of_the_slow_loop(three):
    first, second, _ = three

    ours = compared(first, second, method="percentile").against[0].differences["quadratic kappa"]

    def difference(drawn, both):
        return kappa(drawn, both[:, 0]) - kappa(drawn, both[:, 1])

    slow = patient_interval(
        difference,
        first.reference,
        np.stack([first.answered, second.answered], axis=1),
        first.patients,
        rng=np.random.default_rng(3),
        resamples=200,
    )
    assert (ours.estimate, ours.low, ours.high) == pytest.approx((slow.estimate, slow.low, slow.high))


def test_a_third_system_changes_nothing_but_the_correction(three):
    two, all_three = compared(*three[:2]), compared(*three)

    assert all_three.against[0] == two.against[0]
    assert (two.family, all_three.family) == (5, 10)
    for name, p in two.holm[0].items():
        assert all_three.holm[0][name] >= p


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_photographing_every_eye_again_changes_neither_interval_nor_test(three, method):
    once = compared(*three[:2], method=method).against[0]
    again = compared(*(repeated(each) for each in three[:2]), method=method).against[0]

    for name in STATISTICS:
        ours, theirs = again.differences[name], once.differences[name]
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9, nan_ok=True), name
    for name, test in once.delong.items():
        assert again.delong[name].p == pytest.approx(test.p)
    assert again.mcnemar == once.mcnemar


def test_mcnemar_counts_patients_by_their_worst_grade(three):
    """The second eye's healthier grade does not matter, right or wrong."""
    first = replace(three[0], reference=np.tile([4, 0], 60), answered=np.tile([4, 0], 60))
    second = replace(first, answered=np.tile([4, 3], 60))
    third = replace(first, answered=np.tile([3, 0], 60))

    found = compared(first, second, third)

    assert found.against[0].mcnemar[RIGHT[0]].p_exact == 1
    assert (found.against[1].mcnemar[RIGHT[0]].only_first, found.against[1].mcnemar[RIGHT[1]].only_first) == (60, 0)


def test_holm_never_lowers_a_p_value(three):
    found = compared(*three)

    for against, corrected in zip(found.against, found.holm, strict=True):
        for name, test in against.delong.items():
            assert corrected[name] >= test.p
        for name, each in against.mcnemar.items():
            assert corrected[name] >= each.p_exact


def test_without_referable_patients_the_rest_is_still_compared(three):
    healthy = [replace(each, reference=np.zeros(120, int)) for each in three[:2]]

    found = compared(*healthy)

    assert math.isnan(found.against[0].differences["AUROC referable"].estimate)
    assert not math.isnan(found.against[0].differences["accuracy"].low)
    assert found.family == 2


def test_one_system_alone_is_refused(three):
    with pytest.raises(ValueError, match=r"systems must be at least two, got 1"):
        compared(three[0])


def only(cases: Cases, kind: str) -> Cases:
    """A foreign system that says nothing but a grade, or nothing but a referable score."""
    count = len(cases.reference)
    bare = replace(cases, probabilities=np.full((count, 5), np.nan))
    return (
        replace(bare, p_referable=np.full(count, np.nan))
        if kind == "grade"
        else replace(bare, answered=np.full(count, -1))
    )


def test_a_system_of_grades_alone_is_compared_with_ours_in_what_grades_tell(three):
    ours, foreign = compared(three[0], three[1]).against[0], compared(three[0], only(three[1], "grade")).against[0]

    assert {name for name, each in foreign.differences.items() if not math.isnan(each.estimate)} == set(OF_GRADES)
    assert {name: foreign.differences[name] for name in OF_GRADES} == {
        name: ours.differences[name] for name in OF_GRADES
    }
    assert (foreign.mcnemar, foreign.delong) == (ours.mcnemar, {})


def test_a_system_of_a_referable_score_alone_is_compared_with_ours_in_its_auroc(three):
    ours, found = compared(three[0], three[1]), compared(three[0], only(three[1], "referable score"))
    foreign = found.against[0]

    assert {name for name, each in foreign.differences.items() if not math.isnan(each.estimate)} == {"AUROC referable"}
    assert foreign.differences["AUROC referable"] == ours.against[0].differences["AUROC referable"]
    assert foreign.delong == {"AUROC referable": ours.against[0].delong["AUROC referable"]}
    assert (foreign.mcnemar, found.family) == ({}, 1)


def test_photographs_to_compare_on_are_those_with_all_that_every_system_tells(three):
    """The second gives probabilities for the first 60 photographs, the third only grades, of all but ten."""
    half = np.arange(120) < 60
    second = replace(
        three[1],
        probabilities=np.where(half[:, None], three[1].probabilities, np.nan),
        p_referable=np.where(half, three[1].p_referable, np.nan),
    )
    third = only(replace(three[2], answered=np.where(np.arange(120) < 110, three[2].answered, -1)), "grade")

    kinds, answered = shared_answers([three[0], second])
    assert (kinds, [int(each.sum()) for each in answered]) == (ANSWERS, [120, 60])
    kinds, answered = shared_answers([three[0], second, third])
    assert (kinds, [int(each.sum()) for each in answered]) == (("grade",), [120, 120, 110])
    kinds, answered = shared_answers([only(three[0], "referable score"), third])
    assert (kinds, [int(each.sum()) for each in answered]) == ((), [0, 0])
