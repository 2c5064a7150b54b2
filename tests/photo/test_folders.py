from __future__ import annotations

import os

import pytest
from PIL import Image

from fundoscope.photo.folders import Walk


def names(walk: Walk) -> list[str]:
    return [str(path.relative_to(walk.folder)) for path in walk.photographs()]


@pytest.fixture
def jpeg(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("jpeg") / "a.jpg"
    Image.new("RGB", (8, 8)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    "name", ["IM0001", "1.2.840.113619.2.55", "a.jfif", "a.jpe", "a.JPG_large", "a.mpo", "a.bak", "a.txt"]
)
def test_a_picture_is_found_by_what_it_holds_whatever_its_name(tmp_path, jpeg, name):
    (tmp_path / name).write_bytes(jpeg)
    walk = Walk(tmp_path)

    assert names(walk) == [name]
    assert walk.notes() == []


def test_a_file_named_as_a_picture_has_its_row_even_if_it_holds_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.heic").write_bytes(b"damaged")

    assert names(Walk(tmp_path)) == ["a.jpg", "b.heic"]


def test_what_is_passed_over_is_counted_by_kind(tmp_path, jpeg):
    for name in ("a.txt", "b.txt", "c.xml", "d.ZIP", "README"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 no picture")
    (tmp_path / "e.jpg").write_bytes(jpeg)
    (tmp_path / "manifest.csv").write_bytes(b"image\n")
    walk = Walk(tmp_path, manifest=tmp_path / "manifest.csv")

    assert names(walk) == ["e.jpg"]
    assert walk.notes() == [f"{tmp_path}: 5 files passed over: 2 .txt, 1 without suffix, 1 .xml, 1 .zip."]


def test_hidden_pictures_are_left_out_and_counted(tmp_path, jpeg):
    (tmp_path / ".hidden.jpg").write_bytes(jpeg)
    (tmp_path / "._a.jpg").write_bytes(b"\0\x05\x16\x07 what macOS keeps beside a.jpg")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    walk = Walk(tmp_path)

    assert names(walk) == []
    assert walk.notes() == [f"{tmp_path}: 1 hidden picture left out."]


def test_links_to_folders_are_followed_and_a_loop_ends(tmp_path, jpeg):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes(jpeg)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(other)
    (folder / "loop").symlink_to(folder)
    (folder / "link_again").symlink_to(other)
    walk = Walk(folder)

    assert names(walk) == ["link/a.jpg"]
    assert walk.notes() == [f"{folder}: 2 links to folders that are listed already: listed once."]


def test_links_whose_files_are_gone_have_their_rows(tmp_path):
    """As git-annex leaves photographs that were not fetched."""
    for name in ("a.jpg", "1.2.3.4", "notes.txt"):
        (tmp_path / name).symlink_to(tmp_path / "gone")

    assert names(Walk(tmp_path)) == ["1.2.3.4", "a.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes as on POSIX systems")
def test_nothing_is_read_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.jpg")

    assert names(Walk(tmp_path)) == ["pipe.jpg"]
