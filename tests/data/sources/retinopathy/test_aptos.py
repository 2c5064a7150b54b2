"""APTOS 2019 as Kaggle lays it out, and as the copy that splits it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.aptos import APTOS
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


def resplit(root: Path) -> Path:
    for table, name in (("train_1", "a"), ("valid", "b"), ("test", "c")):
        (root / f"{table}.csv").write_text(f"id_code,diagnosis\n{name},1\n")
    for folder in ("train_images", "val_images", "test_images"):
        (root / folder / folder).mkdir(parents=True)
    (root / "val_images" / "val_images" / "b.png").write_bytes(b"picture")
    return root


def test_kaggles_test_photographs_have_no_grade(tmp_path):
    (tmp_path / "train.csv").write_text("id_code,diagnosis\n000c1434d8d7,2\n001639a390f0,4\n")
    (tmp_path / "test.csv").write_text("id_code\n0005cfc8afb6\n")

    frame = check_manifest(APTOS.read(tmp_path), path="aptos.csv")

    assert frame["image"].tolist()[::2] == ["train_images/000c1434d8d7.png", "test_images/0005cfc8afb6.png"]
    assert frame["split"].tolist() == ["train", "train", "test"]
    assert frame["grade"].isna().tolist() == [False, False, True]
    assert "patient" not in frame


def test_the_copys_test_photographs_have_one(tmp_path):
    frame = check_manifest(APTOS.read(resplit(tmp_path)), path="aptos.csv")

    assert frame["image"].tolist() == [
        *("train_images/train_images/a.png", "val_images/val_images/b.png", "test_images/test_images/c.png"),
    ]
    assert frame["split"].tolist() == ["train", "val", "test"]
    assert frame["grade"].tolist() == [1, 1, 1]


def test_a_copy_whose_test_table_lost_its_grades_is_refused(tmp_path):
    resplit(tmp_path)
    (tmp_path / "test.csv").write_text("id_code\nc\n")

    with pytest.raises(BadTable, match=r"test.csv: expected the columns id_code, diagnosis, diagnosis not found"):
        APTOS.read(tmp_path)
