"""Nothing is fitted on photographs that the network was trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fundoscope.decide.held_out import HeldOut, refuse_in_sample
from fundoscope.errors import BadTable

TRAINED = ["a" * 64]


def joined(count=4, **columns):
    shares = {f"p{k}": [0.2] * count for k in range(5)}
    rows = {
        "image": [f"{at}.jpg" for at in range(count)],
        "grade": [at % 5 for at in range(count)],
        **shares,
        **columns,
    }
    return pd.DataFrame(rows).astype({"grade": "Int64"})


def hashes(*letters):
    return [letter * 64 if letter else None for letter in letters]


@pytest.mark.parametrize(
    ("columns", "trained_on"),
    [
        ({"fold": [0, 1, 0, 1]}, TRAINED),
        ({"predicted_fold": [0, 1, 0, 1], "fold": [None] * 4}, ()),
        ({"sha256": hashes(*"bcde")}, TRAINED),
        ({"sha256": hashes(*"abcd"), "fold": [2, None, None, None]}, TRAINED),
    ],
)
def test_photographs_that_a_fold_or_a_hash_vouches_for_are_taken(columns, trained_on):
    assert len(HeldOut.of_table(joined(**columns), trained_on=trained_on).grades) == 4


@pytest.mark.parametrize(
    ("columns", "trained_on", "message"),
    [
        ({"sha256": hashes(*"bacd")}, TRAINED, r"1\.jpg: .*of a photograph that the release was trained on"),
        ({}, TRAINED, r"0\.jpg: .*that may be in-sample"),
        ({"sha256": hashes("b", None, "c", "d")}, TRAINED, r"1\.jpg: .*that may be in-sample"),
        ({"sha256": hashes(*"bcde")}, (), r"0\.jpg: .*that may be in-sample.*say --held-out"),
        ({"fold": [0, None, 0, 1]}, (), r"1\.jpg: .*column fold filled"),
        ({"fold": [0, 0, 0, 0], "predicted_fold": [0, 1, None, 1]}, (), r"2\.jpg: .*column fold filled"),
    ],
)
def test_training_photographs_and_unknown_ones_are_refused(columns, trained_on, message):
    with pytest.raises(BadTable, match=message):
        HeldOut.of_table(joined(**columns), trained_on=trained_on)


def test_the_audit_refuses_the_same_rows():
    from fundoscope.audit.labels import suspects

    rows = joined(sha256=hashes(*"bacd"))
    said = []
    for ask in (lambda: refuse_in_sample(rows, TRAINED), lambda: suspects(rows, trained_on=TRAINED)):
        with pytest.raises(BadTable, match="trained on") as refused:
            ask()
        said.append(str(refused.value))

    assert said[0] == said[1]


def test_whoever_says_that_they_are_held_out_is_believed():
    assert len(HeldOut.of_table(joined(sha256=hashes(*"aaaa")), trained_on=TRAINED, held_out=True).grades) == 4


def test_rows_that_say_nothing_are_left_out():
    rows = joined(6, status=["graded", "ungradable", None, "graded", "graded", "unreadable"])
    rows.loc[0, "grade"] = pd.NA
    rows.loc[3, "p2"] = np.nan

    held = HeldOut.of_table(rows, held_out=True)

    assert held.grades.tolist() == [2, 4]
    assert held.probabilities == pytest.approx(np.full((2, 5), 0.2))


def test_copies_of_a_photograph_under_two_names_are_one_patient():
    held = HeldOut.of_table(joined(patient=["one", "two", "two", None], sha256=hashes(*"xxyz")), held_out=True)

    assert held.patients[0] == held.patients[1] == held.patients[2] != held.patients[3]


def test_the_quality_is_what_the_grader_saw_not_what_the_manifest_says():
    rows = joined(quality=["good"] * 4, predicted_quality=["usable", "good", None, "good"])

    assert HeldOut.of_table(rows, held_out=True, by="quality").groups == ("usable", "good", "", "good")


def test_raw_outputs_come_along_where_all_have_them():
    rows = joined(raw0=[1.0, 2, 3, 4], raw1=[1.0, 2, None, 4], fold=[0, 0, 1, 1])

    held = HeldOut.of_table(rows)

    assert held.raw is not None
    assert held.raw.tolist() == [[1], [2], [3], [4]]
    assert held.out_of_fold
    assert not HeldOut.of_table(joined(), held_out=True).out_of_fold


def test_the_cuts_beside_a_head_come_along_where_all_of_them_are_there():
    """As text too: a table of another system says nothing of the kind of these columns."""
    cuts = {f"cut{k}": [f"{at - k / 4}" for at in range(4)] for k in range(4)}
    held = HeldOut.of_table(joined(**cuts, raw0=[1.0] * 4), held_out=True)

    assert held.cuts is not None
    np.testing.assert_allclose(held.cuts, np.arange(4)[:, None] - np.arange(4) / 4)
    assert held.raw is not None
    assert held.raw.shape == (4, 1)
    for lacking in ({"cut3": ["1", "", "1", "1"]}, {"cut0": None}):
        assert HeldOut.of_table(joined(**(cuts | lacking)), held_out=True).cuts is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (joined().drop(columns="p3"), "got no p3"),
        (joined().assign(status="unreadable"), "got none of 4"),
        (joined(), "expected a column camera"),
    ],
)
def test_a_table_without_what_is_needed_is_refused(rows, message):
    with pytest.raises(BadTable, match=message):
        HeldOut.of_table(rows, held_out=True, by="camera")


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ValueError, match="got 2 grades and 2 probabilities, 2 patients, 3 groups"):
        HeldOut(np.full((2, 5), 0.2), np.array([0, 1]), np.arange(2), groups=("good",) * 3)
    with pytest.raises(ValueError, match="grades must be 0 to 4, got 0 to 7"):
        HeldOut(np.full((2, 5), 0.2), np.array([0, 7]), np.arange(2))
