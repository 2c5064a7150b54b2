"""No cell of a CSV table is a formula to a spreadsheet, and all text comes back as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.tables import read_table, write_table

STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""First letters by which a spreadsheet takes a cell for a formula, or parts it."""


def cells_of(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    "text", ["=HYPERLINK(1)", "+4912", "-12", "@x", "\t=1", "\r=1", "\n=1", "\uff1d1", " =1+1", "'=1", "''=1", "'"]
)
def test_text_that_a_spreadsheet_would_compute_is_text_and_comes_back(tmp_path, text):
    path = tmp_path / "t.csv"
    write_table(pd.DataFrame({"image": ["a.jpg"], "patient": [text], "camera": [text + "x"]}), path)

    assert cells_of(path)[1][1].strip()[:1] not in STARTS.strip()
    assert cells_of(path)[1][1][:1] not in STARTS
    assert read_table(path)["patient"].tolist() == [text]
    assert read_table(path)["camera"].tolist() == [text + "x"]


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=f"{STARTS}'\"a1 ,;|\u2028", min_size=1).filter(str.strip))
def test_every_text_comes_back_as_it_was(text, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "formulas.csv"
    write_table(pd.DataFrame({"image": ["a"], "patient": [text]}), path)

    assert read_table(path)["patient"].tolist() == [text]
    assert cells_of(path)[1][1][:1] not in STARTS


def test_numbers_stay_numbers(tmp_path):
    path = tmp_path / "t.csv"
    frame = pd.DataFrame({"image": ["a", "b"], "raw0": [-1.5, 2.0], "logit": ["-0.5", "+1e-3"], "mixed": ["-1", "x"]})
    write_table(frame, path)

    assert [row[1:] for row in cells_of(path)[1:]] == [["-1.5", "-0.5", "'-1"], ["2.0", "+1e-3", "x"]]


def test_a_columns_name_is_no_formula_either(tmp_path):
    path = tmp_path / "t.csv"
    write_table(pd.DataFrame({"image": ["a"], "=cmd": ["x"]}), path)

    assert cells_of(path)[0] == ["image", "'=cmd"]
    assert read_table(path).columns.tolist() == ["image", "=cmd"]


def test_json_lines_and_parquet_hold_text_as_it_is(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow (the research extra)")
    frame = pd.DataFrame({"image": ["=a"], "patient": ["'-1"]})
    for name in ("t.jsonl", "t.parquet"):
        write_table(frame, tmp_path / name)
        assert read_table(tmp_path / name).to_dict("records") == frame.to_dict("records")
    assert '"=a"' in (tmp_path / "t.jsonl").read_text()
