"""OCTID: class folders, under the names that copies give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.oct.octid import OCTID
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


def write(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


def read(folder: Path):
    return check_manifest(OCTID.read(folder), path=folder / "octid.csv")


def test_the_publishers_and_the_benchmarks_names_mean_the_same_classes(tmp_path):
    names = {"NORMAL": "ANormal", "AMRD": "ARMD", "CSR": "CSR", "DR": "Diabetic_retinopathy", "MH": "Macular_Hole"}
    published = read(write(tmp_path / "one", *(f"{name}/{name}1.jpeg" for name in names)))
    benchmark = read(write(tmp_path / "other", *(f"train/{name}/1.jpg" for name in names.values())))

    assert sorted(published["label"]) == sorted(benchmark["label"]) == ["AMD", "CSR", "DR", "MH", "NORMAL"]
    assert set(benchmark["split"]) == {"train"}
    assert "split" not in published


def test_the_same_name_in_two_splits_is_two_scans(tmp_path):
    frame = read(write(tmp_path, "train/CSR/1.jpg", "val/CSR/1.jpg", "test/CSR/1.jpg"))

    assert frame["image"].tolist() == ["train/CSR/1.jpg", "val/CSR/1.jpg", "test/CSR/1.jpg"]
    assert frame["split"].tolist() == ["train", "val", "test"]


def test_a_folder_that_is_no_class_is_refused(tmp_path):
    write(tmp_path, "NORMAL/1.jpg", "Segmentation/1.jpg")

    with pytest.raises(
        BadTable, match=r"expected a class of OCTID \(NORMAL, .*, got a folder Segmentation with 1 pict"
    ):
        OCTID.read(tmp_path)
