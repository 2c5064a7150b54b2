"""ODIR-5K: the Kaggle copy's table and the publisher's, whose classes are the patient's."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.data.sources.diseases.odir import GRADES, ODIR, TABLES, UNGRADED, grade_of
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

PATIENT = (
    "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,Right-Diagnostic Keywords,"
    "N,D,G,C,A,H,M,O"
)
SICK = (
    "1,57,Male,1_left.jpg,1_right.jpg,"
    "normal fundus,moderate non proliferative retinopathy\uff0chypertensive retinopathy"
)
WELL = "0,69,Female,0_left.jpg,0_right.jpg,cataract,normal fundus"


def write_kaggle(folder: Path, *rows: str) -> Path:
    (folder / "preprocessed_images").mkdir()
    (folder / "full_df.csv").write_text(
        f"{PATIENT},filepath,labels,target,filename\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8"
    )
    return folder


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    return write_kaggle(
        tmp_path,
        f'{SICK},0,1,0,0,0,1,0,0,../x/1_left.jpg,"[\'N\']","[1, 0]",1_left.jpg',
        f'{SICK},0,1,0,0,0,1,0,0,../x/1_right.jpg,"[\'D\']","[0, 1]",1_right.jpg',
        f'{WELL},0,0,0,1,0,0,0,0,../x/0_right.jpg,"[\'N\']","[1, 0]",0_right.jpg',
    )


def read(folder: Path) -> pd.DataFrame:
    return check_manifest(ODIR.read(folder), path=folder / "odir.csv").set_index("image")


def test_a_patients_diabetes_is_not_said_of_the_healthy_eye(kaggle):
    frame = read(kaggle)

    left, right = frame.loc["preprocessed_images/1_left.jpg"], frame.loc["preprocessed_images/1_right.jpg"]
    assert (left["patient_diabetes"], right["patient_diabetes"]) == (1, 1)
    assert (left["grade"], right["grade"]) == (0, 2)
    assert (left["label"], right["label"]) == ("normal", "diabetes")
    assert not [name for name in frame.columns if name.startswith("sign_")]


def test_the_kaggle_copys_table_repeats_patients_yet_every_photograph_comes_once(kaggle):
    frame = read(kaggle)

    assert sorted(frame.index) == [f"preprocessed_images/{name}.jpg" for name in ("0_right", "1_left", "1_right")]
    assert frame["patient"].tolist() == ["0", "1", "1"]
    assert frame["sex"].tolist() == ["female", "male", "male"]


def test_the_publishers_table_gives_both_eyes_of_every_patient(tmp_path):
    (tmp_path / "Training Images").mkdir()
    (tmp_path / TABLES[1]).write_text(f"{PATIENT}\n{SICK},0,1,0,0,0,1,0,0\n{WELL},0,0,0,1,0,0,0,0\n", encoding="utf-8")

    frame = read(tmp_path)

    assert len(frame) == 4
    assert frame["eye"].value_counts().to_dict() == {"left": 2, "right": 2}
    assert frame.loc["Training Images/1_right.jpg", "keywords"] == (
        "moderate non proliferative retinopathy; hypertensive retinopathy"
    )
    assert pd.isna(frame.loc["Training Images/0_left.jpg", "grade"]), "a cataract says nothing of retinopathy"
    assert "label" not in frame


def test_an_eye_that_was_not_photographed_has_neither_side_nor_grade(tmp_path):
    row = "2,60,Male,2_left.jpg,2_right.jpg,no fundus image,severe nonproliferative retinopathy"
    (tmp_path / TABLES[1]).write_text(f"{PATIENT}\n{row},0,1,0,0,0,0,0,0\n")

    frame = read(tmp_path)

    assert frame["eye"].tolist() == [None, "right"]
    assert frame["grade"].isna().tolist() == [True, False]


@given(keywords=st.lists(st.sampled_from([*GRADES, *UNGRADED, "cataract", "lens dust"]), unique=True))
@settings(max_examples=100, deadline=None)
def test_a_grade_is_the_worst_that_was_said_and_none_was_invented(keywords):
    grade = grade_of(keywords)

    said = {GRADES[word] for word in keywords if word in GRADES}
    assert grade is None or (grade in said and grade == max(said))
    assert grade == grade_of(keywords[::-1])
    if set(UNGRADED) & set(keywords):
        assert grade != 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f"{PATIENT}\n{SICK.replace('Male', 'M')},0,1,0,0,0,1,0,0\n", r"row 2, column Patient Sex: .* got 'M'"),
        ("ID,N\n1,0\n", r"full_df.csv: expected the columns .* Patient Age, .* not found among ID, N"),
        (None, r"expected ODIR-5K with full_df.csv or .*, found nothing"),
    ],
)
def test_another_table_is_refused(tmp_path, table, message):
    if table is not None:
        (tmp_path / "full_df.csv").write_text(table, encoding="utf-8")
    with pytest.raises(BadTable, match=message):
        ODIR.read(tmp_path)
