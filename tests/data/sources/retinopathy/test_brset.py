"""BRSET as PhysioNet lays it out, in the spelling of each release."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.sources.retinopathy.brset import BRSET, KEPT, PICTURES, SIGNS
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

FIRST = {  # the first release's header, in its order, and its first row
    "image_id": "img00001",
    "patient_id": "1",
    "camera": "Canon CR",
    "patient_age": "48",
    "comorbidities": "diabetes1",
    "diabetes_time_y": "12",
    "insuline": "yes",
    "patient_sex": "1",
    "exam_eye": "1",
    "diabetes": "yes",
    "nationality": "Brazil",
    "optic_disc": "1",
    "vessels": "1",
    "macula": "1",
    "DR_SDRG": "1",
    "DR_ICDR": "2",
    "focus": "1",
    "iluminaton": "2",
    "image_field": "1",
    "artifacts": "1",
    "diabetic_retinopathy": "1",
    "macular_edema": "1",
    "scar": "0",
    "nevus": "0",
    "amd": "0",
    "vascular_occlusion": "0",
    "hypertensive_retinopathy": "0",
    "drusens": "1",
    "hemorrhage": "0",
    "retinal_detachment": "0",
    "myopic_fundus": "0",
    "increased_cup_disc": "1",
    "other": "0",
    "quality": "Adequate",
}
LATER = {"iluminaton": "illumination", "drusens": "drusen", "insuline": "insulin", "diabetes_time_y": "diabetes_time"}


def write(folder: Path, rows: list[dict[str, str]], table: str = "labels.csv") -> Path:
    (folder / PICTURES).mkdir(exist_ok=True)
    for row in rows:
        (folder / PICTURES / f"{row['image_id']}.jpg").write_bytes(row["image_id"].encode())
    pd.DataFrame(rows).to_csv(folder / table, index=False, encoding="utf-8-sig")
    return folder


def read(folder: Path) -> pd.DataFrame:
    return check_manifest(BRSET.read(folder), path=folder / "brset.csv")


def test_both_scales_the_eye_and_the_person_are_read(tmp_path):
    left = FIRST | {"image_id": "img00002", "exam_eye": "2", "patient_sex": "2", "quality": "Inadequate"}

    frame = read(write(tmp_path, [FIRST, left]))

    assert frame["image"].tolist() == ["fundus_photos/img00001.jpg", "fundus_photos/img00002.jpg"]
    assert frame["patient"].tolist() == ["1", "1"]
    assert frame["eye"].tolist() == ["right", "left"]
    assert frame["sex"].tolist() == ["male", "female"]
    assert frame["quality"].tolist() == ["good", "usable"]
    assert frame.loc[0, ["grade", "grade_sdrg", "dme", "age"]].tolist() == [2, "1", 1, 48.0]


def test_every_release_says_the_same_under_its_own_spelling(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    renamed = {LATER.get(name, name): value for name, value in FIRST.items()}

    old = read(write(tmp_path / "old", [FIRST]))
    new = read(write(tmp_path / "new", [renamed], table="labels_brset.csv"))

    pd.testing.assert_frame_equal(old, new)
    assert old.loc[0, ["sign_drusen", "insulin", "illumination", "diabetes_years"]].tolist() == [1, "yes", "2", "12"]
    assert {f"sign_{name}" for name in SIGNS} | set(KEPT) <= set(old.columns)
    assert old[[*KEPT, *(f"sign_{name}" for name in SIGNS)]].notna().all(axis=None)


def test_the_order_of_the_table_does_not_matter(tmp_path):
    rows = [FIRST | {"image_id": f"img{at:05d}", "DR_ICDR": str(at % 5)} for at in range(7)]
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()

    one = read(write(tmp_path / "one", rows)).set_index("image")
    other = read(write(tmp_path / "other", rows[::-1])).set_index("image")

    pd.testing.assert_frame_equal(one, other.loc[one.index])


def test_what_is_blank_stays_unknown_and_a_stray_word_in_a_kept_column_is_kept(tmp_path):
    row = FIRST | {"patient_age": "", "exam_eye": "", "optic_disc": "bv", "insuline": ""}

    read_back = read(write(tmp_path, [row])).iloc[0]

    assert pd.isna(read_back["age"])
    assert read_back["eye"] is None
    assert read_back["optic_disc"] == "bv"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (FIRST | {"exam_eye": "3"}, r"labels.csv: row 2, column exam_eye: expected 1, 2 or a blank, got '3'"),
        ({"image_id": "img00001"}, r"expected the columns image_id, .* patient_id, .* not found among image_id"),
    ],
)
def test_another_code_or_table_is_refused(tmp_path, row, message):
    with pytest.raises(BadTable, match=message):
        read(write(tmp_path, [row]))


def test_a_folder_without_the_table_is_refused(tmp_path):
    with pytest.raises(BadTable, match=r"expected BRSET with labels_brset.csv or labels.csv, found nothing\. Name"):
        BRSET.read(tmp_path)
