from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.training.runs.crossfit import cross_fit


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
