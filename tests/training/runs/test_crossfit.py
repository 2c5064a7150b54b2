from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.decide.binary import fit_class_temperature, fit_sign
from fundoscope.errors import BadTable
from fundoscope.training.runs.crossfit import cross_fit, cross_fit_classes, cross_fit_signs


def table(rng: np.random.Generator, photos: int = 120) -> tuple[pd.DataFrame, np.ndarray]:
    grades = rng.integers(0, 5, photos)
    raw = (grades + rng.normal(0, 0.7, photos))[:, None]
    frame = pd.DataFrame(
        {"image": [f"{n}.jpg" for n in range(photos)], "raw0": raw[:, 0], "fold": np.arange(photos) % 3}
    )
    blank = {f"p{k}": np.zeros(photos) for k in range(5)}
    return frame.assign(**blank, p_referable=0.0, grade=0), grades


def test_a_folds_own_grades_do_not_move_its_answers(rng):
    frame, grades = table(rng)
    spoiled = np.where(frame["fold"] == 1, 4 - grades, grades)

    fair = cross_fit(frame, grades, "regression", sensitivity=0.9)
    other = cross_fit(frame, spoiled, "regression", sensitivity=0.9)

    mine = frame["fold"] == 1
    columns = ["p0", "p1", "p2", "p3", "p4", "p_referable", "grade", "decision"]
    pd.testing.assert_frame_equal(fair.loc[mine, columns], other.loc[mine, columns])
    assert not fair.loc[~mine, columns].equals(other.loc[~mine, columns])


def test_probabilities_and_decisions_are_filled(rng):
    frame, grades = table(rng)

    given = cross_fit(frame, grades, "regression", sensitivity=0.9)

    assert given[["p0", "p1", "p2", "p3", "p4"]].sum(axis=1).to_numpy() == pytest.approx(np.ones(len(frame)))
    assert set(given["decision"]) == {"refer", "rescreen"}
    assert np.mean(given.loc[grades >= 2, "decision"] == "refer") > 0.8


def test_a_single_fold_is_left_as_it_is(rng):
    frame, grades = table(rng)
    alone = frame[frame["fold"] == 0].reset_index(drop=True)

    pd.testing.assert_frame_equal(cross_fit(alone, grades[frame["fold"] == 0], "regression", sensitivity=0.9), alone)


def test_rounded_grades_are_the_nearest_to_what_is_expected(rng):
    frame, grades = table(rng)

    given = cross_fit(frame, grades, "regression", sensitivity=0.9, cuts="rounded")

    expected = given[["p0", "p1", "p2", "p3", "p4"]].to_numpy(np.float64) @ np.arange(5)
    assert given["grade"].tolist() == np.floor(expected + 0.5).astype(int).tolist()


def test_folds_whose_mean_cut_ranks_worse_than_chance_are_named(rng):
    grades = rng.integers(0, 5, 90)
    raw = -(grades[:, None] + rng.normal(size=(90, 4)))
    frame = pd.DataFrame({f"raw{k}": raw[:, k] for k in range(4)} | {"fold": np.arange(90) % 3})
    frame = frame.assign(**{f"p{k}": 0.0 for k in range(5)}, p_referable=0.0, grade=0)

    with pytest.raises(BadTable, match=r"fold 0: expected predictions of the other folds .* worse than chance"):
        cross_fit(frame, grades, "cumulative", sensitivity=0.9, score="mean")
    assert cross_fit(frame, grades, "cumulative", sensitivity=0.9)["decision"].notna().all()


def signs_table(rng: np.random.Generator, photos: int = 90) -> tuple[pd.DataFrame, np.ndarray]:
    """Two signs in three folds: the first is unknown in a quarter, the second present in fold 0 alone."""
    folds = np.arange(photos) % 3
    reference = np.stack([rng.integers(0, 2, photos), folds == 0], axis=1).astype(float)
    raw = 2 * reference - 2 + rng.normal(size=(photos, 2))
    reference[::4, 0] = np.nan
    return pd.DataFrame({"image": range(photos), "raw0": raw[:, 0], "raw1": raw[:, 1], "fold": folds}), reference


def test_a_fold_s_signs_are_decided_by_what_the_other_folds_say(rng):
    frame, reference = signs_table(rng)
    raw = frame[["raw0", "raw1"]].to_numpy()

    answers = cross_fit_signs(frame, reference, ("a", "b"), sensitivity=0.9)

    for fold in range(3):
        mine, others = frame["fold"] == fold, frame["fold"] != fold
        temperature, threshold = fit_sign(raw[others, 0], reference[others, 0], sensitivity=0.9)
        shares = 1 / (1 + np.exp(-raw[mine, 0] / temperature))
        assert answers.loc[mine, "p_a"].to_numpy() == pytest.approx(shares)
        assert answers.loc[mine, "sign_a"].tolist() == (shares >= threshold).astype(int).tolist()
    # Thresholds of a sensitivity of 90 % are no halves.
    assert (answers["sign_a"] != (answers["p_a"] >= 0.5)).any()


def test_a_sign_that_the_other_folds_do_not_have_stays_uncalibrated(rng):
    frame, reference = signs_table(rng)

    answers = cross_fit_signs(frame, reference, ("a", "b"), sensitivity=0.9)

    mine = frame["fold"] == 0
    assert answers.loc[mine, "p_b"].to_numpy() == pytest.approx(1 / (1 + np.exp(-frame.loc[mine, "raw1"].to_numpy())))
    assert answers.loc[mine, "sign_b"].tolist() == (frame.loc[mine, "raw1"] >= 0).astype(int).tolist()


def test_classes_are_given_the_temperature_of_the_other_folds(rng):
    classes, folds = rng.integers(0, 3, 90), np.arange(90) % 2
    raw = 4 * np.eye(3)[classes] + 3 * rng.normal(size=(90, 3))
    frame = pd.DataFrame({"fold": folds, **{f"raw{k}": raw[:, k] for k in range(3)}})

    answers = cross_fit_classes(frame, classes, ("x", "y", "z"))

    temperature = fit_class_temperature(raw[folds == 1], classes[folds == 1])
    powers = np.exp(raw[folds == 0] / temperature)
    shares = powers / powers.sum(axis=1, keepdims=True)
    assert temperature != pytest.approx(1, abs=0.05)
    assert answers.loc[folds == 0, ["p_x", "p_y", "p_z"]].to_numpy() == pytest.approx(shares)
