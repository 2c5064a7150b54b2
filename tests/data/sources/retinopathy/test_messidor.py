"""Messidor's twelve bases, once their spreadsheets are saved as CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.sources.retinopathy.messidor import CORRECTED, MESSIDOR, TWICE
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

HEADER = "Image name,Ophthalmologic department,Retinopathy grade,Risk of macular edema \n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Base11").mkdir()
    (tmp_path / "Base11" / "20051020_43808_0100_PP.tif").write_bytes(b"picture")
    (tmp_path / "Annotation_Base11.csv").write_text(
        HEADER
        + "20051020_43808_0100_PP.tif,Service Ophtalmologie Lariboisière,0,0\n"
        + "20051020_63045_0100_PP.tif,Service Ophtalmologie Lariboisière,3,1\n",
        encoding="utf-8",
    )
    (tmp_path / "Annotation_Base33.csv").write_text(HEADER + "20051202_54744_0400_PP.tif,CHU de St Etienne,3,2\n")
    return tmp_path


def test_its_own_scale_never_becomes_an_icdr_grade(folder):
    frame = check_manifest(MESSIDOR.read(folder), path="messidor.csv")

    assert "grade" not in frame
    assert frame["messidor_grade"].tolist() == [0, 0, 3]
    assert frame["dme"].tolist() == [0, 1, 2]
    assert frame["image"].iloc[0] == "Base11/20051020_43808_0100_PP.tif"
    assert frame["site"].iloc[2] == "CHU de St Etienne"


def test_the_publishers_errata_are_applied_and_told(folder):
    errata = MESSIDOR.read(folder)["erratum"].fillna("")

    assert errata.tolist() == ["", "grade 3 corrected to 0", "lies twice in Base33"]


def test_a_spreadsheet_that_was_corrected_already_stays_as_it_is(folder):
    path = folder / "Annotation_Base11.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",3,1", ",0,1"), encoding="utf-8")

    frame = MESSIDOR.read(folder)

    assert frame["messidor_grade"].tolist() == [0, 0, 3]
    assert frame["erratum"].notna().tolist() == [False, False, True]


def test_thirteen_photographs_lie_twice_in_one_base():
    assert len(TWICE) == 2 * 13
    assert not TWICE & set(CORRECTED)


def test_spreadsheets_are_not_read_and_the_message_says_what_to_do(tmp_path):
    (tmp_path / "Annotation_Base11.xls").write_bytes(b"\xd0\xcf\x11\xe0")

    with pytest.raises(BadTable, match=r"got 1 spreadsheets, which are not read. Save every .*xls as CSV UTF-8"):
        MESSIDOR.read(tmp_path)


def test_a_fifth_grade_is_refused(folder):
    (folder / "Annotation_Base33.csv").write_text(HEADER + "a.tif,CHU de St Etienne,4,2\n")

    with pytest.raises(BadTable, match=r"row 2, column Retinopathy grade: expected 0, 1, 2, 3 or a blank, got '4'"):
        MESSIDOR.read(folder)
