"""Labelled pictures in anybody's layout: tables, class folders, and the public sets that need no more."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.data.generic import (
    JSIEC,
    ORIGA,
    PAPILA,
    RETINA,
    SPECS,
    TableSpec,
    manifest_from_spec,
    read_labelled_folders,
    read_labelled_table,
)
from fundoscope.errors import BadRequest, BadTable
from fundoscope.tables import check_manifest

GLAUCOMA = TableSpec(
    name="our glaucoma clinic",
    task="binary",
    table="list.csv",
    pictures="photos",
    image="Photo",
    patient="Case",
    eye="Side",
    label="Dx",
    sex="Gender",
    age="Years",
    values={
        "label": {"0": "healthy", "1": "glaucoma"},
        "eye": {"OD": "right", "OS": "left"},
        "sex": {"F": "female", "M": "male"},
    },
)
SIGNS = TableSpec(
    name="our signs", task="multi-label", modality="oct", suffix=".png", signs={"drusen": "DR_N", "fluid": "FL"}
)


def write_files(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())
    return folder


def test_a_table_in_its_own_words_becomes_a_manifest(tmp_path):
    write_files(tmp_path, "photos/a.JPG", "photos/b.png")
    (tmp_path / "list.csv").write_text(
        "Photo,Case,Side,Dx,Gender,Years,pressure,quality\na,7,OD,1,F,61,24,fair\nb,7,OS,0,F,61,15,fair\n"
    )

    frame = manifest_from_spec(tmp_path, GLAUCOMA)

    assert frame["image"].tolist() == ["photos/a.JPG", "photos/b.png"]
    assert frame[["patient", "eye", "label", "sex", "age", "modality"]].iloc[0].tolist() == [
        "7",
        "right",
        "glaucoma",
        "female",
        61.0,
        "fundus",
    ]
    assert frame["pressure"].tolist() == ["24", "15"], "what the spec does not name is kept"
    assert "quality" not in frame, "a foreign column is not taken for ours because of its name"
    assert frame["their_quality"].tolist() == ["fair", "fair"]
    assert frame["sha256"].notna().all()


def test_signs_are_present_absent_or_unknown(tmp_path):
    (tmp_path / "labels.csv").write_text("image,DR_N,FL\na,1,0\nb,,1\n")

    frame = manifest_from_spec(tmp_path, SIGNS)

    assert frame["image"].tolist() == ["a.png", "b.png"]
    assert frame["sign_drusen"].tolist() == [1, pd.NA]
    assert frame["sign_fluid"].tolist() == [0, 1]
    assert set(frame["modality"]) == {"oct"}
    assert frame["sha256"].isna().all()


@given(order=st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_table_does_not_matter(tmp_path_factory, order):
    rows = [f"p{at},{at},OD,{at % 2},M,{50 + at}\n" for at in range(6)]
    folder = tmp_path_factory.mktemp("rows")
    header = "Photo,Case,Side,Dx,Gender,Years\n"

    (folder / "list.csv").write_text(header + "".join(rows))
    one = read_labelled_table(folder, GLAUCOMA).set_index("image")
    (folder / "list.csv").write_text(header + "".join(rows[at] for at in order))
    other = read_labelled_table(folder, GLAUCOMA).set_index("image")

    pd.testing.assert_frame_equal(one, other.loc[one.index])


@given(
    classes=st.sets(st.text("abcXYZ 0.", min_size=1, max_size=6).filter(lambda name: name.strip(". ")), max_size=4),
    splits=st.sets(st.sampled_from(["train", "val", "test"])),
)
@settings(max_examples=30, deadline=None)
def test_every_picture_of_the_class_folders_comes_once(tmp_path_factory, classes, splits):
    names = {name for name in classes if not name.startswith(".")} | {"healthy"}
    folder = tmp_path_factory.mktemp("folders")
    written = [f"{split}/{name}/1.jpg" for split in splits or {"."} for name in names]
    write_files(folder, *written, *(f"{split}/healthy/notes.txt" for split in splits or {"."}))

    frame = read_labelled_folders(folder, JSIEC)

    assert sorted(frame["image"]) == sorted(path.removeprefix("./") for path in written)
    assert set(frame["label"]) == names
    assert (set(frame["split"]) == splits) if splits else ("split" not in frame)


def test_papilas_names_say_patient_and_eye_where_they_were_kept(tmp_path):
    write_files(tmp_path, "train/anormal/RET002OD.jpg", "test/cglaucoma/RET002OS.jpg", "val/bsuspectglaucoma/17.jpg")

    frame = check_manifest(read_labelled_folders(tmp_path, PAPILA), path=tmp_path / "papila.csv")

    assert frame["label"].tolist() == ["normal", "glaucoma_suspect", "glaucoma"]
    assert frame["patient"].tolist() == ["002", None, "002"]
    assert frame["eye"].tolist() == ["right", None, "left"]
    sides = frame.groupby("patient")["split"].nunique()
    assert sides["002"] == 2, "the benchmark's split parts a patient's eyes, and it shows"


def test_retinas_two_copies_have_the_same_classes(tmp_path):
    folders = [("anormal", "1_normal"), ("bcataract", "2_cataract"), ("cglaucoma", "2_glaucoma")]
    write_files(tmp_path, *(f"one/train/{name}/1.png" for name, _ in folders))
    write_files(tmp_path, *(f"other/{name}/1.png" for _, name in folders))

    one, other = (read_labelled_folders(tmp_path / copy, RETINA) for copy in ("one", "other"))

    assert one["label"].tolist() == other["label"].tolist() == ["normal", "cataract", "glaucoma"]


def test_origa_is_glaucoma_or_not(tmp_path):
    write_files(tmp_path, "Images/001.jpg")
    (tmp_path / "OrigaList.csv").write_text("Filename,Glaucoma\n001.jpg,0\n002.jpg,1\n")

    frame = manifest_from_spec(tmp_path, ORIGA)

    assert frame["label"].tolist() == ["normal", "glaucoma"]
    assert frame["sha256"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", SPECS)
def test_every_preset_says_where_its_layout_is_from_and_refuses_an_empty_folder(tmp_path, name):
    source = SPECS[name]

    assert source.layout_from
    assert all(address.startswith("https://") for address in source.layout_from)
    assert source.notes
    with pytest.raises(BadTable, match=r"expected .* found nothing\. Name the folder"):
        source.read(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("Photo,Case,Side,Dx,Gender,Years\na,7,OD,2,F,61\n", r"row 2, column Dx: expected 0, 1 or a blank, got '2'"),
        ("Photo,Case,Dx\na,7,1\n", r"list.csv: expected the columns .* Side, Years, Gender not found among Photo"),
        (None, r"expected our glaucoma clinic with list.csv, found nothing"),
    ],
)
def test_a_table_that_is_not_as_the_spec_says_is_refused(tmp_path, table, message):
    if table is not None:
        (tmp_path / "list.csv").write_text(table)
    with pytest.raises(BadTable, match=message):
        read_labelled_table(tmp_path, GLAUCOMA)


def test_three_classes_are_not_a_binary_task(tmp_path):
    spec = TableSpec(name="three", task="binary", label="dx")
    (tmp_path / "labels.csv").write_text("image,dx\na,x\nb,y\nc,z\n")

    with pytest.raises(BadTable, match=r"expected two classes for a binary task, got 3: x, y, z\. Call"):
        read_labelled_table(tmp_path, spec)


def test_a_table_without_a_target_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("image\na\n")

    with pytest.raises(BadTable, match=r"expected a column of labels or grades, got none named"):
        read_labelled_table(tmp_path, TableSpec(name="nothing", task="multi-class"))


def test_a_spec_that_contradicts_itself_is_refused():
    with pytest.raises(BadRequest, match=r"expected the columns of its signs for a multi-label task, got none"):
        TableSpec(name="signs", task="multi-label")
    with pytest.raises(BadRequest, match=r"expected values of patient, .* got gender\. Call the column"):
        TableSpec(name="words", task="binary", label="dx", values={"gender": {"F": "female"}})


def test_a_folder_of_no_class_and_a_folder_that_is_not_there_are_refused(tmp_path):
    write_files(tmp_path, "train/anormal/1.png", "train/leftovers/2.png")

    with pytest.raises(BadTable, match=r"expected a class of Retina .*, got a folder leftovers with 1 pictures"):
        read_labelled_folders(tmp_path, RETINA)
    with pytest.raises(BadRequest, match=r"expected the folder of JSIEC, got no folder"):
        manifest_from_spec(tmp_path / "nowhere", JSIEC, kind="folders")
