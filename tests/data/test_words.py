"""Tables in their publishers' own words."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.data.words import decoded, first_table, optional, read_words
from fundoscope.errors import BadTable

SEX = {"0": "female", "1": "male"}


def test_a_foreign_column_of_our_name_keeps_its_words(tmp_path):
    """`tables.read_table` would refuse a sex of 1 and a quality of Adequate."""
    (tmp_path / "labels.csv").write_bytes("\ufeffpatient; sex ;quality\n007;1;Adequate\n;;\n".encode())

    words = read_words(tmp_path / "labels.csv", ("patient", "sex"))

    assert words.to_dict("records") == [{"patient": "007", "sex": "1", "quality": "Adequate"}]


def test_codes_become_words_and_blanks_stay_blank(tmp_path):
    (tmp_path / "labels.csv").write_text("name,sex\na,0\nb,1.0\nc,\nd,NA\n")

    words = read_words(tmp_path / "labels.csv", ())

    assert decoded(words["sex"], SEX, tmp_path / "labels.csv").tolist() == ["female", "male", None, None]


def test_a_code_that_is_not_listed_is_refused_by_the_row_a_spreadsheet_shows(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("name,sex\na,0\n,\nc,2\n")

    with pytest.raises(BadTable, match=r"labels.csv: row 4, column sex: expected 0, 1 or a blank, got '2'\. Correct"):
        decoded(read_words(path, ())["sex"], SEX, path)


@given(codes=st.lists(st.sampled_from([*SEX, "1.0", "0.00", " 1 "]), min_size=1))
def test_a_whole_number_means_the_same_however_it_is_written(codes):
    found = decoded(pd.Series(codes, name="sex"), SEX, Path("labels.csv"))

    assert found.tolist() == [SEX[str(int(float(code)))] for code in codes]


def test_a_column_of_several_spellings_is_found_and_a_missing_one_is_blank(tmp_path):
    (tmp_path / "labels.csv").write_text("drusens\n1\n")
    words = read_words(tmp_path / "labels.csv", ())

    assert optional(words, "drusen", "drusens").tolist() == ["1"]
    assert optional(words, "insulin", "insuline").tolist() == [None]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"expected a CSV table, got an empty file"),
        (b"name,sex\n\x81,1\n", r"expected a CSV table in UTF-8, got byte 0x81"),
        (b"name,sex\n", r"expected at least one row, got none below the header"),
        (b"name\na\n", r"expected the columns name, sex, sex not found among name"),
        (None, r"expected a table of labels, got nothing"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, data, message):
    if data is not None:
        (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(BadTable, match=message):
        read_words(tmp_path / "labels.csv", ("name", "sex"))


def test_the_first_place_that_holds_a_table_is_taken(tmp_path):
    (tmp_path / "b.csv").touch()

    assert first_table(tmp_path, ("a.csv", "b.csv"), what="a set") == tmp_path / "b.csv"
    with pytest.raises(BadTable, match=r"expected a set with c.csv, found b.csv\. Name the folder"):
        first_table(tmp_path, ("c.csv",), what="a set")
