"""DeLong's variance, against the definition in loops, published figures and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fundoscope.evaluation.statistics.delong import DELONG, OBUCHOWSKI, auroc_difference, delong, placements
from fundoscope.evaluation.statistics.detection import auroc


@pytest.fixture
def two(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two systems' scores with ties, and patients with two photographs."""
    positive = rng.uniform(size=80) < 0.4
    first = (rng.normal(size=80) + positive).round(1)
    return positive, np.stack([first, (first + rng.normal(size=80)).round(1)]), np.arange(80) // 2


def kernel(a: float, b: float) -> float:
    return (a > b) + (a == b) / 2


def slow_covariance(positive, scores, patients) -> np.ndarray:
    """Obuchowski's formulas, pair by pair."""
    above = [[np.mean([kernel(a, b) for b in row[~positive]]) for a in row[positive]] for row in scores]
    below = [[np.mean([kernel(a, b) for a in row[positive]]) for b in row[~positive]] for row in scores]
    areas = [np.mean(each) for each in above]
    m, n, everyone = int(positive.sum()), int((~positive).sum()), sorted(set(patients.tolist()))
    sick, well = set(patients[positive].tolist()), set(patients[~positive].tolist())

    def part(values, owners, system, patient):
        mine = [value for value, owner in zip(values[system], owners, strict=True) if owner == patient]
        return sum(mine) - len(mine) * areas[system]

    found = np.zeros((2, 2))
    for r in range(2):
        for s in range(2):
            x = [[part(above, patients[positive], k, each) for each in everyone] for k in (r, s)]
            y = [[part(below, patients[~positive], k, each) for each in everyone] for k in (r, s)]
            s10 = len(sick) / ((len(sick) - 1) * m) * np.dot(x[0], x[1])
            s01 = len(well) / ((len(well) - 1) * n) * np.dot(y[0], y[1])
            ratio = len(everyone) / (len(everyone) - 1)
            s11 = ratio * (np.dot(x[0], y[1]) + np.dot(x[1], y[0]))
            found[r, s] = s10 / m + s01 / n + s11 / (m * n)
    return found


@pytest.mark.parametrize("repeated", [False, True])
def test_covariances_are_those_of_the_slow_loops(two, repeated):
    positive, scores, patients = two
    patients = patients if repeated else np.arange(80)

    ours = delong(positive, scores, patients)

    assert ours.covariance == pytest.approx(slow_covariance(positive, scores, patients), abs=1e-12)
    assert ours.method == (OBUCHOWSKI if repeated else DELONG)


def test_where_nobody_repeats_it_is_the_covariance_of_the_placements(two):
    """DeLong's own form: cov(V10) / m + cov(V01) / n."""
    positive, scores, _ = two
    above, below = placements(positive, scores)

    ours = delong(positive, scores, np.arange(80)).covariance

    assert ours == pytest.approx(np.cov(above) / positive.sum() + np.cov(below) / (~positive).sum(), abs=1e-12)


def test_the_auroc_is_ours(two):
    positive, scores, patients = two

    assert delong(positive, scores, patients).values.tolist() == pytest.approx(
        [auroc(positive, row) for row in scores], abs=1e-12
    )


def test_equals_the_published_figures_of_the_109_tomograms():
    """Hanley & McNeil 1982, Table I; area, DeLong error and interval as Stata's manual of `roctab` prints them."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    scores = np.repeat(np.tile(np.arange(5.0), 2), normal + abnormal)
    positive = np.repeat([False, True], [58, 51])

    ours = delong(positive, scores[None], np.arange(109))

    assert ours.values[0] == pytest.approx(0.8932, abs=5e-5)
    assert math.sqrt(ours.covariance[0, 0]) == pytest.approx(0.0307, abs=5e-5)
    assert ours.interval(0) == pytest.approx((0.83295, 0.95339), abs=5e-6)


OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
"""Albumin, total protein, Krebs-Goplerud score and whether surgery helped, of each patient."""


def test_equals_the_papers_own_example_of_three_tests_on_the_same_patients():
    """DeLong et al. 1988, 43 patients; areas and differences as SAS/STAT's manual of LOGISTIC has them."""
    albumin, protein, score, helped = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T

    ours = delong(helped == 1, np.stack([10 - score, albumin, protein]), np.arange(43))

    assert ours.values.tolist() == pytest.approx([0.7258, 0.7366, 0.6478], abs=5e-5)
    assert np.sqrt(np.diag(ours.covariance)).tolist() == pytest.approx([0.1028, 0.0927, 0.1000], abs=5e-5)
    for other, difference, bounds, p in (
        (1, 0.0108, (-0.1761, 0.1976), 0.9102),
        (2, -0.0780, (-0.2830, 0.1271), 0.4561),
    ):
        found = auroc_difference(ours, other, 0)
        assert found.estimate == pytest.approx(difference, abs=5e-5)
        assert (found.low, found.high) == pytest.approx(bounds, abs=5e-5)
        assert found.p == pytest.approx(p, abs=5e-5)


def test_photographing_every_eye_again_teaches_nothing(two):
    positive, scores, patients = two

    once, again = (delong(np.tile(positive, k), np.tile(scores, k), np.tile(patients, k)) for k in (1, 3))

    assert again.covariance == pytest.approx(once.covariance, rel=1e-10)


def test_a_system_does_not_differ_from_itself_nor_from_itself_on_another_scale(two):
    positive, scores, patients = two

    both = delong(positive, np.stack([scores[0], np.exp(scores[0])]), patients)

    assert auroc_difference(both, 0, 1).p == 1
    assert (auroc_difference(both, 0, 1).low, auroc_difference(both, 0, 1).high) == (0, 0)


def test_changing_sides_changes_the_sign_and_not_the_p_value(two):
    of = delong(*two)

    there, back = auroc_difference(of, 0, 1), auroc_difference(of, 1, 0)

    assert (back.estimate, back.low, back.high, back.p) == pytest.approx(
        (-there.estimate, -there.high, -there.low, there.p)
    )


def test_equal_systems_are_called_different_as_often_as_the_level_says(rng):
    """Two photographs of each patient share an effect: the clustered test keeps 5 %."""
    wrong = 0
    for _ in range(400):
        patients = np.arange(120) // 2
        positive, shared = rng.uniform(size=60)[patients] < 0.4, rng.normal(size=(2, 60))[:, patients]
        scores = positive + shared + rng.normal(size=(2, 120)) / 3
        wrong += auroc_difference(delong(positive, scores, patients), 0, 1).p < 0.05
    assert 0.02 <= wrong / 400 <= 0.08


def test_without_spread_or_without_a_side_there_is_no_interval():
    perfect = delong(np.array([False, False, True, True]), np.arange(4.0)[None], np.arange(4))
    nobody = delong(np.ones(3, bool), np.arange(3.0)[None], np.arange(3))
    one_sick = delong(np.array([False, False, True]), np.arange(3.0)[None], np.arange(3))

    assert perfect.values[0] == 1
    assert all(math.isnan(each.interval(0)[0]) for each in (perfect, nobody, one_sick))
    assert math.isnan(auroc_difference(delong(np.ones(3, bool), np.zeros((2, 3)), np.arange(3)), 0, 1).p)
