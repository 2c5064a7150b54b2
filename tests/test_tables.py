"""Tables come in as they were meant, or are refused with the row and the column."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.errors import BadTable, MissingExtra
from fundoscope.tables import (
    PREDICTION_COLUMNS,
    check_manifest,
    check_predictions,
    join,
    patient_keys,
    read_table,
    write_table,
)

HASHES = [f"{k:064x}" for k in range(10)]


def written(tmp_path: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def manifest(text: str, tmp_path: Path) -> pd.DataFrame:
    path = written(tmp_path, text)
    return check_manifest(read_table(path), path=path)


def test_patients_keep_their_leading_zeros_and_blanks_stay_unknown(tmp_path):
    frame = manifest("image,patient,grade,eye\na.jpg,007,2,left\nb.jpg,,,\n", tmp_path)

    assert frame["patient"].tolist() == ["007", None]
    assert frame["grade"].tolist() == [2, pd.NA]
    assert frame["grade"].dtype == "Int64"
    assert frame["eye"].tolist() == ["left", None]


def test_na_is_a_blank_among_numbers_and_a_name_among_texts(tmp_path):
    frame = manifest("image,patient,grade\nNA,NA,NA\n", tmp_path)

    assert frame["patient"].tolist() == ["NA"]
    assert frame["grade"].isna().all()


def test_a_byte_order_mark_semicolons_and_trailing_blank_lines_are_read_over(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfimage; grade\r\na.jpg;3.0\r\n;\r\n\r\n")

    frame = check_manifest(read_table(path), path=path)

    assert frame["image"].tolist() == ["a.jpg"]
    assert frame["grade"].tolist() == [3]


def test_columns_of_nobodys_contract_are_kept_as_text(tmp_path):
    assert manifest("image,camera\na.jpg,0012\n", tmp_path)["camera"].tolist() == ["0012"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_what_is_written_is_read_back_the_same(tmp_path, suffix, rng):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow (the research extra)")
    frame = pd.DataFrame({"image": ["ä, b.jpg", 'c"d.jpg', "e\nf.jpg"], "sha256": [HASHES[0], None, HASHES[2]]})
    frame["patient"] = pd.Series(["007", "NA", None], dtype=object)
    for k, column in enumerate(rng.dirichlet(np.ones(5), 3).T):
        frame[f"p{k}"] = column
    frame["raw0"] = rng.normal(size=3) * 1e-7
    frame["grade"] = pd.array([0, 4, None], dtype="Int64")
    path = tmp_path / f"table{suffix}"

    write_table(check_predictions(frame, path=path), path)
    again = check_predictions(read_table(path), path=path)

    pd.testing.assert_frame_equal(again, check_predictions(frame, path=path), check_exact=True)


@pytest.mark.parametrize("written_as", ["-0.0", -0.0, -1e-9, "0"])
def test_a_share_of_nothing_has_no_sign(tmp_path, written_as):
    frame = pd.DataFrame({"image": ["a.jpg"], "p_referable": pd.Series([written_as], dtype=object)})

    share = check_predictions(frame, path=tmp_path / "p.csv")["p_referable"].item()

    assert f"{share:.0%}" == "0%"


@settings(max_examples=50, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives_a_csv_to_the_last_bit(value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "bits.csv"
    write_table(pd.DataFrame({"image": ["a"], "raw0": [value], "grade": [0]}), path)

    assert read_table(path)["raw0"].item() == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "got an empty file. Write it again"),
        (b"\n\n", "got an empty file"),
        (b",,\n,,\n", "got only blank lines"),
        (b"image,grade\n", "expected at least one row, got none below the header"),
        (b"\x89PNG\r\n\x1a\n\x00\x01", r"got byte 0x89 at 0"),
        (b"image\nM\x81ller.jpg\n", r"got byte 0x81 at 7. If it is a table, save it again as CSV UTF-8"),
        (b"PK\x03\x04\x14\x00", "got an Excel workbook. Name it .xlsx"),
        (b"image\n\x00\x01\n", "got binary data"),
        (b"image,grade\na.jpg,1,2\n", "rows have as many cells as its header"),
        (b"image,grade,grade\na.jpg,1,2\n", "expected every column once, got grade twice"),
        (b'image,grade\n"a.jpg,1\n', "rows have as many cells as its header"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(BadTable, match=message) as caught:
        read_table(written(tmp_path, text))
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,grade\na,1\nb,7\n",
            r"row 3, column grade: expected one of 0, 1, 2, 3, 4, got '7'. Correct it, or leave",
        ),
        ("image,grade\na,1.5\n", r"row 2, column grade: expected one of .*, got '1.5'"),
        ("image,grade\na,mild\n", r"row 2, column grade: .* got 'mild'"),
        ("image,eye\na,OU\n", r"row 2, column eye: expected one of left, right, got 'OU'"),
        ("image,eye\na,1\n", r"row 2, column eye: .* got '1'. .*fundoscope data from TABLE --code eye:WORD=VALUE"),
        ("image,grade\na,-1\n", r"row 2, column grade: .* got '-1'. .*: fundoscope data from TABLE --grade-column"),
        ("image,fold\na,1e300\n", r"row 2, column fold: expected a whole number, got '1e300'"),
        ("image,split\na,training\n", r"column split: expected one of train, val, test, got 'training'"),
        ("image,sha256\na,beef\n", r"column sha256: expected 64 hexadecimal digits, got 'beef'"),
        ("image,fold\na,-0.5\n", r"column fold: expected a whole number, got '-0.5'"),
        ("image,p0\na,1.2\n", r"column p0: expected a number from 0 to 1, got '1.2'"),
        ("image,raw0\na,inf\n", r"column raw0: expected a number, got 'inf'"),
        ("image,raw0\na,1_000\n", r"column raw0: expected a number, got '1_000'"),
        ("picture,grade\na,1\n", r"expected a column image, got picture, grade. Name the column"),
        ("image,grade\n,1\n", r"row 2, column image: expected the path of a picture, got a blank"),
        ("image,grade\na,1\nb,1\na,2\n", r"rows 2, 4, column image: expected every picture once, got 'a' 2 times"),
    ],
)
def test_a_wrong_value_is_named_by_its_row_and_column(tmp_path, text, message):
    with pytest.raises(BadTable, match=message):
        manifest(text, tmp_path)


def test_rows_of_json_lines_are_counted_from_one_as_they_have_no_header(tmp_path):
    path = written(tmp_path, '{"image": "a", "grade": 1}\n{"image": "b", "grade": 9}\n', "table.jsonl")
    with pytest.raises(BadTable, match=r"row 2, column grade: .* got '9'"):
        read_table(path)

    path = written(tmp_path, '{"image": "a"}\n[1]\n', "table.jsonl")
    with pytest.raises(BadTable, match=r"row 2: expected one JSON object on the line, got '\[1\]'"):
        read_table(path)


def test_a_missing_file_a_folder_and_an_unknown_suffix_are_refused(tmp_path):
    with pytest.raises(BadTable, match=r"nothing.csv: expected a table, got nothing: there is no such file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(BadTable, match=r"expected a name ending in .csv, .parquet, .jsonl, .tsv, .xlsx, got '.ods'"):
        read_table(tmp_path / "table.ods")
    with pytest.raises(BadTable, match=r"expected a name ending in .csv, .parquet, .jsonl, got 'no suffix'"):
        write_table(pd.DataFrame({"image": ["a"]}), tmp_path / "table")


def test_a_damaged_parquet_table_is_refused(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow (the research extra)")
    with pytest.raises(BadTable, match=r"table.parquet: expected a Parquet table, got: .*Copy or write it again"):
        read_table(written(tmp_path, b"PAR1 and then nothing", "table.parquet"))


def test_parquet_without_pyarrow_says_which_extra_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    path = written(tmp_path, b"x", "table.parquet")
    with pytest.raises(MissingExtra, match=r"pip install 'fundoscope\[research\]'"):
        read_table(path)
    with pytest.raises(MissingExtra, match=r"writing Parquet tables needs packages"):
        write_table(pd.DataFrame({"image": ["a"]}), path)
    assert path.read_bytes() == b"x"


def test_predictions_need_an_answer_of_some_kind():
    with pytest.raises(BadTable, match=r"expected a column grade, p_referable, score or p0 to p4, got image, answer"):
        check_predictions(pd.DataFrame({"image": ["a"], "answer": [1]}), path="p.csv")
    with pytest.raises(BadTable, match=r"expected all of p0 to p4 or none, got p0, p1. Add p2, p3, p4"):
        check_predictions(pd.DataFrame({"image": ["a"], "p0": [1.0], "p1": [0.0]}), path="p.csv")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([0.5, 0.5, 0.5, 0, 0], r"row 3, columns p0 to p4: expected five shares that sum to 1, got a sum of 1.500"),
        ([0.5, 0.5, None, 0, 0], r"row 3, columns p0 to p4: .* got a blank among them"),
    ],
)
def test_probabilities_must_be_whole_and_sum_to_one(shares, message):
    frame = pd.DataFrame([[0.2] * 5, shares], columns=[f"p{k}" for k in range(5)]).assign(image=["a", "b"])

    with pytest.raises(BadTable, match=message):
        check_predictions(frame, path="p.csv")


def test_a_share_just_beyond_one_is_a_rounding_and_a_whole_patient_number_a_name():
    frame = pd.DataFrame({"image": ["a"], "p_referable": [1.0000001], "patient": [7.0]})

    checked = check_predictions(frame, path="p.parquet")

    assert checked["p_referable"].tolist() == [1.0]
    assert checked["patient"].tolist() == ["7"]


def test_the_columns_of_predictions_stand_in_the_promised_order():
    expected = (
        "image sha256 source patient patient_raw eye taken study_uid series_uid sop_uid accession position graded_at "
        "status reason quality "
        "q_field_size q_sharpness q_exposure q_contrast q_vessels raw0 raw1 raw2 raw3 raw4 cut0 cut1 cut2 cut3 "
        "p0 p1 p2 p3 p4 p_referable grade decision grades_set dust_map retouched patient_note fold release"
    )
    assert list(PREDICTION_COLUMNS) == expected.split()


def joined(predictions: dict, listed: dict):
    return join(pd.DataFrame(predictions, dtype=object), pd.DataFrame(listed, dtype=object), predictions_path="p.csv")


def test_photographs_are_matched_by_hash_whatever_they_are_called():
    result = joined(
        {"image": ["x", "y"], "sha256": HASHES[:2], "grade": [1, 2]},
        {"image": ["b", "a"], "sha256": [HASHES[1], HASHES[0]], "grade": [3, 4]},
    )

    assert result.rows[["image", "grade", "predicted_grade"]].values.tolist() == [["b", 3, 2], ["a", 4, 1]]
    assert result.only_predicted == result.only_listed == ()


def test_without_hashes_the_name_decides_as_a_path():
    result = joined({"image": ["a", "./b", "c"], "grade": [1, 2, 3]}, {"image": ["a", "b", "d"], "grade": [3, 4, 0]})

    assert result.rows["predicted_grade"].tolist() == [1, 2]
    assert (result.only_predicted, result.only_listed) == (("c",), ("d",))


def test_one_name_with_two_hashes_is_two_photographs():
    result = joined(
        {"image": ["a"], "sha256": [HASHES[0]], "grade": [1]}, {"image": ["a"], "sha256": [HASHES[1]], "grade": [1]}
    )

    assert (result.only_predicted, result.only_listed) == (("a",), ("a",))


def test_a_photograph_listed_twice_under_other_names_finds_no_answer():
    result = joined(
        {"image": ["x"], "sha256": [HASHES[0]], "grade": [1]},
        {"image": ["a", "b"], "sha256": [HASHES[0]] * 2, "grade": [0, 3]},
    )

    assert result.rows.empty
    assert (result.only_predicted, result.only_listed) == (("x",), ("a", "b"))


def test_of_repeated_photographs_each_finds_the_answer_of_its_own_name():
    result = joined(
        {"image": ["b", "a"], "sha256": [HASHES[0]] * 2, "grade": [1, 2]},
        {"image": ["a", "b"], "sha256": [HASHES[0]] * 2, "grade": [0, 3]},
    )

    assert result.rows["predicted_grade"].tolist() == [2, 1]


def test_answers_that_contradict_each_other_are_refused_and_repeated_ones_are_not():
    listed = {"image": ["a"], "sha256": [HASHES[0]], "grade": [0]}
    same = {"image": ["x", "y"], "sha256": [HASHES[0]] * 2, "grade": [1, 1], "graded_at": ["1", "2"]}

    assert joined(same, listed).rows["predicted_grade"].tolist() == [1]
    assert joined(same, listed).only_predicted == ()
    with pytest.raises(BadTable, match=r"p.csv: rows 2, 3: expected one answer for one photograph, got several"):
        joined({**same, "grade": [1, 2]}, listed)


def test_what_is_known_of_the_patient_makes_no_other_answer():
    """One file may be listed for two patients: its answer is the same."""
    notes = {"patient_note": ["One eye only.", None], "patient_raw": [" 7", None], "sop_uid": ["1.2", None]}
    predictions = {"image": ["a.jpg", "b.jpg"], "sha256": ["a" * 64] * 2, "grade": [2, 2], **notes}

    assert len(joined(predictions, {"image": ["c.jpg"], "sha256": ["a" * 64], "grade": [2]}).rows) == 1


def test_the_manifest_says_who_it_is_and_the_prediction_fills_what_it_leaves_blank():
    result = joined(
        {"image": ["a", "b"], "patient": ["p1", "p2"], "eye": ["left", "right"], "grade": [0, 0], "fold": [1, 1]},
        {"image": ["a", "b"], "patient": ["m1", None], "grade": [0, 0], "fold": [2, 2]},
    )

    assert result.rows["patient"].tolist() == ["m1", "p2"]
    assert result.rows["eye"].tolist() == ["left", "right"]
    assert result.rows[["fold", "predicted_fold"]].values.tolist() == [[2, 1]] * 2


def test_patients_of_two_sources_are_two_and_a_photograph_without_patient_is_its_own():
    frame = pd.DataFrame(
        {
            "image": list("abcde"),
            "source": ["s", "t", "s", "s", "s"],
            "patient": ["1", "1", "1", None, None],
            "sha256": [None, None, None, HASHES[0], HASHES[0]],
        }
    )

    first, second, third, fourth, fifth = patient_keys(frame)

    assert first == third != second
    assert fourth == fifth, "the same file twice is one photograph"


def test_json_lines_hold_null_for_a_blank(tmp_path):
    path = tmp_path / "t.jsonl"
    write_table(pd.DataFrame({"image": ["a"], "grade": pd.array([None], dtype="Int64"), "p_referable": [np.nan]}), path)

    assert json.loads(path.read_text()) == {"image": "a", "grade": None, "p_referable": None}
