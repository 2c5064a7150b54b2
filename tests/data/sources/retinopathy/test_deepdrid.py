"""DeepDRiD's regular photographs in the folders of its repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.deepdrid import DEEPDRID, EVALUATION, FOLDER
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

HEADER = (
    "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
    "Clarity,Field definition,Artifact\n"
)
TRAIN = (
    r"56,56_l1,\regular-fundus-training\56\56_l1.jpg,0,1,,1,8,8,0"
    "\n"
    r"56,56_r3,\regular-fundus-training\56\56_r3.jpg,0,1,,1,10,8,1"
    "\n"
    r"4,4_r1,\regular-fundus-training\4\4_r1.jpg,1,,4,4,8,6,6"
    "\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / FOLDER
    for name, rows in (
        ("regular-fundus-training", TRAIN),
        ("regular-fundus-validation", "265,265_l1,x,0,3,,4,4,8,10\n"),
    ):
        (base / name).mkdir(parents=True)
        (base / name / f"{name}.csv").write_text(HEADER + rows)
    (base / "regular-fundus-training" / "regular-fundus-source-training.csv").write_text(
        "patient_id,image_id,image_path,Source\n4,4_r1,x,Nicheng\n"
    )
    return tmp_path


def test_the_grade_is_the_eyes_and_not_the_patients(folder):
    frame = check_manifest(DEEPDRID.read(folder), path="deepdrid.csv")

    assert frame["grade"].tolist() == [1, 1, 4, 3]
    assert frame["patient_grade"].tolist() == ["1", "1", "4", "4"]
    assert frame["patient"].tolist() == ["56", "56", "4", "265"]
    assert frame["split"].tolist() == ["train", "train", "train", "val"]
    assert frame["image"].iloc[0] == f"{FOLDER}/regular-fundus-training/Images/56/56_l1.jpg"
    assert frame["site"].tolist() == [None, None, "Nicheng", None]


def test_an_eye_on_which_name_and_column_disagree_is_blank(folder):
    frame = check_manifest(DEEPDRID.read(folder), path="deepdrid.csv")

    assert frame["eye"].tolist() == ["left", None, "right", "left"]


def test_both_levels_of_quality_are_kept_as_published(folder):
    frame = DEEPDRID.read(folder)

    assert frame["quality"].tolist() == ["reject", "reject", "good", "reject"]
    assert frame["overall_quality"].tolist() == ["0", "0", "1", "0"]
    assert frame["field_definition"].tolist() == ["8", "8", "6", "8"]


def test_the_evaluation_is_the_test_set_and_level_five_no_grade(folder):
    place = folder / FOLDER / EVALUATION
    place.mkdir()
    (place / "Challenge1_labels.csv").write_text("image_id,DR_Levels\n347_l1,1\n347_r1,5\n")
    (place / "Challenge2_labels.csv").write_text(
        "Overall quality,Artifact,Clarity,Field definition,image_id\n0,8,4,8,347_r1\n1,0,10,8,347_l1\n"
    )

    test = check_manifest(DEEPDRID.read(folder), path="deepdrid.csv").query("split == 'test'")

    assert test["image"].tolist() == [f"{FOLDER}/{EVALUATION}/Images/347/347_{eye}.jpg" for eye in ("l1", "r1")]
    assert test["grade"].isna().tolist() == [False, True]
    assert test["quality"].tolist() == ["good", "reject"]


def test_an_evaluation_in_spreadsheets_only_says_what_to_save(folder):
    (folder / FOLDER / EVALUATION).mkdir()

    with pytest.raises(BadTable, match=r"expected Challenge1_labels.csv .* Save Challenge1_labels.xlsx"):
        DEEPDRID.read(folder)


def test_a_name_without_an_eye_is_refused(folder):
    path = folder / FOLDER / "regular-fundus-validation" / "regular-fundus-validation.csv"
    path.write_text(HEADER + "265,265,x,0,3,,4,4,8,10\n")

    with pytest.raises(BadTable, match=r"expected names like 12_l1 \(patient, eye, number\), got '265'"):
        DEEPDRID.read(folder)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(BadTable, match="expected DeepDRiD with regular_fundus_images"):
        DEEPDRID.read(tmp_path)
