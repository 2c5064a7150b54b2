"""Predictions of other systems: scores, and probabilities that were rounded."""

from __future__ import annotations

import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.tables import PROBABILITIES, check_predictions


def shares(*rows: tuple[float, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(PROBABILITIES))
    return frame.assign(image=[f"{k}.jpg" for k in range(len(rows))])


def test_a_score_is_the_answer_where_there_is_no_other(caplog):
    frame = pd.DataFrame({"image": ["a", "b"], "score": [0.25, 0.75]})

    assert check_predictions(frame, path="p.csv")["p_referable"].tolist() == [0.25, 0.75]
    assert "column score is read as p_referable" in caplog.text

    graded = check_predictions(frame.assign(grade=[0, 3]), path="q.csv")
    assert "p_referable" not in graded
    assert graded["score"].tolist() == [0.25, 0.75]
    assert "q.csv: column score: not read, because there is another answer" in caplog.text


def test_a_score_that_is_no_probability_is_refused():
    with pytest.raises(BadTable, match=r"row 1, column p_referable: expected a number from 0 to 1, got '-3.2'"):
        check_predictions(pd.DataFrame({"image": ["a"], "score": [-3.2]}), path="p.parquet")


@pytest.mark.parametrize("row", [(0.97, 0.01, 0.0, 0.0, 0.0), (0.9, 0.05, 0.05, 0.01, 0.01), (0.33, 0.33, 0.33, 0, 0)])
def test_rounded_probabilities_are_divided_by_their_sum_and_that_is_said(row, caplog):
    frame = check_predictions(shares(row, (0.2, 0.2, 0.2, 0.2, 0.2)), path="p.csv")

    probabilities = frame[list(PROBABILITIES)].to_numpy()
    assert probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-12)
    assert probabilities[0] == pytest.approx([share / sum(row) for share in row])
    assert probabilities[1].tolist() == [0.2] * 5
    assert "1 of 2 rows sum to" in caplog.text


def test_six_decimals_stay_as_they_are(caplog):
    row = (0.333333, 0.333333, 0.333333, 0.0, 0.0)

    assert check_predictions(shares(row), path="p.csv")[list(PROBABILITIES)].to_numpy().tolist() == [list(row)]
    assert not caplog.records


@pytest.mark.parametrize("last", [0.06, 0.13])
def test_what_rounding_cannot_leave_is_refused(last):
    with pytest.raises(BadTable, match=r"columns p0 to p4: expected five shares that sum to 1, got a sum of"):
        check_predictions(shares((0.9, 0.0, 0.0, 0.0, last + 0.009)), path="p.csv")


def test_a_path_that_no_system_has_is_refused_in_one_short_line():
    frame = pd.DataFrame({"image": ["a.jpg", "x" * 5_000_000], "grade": [1, 2]})

    with pytest.raises(BadTable, match=r"row 3, column image: expected a path of at most 4096 letters") as caught:
        check_predictions(frame, path="p.csv")
    assert len(str(caught.value)) < 400
