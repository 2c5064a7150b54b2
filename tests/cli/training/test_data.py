"""`fundoscope data`, from the command line to its exit status."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from fundoscope.cli import main
from fundoscope.data.manifest import picture_paths, read_manifest

JPEG = b"\xff\xd8\xff\xe0"
HEADER = "image,idrid_name,session,eye_inferred,grade,dme_risk,split,taken\n"


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the program; exit status, standard output, standard error with its white space evened."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fundoscope", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, " ".join(shown.err.split())

    return run


@pytest.fixture
def idrid(tmp_path: Path) -> Path:
    folder = tmp_path / "idrid"
    (folder / "images").mkdir(parents=True)
    rows = [f"images/{k}.jpg,IDRiD_{k},s{k // 2},left,{k % 5},0,{'train' if k < 8 else 'test'},\n" for k in range(10)]
    (folder / "labels.csv").write_text(HEADER + "".join(rows))
    for k in range(9):
        (folder / "images" / f"{k}.jpg").write_bytes(bytes([k]))
    return folder


def test_sources_say_their_licence_and_citation(run):
    status, out, _ = run("sources")

    assert status == 0
    assert "idrid" in out
    assert "CC BY 4.0" in out
    assert "10.3390/data3030025" in out
    assert json.loads(run("sources", "--json")[1])["idrid"]["where"].startswith("https://")


def test_an_import_counts_grades_and_names_missing_files_and_its_paths_work_from_where_it_lies(run, idrid, tmp_path):
    out = tmp_path / "elsewhere" / "m.csv"

    status, shown, err = run("import", "idrid", idrid, "-o", out)

    assert status == 0
    assert "9 photographs of 5 patients" in shown
    assert [line.split() for line in shown.splitlines()[-5:-3]] == [
        ["test", "0", "0", "0", "1", "0", "1"],
        ["train", "2", "2", "2", "1", "1", "8"],
    ]
    assert [line.split(":")[0] for line in shown.splitlines()[-3:]] == ["Licence", "From", "Cite"]
    assert "missing files, left out: 1 (images/9.jpg)" in err
    assert all(path.is_file() for path in picture_paths(read_manifest(out), out))


def test_an_import_answers_a_program_too(run, idrid, tmp_path):
    answer = json.loads(run("import", "idrid", idrid, "-o", tmp_path / "m.csv", "--json")[1])

    assert answer["photographs"] == 9
    assert answer["missing"] == ["images/9.jpg"]
    assert answer["split"]["test"] == {"3": 1}
    assert answer["licence"] == "CC BY 4.0"


def test_imports_that_cannot_be_are_refused(run, idrid, tmp_path):
    for arguments, words in (
        (("import", "kaggle", idrid), "kaggle: expected one of eyepacs, aptos,"),
        (("import", "idrid", tmp_path / "no"), "expected the folder of idrid, got no folder"),
        (("import", "idrid", tmp_path), "expected IDRiD: labels.csv with images/"),
    ):
        status, _, err = run(*arguments, "-o", tmp_path / "m.csv")
        assert (status, words in err) == (2, True), err
    for picture in (idrid / "images").iterdir():
        picture.unlink()
    status, _, err = run("import", "idrid", idrid, "-o", tmp_path / "m.csv")
    assert (status, "expected 10 photographs, none is there" in err) == (2, True)
    assert not (tmp_path / "m.csv").exists()


def test_a_manifest_from_a_folder_and_from_a_table(run, idrid, tmp_path):
    assert run("from", idrid / "images", "-o", tmp_path / "m.csv")[0] == 0
    assert len(read_manifest(tmp_path / "m.csv")) == 9

    labels = tmp_path / "labels.csv"
    labels.write_text("id,level,who\n1,3,007\n2,0,007\n")
    columns = ("--image-column", "id", "--grade-column", "level", "--patient-column", "who")
    status, out, _ = run("from", labels, *columns, "--pictures", idrid / "images", "-o", tmp_path / "n.csv")

    assert status == 0
    assert "2 photographs of 1 patient\n" in out
    frame = read_manifest(tmp_path / "n.csv")
    assert frame["patient"].tolist() == ["007", "007"]
    assert all(path.is_file() for path in picture_paths(frame, tmp_path / "n.csv"))


def test_signs_of_a_foreign_table_are_mapped_by_options(run, idrid, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,Microaneurysms,Haem.,side\n1,1,yes,OD\n2,0,no,OS\n")
    options = ("--image-column", "id", "--sign", "ma=Microaneurysms", "--sign", "he=Haem.", "--column", "eye=side")
    codes = [
        word for code in ("sign_he:yes=1", "sign_he:no=0", "eye:OD=right", "eye:OS=left") for word in ("--code", code)
    ]

    status, _, err = run("from", labels, *options, *codes, "--pictures", idrid / "images", "-o", tmp_path / "n.csv")

    assert status == 0, err
    frame = read_manifest(tmp_path / "n.csv")
    assert (frame["sign_ma"].tolist(), frame["sign_he"].tolist()) == ([1, 0], [1, 0])
    assert frame["eye"].tolist() == ["right", "left"]
    for wrong, message in (
        (("--sign", "ma"), "--sign: expected NAME=COLUMN, got 'ma'"),
        (("--code", "eye=left"), "--code: expected OURS:CODE=VALUE, got 'eye=left'"),
        (("--column", "eye=side", "--column", "eye=id"), "--column: expected eye once, got it twice"),
    ):
        status, _, err = run("from", labels, *wrong, "-o", tmp_path / "wrong.csv")
        assert (status, message in err) == (2, True), err


def test_class_folders_become_labels_and_splits(run, idrid, tmp_path):
    picture = next((idrid / "images").glob("*.jpg")).read_bytes()
    for name in ("train/healthy/a.jpg", "train/ill/b.jpg", "test/ill/c.jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(picture)

    status, _, err = run("from", tmp_path / "set", "--class-folders", "-o", tmp_path / "m.csv")

    assert status == 0, err
    frame = read_manifest(tmp_path / "m.csv").sort_values("image")
    assert frame[["label", "split"]].to_numpy().tolist() == [["ill", "test"], ["healthy", "train"], ["ill", "train"]]
    assert all(path.is_file() for path in picture_paths(frame, tmp_path / "m.csv"))
    status, _, err = run("from", tmp_path / "m.csv", "--class-folders", "-o", tmp_path / "n.csv")
    assert (status, "--class-folders needs a folder, got a table" in err) == (2, True)


def test_column_options_on_a_folder_and_an_empty_folder_are_refused(run, idrid, tmp_path):
    status, _, err = run("from", idrid, "--grade-column", "level", "-o", tmp_path / "m.csv")
    assert (status, "need a table, got a folder" in err) == (2, True)
    (tmp_path / "empty").mkdir()
    status, _, err = run("from", tmp_path / "empty", "-o", tmp_path / "m.csv")
    assert (status, "expected pictures" in err) == (2, True)


def test_a_split_puts_no_patient_on_two_sides_and_is_not_overwritten_unasked(run, idrid, tmp_path):
    manifest, divided = tmp_path / "m.csv", tmp_path / "d.csv"
    run("from", idrid / "images", "-o", manifest)
    frame = read_manifest(manifest).assign(patient=[f"p{k // 2}" for k in range(9)], grade=0)
    frame.to_csv(manifest, index=False)

    status, _, _ = run("split", manifest, "-o", divided, "--shares", "0.6,0.2,0.2", "--method", "stratified")

    assert status == 0
    again = read_manifest(divided)
    assert (again.groupby("patient")["split"].nunique() == 1).all()
    assert set(again["split"]) == {"train", "val", "test"}
    status, _, err = run("split", divided)
    assert (status, "Say --replace to overwrite it" in err) == (2, True)
    assert run("split", divided, "--replace", "--salt", "other")[0] == 0


def test_folds_leave_an_official_split_alone(run, idrid, tmp_path):
    manifest = tmp_path / "m.csv"
    run("import", "idrid", idrid, "-o", manifest)
    before = read_manifest(manifest)

    status, _, _ = run("split", manifest, "--folds", 3, "--salt", "x")

    after = read_manifest(manifest)
    assert status == 0
    assert sorted(after["fold"].unique()) == [0, 1, 2]
    pd.testing.assert_frame_equal(after.drop(columns="fold"), before)


def test_too_few_patients_for_a_hash_based_split_are_said_to_be_so(run, idrid, tmp_path):
    run("from", idrid / "images", "-o", tmp_path / "m.csv")

    status, _, err = run("split", tmp_path / "m.csv", "--shares", "0.98,0.01,0.01")

    assert status == 0
    assert "nothing fell on: test, val. So few patients are better split with --method stratified" in err


def test_a_source_is_left_out_and_what_was_removed_is_said(run, tmp_path):
    manifest, divided = tmp_path / "m.csv", tmp_path / "d.csv"
    manifest.write_text(
        "image,source,patient,grade,split\n10_left.jpeg,eyepacs,10,0,train\n10_right.jpeg,eyepacs,10,0,train\n"
        "11_left.jpeg,eyepacs,11,0,train\nr/10_left.jpg,rldr,10,2,train\na.png,aptos,,1,val\nd.png,ddr,,1,train\n"
    )

    status, out, err = run("split", manifest, "--leave-out", "rldr", "--never-train", "ddr", "-o", divided)

    assert status == 0
    assert "6 photographs of" in out
    assert "left out, EyePACS' copy of a photograph of RLDR: 1" in err
    assert "left out, its patient or a duplicate is tested on: 1" in err
    assert "left out, its source is neither trained nor tested on: 1" in err
    assert read_manifest(divided)["split"].tolist() == [None, None, "train", "test", "val", None]
    options = ("--drop-from", "test", "--json", "--replace")
    again = run("split", manifest, "--train-only", "eyepacs", "-o", divided, *options)
    assert json.loads(again[1])["left_out"] == {
        "EyePACS' copy of a photograph of RLDR": 1,
        "its patient or a duplicate is trained or validated on": 1,
    }


def test_shares_and_folds_that_cannot_be_are_refused(run, idrid, tmp_path):
    run("from", idrid / "images", "-o", tmp_path / "m.csv")
    for option, words in (
        (("--shares", "0.5,0.5"), "--shares: expected three numbers such as 0.7,0.15,0.15, got '0.5,0.5'"),
        (("--shares", "0.5,0.2,0.2"), "shares must be at least 0 and sum to 1"),
        (("--folds", "99"), "folds must be at least 2 and at most 9, the number of patients"),
        (("--method", "random"), "--method: expected hash-based or stratified, got 'random'"),
        (("--folds", "2", "--leave-out", "a"), "expected one division, got --folds and --leave-out"),
        (("--never-train", "a"), "--never-train needs --leave-out SOURCE"),
        (("--leave-out", "a"), "a protocol goes by the sources' own split"),
        (("--leave-out", "a", "-o", tmp_path / "d.csv"), "expected at least two sources in the column source"),
        (("--leave-out", "a", "--shares", "0,0,1", "-o", tmp_path / "d.csv"), "expected shares from 0 to 1"),
    ):
        status, _, err = run("split", tmp_path / "m.csv", *option)
        assert (status, words in err) == (2, True), err


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    for k in range(20):
        (folder / f"{k // 2}_{('left', 'right')[k % 2]}.jpeg").write_bytes(JPEG + bytes([k]))
    return folder


def test_patients_that_nobody_named_are_unknown_and_names_of_pairs_suggest_who_they_are(run, pairs, tmp_path):
    status, out, err = run("from", pairs, "-o", tmp_path / "m.csv")

    assert status == 0
    assert "20 photographs, patients unknown" in out
    assert "both eyes of one person can be divided between train and val" in err
    pattern = re.search(r"--patient-from '([^']+)' reads patient and eye", err)
    assert pattern is not None, err
    _, _, err = run("split", tmp_path / "m.csv", "-o", tmp_path / "d.csv", "--method", "stratified")
    assert "patients unknown: each photograph counts as its own patient" in err
    assert json.loads(run("from", pairs, "-o", tmp_path / "j.csv", "--json")[1])["patients"] is None

    status, out, err = run("from", pairs, "-o", tmp_path / "n.csv", "--patient-from", pattern[1])

    assert "20 photographs of 10 patients" in out
    assert "patients unknown" not in err
    assert "0_left.jpeg is of patient 0, left eye" in err
    frame = read_manifest(tmp_path / "n.csv")
    assert sorted(frame["patient"]) == sorted([*"0123456789"] * 2)
    assert all((eye in image) for eye, image in zip(frame["eye"], frame["image"], strict=True))


def test_a_split_reads_patients_off_names_and_then_divides_none(run, pairs, tmp_path):
    run("from", pairs, "-o", tmp_path / "m.csv")

    status, out, err = run("split", tmp_path / "m.csv", "-o", tmp_path / "d.csv", "--patient-from", r"(\d+)_")

    assert status == 0, err
    assert "20 photographs of 10 patients" in out
    assert (read_manifest(tmp_path / "d.csv").groupby("patient")["split"].nunique() == 1).all()


def test_grades_in_words_are_mapped_by_an_option_and_what_was_read_is_said(run, idrid, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_bytes("sep=;\nBild;Befund;Auge;status\nimages\\1.JPG;Mild;OD;fertig\n2;-1;OS;offen\n".encode("utf-16"))
    columns = ("--image-column", "Bild", "--grade-column", "Befund", "--column", "eye=Auge")
    (idrid / "2.jpg").write_bytes(b"2")

    status, _, err = run("from", labels, *columns, "--pictures", idrid, "-o", tmp_path / "m.csv")
    assert (status, "got '-1'. Say what it means: --grade-map '-1=GRADE'" in err) == (2, True), err
    options = (*columns, "--grade-map", "-1=ungradable", "--pictures", idrid)
    status, _, err = run("from", labels, *options, "-o", tmp_path / "m.csv")

    assert status == 0, err
    assert "column grade: Mild is 1, -1 is ungradable" in err
    assert "column eye: OD is read as right, OS is read as left" in err
    frame = read_manifest(tmp_path / "m.csv")
    assert frame["image"].tolist() == ["idrid/images/1.jpg", "idrid/2.jpg"]
    assert frame["grade"].fillna(-1).tolist() == [1, -1]
    assert frame["quality"].tolist() == [None, "reject"]
    assert frame["their_status"].tolist() == ["fertig", "offen"]


@pytest.mark.parametrize("verb", ["from folder", "from table", "import", "split", "correct"])
def test_nothing_that_exists_is_written_over_unless_asked_and_no_input_even_then(run, idrid, tmp_path, verb):
    manifest, out, labels = tmp_path / "m.csv", tmp_path / "out.csv", tmp_path / "labels.csv"
    labels.write_text("image,grade\nidrid/images/1.jpg,1\nidrid/images/picture.csv,2\n")
    picture = idrid / "images" / "picture.csv"  # whatever its name
    picture.write_bytes(JPEG)
    run("import", "idrid", idrid, "-o", manifest)
    review = tmp_path / "review.csv"
    review.write_text("image,given,suggested,why,reader,reviewed_grade\nidrid/images/1.jpg,1,2,x,A,2\n")
    command, inputs = {
        "from folder": (("from", idrid / "images"), [picture]),
        "from table": (("from", labels), [labels, picture]),
        "import": (("import", "idrid", idrid), [idrid / "labels.csv", picture]),
        "split": (("split", manifest), [manifest]),
        "correct": (("correct", manifest, review), [manifest, review]),
    }[verb]
    out.write_text("precious")

    status, _, err = run(*command, "-o", out)

    assert (status, "expected a name that is free, got a file that exists" in err) == (2, True), err
    assert out.read_text() == "precious"
    for path in inputs:
        before = path.read_bytes()
        status, _, err = run(*command, "-o", path, "--replace")
        assert (status, "got one that this run reads" in err) == (2, True), err
        assert path.read_bytes() == before
    (tmp_path / "link.csv").symlink_to(inputs[0])
    status, _, err = run(*command, "-o", tmp_path / "link.csv", "--replace")
    assert (status, "got one that this run reads" in err) == (2, True), err
    status, _, err = run(*command, "-o", out, "--replace")
    assert status == 0, err
    assert len(read_manifest(out)) > 0


def test_a_manifest_that_was_imported_into_its_data_set_may_be_replaced(run, idrid):
    assert run("import", "idrid", idrid, "-o", idrid / "m.csv")[0] == 0

    assert run("import", "idrid", idrid, "-o", idrid / "m.csv")[0] == 2
    assert run("import", "idrid", idrid, "-o", idrid / "m.csv", "--replace")[0] == 0


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_read(run, idrid, tmp_path):
    (tmp_path / "file").touch()

    status, _, err = run("from", idrid / "images", "-o", tmp_path / "file" / "m.csv")

    assert status == 2
    assert "cannot write there" in err or "expected a folder" in err


def test_a_name_that_no_table_can_have_is_refused_before_anything_is_read(run, idrid, tmp_path):
    status, _, err = run("from", idrid / "images", "-o", tmp_path / "m.xlsx")

    assert (status, "expected a name ending in .csv, .parquet, .jsonl, got '.xlsx'" in err) == (2, True)
