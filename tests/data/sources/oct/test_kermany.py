"""Kermany 2017: four folders per split, the patient in the file's name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.sources.oct.kermany import CLASSES, FOLDERS, KERMANY
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


def write(folder: Path, names: dict[str, list[str]]) -> Path:
    """Files of each split, by name; their class is in it."""
    for split, files in names.items():
        for label in CLASSES:
            (folder / split / label).mkdir(parents=True, exist_ok=True)
        for name in files:
            (folder / split / name.lstrip("._").partition("-")[0] / name).write_bytes(b"")
    return folder


def read(folder: Path) -> pd.DataFrame:
    return check_manifest(KERMANY.read(folder), path=folder / "kermany.csv")


@pytest.mark.parametrize("home", FOLDERS)
def test_class_patient_and_split_are_in_the_path(tmp_path, home):
    write(
        tmp_path / home, {"train": ["CNV-1016042-1.jpeg", "NORMAL-9053621-2.jpeg"], "test": ["DRUSEN-2785977-1.jpeg"]}
    )

    frame = read(tmp_path).set_index("image")

    prefix = f"{home}/" if home else ""
    assert frame.loc[f"{prefix}train/CNV/CNV-1016042-1.jpeg", ["label", "patient", "split"]].tolist() == [
        "CNV",
        "1016042",
        "train",
    ]
    assert frame["split"].tolist() == ["train", "train", "test"]


def test_a_patient_with_two_diseases_on_two_sides_is_seen_as_one(tmp_path):
    frame = read(write(tmp_path, {"train": ["CNV-7-1.jpeg", "DME-7-1.jpeg"], "val": [], "test": ["CNV-7-2.jpeg"]}))

    assert set(frame["patient"]) == {"7"}
    assert set(frame["split"]) == {"train", "test"}


def test_what_the_archive_holds_besides_is_no_scan(tmp_path):
    write(tmp_path, {"train": ["CNV-1-1.jpeg", "._CNV-1-1.jpeg", "CNV-1-1.txt"]})

    assert read(tmp_path)["image"].tolist() == ["train/CNV/CNV-1-1.jpeg"]


def test_every_folder_is_listed_once_and_no_file_opened(tmp_path, monkeypatch):
    """The set has over 100,000 files."""
    import os

    write(tmp_path, {"train": ["CNV-1-1.jpeg"], "test": ["DME-2-1.jpeg"]})
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr("os.scandir", lambda path: (listed.append(str(path)), scandir(path))[1])
    monkeypatch.setattr("pathlib.Path.open", lambda *_, **__: pytest.fail("a file was opened"))

    KERMANY.read(tmp_path)

    assert len(listed) == len(set(listed)) == 2 * len(CLASSES)


def test_a_scan_under_another_class_than_its_name_says_is_refused(tmp_path):
    write(tmp_path, {"train": ["CNV-1-1.jpeg"]})
    (tmp_path / "train" / "CNV" / "CNV-1-1.jpeg").rename(tmp_path / "train" / "DME" / "CNV-1-1.jpeg")

    with pytest.raises(BadTable, match=r"expected a B-scan of DME, got one named CNV\. Unpack"):
        KERMANY.read(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadTable, match=r"expected OCT2017 with train and test, .* found nothing\. Name the folder"):
        KERMANY.read(tmp_path)
