"""Grades in words."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.grade_words import grade_map, read_grades
from fundoscope.errors import BadRequest, BadTable

PATH = Path("labels.csv")


def grades(*words: object, codes: str | None = None) -> list[object]:
    column = pd.Series(list(words), dtype=object, name="level")
    return read_grades(column, {} if codes is None else grade_map(codes), PATH)[0].tolist()


@pytest.mark.parametrize(
    ("word", "grade"),
    [
        ("No DR", 0), ("No_DR", 0), ("no apparent retinopathy", 0), ("Mild", 1), ("mild NPDR", 1), ("NPDR, mild", None),
        ("Moderate NPDR", 2), ("moderate non-proliferative diabetic retinopathy", 2), ("Severe", 3), ("PDR", 4),
        ("Proliferate_DR", 4), ("proliferative diabetic retinopathy", 4), ("2 - Moderate", 2), ("0 (No DR)", 0),
        ("3", 3), ("3.0", 3), (3, 3), (3.0, 3), ("NPDR", None), ("very severe NPDR", None), ("R1", None),
        ("Normal", None), ("3 - Moderate", None), ("5", None), ("-1", None),
    ],
)  # fmt: skip
def test_only_the_scales_own_names_are_known(word, grade):
    if grade is not None:
        assert grades(word) == [grade]
        return
    with pytest.raises(BadTable, match=r"row 2, column level: expected a grade .* got .* Say what it means"):
        grades(word)


def test_words_and_codes_are_mapped_as_they_are_told_and_that_is_said(caplog):
    column = pd.Series(["R0", "r2", "-1", "5", "U", "mild", None], dtype=object, name="level")

    read, ungradable = read_grades(column, grade_map("R0=0,R2=3,-1=ungradable,5=ungradable,U=unknown"), PATH)

    assert read.tolist() == [0, 3, None, None, None, 1, None]
    assert ungradable.tolist() == [False, False, True, True, False, False, False]
    assert "column level: R0 is 0, r2 is 3, -1 is ungradable, 5 is ungradable, U is unknown, mild is 1" in caplog.text


def test_numbers_alone_need_no_words(caplog):
    assert grades("0", "4", "", "NA") == [0, 4, None, None]
    assert not caplog.records


def test_none_among_words_is_no_retinopathy_or_no_grade_and_is_not_guessed():
    assert grades("None", "2") == [None, 2]
    with pytest.raises(BadTable, match=r"row 2, column level: .* got 'None'\. Say what it means"):
        grades("None", "Mild")
    assert grades("None", "Mild", codes="none=0") == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mild", r"--grade-map: expected WORD=GRADE,WORD=GRADE,..., got 'mild'"),
        ("mild=1,", r"got ''"),
        ("mild=7", r"expected a grade from 0 to 4, ungradable or unknown for mild, got '7'"),
        ("mild=1,Mild=2", r"expected Mild once, got it twice"),
    ],
)
def test_a_map_that_is_none_is_refused(text, message):
    with pytest.raises(BadRequest, match=message):
        grade_map(text)
