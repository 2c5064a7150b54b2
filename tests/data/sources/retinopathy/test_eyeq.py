"""EyeQ's labels beside EyePACS' photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.eyeq import EYEQ
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    (tmp_path / "train" / "10009_left.png").write_bytes(b"picture")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Label_EyeQ_train.csv").write_text(
        ",image,quality,DR_grade\n0,10009_left.jpeg,0,0\n1,10009_right.jpeg,2,4\n"
    )
    (tmp_path / "data" / "Label_EyeQ_test.csv").write_text(",image,quality,DR_grade\n0,1_right.jpeg,1,0\n")
    return tmp_path


def test_quality_is_joined_to_the_photographs_by_name(folder):
    frame = check_manifest(EYEQ.read(folder), path="eyeq.csv")

    assert frame["image"].tolist() == ["train/10009_left.png", "train/10009_right.jpeg", "test/1_right.jpeg"]
    assert frame["quality"].tolist() == ["good", "reject", "usable"]
    assert frame["grade"].tolist() == [0, 4, 0]
    assert frame["patient"].tolist() == ["10009", "10009", "1"]
    assert frame["split"].tolist() == ["train", "train", "test"]


def test_a_quality_that_is_none_of_the_three_is_refused(folder):
    (folder / "data" / "Label_EyeQ_test.csv").write_text(",image,quality,DR_grade\n0,1_right.jpeg,3,0\n")

    with pytest.raises(BadTable, match=r"Label_EyeQ_test.csv: row 2, column quality: expected 0, 1, 2 .* got '3'"):
        EYEQ.read(folder)


def test_half_of_it_is_refused(folder):
    (folder / "data" / "Label_EyeQ_test.csv").unlink()

    with pytest.raises(BadTable, match=r"expected EyeQ with Label_EyeQ_test.csv or data/Label_EyeQ_test.csv"):
        EYEQ.read(folder)
