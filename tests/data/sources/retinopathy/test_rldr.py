"""RLDR as its authors release it, and as GDRBench lists it."""

from __future__ import annotations

import pytest

from fundoscope.data.sources.retinopathy.rldr import IMAGES, MASKS, RELEASE, RLDR
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


@pytest.mark.parametrize("base", ["", RELEASE])
def test_the_release_tells_both_grades_of_a_photograph(tmp_path, base):
    mask = tmp_path / base / MASKS / "10009_left"
    mask.mkdir(parents=True)
    (mask / "hard_exudate.png").write_bytes(b"mask")
    (tmp_path / base / "dr_grades.csv").write_text(
        "image id,kaggle label,our label\n10009_left.jpg,0,2\n44_right,4,3\n"
    )
    prefix = f"{base}/" if base else ""

    frame = check_manifest(RLDR.read(tmp_path), path="rldr.csv")

    assert frame["image"].tolist() == [f"{prefix}{IMAGES}/{name}.jpg" for name in ("10009_left", "44_right")]
    assert frame["grade"].tolist() == [2, 3]
    assert frame["grade_second"].tolist() == [0, 4]
    assert frame["mask_ex"].tolist() == [f"{prefix}{MASKS}/10009_left/hard_exudate.png", None]
    assert list(zip(frame["patient"], frame["eye"], strict=True)) == [("10009", "left"), ("44", "right")]


def test_gdrbenchs_lists_keep_their_division_although_patients_straddle_it(tmp_path):
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "RLDR_train.txt").write_text("RLDR/moderate_npdr/533_left.jpg 2\n")
    (tmp_path / "splits" / "RLDR_crossval.txt").write_text("RLDR/nodr/533_right.jpg 0\n")

    frame = check_manifest(RLDR.read(tmp_path), path="rldr.csv")

    assert frame["image"].tolist() == ["images/RLDR/moderate_npdr/533_left.jpg", "images/RLDR/nodr/533_right.jpg"]
    assert frame["split"].tolist() == ["train", "val"]
    assert frame["patient"].tolist() == ["533", "533"]


def test_another_domains_list_is_refused(tmp_path):
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "RLDR_train.txt").write_text("APTOS/nodr/a.png 0\n")

    with pytest.raises(BadTable, match=r"RLDR_train.txt: expected lines like RLDR/nodr/10009_left.jpg 0"):
        RLDR.read(tmp_path)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(BadTable, match=r"expected Retinal-Lesions with dr_grades.csv .* got neither"):
        RLDR.read(tmp_path)
