"""Messidor-2: pictures and pairs from one publisher, adjudicated grades from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.messidor2 import MESSIDOR2
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "IMAGES").mkdir()
    (tmp_path / "IMAGES" / "IM000001.JPG").write_bytes(b"picture")
    (tmp_path / "messidor_data.csv").write_text(
        "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
        "20051020_43808_0100_PP.png,0,0,1\nIM000001.jpg,3.0,1,1\nIM000002.jpg,,,0\n"
    )
    return tmp_path


def test_an_ungradable_photograph_has_no_grade(folder):
    frame = check_manifest(MESSIDOR2.read(folder), path="messidor2.csv")

    assert frame["grade"].tolist()[:2] == [0, 3]
    assert frame["grade"].isna().tolist() == [False, False, True]
    assert frame["dme"].tolist()[:2] == [0, 2]
    assert frame["quality"].tolist() == [None, None, "reject"]


def test_kaggles_small_letters_find_adciss_capitals(folder):
    images = MESSIDOR2.read(folder)["image"].tolist()

    assert images == ["IMAGES/20051020_43808_0100_PP.png", "IMAGES/IM000001.JPG", "IMAGES/IM000002.jpg"]


def test_the_pairs_make_two_eyes_one_patient(folder):
    (folder / "messidor-2.csv").write_text(
        "left;right\n20051020_44284_0100_PP.png;20051020_43808_0100_PP.png\nIM000002.JPG;IM000001.JPG\n"
    )

    frame = MESSIDOR2.read(folder)

    assert frame["patient"].tolist() == ["exam0001", "exam0002", "exam0002"]
    assert frame["eye"].tolist() == ["right", "right", "left"]


def test_without_the_pairs_nobody_is_guessed(folder):
    assert MESSIDOR2.read(folder)[["patient", "eye"]].isna().all(axis=None)


def test_pairs_alone_are_not_grades(tmp_path):
    (tmp_path / "messidor-2.csv").write_text("left;right\na.png;b.png\n")

    with pytest.raises(BadTable, match=r"expected Messidor-2's adjudicated grades with messidor_data.csv"):
        MESSIDOR2.read(tmp_path)
