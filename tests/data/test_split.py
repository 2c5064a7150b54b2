"""No patient on two sides, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.data.split import fold_by_patient, split_by_patient


@st.composite
def manifests(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(4, 40))
    patients = [draw(st.sampled_from([None, *"abcdefgh"])) for _ in range(count)]
    grades = [draw(st.sampled_from([None, 0, 1, 2, 3, 4])) for _ in range(count)]
    return pd.DataFrame(
        {
            "image": [f"{k}.jpg" for k in range(count)],
            "patient": pd.Series(patients, dtype=object),
            "grade": pd.array(grades, dtype="Int64"),
        }
    )


def clinic(rng: np.random.Generator, patients: int = 300) -> pd.DataFrame:
    owner = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    grades = rng.choice(5, p=[0.4, 0.08, 0.3, 0.14, 0.08], size=patients)
    return pd.DataFrame(
        {
            "image": [f"{k}.jpg" for k in range(len(owner))],
            "patient": [f"p{each}" for each in owner],
            "grade": pd.array(grades[owner], dtype="Int64"),
        }
    )


@settings(deadline=None, max_examples=60)
@given(frame=manifests(), seed=st.integers(0, 2**32 - 1), salt=st.text(max_size=3))
def test_no_patient_is_on_two_sides_and_the_order_of_rows_does_not_matter(frame, seed, salt):
    mixed = frame.sample(frac=1, random_state=seed)

    sides, again = split_by_patient(frame, salt=salt), split_by_patient(mixed, salt=salt)

    assert (sides.groupby("patient")["split"].nunique() <= 1).all()
    assert again["split"].sort_index().tolist() == sides["split"].tolist()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), folds=st.integers(2, 8))
def test_folds_do_not_depend_on_the_order_of_rows_and_keep_patients_whole(seed, folds):
    frame = clinic(np.random.default_rng(seed), patients=30)
    mixed = frame.sample(frac=1, random_state=seed)

    ours, again = fold_by_patient(frame, folds=folds), fold_by_patient(mixed, folds=folds)

    assert (ours.groupby("patient")["fold"].nunique() == 1).all()
    assert again["fold"].sort_index().tolist() == ours["fold"].tolist()
    assert set(ours["fold"]) == set(range(folds))


def test_every_side_gets_its_share_of_the_patients_of_every_grade(rng):
    frame = split_by_patient(clinic(rng), shares={"train": 0.6, "val": 0.2, "test": 0.2})

    worst = frame.groupby("patient").agg({"grade": "max", "split": "first"})
    counts = pd.crosstab(worst["grade"], worst["split"])
    for grade, row in counts.iterrows():
        for side, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
            assert abs(row[side] - share * row.sum()) <= 2, (grade, side)


def test_folds_differ_by_one_patient_of_each_grade_at_most(rng):
    frame = fold_by_patient(clinic(rng), folds=5)

    worst = frame.groupby("patient").agg({"grade": "max", "fold": "first"})
    counts = pd.crosstab(worst["grade"], worst["fold"])
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1


def test_another_salt_divides_otherwise_and_the_same_salt_the_same(rng):
    frame = clinic(rng)

    first = fold_by_patient(frame, salt="a")["fold"]

    assert (first == fold_by_patient(frame, salt="a")["fold"]).all()
    assert (first != fold_by_patient(frame, salt="b")["fold"]).any()


def test_a_division_stays_what_it_was_in_every_release():
    """The published folds of published results: a change here makes them incomparable."""
    frame = pd.DataFrame(
        {"image": list("abcdef"), "patient": list("uvwxyz"), "grade": pd.array([0, 0, 0, 0, 2, 2], dtype="Int64")}
    )

    assert fold_by_patient(frame, folds=3, salt="2026")["fold"].tolist() == FOLDS
    assert split_by_patient(frame, shares={"train": 0.5, "test": 0.5})["split"].tolist() == SIDES


FOLDS = [1, 0, 2, 0, 2, 1]
SIDES = ["test", "train", "test", "train", "train", "test"]


def test_the_given_manifest_is_left_as_it_was(rng):
    frame = clinic(rng, patients=10)

    split_by_patient(frame)
    fold_by_patient(frame)

    assert list(frame.columns) == ["image", "patient", "grade"]


def test_refuses_shares_and_folds_that_cannot_be():
    frame = pd.DataFrame({"image": ["a", "b"], "grade": pd.array([0, 1], dtype="Int64")})
    with pytest.raises(ValueError, match=r"shares must be at least 0 and sum to 1, got \{'train': 0.5\}"):
        split_by_patient(frame, shares={"train": 0.5})
    with pytest.raises(ValueError, match=r"shares must be at least 0"):
        split_by_patient(frame, shares={"train": 1.5, "test": -0.5})
    with pytest.raises(ValueError, match=r"folds must be at least 2 and at most 2, the number of patients, got 3"):
        fold_by_patient(frame, folds=3)
