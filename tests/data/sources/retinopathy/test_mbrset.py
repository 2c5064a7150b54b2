"""mBRSET as PhysioNet lays it out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.manifest import with_hashes
from fundoscope.data.sources.retinopathy.mbrset import MBRSET
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

HEADER = (
    "patient,age,sex,dm_time,insulin,insulin_time,oraltreatment_dm,systemic_hypertension,insurance,educational_level,"
    "alcohol_consumption,smoking,obesity,vascular_disease,acute_myocardial_infarction,nephropathy,neuropathy,"
    "diabetic_foot,file,laterality,final_artifacts,final_quality,final_icdr,final_edema\n"
)
MIDDLE = "15.0,1.0,,1.0,1.0,0.0,3.0,1.0,0.0,0.0,0.0,1.0,1.0,0.0,0.0"


def write(folder: Path, *rows: str) -> Path:
    (folder / "images").mkdir()
    (folder / "labels_mbrset.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return folder


def read(folder: Path) -> pd.DataFrame:
    return check_manifest(with_hashes(MBRSET.read(folder), folder), path=folder / "mbrset.csv")


def test_sex_is_coded_the_other_way_than_in_brset(tmp_path):
    frame = read(
        write(tmp_path, f"1,58,1,{MIDDLE},1.1.jpg,right,yes,yes,4.0,no", f"2,61,0,{MIDDLE},2.1.jpg,left,no,yes,0.0,yes")
    )

    assert frame["sex"].tolist() == ["male", "female"]
    assert frame["eye"].tolist() == ["right", "left"]
    assert frame["grade"].tolist() == [4, 0]
    assert frame["dme"].tolist() == [0, 1]
    assert frame["dm_time"].tolist() == ["15.0", "15.0"]
    assert frame["image"].tolist() == ["images/1.1.jpg", "images/2.1.jpg"]


def test_quality_is_good_only_without_artefacts_and_reject_only_where_it_was_refused(tmp_path):
    marks = ["no,yes,0.0,no", "yes,yes,0.0,no", "yes,no,,", "no,no,,"]
    frame = read(write(tmp_path, *(f"{at},58,1,{MIDDLE},{at}.1.jpg,left,{mark}" for at, mark in enumerate(marks))))

    assert frame["quality"].tolist() == ["good", "usable", "reject", "reject"]
    assert frame["grade"].isna().tolist() == [False, False, True, True]
    assert frame["dme"].isna().tolist() == [False, False, True, True]


def test_the_photograph_that_the_release_forgot_has_no_hash(tmp_path):
    write(tmp_path, f"1,58,1,{MIDDLE},1.1.jpg,right,no,yes,0.0,no", f"985,58,1,{MIDDLE},985.1.jpg,right,no,yes,0.0,no")
    (tmp_path / "images" / "1.1.jpg").write_bytes(b"a photograph")

    assert read(tmp_path)["sha256"].isna().tolist() == [False, True]


def test_another_word_for_the_eye_is_refused_by_its_row(tmp_path):
    write(tmp_path, f"1,58,1,{MIDDLE},1.1.jpg,OD,no,yes,0.0,no")

    with pytest.raises(BadTable, match=r"row 2, column laterality: expected left, right or a blank, got 'OD'"):
        MBRSET.read(tmp_path)
