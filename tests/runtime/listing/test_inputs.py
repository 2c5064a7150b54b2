from __future__ import annotations

import os
from pathlib import Path

import pytest

from fundoscope.errors import BadRequest, BadTable
from fundoscope.runtime.listing.inputs import list_photographs


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def images(listing) -> list[str]:
    return [each.image for each in listing.photographs]


def test_a_folder_gives_its_pictures_in_order_of_name_at_any_depth(tmp_path):
    touch(tmp_path / "b.jpg", tmp_path / "a.PNG", tmp_path / "deep" / "c.tif", tmp_path / "notes.txt")
    touch(tmp_path / ".hidden.jpg", tmp_path / ".cache" / "d.jpg")

    assert images(list_photographs([tmp_path])) == [str(tmp_path / name) for name in ("a.PNG", "b.jpg", "deep/c.tif")]


def test_a_file_is_taken_whatever_its_name_and_whether_or_not_it_is_there(tmp_path):
    touch(tmp_path / "IM0001")

    listing = list_photographs([tmp_path / "IM0001", tmp_path / "gone.jpg"])

    assert images(listing) == [str(tmp_path / "IM0001"), str(tmp_path / "gone.jpg")]


def test_paths_are_written_as_they_were_typed(tmp_path, monkeypatch):
    touch(tmp_path / "eyes" / "a.jpg")
    monkeypatch.chdir(tmp_path)

    assert images(list_photographs(["eyes"])) == ["eyes/a.jpg"]


def test_a_photograph_named_twice_is_graded_once(tmp_path):
    touch(tmp_path / "a.jpg", tmp_path / "b.jpg")

    listing = list_photographs([tmp_path / "a.jpg", tmp_path, tmp_path / "." / "b.jpg"])

    assert images(listing) == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    assert listing.notes == ("2 photographs were named more than once: graded once.",)


def test_a_folder_without_pictures_is_refused(tmp_path):
    touch(tmp_path / "notes.txt")

    with pytest.raises(BadRequest, match=r"expected pictures \(.*jpg.*\), found none\. Check the folder"):
        list_photographs([tmp_path])


def test_nothing_at_all_is_refused():
    with pytest.raises(BadRequest, match=r"expected photographs, got none\. Name files, a folder or a manifest"):
        list_photographs([])


def test_an_empty_folder_does_not_cost_the_other_photographs(tmp_path):
    touch(tmp_path / "a.jpg")
    (tmp_path / "empty").mkdir()

    listing = list_photographs([tmp_path / "empty", tmp_path / "a.jpg"])

    assert images(listing) == [str(tmp_path / "a.jpg")]
    assert "found none" in listing.troubles[0]


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX systems")
def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    locked.mkdir()

    def refuse(path):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    # Not by chmod: root, as whom tests run in containers, may read everything.
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(BadRequest, match=r"locked: expected a readable folder, got: Permission denied\. Check"):
        list_photographs([locked])


def test_a_manifest_gives_names_patients_and_eyes(tmp_path):
    touch(tmp_path / "photos" / "a.jpg", tmp_path / "photos" / "b.jpg")
    manifest = tmp_path / "m.csv"
    manifest.write_text("image,patient,eye,source\nphotos/b.jpg,P1,left,here\nphotos/a.jpg,,,\n")

    everything = list_photographs([], manifest=manifest)
    some = list_photographs([tmp_path / "photos" / "b.jpg"], manifest=manifest)

    assert images(everything) == ["photos/b.jpg", "photos/a.jpg"]
    assert everything.photographs[0].details == {"source": "here", "patient": "P1", "eye": "left"}
    assert everything.photographs[1].details == {}
    assert some.photographs == everything.photographs[:1]


def test_a_photograph_outside_the_manifest_is_graded_and_counted(tmp_path):
    touch(tmp_path / "a.jpg", tmp_path / "b.jpg")
    manifest = tmp_path / "m.csv"
    manifest.write_text("image,patient\na.jpg,P1\n")

    listing = list_photographs([tmp_path], manifest=manifest)

    assert images(listing) == ["a.jpg", str(tmp_path / "b.jpg")]
    assert "1 of 2 photographs are not in" in listing.notes[0]


def test_a_manifest_that_lies_in_a_folder_describes_it(tmp_path):
    touch(tmp_path / "a.jpg")
    (tmp_path / "manifest.csv").write_text("image,patient,eye\na.jpg,P1,right\n")

    listing = list_photographs([tmp_path])

    assert listing.photographs[0].details == {"patient": "P1", "eye": "right"}
    assert "patients and eyes are taken from it" in listing.notes[0]


def test_a_number_behind_a_name_makes_no_other_photographs_name(tmp_path):
    """Rows of an unfinished run are kept by name: one would be answered with the other's grade."""
    for folder in (tmp_path / "A", tmp_path / "B"):
        touch(folder / "a.jpg", folder / "a.jpg (2)")
        (folder / "manifest.csv").write_text("image,patient\na.jpg,P1\n./a.jpg,P2\na.jpg (2),P3\n")

    listing = list_photographs([tmp_path / "A", tmp_path / "B"])

    assert len(set(images(listing))) == len(listing.photographs) == 6
    assert f"{tmp_path}/A/a.jpg (2)" in [
        photo.image for photo in listing.photographs if photo.details["patient"] == "P3"
    ]


def test_two_folders_whose_manifests_use_one_name_are_told_apart(tmp_path):
    for name in ("one", "two"):
        touch(tmp_path / name / "a.jpg")
        (tmp_path / name / "manifest.csv").write_text(f"image,patient\na.jpg,{name}\n")

    listing = list_photographs([tmp_path / "one", tmp_path / "two"])

    assert images(listing) == [str(tmp_path / "one" / "a.jpg"), str(tmp_path / "two" / "a.jpg")]
    assert [each.details["patient"] for each in listing.photographs] == ["one", "two"]


def test_a_manifest_with_a_missing_column_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text("file,patient\na.jpg,P1\n")

    with pytest.raises(BadTable, match=r"image"):
        list_photographs([], manifest=tmp_path / "m.csv")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX systems only")
def test_a_name_that_is_not_utf8_becomes_text_that_can_be_written(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    Path(name).write_bytes(b"")

    listing = list_photographs([tmp_path])

    assert images(listing)[0].endswith(r"caf\xe9.jpg")
    assert listing.photographs[0].path.exists()


def test_rows_that_name_one_file_in_several_ways_are_each_a_photograph(tmp_path):
    touch(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    (tmp_path / "m.csv").write_text("image,patient\na.jpg,P1\n./a.jpg,P2\nb.jpg,P3\n")

    listing = list_photographs([], manifest=tmp_path / "m.csv")

    assert [(each.image, each.details["patient"]) for each in listing.photographs] == [
        ("a.jpg", "P1"),
        ("./a.jpg", "P2"),
        ("b.jpg", "P3"),
    ]
    assert listing.notes == (
        "3 photographs are 1 file by several names (a.jpg, ./a.jpg, b.jpg), of different patients (P1, P2, P3): check "
        "the manifest. Each has a row of its own.",
    )


def test_links_to_one_object_in_a_described_folder_keep_their_patients(tmp_path):
    """As git-annex and content-addressed stores lay out repeated photographs."""
    touch(tmp_path / ".git" / "objects" / "KEY")
    for name in ("one", "two"):
        (tmp_path / f"{name}.jpg").symlink_to(tmp_path / ".git" / "objects" / "KEY")
    (tmp_path / "manifest.csv").write_text("image,patient\none.jpg,P1\ntwo.jpg,P2\n")

    for path in ([tmp_path], [tmp_path / "." / "one.jpg", tmp_path / "two.jpg"]):
        listing = list_photographs(path, manifest=None if path == [tmp_path] else tmp_path / "manifest.csv")
        assert [each.details["patient"] for each in listing.photographs] == ["P1", "P2"]


def test_a_manifest_is_found_through_a_link_to_its_folder(tmp_path):
    touch(tmp_path / "real" / "a.jpg")
    (tmp_path / "real" / "m.csv").write_text("image,patient\na.jpg,P1\n")
    (tmp_path / "link").symlink_to("real")

    listing = list_photographs([tmp_path / "link"], manifest=tmp_path / "real" / "m.csv")

    assert [each.details for each in listing.photographs] == [{"patient": "P1"}]


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX systems only")
def test_a_raw_byte_and_its_escaped_text_are_two_names(tmp_path):
    for name in (b"caf\xe9.jpg", b"caf\\xe9.jpg", b"caf\\x5cxe9.jpg"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)

    listing = list_photographs([tmp_path])

    assert len(set(images(listing))) == 3
    assert {Path(image).name for image in images(listing)} == {
        r"caf\xe9.jpg",
        r"caf\x5cxe9.jpg",
        r"caf\x5cx5cxe9.jpg",
    }


@pytest.mark.parametrize("named", [True, False])
def test_a_photograph_that_a_manifest_lists_and_a_folder_lacks_has_its_row(tmp_path, named):
    """Were it left out, its patient would be answered from the other eye alone."""
    touch(tmp_path / "left.jpg")
    table = tmp_path / ("m.csv" if named else "manifest.csv")
    table.write_text("image,patient,eye\nleft.jpg,P1,left\nright.jpg,P1,right\n../elsewhere/c.jpg,P2,left\n")

    listing = list_photographs([tmp_path], manifest=table if named else None)

    assert images(listing) == ["left.jpg", "right.jpg"]
    assert listing.photographs[1].details == {"patient": "P1", "eye": "right"}
    assert f"{tmp_path}: 1 of the photographs in its manifest are missing." in listing.notes
    assert listing.tables == (table,)


def test_a_photograph_named_before_the_folder_that_describes_it_gets_its_patient(tmp_path):
    touch(tmp_path / "a.jpg")
    (tmp_path / "manifest.csv").write_text("image,patient\na.jpg,P1\n")

    listing = list_photographs([tmp_path / "a.jpg", tmp_path])

    assert [each.details for each in listing.photographs] == [{"patient": "P1"}]


@pytest.mark.parametrize("name", ["a" * 300 + ".jpg", "a\0b.jpg"])
def test_a_name_that_no_file_can_have_gets_a_row_like_any_missing_file(tmp_path, name):
    assert images(list_photographs([tmp_path / name])) == [str(tmp_path / name)]


def test_blanks_around_a_patients_name_in_a_manifest_make_no_second_patient(tmp_path):
    rows = 'a.jpg,"0042 ",here,left\nb.jpg," 0042\u00a0","here ",right\n'
    (tmp_path / "m.csv").write_text(f"image,patient,source,eye\n{rows}", encoding="utf-8")

    listing = list_photographs([], manifest=tmp_path / "m.csv")

    assert [each.details["patient"] for each in listing.photographs] == ["0042", "0042"]
    assert [each.details["patient_raw"] for each in listing.photographs] == ["0042 ", " 0042\\xa0"]
    assert {each.details["source"] for each in listing.photographs} == {"here"}
    assert listing.photographs[0].fellow == tmp_path / "b.jpg"


@pytest.mark.parametrize("name", ["ANONYMOUS", "anon", "N/A", "Unknown", "^^", "Test Patient", "-", "de-identified"])
def test_a_placeholder_in_a_manifest_joins_no_strangers(tmp_path, name):
    (tmp_path / "m.csv").write_text(f'image,patient,eye\na.jpg,"{name}",left\nb.jpg,"{name}",right\n')

    listing = list_photographs([], manifest=tmp_path / "m.csv")

    assert [("patient" in each.details, each.details["patient_raw"], each.fellow) for each in listing.photographs] == [
        (False, name, None)
    ] * 2


@pytest.mark.parametrize(("names", "warned"), [(("000", "000"), True), (("0", "0", "1"), False), (("000", "7"), False)])
def test_a_number_typed_to_fill_the_field_is_warned_of(tmp_path, names, warned):
    rows = "".join(f"{number}.jpg,{name}\n" for number, name in enumerate(names))
    (tmp_path / "m.csv").write_text("image,patient\n" + rows)

    listing = list_photographs([], manifest=tmp_path / "m.csv")

    assert [each.details["patient"] for each in listing.photographs] == list(names)
    assert any("looks like a placeholder" in note for note in listing.notes) == warned


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes as on POSIX systems")
def test_a_pipe_in_place_of_a_manifest_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.csv")

    with pytest.raises(BadTable, match=r"m\.csv: expected a table, got a folder, pipe or device"):
        list_photographs([], manifest=tmp_path / "m.csv")


def test_a_manifest_hands_on_the_hashes_of_both_eyes_and_finds_files_of_another_computers_names(tmp_path):
    (tmp_path / "eyes").mkdir()
    for name in ("l.jpg", "r.jpg"):
        (tmp_path / "eyes" / name).write_bytes(b"\xff\xd8\xff")
    (tmp_path / "m.csv").write_text(
        f"image,patient,eye,sha256\neyes\\l.JPG,1,OS,{'A' * 64}\neyes/r.jpg,1,OD,{'b' * 64}\n"
    )

    left, right = list_photographs([], manifest=tmp_path / "m.csv").photographs

    assert (left.path, left.image) == (tmp_path / "eyes" / "l.jpg", r"eyes\l.JPG")
    assert (left.sha256, left.fellow_sha256, right.fellow_sha256) == ("a" * 64, "b" * 64, "a" * 64)
    assert (left.details["eye"], left.fellow) == ("left", tmp_path / "eyes" / "r.jpg")
