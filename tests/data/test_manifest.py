"""Manifests from folders and tables, and their paths when they move."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.generic import TableSpec, manifest_from_spec
from fundoscope.data.manifest import (
    manifest_from_csv,
    manifest_from_folder,
    picture_paths,
    read_manifest,
    rebased,
    write_manifest,
)
from fundoscope.errors import BadRequest, BadTable


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder whose pictures are only bytes: nothing here decodes them."""
    folder = tmp_path / "pictures"
    for name in ("b.jpg", "a.PNG", "deep/c.tif", "deep/notes.txt", ".hidden/d.jpg", ".e.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def test_a_folder_gives_its_pictures_by_name_with_their_hashes_and_guesses_nothing(pictures):
    frame = manifest_from_folder(pictures)

    assert frame["image"].tolist() == ["a.PNG", "b.jpg", "deep/c.tif"]
    assert frame["sha256"].tolist() == [hashlib.sha256(name.encode()).hexdigest() for name in frame["image"]]
    assert list(frame.columns) == ["image", "sha256"]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(BadRequest, match=r"expected pictures \(.*\.jpg.*\), found none"):
        manifest_from_folder(tmp_path)
    with pytest.raises(BadRequest, match=r"nowhere: expected a folder of pictures, got no folder"):
        manifest_from_folder(tmp_path / "nowhere")


def test_a_table_in_other_words_becomes_a_manifest(pictures):
    table = pictures / "labels.csv"
    table.write_text("id_code,diagnosis,person,note\nb,2,007,x\ndeep/c,0,,\n")

    frame = manifest_from_csv(table, columns={"image": "id_code", "grade": "diagnosis", "patient": "person"})

    assert frame["image"].tolist() == ["b.jpg", "deep/c.tif"], "the suffix the table leaves out is found"
    assert frame["grade"].tolist() == [2, 0]
    assert frame["patient"].tolist() == ["007", None]
    assert frame["note"].tolist()[0] == "x"
    assert frame["sha256"].notna().all()


def test_a_table_may_lie_elsewhere_than_its_pictures(pictures, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("image,grade\nb.jpg,2\n")

    assert manifest_from_csv(table, folder=pictures)["image"].tolist() == ["b.jpg"]


def test_a_table_with_a_missing_column_or_picture_or_a_wrong_grade_is_refused(pictures):
    table = pictures / "labels.csv"
    table.write_text("image,level\nb.jpg,9\nz.jpg,1\n")

    with pytest.raises(BadTable, match=r"labels.csv: expected a column grade, got image, level. Say which"):
        manifest_from_csv(table, columns={"grade": "grade"})
    with pytest.raises(BadTable, match=r"row 2, column grade: expected a grade from 0 to 4 .*, got '9'"):
        manifest_from_csv(table, columns={"grade": "level"})
    with pytest.raises(BadTable, match=r"1 of 2 are not there, the first is z.jpg"):
        manifest_from_csv(table)


def test_a_manifest_written_elsewhere_still_finds_its_files(pictures, tmp_path):
    frame = manifest_from_folder(pictures).assign(boxes="deep/boxes.csv", mask_ma=[None, "m.png", None])
    out = tmp_path / "tables" / "m.csv"
    out.parent.mkdir()

    write_manifest(rebased(frame, pictures, out.parent), out)
    again = read_manifest(out)

    assert [path.resolve() for path in picture_paths(again, out)] == [
        (pictures / image).resolve() for image in frame["image"]
    ]
    assert again["boxes"].tolist() == ["../pictures/deep/boxes.csv"] * 3
    assert again["mask_ma"].tolist() == [None, "../pictures/m.png", None]


def test_columns_are_written_in_the_contracts_order_then_the_others(tmp_path):
    path = tmp_path / "m.csv"

    write_manifest(pd.DataFrame({"camera": ["x"], "grade": [1], "image": ["a"]}), path)

    assert path.read_text().splitlines()[0] == "image,grade,camera"


def test_a_manifest_that_would_be_refused_is_not_written(tmp_path):
    with pytest.raises(BadTable, match=r"column grade: .* got '5'"):
        write_manifest(pd.DataFrame({"image": ["a"], "grade": [5]}), tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_signs_and_other_columns_of_a_foreign_table_are_mapped(pictures):
    table = pictures / "labels.csv"
    table.write_text(
        "file;Microaneurysms;Haem.;level;laterality;grade\nb.jpg;1;yes;Moderate;OD;good\ndeep/c;0;;None;OS;bad\n"
    )

    frame = manifest_from_csv(
        table,
        columns={"image": "file", "grade": "level", "eye": "laterality"},
        signs={"ma": "Microaneurysms", "he": "Haem."},
        codes={
            "grade": {"None": "0", "Moderate": "2"},
            "eye": {"OD": "right", "OS": "left"},
            "sign_he": {"yes": "1", "no": "0"},
        },
    )

    assert frame["image"].tolist() == ["b.jpg", "deep/c.tif"]
    assert (frame["sign_ma"].tolist(), frame["grade"].tolist()) == ([1, 0], [2, 0])
    assert (frame["sign_he"].iloc[0], frame["sign_he"].isna().tolist()) == (1, [False, True])
    assert frame["eye"].tolist() == ["right", "left"]
    # Their column of our name was not said to be ours.
    assert sorted(frame.columns) == ["eye", "grade", "image", "sha256", "sign_he", "sign_ma"]


def test_one_column_may_be_read_twice(pictures):
    table = pictures / "labels.csv"
    table.write_text("image,level\nb.jpg,3\n")

    frame = manifest_from_csv(table, columns={"grade": "level", "label": "level"}, codes={"label": {"3": "severe"}})

    assert (frame["grade"].tolist(), frame["label"].tolist()) == ([3], ["severe"])


def test_names_that_are_no_columns_and_codes_that_are_not_listed_are_refused(pictures):
    table = pictures / "labels.csv"
    table.write_text("image,level,ma\nb.jpg,R2,present\n")

    with pytest.raises(BadRequest, match=r"expected columns of a manifest \(image, .*\) or named signs, got stage\."):
        manifest_from_csv(table, columns={"stage": "level"})
    with pytest.raises(BadRequest, match=r"or named signs, got sign_ex\. Correct the name"):
        manifest_from_csv(table, signs={"ma": "ma"}, codes={"sign_ex": {"present": "1"}})
    with pytest.raises(BadTable, match=r"row 2, column grade: expected R0, R1 or a blank, got 'R2'"):
        manifest_from_csv(table, columns={"grade": "level"}, codes={"grade": {"R0": "0", "R1": "1"}})
    with pytest.raises(BadTable, match=r"row 2, column sign_ma: expected one of .*, got 'present'"):
        manifest_from_csv(table, signs={"ma": "ma"})
    with pytest.raises(BadTable, match=r"expected a column grade to read the codes of, got none"):
        manifest_from_csv(table, codes={"grade": {"R0": "0"}})


def test_a_hash_in_a_table_that_contradicts_the_picture_is_refused(pictures):
    table = pictures / "labels.csv"
    table.write_text(f"image,sha256\nb.jpg,{'0' * 64}\n")

    with pytest.raises(BadTable, match=r"expected the files that its column sha256 means, got others for 1 of 1"):
        manifest_from_csv(table)


def test_pictures_are_found_by_what_they_hold_and_what_is_passed_over_is_said(tmp_path, caplog):
    jpeg, heic = b"\xff\xd8\xff\xe0 a picture", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    files = {
        "a.jfif": jpeg,
        "1.2.840.1": b"\0" * 128 + b"DICM\x02\0",
        "deep/noname": jpeg,
        "b.heic": heic,
        "c.jpg": heic,
    }
    for name, data in {**files, "notes.txt": b"words", "table.csv": b"image\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")

    frame = manifest_from_folder(tmp_path)

    assert sorted(frame["image"]) == sorted(files)
    assert frame["sha256"].notna().all()
    assert "2 HEIC: they have their rows, but cannot be read here" in caplog.text
    assert "2 files passed over: 1 .txt, 1 .csv" in caplog.text or "1 .csv, 1 .txt" in caplog.text
    assert "2 named as pictures are no files, left out" in caplog.text


def test_class_folders_hold_pictures_whatever_their_names(tmp_path):
    for name in ("ill/a.jfif", "ill/b", "healthy/c.jpe", "healthy/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"words" if name.endswith("txt") else b"\xff\xd8\xff\xe0")

    frame = manifest_from_spec(tmp_path, TableSpec(name="set", task="multi-class"), kind="folders")

    assert sorted(frame["image"]) == ["healthy/c.jpe", "ill/a.jfif", "ill/b"]
