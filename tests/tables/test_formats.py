"""What this program wrote can be read again, by itself and by a spreadsheet."""

from __future__ import annotations

import codecs
import json

import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.tables import read_table, write_table


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(
    "text",
    ["a\rb", "\r", "a\r\nb", "a\u2028b", "a\x85b", "a\x0bb", "a\x1cb", "a\x0cb", "\ufeffa", 'a"b', "a;b|c", "\x1a"],
)
def test_text_with_any_sign_is_read_back(tmp_path, suffix, text):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow (the research extra)")
    path = tmp_path / f"t{suffix}"
    frame = pd.DataFrame(
        {"image": ["1.jpg", text + "2.jpg"], "patient": [f"x{text}y", "z"], "taken": "9999-12-31T00:00:00"}
    )
    write_table(frame, path)

    assert read_table(path).astype(object).to_dict("list") == frame.astype(object).to_dict("list")


def test_nul_which_csv_cannot_hold_becomes_an_escape(tmp_path):
    write_table(pd.DataFrame({"image": ["a"], "patient": ["x\0y"]}), tmp_path / "t.csv")

    assert b"\0" not in (tmp_path / "t.csv").read_bytes()
    assert read_table(tmp_path / "t.csv")["patient"].tolist() == [r"x\x00y"]


def test_excel_is_told_the_encoding_where_there_are_accents(tmp_path):
    for name, patient in (("plain", "Mueller"), ("accents", "Müller")):
        write_table(pd.DataFrame({"image": ["a"], "patient": [patient]}), tmp_path / f"{name}.csv")
    write_table(pd.DataFrame({"image": ["a"], "größe": ["1"]}), tmp_path / "header.csv")

    starts = {
        name: (tmp_path / f"{name}.csv").read_bytes().startswith(codecs.BOM_UTF8) for name in ("plain", "accents")
    }
    assert starts == {"plain": False, "accents": True}
    assert read_table(tmp_path / "accents.csv").to_dict("records") == [{"image": "a", "patient": "Müller"}]
    assert read_table(tmp_path / "header.csv").columns.tolist() == ["image", "größe"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_half_a_character_is_refused_in_words_and_nothing_is_written(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    names = pd.Index(["image", "\udfff"], dtype=object)
    for frame in (pd.DataFrame({"image": ["a\ud800.jpg"]}, dtype=object), pd.DataFrame([["a", "x"]], columns=names)):
        with pytest.raises(BadTable, match=r"expected text that a file can hold, got .* with half a character"):
            write_table(frame, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps({"image": "a\ud800.jpg"}), r"row 2: expected text, got half a character"),
        (json.dumps({"image": "a", "\udc00": 1}), r"row 2: expected text, got half a character"),
        ("[" * 100_000, r"row 2: expected one JSON object on the line, got '\[\["),
        ('{"image": "b", "fold": 1e300}', r"row 2, column fold: expected a whole number, got '1e\+300'"),
        ('{"image": "b", "fold": 1' + "0" * 5000 + "}", r"row 2: expected one JSON object on the line"),
        ('{"image": "b", "fold": 12345678901234567890123}', r"row 2, column fold: expected a whole number"),
        ('{"image": "b", "fold": NaN, "grade": -1e999}', r"row 2, column grade: expected one of"),
    ],
)
def test_json_lines_that_no_table_can_hold_are_refused_in_words(tmp_path, line, message):
    path = tmp_path / "t.jsonl"
    path.write_text('{"image": "1.jpg"}\n' + line + "\n")

    with pytest.raises(BadTable, match=message):
        read_table(path)


def test_a_pair_of_halves_is_a_character(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"image": "\\ud83d\\ude00.jpg"}\n')

    assert read_table(tmp_path / "t.jsonl")["image"].tolist() == ["\U0001f600.jpg"]


@pytest.mark.parametrize("name", ["a;b;c;d", "a|b|c|d", "a\tb\tc", "x,y;z;z;z", 'say "a;b"'])
def test_a_column_whose_name_holds_separators_is_read_back(tmp_path, name):
    frame = pd.DataFrame({"image": ["1.jpg", "2.jpg"], name: ["x;y", "z"]})
    write_table(frame, tmp_path / "t.csv")

    assert read_table(tmp_path / "t.csv").to_dict("list") == frame.to_dict("list")
