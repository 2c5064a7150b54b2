"""OCTDL, as it lies beside the checkout and as its publisher lays it out."""

from __future__ import annotations

import pytest

from fundoscope.data.sources.oct.octdl import OCTDL
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

PUBLISHED = (
    "file_name,disease,subcategory,condition,patient_id,eye,sex,year,image_width,image_hight\n"
    "amd_1047099_1,AMD,late,MNV,1047099,OD,F,1950,1101,410\n"
    "no_552_1,NO,,,552,OS,M,1980,900,400\n"
    "amd_1047099_2,AMD,early,drusen,1047099,0,0,0,731,265\n"
)


def read(folder):
    return check_manifest(OCTDL.read(folder), path=folder / "octdl.csv")


@pytest.mark.parametrize("home", ["", "OCTDL"])
def test_the_publishers_table_says_patient_eye_and_condition(tmp_path, home):
    (tmp_path / home / "AMD").mkdir(parents=True)
    (tmp_path / "OCTDL_labels.csv").write_text(PUBLISHED)

    frame = read(tmp_path)

    prefix = f"{home}/" if home else ""
    assert frame["image"].tolist() == [
        f"{prefix}AMD/amd_1047099_1.jpg",
        f"{prefix}NO/no_552_1.jpg",
        f"{prefix}AMD/amd_1047099_2.jpg",
    ]
    assert frame["patient"].tolist() == ["1047099", "552", "1047099"]
    assert frame["eye"].tolist() == ["right", "left", None]
    assert frame["sex"].tolist() == ["female", "male", None]
    assert frame["year"].tolist() == ["1950", "1980", None], "the publisher's 0 is unknown, not the year nought"
    assert frame["image_height"].tolist() == ["410", "400", "265"]
    assert frame["condition"].fillna("").tolist() == ["MNV", "", "drusen"]
    assert "split" not in frame


def test_a_normal_retina_is_a_class_and_not_a_blank(tmp_path):
    """NO means normal here; a reader that takes it for "no value" loses 332 scans."""
    (tmp_path / "OCTDL_labels.csv").write_text(PUBLISHED)

    assert read(tmp_path)["label"].tolist() == ["AMD", "NO", "AMD"]


def test_without_the_columns_that_were_not_confirmed_the_rest_is_read(tmp_path):
    (tmp_path / "OCTDL_labels.csv").write_text("file_name,disease,patient_id\namd_1_1,AMD,1\n")

    row = read(tmp_path).iloc[0]

    assert (row["image"], row["patient"], row["eye"]) == ("OCTDL/AMD/amd_1_1.jpg", "1", None)


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("OCTDL_labels.csv", "file_name,disease,patient_id\na,CSR,1\n", r"row 2, column disease: .* got 'CSR'"),
        ("labels.csv", "image,label,patient\na.jpg,AMD,1\n", r"expected the columns .* split not found"),
        ("readme.txt", "nothing", r"expected OCTDL with labels.csv or OCTDL_labels.csv .* found readme.txt"),
    ],
)
def test_another_table_is_refused(tmp_path, name, table, message):
    (tmp_path / name).write_text(table)
    with pytest.raises(BadTable, match=message):
        read(tmp_path)


def test_the_real_one_has_its_published_counts_and_one_patient_on_two_sides(shared_data):
    folder = shared_data / "octdl"

    frame = read(folder)

    published = {"AMD": 1231, "DME": 147, "ERM": 155, "NO": 332, "RAO": 22, "RVO": 101, "VID": 76}
    assert frame["label"].value_counts().to_dict() == published
    assert len(frame) == 2064
    assert all((folder / image).is_file() for image in frame["image"])
    assert frame["patient"].notna().all()
    sides, classes = (frame.groupby("patient")[name].nunique() for name in ("split", "label"))
    assert sides.index[sides > 1].tolist() == classes.index[classes > 1].tolist() == ["4986761"]
