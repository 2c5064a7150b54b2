"""DDR in its publisher's three lists, and as the copy without ungradable photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.ddr import DDR
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


def lists(root: Path) -> Path:
    (root / "DR_grading").mkdir(parents=True)
    (root / "DR_grading" / "train.txt").write_text("007-0004-000.jpg 0\n007-0007-000.jpg 5\n")
    (root / "DR_grading" / "valid.txt").write_text("007-6127-400.jpg 4\n")
    (root / "DR_grading" / "test.txt").write_text("20170323093305605.jpg 1\n")
    mask = root / "lesion_segmentation" / "valid" / "label" / "HE"
    mask.mkdir(parents=True)
    (mask / "007-6127-400.tif").write_bytes(b"mask")
    return root


@pytest.mark.parametrize("base", ["", "DDR-dataset"])
def test_label_five_is_an_ungradable_photograph_and_no_sixth_grade(tmp_path, base):
    lists(tmp_path / base)

    frame = check_manifest(DDR.read(tmp_path), path="ddr.csv")

    assert frame["grade"].isna().tolist() == [False, True, False, False]
    assert frame["quality"].tolist() == [None, "reject", None, None]
    assert frame["split"].tolist() == ["train", "train", "val", "test"]
    assert frame["image"].iloc[2] == "/".join(filter(None, (base, "DR_grading/valid/007-6127-400.jpg")))


def test_a_mask_is_named_where_it_lies(tmp_path):
    frame = DDR.read(lists(tmp_path))

    assert frame["mask_he"].tolist() == [None, None, "lesion_segmentation/valid/label/HE/007-6127-400.tif", None]
    assert frame["mask_ma"].isna().all()


def test_the_copy_has_names_with_suffix_and_no_divisions(tmp_path):
    (tmp_path / "DR_grading" / "DR_grading").mkdir(parents=True)
    (tmp_path / "DR_grading.csv").write_text("id_code,diagnosis\n007-0004-000.jpg,0\n007-0005-000,3\n")

    frame = check_manifest(DDR.read(tmp_path), path="ddr.csv")

    assert frame["image"].tolist() == [f"DR_grading/DR_grading/007-000{n}-000.jpg" for n in (4, 5)]
    assert "split" not in frame


def test_a_line_without_a_grade_is_refused(tmp_path):
    (lists(tmp_path) / "DR_grading" / "test.txt").write_text("a.jpg 1\nb.jpg\n")

    with pytest.raises(BadTable, match=r"test.txt: row 2: expected a picture's name and its grade, got 'b.jpg'"):
        DDR.read(tmp_path)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(BadTable, match=r"expected DDR with DR_grading/train.txt"):
        DDR.read(tmp_path)
