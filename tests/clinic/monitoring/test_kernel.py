"""The kernel two-sample test: against its formula in loops, and as often wrong as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fundoscope.clinic.monitoring import kernel
from fundoscope.clinic.monitoring.kernel import compare_features, median_distance, patient_kernel, squared_discrepancies


def patients_drawn(
    rng: np.random.Generator, count: int, *, shift: float = 0.0, most: int = 4, alike: float = 0.95
) -> list[np.ndarray]:
    """Patients with one to `most` photographs, which resemble one another more than another patient's."""
    own, each = math.sqrt(alike), math.sqrt(1 - alike)
    return [
        shift + own * rng.normal(size=3) + each * rng.normal(size=(int(rng.integers(1, most + 1)), 3))
        for _ in range(count)
    ]


def by_the_formula(before: list[np.ndarray], now: list[np.ndarray], bandwidth: float) -> float:
    """Gretton et al. 2012, equation 3, with a patient's kernel the mean over photographs; nothing but loops."""

    def alike(first: np.ndarray, second: np.ndarray) -> float:
        values = [math.exp(-(math.dist(x, y) ** 2) / (2 * bandwidth**2)) for x in first for y in second]
        return sum(values) / len(values)

    def within(group: list[np.ndarray]) -> float:
        pairs = [alike(a, b) for i, a in enumerate(group) for j, b in enumerate(group) if i != j]
        return sum(pairs) / (len(group) * (len(group) - 1))

    across = [alike(a, b) for a in before for b in now]
    return within(before) + within(now) - 2 * sum(across) / len(across)


@pytest.mark.parametrize("sizes", [(2, 3), (7, 5)])
def test_the_discrepancy_is_that_of_the_paper(sizes, rng, monkeypatch):
    monkeypatch.setattr(kernel, "_ROWS", 3)  # so that blocks end inside a patient
    before, now = patients_drawn(rng, sizes[0]), patients_drawn(rng, sizes[1], shift=0.5)
    found = compare_features(before, now, rng, permutations=19)

    assert found.squared == pytest.approx(by_the_formula(before, now, found.bandwidth), abs=1e-12)


def test_the_bandwidth_is_the_median_distance_and_identical_photographs_are_no_change(rng):
    assert median_distance([np.array([[0.0]]), np.array([[1.0], [50.0]]), np.array([[5.0]])]) == 4
    same = [np.ones((2, 3))] * 4
    found = compare_features(same, same, rng, permutations=99)

    assert (found.squared, found.p_value, found.bandwidth) == (pytest.approx(0), 1, 1)


def test_a_second_copy_of_a_photograph_changes_nothing(rng):
    before, now = patients_drawn(rng, 6), patients_drawn(rng, 6)
    doubled = [np.repeat(each, 2, axis=0) for each in now]

    kernels = [patient_kernel([*before, *group], 1.3) for group in (now, doubled)]
    np.testing.assert_allclose(kernels[0], kernels[1], atol=1e-12)


def test_without_a_change_every_p_value_is_as_likely_as_any_other(rng):
    found = [
        compare_features(patients_drawn(rng, 14), patients_drawn(rng, 10), rng, permutations=99).p_value
        for _ in range(300)
    ]
    steps = np.round(np.array(found) * 100)

    for level in (5, 10, 25, 50, 75):
        share = level / 100
        assert abs((steps <= level).mean() - share) < 3.5 * math.sqrt(share * (1 - share) / 300), level


def test_another_camera_is_seen(rng):
    found = compare_features(patients_drawn(rng, 60), patients_drawn(rng, 60, shift=0.8), rng, permutations=199)

    assert found.p_value == 1 / 200


def test_all_divisions_at_once_are_each_alone(rng):
    gram = patient_kernel(patients_drawn(rng, 9), 1.0)
    later = rng.permuted(np.tile(np.arange(9) >= 5, (20, 1)), axis=1)

    alone = [float(squared_discrepancies(gram, each[None])[0]) for each in later]
    np.testing.assert_allclose(squared_discrepancies(gram, later), alone, atol=1e-13)


def test_one_patient_is_no_group(rng):
    with pytest.raises(ValueError, match="at least two patients of each are needed, got 1 and 5"):
        compare_features(patients_drawn(rng, 1), patients_drawn(rng, 5), rng, permutations=9)
