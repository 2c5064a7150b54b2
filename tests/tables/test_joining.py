"""Which prediction belongs to which row of a manifest."""

from __future__ import annotations

import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.tables.joining import join

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def table(*images: str, **columns: list) -> pd.DataFrame:
    return pd.DataFrame({"image": list(images), **columns})


def pairs(predictions: pd.DataFrame, manifest: pd.DataFrame) -> list[tuple[str, int]]:
    """Each matched photograph of the manifest, and the grade predicted for it."""
    rows = join(predictions, manifest).rows
    return list(zip(rows["image"], rows["predicted_grade"], strict=True))


def test_without_hashes_photographs_are_matched_by_name_in_the_order_of_the_manifest():
    predictions = table("b.jpg", "a.jpg", "x.jpg", grade=[2, 1, 4])
    manifest = table("a.jpg", "b.jpg", "c.jpg", grade=[0, 0, 0])

    joined = join(predictions, manifest)

    assert pairs(predictions, manifest) == [("a.jpg", 1), ("b.jpg", 2)]
    assert joined.only_predicted == ("x.jpg",)
    assert joined.only_listed == ("c.jpg",)


def test_a_hash_matches_whatever_the_name_and_another_hash_of_the_same_name_does_not():
    predictions = table("old/a.jpg", "b.jpg", grade=[3, 4], sha256=[A, C])
    manifest = table("a.jpg", "b.jpg", grade=[0, 0], sha256=[A, B])

    joined = join(predictions, manifest)

    assert pairs(predictions, manifest) == [("a.jpg", 3)]
    assert (joined.only_predicted, joined.only_listed) == (("b.jpg",), ("b.jpg",))


def test_a_blank_hash_on_either_side_leaves_the_name_to_decide():
    predictions = table("a.jpg", "b.jpg", grade=[3, 4], sha256=[None, B])
    manifest = table("a.jpg", "b.jpg", grade=[0, 0], sha256=[A, None])

    assert pairs(predictions, manifest) == [("a.jpg", 3), ("b.jpg", 4)]


def test_a_photograph_listed_twice_has_its_prediction_once():
    predictions = table("a.jpg", grade=[3], sha256=[A])
    manifest = table("a.jpg", "copy.jpg", grade=[0, 1], sha256=[A, A])

    assert pairs(predictions, manifest) == [("a.jpg", 3)]


def test_of_several_predictions_of_one_photograph_that_of_the_same_name_is_meant_and_none_is_left_over():
    predictions = table("copy.jpg", "a.jpg", grade=[4, 3], sha256=[A, A])

    joined = join(predictions, table("a.jpg", grade=[0], sha256=[A]))

    assert joined.rows["predicted_grade"].tolist() == [3]
    assert joined.only_predicted == ()


def test_predictions_of_one_photograph_that_differ_are_refused_unless_the_name_decides():
    predictions = table("x.jpg", "y.jpg", grade=[4, 3], sha256=[A, A], graded_at=["1", "2"])
    manifest = table("a.jpg", grade=[0], sha256=[A])

    with pytest.raises(
        BadTable, match=r"p\.csv: rows 2, 3: expected one answer .* differ for a\.jpg \(m\.csv, row 2\)"
    ):
        join(predictions, manifest, predictions_path="p.csv", manifest_path="m.csv")
    assert pairs(predictions.assign(grade=3), manifest) == [("a.jpg", 3)]


def test_the_manifest_says_what_a_photograph_is_and_the_prediction_fills_in_its_blanks():
    predictions = table("a.jpg", "b.jpg", patient=["9", "8"], eye=["left", "left"], grade=[1, 1], quality=["good"] * 2)
    manifest = table("a.jpg", "b.jpg", patient=["1", None], grade=[0, 0], quality=["usable"] * 2)

    rows = join(predictions, manifest).rows

    assert rows["patient"].tolist() == ["1", "8"]
    assert rows["eye"].tolist() == ["left", "left"]
    assert rows["quality"].tolist() == ["usable", "usable"]
    assert rows["predicted_quality"].tolist() == ["good", "good"]
    assert "predicted_patient" not in rows


def test_a_predicted_grade_is_never_mistaken_for_a_reference():
    rows = join(table("a.jpg", grade=[3]), table("a.jpg")).rows

    assert list(rows.columns) == ["image", "predicted_grade"]


def test_an_earlier_answer_in_the_manifest_is_not_taken_for_the_answer():
    """A manifest made from an earlier table of predictions says "graded" of what is now ungradable."""
    manifest = table("a.jpg", grade=[2], status=["graded"], p_referable=[0.9], decision=["refer"], reason=[None])
    answered = table("a.jpg", status=["ungradable"], decision=["cannot grade"], reason=["out of focus"])
    graded_alone = table("a.jpg", grade=[0])

    rows = join(answered, manifest).rows
    alone = join(graded_alone, manifest).rows

    assert rows[["status", "decision", "reason"]].values.tolist() == [["ungradable", "cannot grade", "out of focus"]]
    assert (rows["listed_status"][0], rows["listed_p_referable"][0], "p_referable" in rows) == ("graded", 0.9, False)
    assert not {"status", "p_referable", "decision"} & set(alone.columns)


def test_columns_of_an_earlier_comparison_are_not_taken_for_answers():
    manifest = table("a.jpg", grade=[2], predicted_grade=[2], p_glaucoma=[0.9], p_id=["7"])

    rows = join(table("a.jpg", grade=[0], p_glaucoma=[0.1]), manifest).rows

    assert rows[["grade", "predicted_grade", "p_glaucoma", "p_id"]].values.tolist() == [[2, 0, 0.1, "7"]]
