"""No patient, file or group of duplicates on two sides, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.data.split import SHARES, fold_by_patient, split_by_patient, units_of
from fundoscope.tables.patients import patient_keys, unit_keys

METHODS = ("hash-based", "stratified")
TIES = ("patient", "sha256", "duplicate_group", "eye_group")


HASHES = [f"{k:064x}" for k in range(40)]


@st.composite
def manifests(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(4, 40))
    patients = [draw(st.sampled_from([None, *"abcdefgh"])) for _ in range(count)]
    grades = [draw(st.sampled_from([None, 0, 1, 2, 3, 4])) for _ in range(count)]
    return pd.DataFrame(
        {
            "image": [f"{k}.jpg" for k in range(count)],
            "source": [draw(st.sampled_from(["s", "t"])) for _ in range(count)],
            "patient": pd.Series(patients, dtype=object),
            "sha256": pd.Series([draw(st.sampled_from([None, *HASHES])) for _ in range(count)], dtype=object),
            "duplicate_group": pd.Series(
                [draw(st.sampled_from([*[None] * 9, "g", "h"])) for _ in range(count)], dtype=object
            ),
            "eye_group": pd.Series([draw(st.sampled_from([*[None] * 9, "g"])) for _ in range(count)], dtype=object),
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


def sides_of(frame: pd.DataFrame, column: str, side: str) -> pd.Series:
    """How many sides the photographs with one value of a column are on; a patient's name counts within its source."""
    by = [frame["source"], frame["patient"]] if column == "patient" else [frame[column]]
    return frame.groupby(by)[side].nunique()


@settings(deadline=None, max_examples=60)
@given(frame=manifests(), seed=st.integers(0, 2**32 - 1), salt=st.text(max_size=3), method=st.sampled_from(METHODS))
def test_no_patient_file_or_duplicate_is_on_two_sides_and_the_order_of_rows_does_not_matter(frame, seed, salt, method):
    mixed = frame.sample(frac=1, random_state=seed)

    sides, again = (split_by_patient(each, salt=salt, method=method) for each in (frame, mixed))

    for column in TIES:
        assert (sides_of(sides, column, "split") <= 1).all(), column
    assert again["split"].sort_index().tolist() == sides["split"].tolist()


@settings(deadline=None, max_examples=60)
@given(frame=manifests())
def test_units_are_the_connected_components_that_a_slow_search_finds(frame):
    rows = [
        {(c, v) for c, v in zip(TIES[1:], row, strict=True) if v is not None} for row in frame[list(TIES[1:])].values
    ]
    for ties, key in zip(rows, patient_keys(frame), strict=True):
        ties.add(key)
    labels = list(range(len(rows)))
    for _ in rows:
        labels = [min(labels[b] for b in range(len(rows)) if rows[a] & rows[b]) for a in range(len(rows))]

    units = unit_keys(frame)

    assert [units.index(unit) for unit in units] == labels


@settings(deadline=None, max_examples=60)
@given(frame=manifests(), keep=st.integers(1, 40), salt=st.text(max_size=3))
def test_photographs_that_come_or_go_move_no_others_when_the_split_is_hash_based(frame, keep, salt):
    fewer = frame.iloc[:keep]
    stays = [unit == again for unit, again in zip(units_of(fewer), units_of(frame)[:keep], strict=True)]

    before, after = (split_by_patient(each, salt=salt)["split"].iloc[:keep] for each in (fewer, frame))

    assert before[stays].tolist() == after[stays].tolist()


def test_a_grade_that_is_corrected_moves_nobody_when_the_split_is_hash_based(rng):
    frame = clinic(rng)
    corrected = frame.assign(grade=pd.array(rng.integers(0, 5, len(frame)), dtype="Int64"))

    assert split_by_patient(frame)["split"].tolist() == split_by_patient(corrected)["split"].tolist()
    assert split_by_patient(frame, method="stratified")["split"].tolist() != (
        split_by_patient(corrected, method="stratified")["split"].tolist()
    )


def test_hash_based_shares_are_right_within_sampling_error_for_every_source_and_grade(rng):
    frame = clinic(rng, patients=3000)
    frame["source"] = np.where(frame["patient"].str[1:].astype(int) % 3 == 0, "small", "large")

    worst = split_by_patient(frame).groupby("patient").agg({"grade": "max", "split": "first", "source": "first"})

    for _, part in worst.groupby(["source", "grade"]):
        for side, share in SHARES.items():
            error = np.sqrt(share * (1 - share) / len(part))
            assert abs((part["split"] == side).mean() - share) < 4 * error


def test_folds_of_a_hash_based_training_split_are_as_even_as_those_of_the_whole(rng):
    """With one and the same hash for both, the patients of the training part would fill the first folds only."""
    train = split_by_patient(clinic(rng, patients=2000)).query("split == 'train'")

    folds = fold_by_patient(train, folds=5, method="hash-based").groupby("patient")["fold"].first()

    assert folds.value_counts().between(0.17 * len(folds), 0.23 * len(folds)).all()


def test_a_larger_training_share_takes_patients_in_and_sends_none_away(rng):
    frame = clinic(rng)

    small, large = (
        split_by_patient(frame, shares={"train": share, "test": 1 - share})["split"] for share in (0.5, 0.8)
    )

    assert (large[small == "train"] == "train").all()


def test_a_side_without_a_share_gets_nobody(rng):
    frame = clinic(rng)

    for shares in ({"train": 0.0, "val": 1.0, "test": 0.0}, {"train": 0.1, "val": 0.0, "test": 0.9}):
        for method in METHODS:
            sides = split_by_patient(frame, shares=shares, method=method)["split"]
            assert set(sides) == {side for side, share in shares.items() if share}


def test_stratified_gives_each_source_its_share_of_every_grade(rng):
    frame = clinic(rng)
    frame["source"] = np.where(frame["patient"].str[1:].astype(int) < 40, "small", "large")

    frame_by_split = split_by_patient(frame, method="stratified")

    worst = frame_by_split.groupby("patient").agg({"grade": "max", "split": "first", "source": "first"})
    for _, part in worst.groupby(["source", "grade"]):
        for side, share in SHARES.items():
            assert abs((part["split"] == side).sum() - share * len(part)) < 2
    for _, part in worst.groupby("source"):
        for side, share in SHARES.items():
            assert abs((part["split"] == side).sum() - share * len(part)) < 2


def test_people_whom_two_sources_name_alike_stay_together():
    """RLDR's photographs and EyeQ's are EyePACS', under the same names; IDRiD's patient 7 is somebody else."""
    frame = pd.DataFrame(
        {"image": list("abcd"), "source": ["eyepacs", "rldr", "eyeq", "idrid"], "patient": ["7", "7", "7", "7"]}
    )

    eyepacs, rldr, eyeq, idrid = units_of(frame)

    assert eyepacs == rldr == eyeq != idrid


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), folds=st.integers(2, 8))
def test_folds_do_not_depend_on_the_order_of_rows_and_keep_patients_whole(seed, folds):
    frame = clinic(np.random.default_rng(seed), patients=30)
    mixed = frame.sample(frac=1, random_state=seed)

    ours, again = fold_by_patient(frame, folds=folds), fold_by_patient(mixed, folds=folds)

    assert (ours.groupby("patient")["fold"].nunique() == 1).all()
    assert again["fold"].sort_index().tolist() == ours["fold"].tolist()
    assert set(ours["fold"]) == set(range(folds))


def test_every_split_gets_its_share_of_the_patients_of_every_grade(rng):
    frame = split_by_patient(clinic(rng), shares={"train": 0.6, "val": 0.2, "test": 0.2}, method="stratified")

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
    assert split_by_patient(frame, shares={"train": 0.5, "test": 0.5}, method="stratified")["split"].tolist() == SIDES
    assert split_by_patient(frame, shares={"train": 0.5, "test": 0.5})["split"].tolist() == HASHED
    assert fold_by_patient(frame, folds=3, salt="2026", method="hash-based")["fold"].tolist() == HASHED_FOLDS


FOLDS = [1, 0, 2, 0, 2, 1]
SIDES = ["test", "train", "test", "train", "train", "test"]
HASHED = ["test", "train", "test", "train", "train", "train"]
HASHED_FOLDS = [0, 0, 0, 0, 1, 2]


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
    with pytest.raises(
        ValueError, match=r"folds must be at least 2 and at most 2, the number of patients \(.*\), got 3"
    ):
        fold_by_patient(frame, folds=3)
