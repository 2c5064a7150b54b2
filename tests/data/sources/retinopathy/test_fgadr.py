"""FGADR's Seg-set as it is released."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.fgadr import FGADR
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


def seg_set(root: Path) -> Path:
    for folder in ("Original_Images", "Hemohedge_Masks"):
        (root / folder).mkdir(parents=True)
        (root / folder / "0001_1.png").write_bytes(b"picture")
    (root / "DR_Seg_Grading_Label.csv").write_text("0001_1.png,2\n1678_3.png,4\n")
    return root


@pytest.mark.parametrize("base", ["", "Seg-set"])
def test_the_first_line_is_a_photograph_and_no_header(tmp_path, base):
    seg_set(tmp_path / base)
    prefix = f"{base}/" if base else ""

    frame = check_manifest(FGADR.read(tmp_path), path="fgadr.csv")

    assert frame["image"].tolist() == [f"{prefix}Original_Images/{name}.png" for name in ("0001_1", "1678_3")]
    assert frame["grade"].tolist() == [2, 4]
    assert frame["batch"].tolist() == ["1", "3"]
    assert frame["mask_he"].tolist() == [f"{prefix}Hemohedge_Masks/0001_1.png", None]
    assert frame["mask_nv"].isna().all()


def test_a_table_with_a_header_is_another_table(tmp_path):
    (seg_set(tmp_path) / "DR_Seg_Grading_Label.csv").write_text("Image_Name,grade\n0001_1.png,2\n")

    with pytest.raises(BadTable, match=r"row 1: expected a picture's name and its grade .* got 'Image_Name,grade'"):
        FGADR.read(tmp_path)
