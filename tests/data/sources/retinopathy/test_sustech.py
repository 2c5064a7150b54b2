"""SUSTech-SYSU with its two tables beside the photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.sustech import AGAIN, EYE, FOLDER, ICDR, OTHERS, PICTURE, SUSTECH
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "drLabels.csv").write_text(
        ",".join((PICTURE, EYE, ICDR, *OTHERS.values())) + "\n0001.jpg,0,0,0,0\n0690.jpg,1,5,5,5\n0700.jpg,1,5,5,5\n"
    )
    return tmp_path


def test_treated_eyes_take_the_grade_they_were_given_afterwards(folder):
    (folder / FOLDER / AGAIN).write_text(f"{PICTURE},{ICDR}\n0690.jpg,3\n")

    frame = check_manifest(SUSTECH.read(folder), path="sustech.csv")

    assert frame["image"].tolist() == [f"{FOLDER}/{name}.jpg" for name in ("0001", "0690", "0700")]
    assert frame["grade"].tolist()[:2] == [0, 3]
    assert frame["treated"].tolist() == [0, 1, 1]
    assert frame["eye"].tolist() == ["left", "right", "right"]
    assert frame["grade_aao"].tolist() == ["0", "5", "5"]


def test_without_the_second_table_a_treated_eye_has_no_grade(folder):
    assert SUSTECH.read(folder)["grade"].isna().tolist() == [False, True, True]


def test_an_eye_that_is_neither_is_refused(folder):
    path = folder / FOLDER / "drLabels.csv"
    path.write_text(path.read_text().replace("0001.jpg,0", "0001.jpg,2"))

    with pytest.raises(BadTable, match=r"drLabels.csv: row 2, column left_versus_right.*: expected 0, 1 .* got '2'"):
        SUSTECH.read(folder)
