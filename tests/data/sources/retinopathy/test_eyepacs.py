"""EyePACS as Kaggle lays it out, with and without the labels that came afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.eyepacs import EYEPACS
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, name in (("train", "10_left.jpeg"), ("test", "1_left.jpeg")):
        (tmp_path / split).mkdir()
        (tmp_path / split / name).write_bytes(b"picture")
    (tmp_path / "trainLabels.csv").write_text("image,level\n10_left,0\n10_right,4\n")
    (tmp_path / "retinopathy_solution.csv").write_text("image,level,Usage\n1_left,2,Private\n1_right,0,Public\n")
    return tmp_path


def test_both_eyes_of_a_person_are_one_patient(folder):
    frame = check_manifest(EYEPACS.read(folder), path="eyepacs.csv")

    assert frame["image"].tolist() == [
        *("train/10_left.jpeg", "train/10_right.jpeg", "test/1_left.jpeg", "test/1_right.jpeg"),
    ]
    assert frame["patient"].tolist() == ["10", "10", "1", "1"]
    assert frame["eye"].tolist() == ["left", "right"] * 2
    assert frame["grade"].tolist() == [0, 4, 2, 0]
    assert frame["split"].tolist() == ["train", "train", "test", "test"]


def test_the_part_of_the_leaderboard_is_kept(folder):
    assert EYEPACS.read(folder)["usage"].tolist()[2:] == ["Private", "Public"]


def test_without_test_labels_only_the_training_part_is_read(folder):
    (folder / "retinopathy_solution.csv").unlink()

    assert set(EYEPACS.read(folder)["split"]) == {"train"}


def test_pictures_converted_to_png_are_found(folder):
    (folder / "train" / "10_left.jpeg").rename(folder / "train" / "10_left.png")

    assert EYEPACS.read(folder)["image"].iloc[0] == "train/10_left.png"


def test_a_grade_that_is_none_is_refused_by_its_row(folder):
    (folder / "trainLabels.csv").write_text("image,level\n10_left,0\n10_right,5\n")

    with pytest.raises(BadTable, match=r"trainLabels.csv: row 3, column level: expected 0, 1, 2, 3, 4 .* got '5'"):
        EYEPACS.read(folder)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(BadTable, match=r"expected EyePACS with trainLabels.csv or .*, found nothing"):
        EYEPACS.read(tmp_path)
