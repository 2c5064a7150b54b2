"""What was answered wrongly, and which labels are doubted."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.mistakes import mistakes


def answered(grades: list[int], answers: list[int], sure: list[float] | None = None) -> pd.DataFrame:
    """Photographs with a reference and an answered grade; how sure the answer is, the rest on the reference."""
    rows = pd.DataFrame(
        {
            "image": [f"{k}.jpg" for k in range(len(grades))],
            "patient": [f"p{k}" for k in range(len(grades))],
            "grade": pd.array(grades, dtype="Int64"),
            "predicted_grade": pd.array(answers, dtype="Int64"),
        }
    )
    for grade in range(5):
        if sure is not None:
            rows[f"p{grade}"] = [
                certain * (grade == said) + (1 - certain) * (grade == true)
                for certain, said, true in zip(sure, answers, grades, strict=True)
            ]
    return rows


def test_counts_how_far_off_and_which_way():
    found = mistakes(cases_of(answered([0, 0, 1, 4, 4, 2, 3, 0], [1, 2, 0, 0, 1, 2, 3, 4])))

    assert found.too_low == (1, 0, 1, 1)
    assert found.too_high == (1, 1, 0, 1)
    assert found.off_by == (2, 1, 1, 2)
    assert (found.photographs, sum(found.off_by)) == (8, 6)
    assert found.suspects is None


def test_the_worst_are_the_furthest_off_then_the_most_confident():
    found = mistakes(cases_of(answered([0, 0, 0, 4, 2], [1, 3, 3, 0, 2], [0.99, 0.6, 0.8, 0.4, 0.9])), shown=3)

    assert [each.image for each in found.worst] == ["3.jpg", "2.jpg", "1.jpg"]
    assert [each.distance for each in found.worst] == [4, 3, 3]
    assert found.worst[1].confidence == pytest.approx(0.8)
    assert found.worst[1].of_reference == pytest.approx(0.2)


def test_a_table_of_grades_alone_has_mistakes_without_confidence():
    worst = mistakes(cases_of(answered([0, 1], [1, 1]))).to_dict()["worst"]

    assert [(each["image"], each["confidence"]) for each in worst] == [("0.jpg", None)]


def test_a_label_that_the_audit_doubts_is_counted_among_the_mistakes(tmp_path: Path):
    review = tmp_path / "review.csv"
    # 2.jpg was doubted while it was labelled 3; its label is another now, and nobody doubts that one.
    review.write_text("image,given,suggested\n0.jpg,0,1\n1.jpg,0,2\n2.jpg,3,4\n3.jpg,1,0\n")

    found = mistakes(cases_of(answered([0, 0, 4, 1], [1, 2, 0, 1])), review=review)

    assert found.suspects == (1, 1, 0, 0)
    assert found.doubted == 3
    assert [(each.image, each.suspect) for each in found.worst] == [("2.jpg", False), ("1.jpg", True), ("0.jpg", True)]


def test_a_review_of_something_else_is_refused(tmp_path: Path):
    review = tmp_path / "review.csv"
    review.write_text("image,given\nelsewhere.jpg,0\n")
    with pytest.raises(BadTable, match="expected photographs of the manifest, got none among 1 rows"):
        mistakes(cases_of(answered([0], [1])), review=review)
    review.write_text("image,label\n0.jpg,0\n")
    with pytest.raises(
        BadTable, match=r"expected the columns image, given of an audit's review, got none called given"
    ):
        mistakes(cases_of(answered([0], [1])), review=review)


def test_the_answer_is_plain_json_with_these_keys():
    answer = json.loads(json.dumps(mistakes(cases_of(answered([0], [4]))).to_dict(), allow_nan=False))

    assert set(answer) == {
        *("photographs", "wrong", "off_by", "too_low", "too_high", "label_suspects", "label_suspects_of_all", "worst")
    }
    assert set(answer["worst"][0]) == {
        *("image", "patient", "reference", "answered", "confidence", "of_reference", "suspect", "distance")
    }
