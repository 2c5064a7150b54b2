"""Values as other programs write them are read and said, or refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest, check_predictions, read_table


def predictions(tmp_path: Path, text: str) -> pd.DataFrame:
    path = tmp_path / "p.csv"
    path.write_text(text)
    return check_predictions(read_table(path), path=path)


def test_eyes_of_other_programs_are_read_and_said(tmp_path, caplog):
    (tmp_path / "m.csv").write_text("image,eye,sex\na,OD,M\nb,os,f\nc,R,Female\nd,Left,\ne,LE,male\nf,right eye,\n")

    frame = check_manifest(read_table(tmp_path / "m.csv"), path=tmp_path / "m.csv")

    assert frame["eye"].tolist() == ["right", "left", "right", "left", "left", "right"]
    assert frame["sex"].tolist() == ["male", "female", "female", None, "male", None]
    assert "column eye: OD is read as right, os is read as left" in caplog.text
    assert "right is read as right" not in caplog.text


def test_decimal_commas_are_read_and_said(tmp_path, caplog):
    frame = predictions(tmp_path, "image;raw0;p_referable\na;-1,234;0,5\nb;0,5;1\n")

    assert frame["raw0"].tolist() == [-1.234, 0.5]
    assert frame["p_referable"].tolist() == [0.5, 1.0]
    assert "column raw0: decimal commas are read" in caplog.text


@pytest.mark.parametrize(
    ("cells", "got"), [('"1,234"', "'1,234'"), ('"1.234,5"', "'1.234,5'"), ('"0,5"\nb,"0.5"', "'0,5'")]
)
def test_a_comma_that_may_part_thousands_is_refused(tmp_path, cells, got):
    with pytest.raises(BadTable, match=f"column raw0: expected a number, got {got}"):
        predictions(tmp_path, f"image,raw0,grade\na,{cells}\n".replace("\nb,", ",1\nb,").rstrip() + ",1\n")


def test_percentages_are_read_where_they_are_marked_or_sum_to_a_hundred(tmp_path, caplog):
    marked = predictions(tmp_path, "image;p_referable\na;87,5 %\nb;5%\n")
    assert marked["p_referable"].tolist() == [0.875, 0.05]
    assert "column p_referable: decimal commas and percentages are read" in caplog.text

    summed = predictions(tmp_path, "image,p0,p1,p2,p3,p4\na,90.5,5,3,1,0.5\nb,,,,,\nc,0.5,0,0,0,99.5\n")
    assert summed["p0"].fillna(-1).tolist() == [0.905, -1, 0.005]
    assert summed["p4"].fillna(-1).tolist() == [0.005, -1, 0.995]
    assert "each row sums to 100, so they are read as percentages" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "image,p_referable\na,87\nb,5\n",  # of 100, or a logit
        "image,p_referable\na,87 %\nb,0.05\n",  # the second is 5 %, or 0.05 %
        "image,p0,p1,p2,p3,p4\na,90,5,3,1,1\nb,0.9,0.05,0.03,0.01,0.01\n",
        "image,p0,p1,p2,p3,p4\na,110,-10,0,0,0\n",
    ],
)
def test_what_may_be_percentages_is_not_guessed(tmp_path, text):
    with pytest.raises(BadTable, match=r"expected a number from 0 to 1, got .* A percentage is written 87 % or 0.87"):
        predictions(tmp_path, text)


def test_a_column_of_somebodys_own_that_is_called_as_ours_is_kept_aside(tmp_path, caplog):
    frame = predictions(tmp_path, "image,grade,status,decision\na,1,done,treat\nb,2,open,\n")

    assert frame["their_status"].tolist() == ["done", "open"]
    assert {"status", "decision"}.isdisjoint(frame.columns)
    assert "column status: holds something else than status is here, kept aside as their_status" in caplog.text


def test_a_mistake_among_our_own_words_is_still_refused(tmp_path):
    with pytest.raises(BadTable, match=r"row 3, column status: expected one of graded, .*, got 'x'"):
        predictions(tmp_path, "image,grade,status\na,1,graded\nb,2,x\n")
