"""Tables of other programs: encodings, separators, workbooks."""

from __future__ import annotations

import codecs
import logging
import sys
from datetime import datetime
from pathlib import Path

import pytest

from fundoscope.errors import BadTable, MissingExtra
from fundoscope.tables import check_manifest, read_table
from fundoscope.tables.cells import read_cells

TEXT = "image;patient;grade\nMüller.jpg;007;3\n"


def written(tmp_path: Path, data: str | bytes, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        TEXT.encode("cp1252"),
        b"sep=;\r\n" + TEXT.encode(),
        codecs.BOM_UTF8 + b'"sep=;"\n' + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(";", "\t").encode(),
        b"sep=|\n" + TEXT.replace(";", "|").encode(),
    ],
)
def test_a_table_of_any_usual_encoding_and_separator_is_read(tmp_path, data):
    frame = read_table(written(tmp_path, data))

    assert frame.to_dict("records") == [{"image": "Müller.jpg", "patient": "007", "grade": 3}]


def test_an_encoding_that_is_only_likely_is_said(tmp_path, caplog):
    read_table(written(tmp_path, TEXT.encode()))
    assert not caplog.records

    read_table(written(tmp_path, TEXT.encode("cp1252")))

    assert "not in UTF-8, read as Windows-1252 ('Müller.jpg')" in caplog.text


def test_separators_inside_of_quotes_part_no_cells(tmp_path):
    frame = read_table(written(tmp_path, '"image","note; with; three; signs"\na.jpg,x\n'))

    assert frame.columns.tolist() == ["image", "note; with; three; signs"]


def test_tables_of_tabs_count_rows_as_a_spreadsheet_does(tmp_path):
    path = written(tmp_path, "image\tgrade\na.jpg\t1\nb.jpg\t9\n", "table.tsv")

    with pytest.raises(BadTable, match=r"table.tsv: row 3, column grade"):
        check_manifest(read_table(path), path=path)


@pytest.mark.parametrize("text", ["image" + ",x" * 20_000, "image\n" + "a," * 10 + "\n", "image," + "," * 1_000_000])
def test_a_table_of_more_columns_than_a_spreadsheet_has_is_refused(tmp_path, text):
    with pytest.raises(BadTable, match=r"expected (at most 16384 columns, got (20001|1000002)|a CSV table whose rows)"):
        read_table(written(tmp_path, text + "\n"))


def test_json_lines_of_ever_other_columns_are_refused(tmp_path):
    lines = "".join(f'{{"image": "{row}", "x{row}": 1}}\n' for row in range(17_000))

    with pytest.raises(BadTable, match="expected at most 16384 columns, got 16385"):
        read_table(written(tmp_path, lines, "table.jsonl"))


def test_a_parquet_table_of_too_many_columns_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (the research extra)")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({f"x{k}": [1] for k in range(17_000)}), tmp_path / "table.parquet")

    with pytest.raises(BadTable, match="expected at most 16384 columns, got 17000"):
        read_table(tmp_path / "table.parquet")


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl (the excel extra)")
    book = openpyxl.Workbook()
    rows = (("image", "patient", "grade", "p_referable", "taken"), ("a.jpg", "007", 2, 0.87, datetime(2024, 5, 1)))
    for row in (*rows, ("b.jpg", 8, None, 1, None), (None,) * 5):
        book.active.append(row)
    book.save(tmp_path / "table.xlsx")
    return tmp_path / "table.xlsx"


def test_a_workbook_is_read_as_a_person_reads_it(workbook):
    frame = check_manifest(read_table(workbook), path=workbook)

    assert frame["patient"].tolist() == ["007", "8"]
    assert frame["grade"].fillna(-1).tolist() == [2, -1]
    assert frame["p_referable"].tolist() == [0.87, 1.0]
    assert frame["taken"].tolist() == ["2024-05-01", None]


def test_of_several_sheets_the_first_is_read_and_that_is_said(workbook, caplog):
    from openpyxl import load_workbook

    book = load_workbook(workbook)
    book.create_sheet("more")
    book.save(workbook)

    assert len(read_table(workbook)) == 2
    assert "of 2 sheets the first is read" in caplog.text


@pytest.mark.parametrize("data", [b"PK\x03\x04broken", b"image,grade\na,1\n", b"\xd0\xcf\x11\xe0" + bytes(600), b""])
def test_a_damaged_workbook_is_refused(tmp_path, data):
    pytest.importorskip("openpyxl", reason="needs openpyxl (the excel extra)")
    with pytest.raises(BadTable, match=r"expected an Excel workbook \(.xlsx\), got a file that is none or is damaged"):
        read_table(written(tmp_path, data, "table.xlsx"))


def test_a_workbook_without_openpyxl_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(MissingExtra, match=r"reading Excel workbooks .*fundoscope\[excel\]"):
        read_table(written(tmp_path, b"PK\x03\x04", "table.xlsx"))


def test_columns_of_one_name_are_numbered_where_a_publisher_has_them(tmp_path):
    path = written(tmp_path, "image,x,x,\na,1,2,3\n")

    assert read_cells(path, repeated=True).columns.tolist() == ["image", "x", "x.1", "column 4"]
    with pytest.raises(BadTable, match="expected every column once, got x twice"):
        read_cells(path)


def test_notes_are_warnings_of_one_logger(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="fundoscope.tables")
    read_table(written(tmp_path, TEXT.encode("latin-1")))

    assert [record.name for record in caplog.records] == ["fundoscope.tables"]
