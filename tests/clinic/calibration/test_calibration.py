"""Calibration on held-out photographs: cross-fitted, by patient, and honest where it does not help."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fundoscope.clinic.calibration.calibration import calibrate, folds_of
from fundoscope.clinic.calibration.retinascan import preset, with_both_heads
from fundoscope.clinic.calibration.source import Settings, Source
from fundoscope.decide.heads import probabilities
from fundoscope.decide.held_out import HeldOut
from fundoscope.errors import BadTable


def asked_of(rng: np.random.Generator, patients: int = 150, *, sharpened: float = 3.0) -> HeldOut:
    """Two photographs of each patient; logits are right before they are sharpened."""
    logits = 1.5 * rng.normal(size=(2 * patients, 5))
    grades = np.array([rng.choice(5, p=row) for row in probabilities("softmax", logits)])
    return HeldOut(probabilities("softmax", sharpened * logits), grades, np.repeat(np.arange(patients), 2))


def calibrated_with(held: HeldOut, rng: np.random.Generator, **settings: object):
    source = Source(held.probabilities, held.probabilities)
    return calibrate(held, source, Settings(**({"method": "temperature"} | settings)), rng=rng, resamples=200)


def test_sharpened_probabilities_get_better_on_other_patients_and_right_ones_do_not(rng):
    mended = calibrated_with(asked_of(rng), rng)
    loss = mended.figures["log_loss"]["change"]
    assert loss.high < 0
    assert not mended.worse
    assert all(abs(1 / each - 3) < 0.6 for each in mended.fit.calibrator.factors)

    fine = calibrated_with(asked_of(rng, sharpened=1.0), rng, method="cuts")
    assert fine.figures["log_loss"]["change"].high > 0
    assert not fine.worse or any("no reason to change" in warning for warning in fine.warnings())


def test_the_difference_is_after_minus_before(rng):
    for of in calibrated_with(asked_of(rng, 40), rng).figures.values():
        assert of["change"].estimate == pytest.approx(of["after"].estimate - of["before"].estimate)


def test_sets_cover_on_folds_that_their_thresholds_were_not_from(rng):
    coverage = calibrated_with(asked_of(rng, 300), rng, alpha=0.2).coverage

    assert coverage.all.low < 0.8 < coverage.all.high
    assert sum(coverage.sizes) == pytest.approx(1)
    assert coverage.mean_size == pytest.approx(sum(size * share for size, share in enumerate(coverage.sizes, 1)))
    # Two photographs of each patient: the share is the same over patients and over photographs.
    photographs = sum(count for _, count in coverage.grades.values())
    assert sum(share * count for share, count in coverage.grades.values()) / photographs == pytest.approx(
        coverage.all.estimate
    )


def test_nobody_is_answered_by_what_was_fitted_on_her(rng):
    """A fold whose grades are turned round is measured by the others' calibration, and spoils theirs alone."""
    held = asked_of(rng, 60)
    seen: list[int] = []

    class Spy(Source):
        def fit(self, scores, grades, settings):
            seen.append(len(scores))
            return super().fit(scores, grades, settings)

    calibrate(held, Spy(held.probabilities, held.probabilities), Settings(method="vector"), rng=rng, resamples=20)

    assert seen[:5] == [96] * 5
    assert seen[5:] == [120]  # what is handed on


def test_folds_of_the_predictions_are_kept_unless_they_tear_a_patient_apart(rng):
    held = asked_of(rng, 30)
    own = np.repeat(np.arange(30) % 3, 2)
    torn = np.arange(60) % 2

    kept, mine = folds_of(HeldOut(held.probabilities, held.grades, held.patients, folds=own), rng)
    np.testing.assert_array_equal(kept, own)
    assert mine
    dealt, mine = folds_of(HeldOut(held.probabilities, held.grades, held.patients, folds=torn), rng)
    assert not mine
    assert all(len(np.unique(dealt[held.patients == patient])) == 1 for patient in range(30))
    assert np.bincount(dealt).tolist() == [12] * 5


def test_too_few_patients_or_none_with_the_disease_are_refused(rng):
    held = asked_of(rng, 4)
    with pytest.raises(BadTable, match=r"expected at least 5 patients.*got 4"):
        calibrated_with(HeldOut(held.probabilities, np.full(8, 3), held.patients), rng)
    with pytest.raises(BadTable, match="expected photographs of grade 2 or above"):
        calibrated_with(HeldOut(held.probabilities, np.zeros(8, np.int64), held.patients), rng)
    few = asked_of(rng, 10)
    grades = np.where(np.arange(20) == 0, 0, 3)
    with pytest.raises(BadTable, match="enough to fit platt on each part of 5 folds"):
        calibrated_with(HeldOut(few.probabilities, grades, few.patients), rng, method="platt")


@pytest.fixture
def two_heads(rng) -> pd.DataFrame:
    """Rows as joined, of a network with prototypes and cuts."""
    grades = rng.integers(0, 5, size=80)
    scores = 2 * np.eye(5)[grades] + rng.normal(size=(80, 5))
    cuts = 4 * (grades[:, None] - np.arange(4) - 0.5) + 2 + rng.normal(size=(80, 4))
    columns = {f"raw{k}": scores[:, k] for k in range(5)} | {f"cut{k}": cuts[:, k] for k in range(4)}
    shares = {f"p{k}": probabilities("prototype", scores)[:, k] for k in range(5)}
    return pd.DataFrame({"image": [f"{at}.jpg" for at in range(80)], "grade": grades, **columns, **shares})


def test_retinascans_preset_moves_its_thresholds_to_where_grades_part(two_heads, rng, tmp_path):
    held = with_both_heads(two_heads, held_out=True, path=tmp_path)
    found, figures = preset(held, rng=rng, resamples=100)

    np.testing.assert_allclose(found.thresholds, 2, atol=1.2)
    assert figures["quadratic_kappa"]["change"].estimate > 0
    assert figures["prototypes_log_loss"]["change"].estimate < 0


def test_retinascans_preset_needs_both_heads(two_heads, tmp_path):
    with pytest.raises(BadTable, match="the cut logits in cut0 to cut3"):
        with_both_heads(two_heads.drop(columns="cut2"), held_out=True, path=tmp_path)
    with pytest.raises(BadTable, match="out-of-fold"):
        with_both_heads(two_heads, held_out=False, path=tmp_path)
