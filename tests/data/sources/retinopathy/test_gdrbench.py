"""GDRBench's lists as published, leaks included."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.gdrbench import GDRBENCH
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

LISTS = {
    "IDRID_train": "IDRID/nodr/IDRiD_001.jpg 0\nIDRID/pdr/IDRiD_066_train.jpg 4\n",
    "IDRID_crossval": "IDRID/mild_npdr/IDRiD_001.jpg 1\n",
    "DEEPDR_train": "DEEPDR/nodr/10_l1.jpg 0\n",
    "RLDR_train": "RLDR/moderate_npdr/10_left.jpg 2\n",
    "RLDR_crossval": "RLDR/nodr/10_right.jpg 0\n",
    "EYEPACS_train": "EYEPACS/Images/10_left.jpeg 1\nEYEPACS/Images/11_left.jpeg 0\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "splits").mkdir()
    for name, lines in LISTS.items():
        (tmp_path / "splits" / f"{name}.txt").write_text(lines)
    return tmp_path


def test_every_list_keeps_its_domain_and_its_side(folder):
    frame = check_manifest(GDRBENCH.read(folder), path="gdrbench.csv")

    assert len(frame) == 8
    assert frame["image"].is_unique, "IDRiD's clashing names are told apart by their folders"
    assert frame.groupby("domain")["split"].agg(list).to_dict() == {
        "DEEPDR": ["train"],
        "IDRID": ["train", "train", "val"],
        "RLDR": ["train", "val"],
        "EYEPACS": ["train", "train"],
    }


def test_the_same_photograph_listed_for_two_domains_is_one_group(folder):
    groups = GDRBENCH.read(folder).set_index("image")["duplicate_group"].dropna()

    assert groups.to_dict() == {
        "images/RLDR/moderate_npdr/10_left.jpg": "eyepacs_10_left",
        "images/EYEPACS/Images/10_left.jpeg": "eyepacs_10_left",
    }


def test_patient_ten_of_eyepacs_is_rldrs_but_not_deepdrids(folder):
    patients = GDRBENCH.read(folder).groupby("domain")["patient"].agg(list)

    assert patients["RLDR"] == ["eyepacs_10", "eyepacs_10"]
    assert patients["EYEPACS"] == ["eyepacs_10", "eyepacs_11"]
    assert patients["DEEPDR"] == ["deepdrid_10"]
    assert patients["IDRID"] == [None, None, None]


def test_a_line_of_another_domain_is_refused(folder):
    (folder / "splits" / "DDR_train.txt").write_text("DDR/nodr/a.jpg 0\nAPTOS/nodr/b.png 0\n")

    with pytest.raises(BadTable, match=r"DDR_train.txt: row 2: expected a line like DDR/.*, got 'APTOS/nodr/b.png 0'"):
        GDRBENCH.read(folder)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(BadTable, match=r"expected GDRBench with splits/APTOS_train.txt"):
        GDRBENCH.read(tmp_path)
