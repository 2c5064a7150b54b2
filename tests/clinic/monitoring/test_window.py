"""From a predictions table to patients in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.clinic.monitoring.window import TABLE_ORDER, Window, features_of, window_of
from fundoscope.errors import BadTable
from fundoscope.tables import check_predictions

HERE = Path("table.csv")


def gathered(**columns: object) -> Window:
    """A window of the columns; photographs are named by their rows."""
    rows = pd.DataFrame(columns)
    return window_of(check_predictions(rows.assign(image=[f"{at}.jpg" for at in rows.index]), path=HERE), path=HERE)


def test_patients_come_in_the_order_of_their_last_photograph():
    window = gathered(
        patient=["anna", "berta", "anna", "carl"],
        p_referable=[0.1, 0.2, 0.3, 0.4],
        taken=["2026-01-01T08:00:00", "2026-01-02", "2026-01-03T09:00:00", "2026-01-01T10:00:00"],
        graded_at=["2026-02-01T00:00:00+00:00"] * 4,
    )
    assert window.scores.tolist() == [0.4, 0.2, 0.3]
    assert (window.ordered_by, window.days) == ("taken", ("2026-01-01", "2026-01-02", "2026-01-03"))
    assert window.members == ((3,), (1,), (0, 2))


@pytest.mark.parametrize(
    ("taken", "graded_at", "ordered_by"),
    [
        (["2026-01-02", None], ["2026-01-02", "2026-01-01"], "graded_at"),
        (["2026-01-02", "2026-01-01"], ["2026-01-01", "2026-01-02"], "taken"),
        ([None, None], [None, "2026-01-02"], TABLE_ORDER),
    ],
)
def test_a_time_that_a_patient_lacks_orders_nobody(taken, graded_at, ordered_by):
    window = gathered(patient=["a", "b"], p_referable=[0.1, 0.2], taken=taken, graded_at=graded_at)

    assert window.ordered_by == ordered_by
    assert window.scores.tolist() == ([0.1, 0.2] if ordered_by == TABLE_ORDER else [0.2, 0.1])
    assert (window.days is None) == (ordered_by == TABLE_ORDER)


def test_a_time_that_is_none_is_refused_by_its_row():
    with pytest.raises(BadTable, match=r"table\.csv: row 3, column taken: expected a time as .*, got 'last week'"):
        gathered(patient=["a", "b"], p_referable=[0.1, 0.2], taken=["2026-01-02", "last week"])


def test_the_worst_eye_refers_and_so_does_an_eye_that_cannot_be_graded():
    window = gathered(
        patient=["both"] * 2 + ["blind"] * 3 + ["well"] * 2,
        eye=["left", "right", "left", "left", "right", "left", "left"],
        p_referable=[0.1, 0.7, None, None, 0.1, 0.2, None],
        status=["graded", "graded", "ungradable", "unreadable", "graded", "graded", "ungradable"],
        decision=["rescreen", "refer", "cannot grade", "cannot grade", "rescreen", "rescreen", "cannot grade"],
    )
    assert window.ungradable.tolist() == [False, True, False]
    assert window.referred(0.5).tolist() == window.referred(None).tolist() == [True, True, False]
    assert window.referred(0.05).all()
    assert window.decided_between() == (0.2, 0.7)
    assert [window.decided_otherwise(threshold) for threshold in (0.15, 0.5, 0.7, 0.8)] == [1, 0, 0, 1]


def test_a_refused_photograph_that_was_referred_is_counted_as_referred_and_as_not_graded():
    window = gathered(
        patient=["seen", "seen", "lost", "well"],
        eye=["left", "left", "left", "left"],
        p_referable=[0.1, 0.9, 0.8, 0.2],
        status=["graded", "ungradable", "ungradable", "graded"],
        decision=["rescreen", "cannot grade, refer", "cannot grade, refer", "rescreen"],
    )
    assert window.refused_and_referred.tolist() == [True, True, False]
    assert window.referred(0.5).tolist() == window.referred(None).tolist() == [True, True, False]
    assert window.ungradable.tolist() == [False, True, False]
    assert window.scores.tolist() == [0.1, -np.inf, 0.2]


def test_grades_bring_their_threshold_and_scores_without_a_decision_have_none():
    assert gathered(patient=["a", "b"], grade=[2, 1]).referred(None).tolist() == [True, False]
    assert gathered(patient=["a", "b"], p_referable=[0.9, 0.1]).referred(None) is None


@pytest.fixture
def photographed() -> Window:
    """700 patients, the first with twelve photographs, the last not graded."""
    patients = ["first"] * 12 + [str(at) for at in range(699)]
    return gathered(
        patient=patients,
        sha256=[f"{at:064x}" for at in range(len(patients))],
        p_referable=[0.5] * len(patients),
        status=["graded"] * (len(patients) - 1) + ["ungradable"],
    )


def test_features_are_of_graded_photographs_and_of_so_many_patients_as_memory_allows(photographed, tmp_path, rng):
    path = tmp_path / "f.npz"
    np.savez(path, **{f"{at:064x}": np.array([at, 0.5]) for at in range(711) if at != 20})
    vectors, lacking = features_of(photographed, path, rng)

    assert (len(vectors), lacking) == (500, 1)
    drawn = np.concatenate(vectors)[:, 0]
    assert len(set(drawn)) == len(drawn)
    assert not {20, 710} & set(drawn)
    assert max(len(each) for each in vectors) in (1, 8)
    again, _ = features_of(photographed, path, np.random.default_rng(20230917))
    np.testing.assert_array_equal(np.concatenate(again)[:, 0], drawn)


def test_a_file_of_other_features_is_refused(photographed, tmp_path, rng):
    np.savez(tmp_path / "f.npz", other=np.ones(2))
    with pytest.raises(
        BadTable, match=r"expected features of the photographs of table\.csv, .*got none of them among 1"
    ):
        features_of(photographed, tmp_path / "f.npz", rng)

    np.savez(tmp_path / "f.npz", **{f"{0:064x}": np.array([np.nan])})
    with pytest.raises(
        BadTable, match=r"expected one vector of finite numbers .* got shape \(1,\) of float64 for 0000"
    ):
        features_of(photographed, tmp_path / "f.npz", rng)

    (tmp_path / "f.npz").write_text("none")
    with pytest.raises(BadTable, match=r"f\.npz: expected features \(\.npz\), got .* Write them again with the table"):
        features_of(photographed, tmp_path / "f.npz", rng)


def test_photographs_none_of_which_could_be_graded_have_no_features_and_that_is_no_fault_of_the_file(tmp_path, rng):
    hashes = [f"{at:064x}" for at in range(2)]
    refused = gathered(patient=["a", "b"], p_referable=[np.nan] * 2, sha256=hashes, status=["ungradable"] * 2)
    np.savez(tmp_path / "f.npz", **{name: np.ones(2) for name in hashes})

    assert features_of(refused, tmp_path / "f.npz", rng) == ([], 0)


def test_who_is_referred_for_the_grade_says_nothing_of_the_threshold():
    window = gathered(
        patient=["a", "b", "c"],
        p_referable=[0.3, 0.4, 0.8],
        grade=[1, 2, 3],
        decision=["rescreen", "refer", "refer"],
    )

    assert window.referred_by_grade.tolist() == [False, True, True]
    assert window.decided_otherwise(0.6) == 0
    assert window.referred(0.6).tolist() == [False, True, True]
    assert window.decided_between() == (0.3, np.inf)
