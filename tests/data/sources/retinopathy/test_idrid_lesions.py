"""IDRiD's lesion masks, as they lie beside the checkout and as their publisher lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.idrid_lesions import IDRID_LESIONS, IMAGES, LESIONS, MASKS, SETS
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


def published(root: Path) -> Path:
    for split, name in (("train", "IDRiD_01"), ("test", "IDRiD_55")):
        (root / IMAGES / SETS[split]).mkdir(parents=True)
        (root / IMAGES / SETS[split] / f"{name}.jpg").write_bytes(b"picture")
        for lesion in ("MA", "OD"):
            folder = root / MASKS / SETS[split] / LESIONS[lesion]
            folder.mkdir(parents=True)
            (folder / f"{name}_{lesion}.tif").write_bytes(b"mask")
    return root


@pytest.mark.parametrize("base", ["", "A. Segmentation"])
def test_the_publishers_masks_are_found_and_absent_ones_blank(tmp_path, base):
    published(tmp_path / base)
    prefix = f"{base}/" if base else ""

    frame = check_manifest(IDRID_LESIONS.read(tmp_path), path="idrid_lesions.csv")

    assert frame["split"].tolist() == ["train", "test"]
    assert frame["image"].iloc[1] == f"{prefix}{IMAGES}/{SETS['test']}/IDRiD_55.jpg"
    assert frame["mask_ma"].iloc[0] == f"{prefix}{MASKS}/{SETS['train']}/1. Microaneurysms/IDRiD_01_MA.tif"
    assert frame["mask_se"].isna().all()


def test_the_real_ones_have_all_their_masks(shared_data):
    folder = shared_data / "idrid_lesions"
    frame = check_manifest(IDRID_LESIONS.read(folder), path="idrid_lesions.csv")

    assert len(frame) == 23
    assert set(frame["split"]) == {"train"}
    for lesion in LESIONS:
        assert all((folder / mask).is_file() for mask in frame[f"mask_{lesion.lower()}"])
    assert all((folder / image).is_file() for image in frame["image"])
    assert (frame["grading_photo"].notna() == frame["grade"].notna()).all()


def test_a_lesion_photograph_can_be_a_test_photograph_of_the_grading_part(shared_data):
    frame = IDRID_LESIONS.read(shared_data / "idrid_lesions").set_index("image")

    in_test = frame["grading_photo"].str.contains("_test_", na=False)
    assert in_test.index[in_test].tolist() == ["images/IDRiD_09.jpg"]


def test_the_grading_part_is_not_mistaken_for_it(tmp_path):
    (tmp_path / "labels.csv").write_text("image,session,grade,split\na.jpg,s1,0,train\n")

    with pytest.raises(BadTable, match=r"expected IDRiD's lesions: labels.csv with images/ and masks/, .* got neither"):
        IDRID_LESIONS.read(tmp_path)


def test_folders_without_photographs_are_refused(tmp_path):
    (tmp_path / IMAGES).mkdir()
    (tmp_path / MASKS).mkdir()

    with pytest.raises(BadTable, match=r"expected photographs in .*, found none"):
        IDRID_LESIONS.read(tmp_path)
