from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.both_eyes import one_row_per_eye
from fundoscope.data.manifest import manifest_from_csv
from fundoscope.errors import BadTable

TABLE = Path("sheet.csv")


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A spreadsheet of three patients, of whom the last was photographed in one eye only."""
    rows = [
        "Study ID;OD image;OD grade;OS image;OS grade;age",
        "P1;1od.jpg;2;1os.jpg;0;61",
        "P2;2od.jpg;1;2os.jpg;4;70",
        "P3;;;3os.jpg;3;55",
    ]
    for name in ("1od", "1os", "2od", "2os", "3os"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    path = tmp_path / "sheet.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_a_spreadsheet_with_a_column_for_each_eye_becomes_a_manifest_with_a_row_for_each(sheet: Path, caplog):
    frame = manifest_from_csv(sheet, columns={"grade": "grade", "patient": "Study ID"})

    assert list(zip(frame["patient"], frame["eye"], frame["image"], frame["grade"], strict=True)) == [
        ("P1", "left", "1os.jpg", 0),
        ("P1", "right", "1od.jpg", 2),
        ("P2", "left", "2os.jpg", 4),
        ("P2", "right", "2od.jpg", 1),
        ("P3", "left", "3os.jpg", 3),
    ]
    assert list(frame["age"]) == [61, 61, 70, 70, 55]
    assert "each of 3 rows is read as one row per eye, 5 in all" in caplog.text


def test_an_eye_with_a_grade_and_no_picture_is_refused_and_not_dropped(sheet: Path):
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("P3;;;", "P3;;4;"), encoding="utf-8")

    with pytest.raises(BadTable, match=r"row 7, column image: .*blank"):
        manifest_from_csv(sheet, columns={"grade": "grade", "patient": "Study ID"})


def test_a_table_whose_wanted_columns_are_there_is_left_as_it_is():
    frame = pd.DataFrame({"image": ["a"], "OD acuity": ["0.8"], "OS acuity": ["1.0"]})

    assert one_row_per_eye(frame, ["image"], TABLE) is frame


@pytest.mark.parametrize(
    "names",
    [("OD", "OS"), ("image_left", "image_right"), ("Left eye image", "Right eye image"), ("image (R)", "image (L)")],
)
def test_pairs_are_told_by_any_word_for_the_eye(names):
    frame = pd.DataFrame({name: ["a.jpg"] for name in names})

    rows = one_row_per_eye(frame, ["image"], TABLE)

    assert sorted(rows["eye"]) == ["left", "right"]
    assert list(rows["image"]) == ["a.jpg", "a.jpg"]


def test_a_name_that_stands_alone_and_in_a_pair_is_refused():
    frame = pd.DataFrame({"OD image": ["a"], "OS image": ["b"], "OD grade": ["1"], "OS grade": ["2"], "grade": ["2"]})

    with pytest.raises(BadTable, match="expected grade either as one column or as one for each eye, got both"):
        one_row_per_eye(frame, ["image"], TABLE)
