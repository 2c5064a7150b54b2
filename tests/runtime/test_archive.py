"""Zipped releases: never unpacked to disk, never larger than is allowed, never leading out of themselves."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from fundoscope.errors import BadRelease
from fundoscope.runtime import archive
from fundoscope.runtime.archive import is_plain, reader


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_an_archive_of_the_largest_size_is_read_and_one_byte_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_BYTES", 1000)
    fits = zipped(tmp_path / "fits.zip", {"a": b"0" * 600, "b": b"0" * 400})
    large = zipped(tmp_path / "large.zip", {"a": b"0" * 600, "b": b"0" * 401})

    assert reader(fits)("b") == b"0" * 400
    assert large.stat().st_size < 1000, "it is the unpacked size that counts"
    with pytest.raises(BadRelease, match=r"large\.zip: expected at most 1000 bytes unpacked, got 1001\. Fetch"):
        reader(large)


def test_the_limit_is_checked_before_anything_is_unpacked(tmp_path, monkeypatch):
    def unpacked(*_: object) -> bytes:
        raise AssertionError("a member was read")

    monkeypatch.setattr(archive, "LARGEST_BYTES", 10)
    monkeypatch.setattr(zipfile.ZipFile, "read", unpacked)

    with pytest.raises(BadRelease, match="got 5000"):
        reader(zipped(tmp_path / "bomb.zip", {"a": b"0" * 5000}))


def test_the_limit_is_larger_than_any_release_and_smaller_than_a_disk():
    assert archive.LARGEST_BYTES == 4 * 2**30


def test_a_member_that_says_it_is_smaller_than_it_is_is_refused(tmp_path):
    """zipfile stops at the declared size and finds that the checksum is not the data's."""
    path = zipped(tmp_path / "lies.zip", {"a": b"0" * 5000})
    data = path.read_bytes()
    size = (5000).to_bytes(4, "little")
    assert data.count(size) == 2, "once before the member, once in the directory"
    path.write_bytes(data.replace(size, (10).to_bytes(4, "little")))

    with pytest.raises(BadRelease, match=r"lies\.zip: expected a folder or a \.zip of one, got"):
        reader(path)


def test_a_folder_inside_the_archive_is_looked_through(tmp_path):
    path = zipped(tmp_path / "nested.zip", {"release/a": b"one"})

    assert reader(path)("a") == b"one"


@pytest.mark.parametrize("name", ["../a", "x/../a", "/a", "x/y/a", "C:\\a"])
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(BadRelease, match="which leads out of it"):
        reader(zipped(tmp_path / "evil.zip", {name: b""}))


@pytest.mark.parametrize(
    ("name", "plain"), [("a.json", True), ("", False), ("..", False), ("a/b", False), ("a\0", False), ("c:a", False)]
)
def test_plain_names_lead_nowhere(name, plain):
    assert is_plain(name) is plain


def test_a_file_that_is_not_there_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", zipped(tmp_path / "empty.zip", {})):
        with pytest.raises(BadRelease, match=r"expected the file release\.json in the release, found none"):
            reader(place)("release.json")
    with pytest.raises(BadRelease, match="got nothing: there is no such path"):
        reader(tmp_path / "nowhere")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes as on POSIX systems")
@pytest.mark.parametrize("inside", [False, True])
def test_a_pipe_in_place_of_a_release_or_of_a_file_in_it_is_refused_and_not_waited_for(tmp_path, inside):
    path = tmp_path / "release.json" if inside else tmp_path / "release.zip"
    os.mkfifo(path)

    with pytest.raises(BadRelease, match="got a folder, pipe or device" if inside else "got a pipe or device"):
        reader(tmp_path if inside else path)("release.json")


def same_names(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, name.encode())
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [("a.json", "a.json"), ("a.json", "A.JSON"), ("release/a.json", "a.json"), ("x/a.json", "y/a.json")],
)
def test_two_files_of_one_name_are_refused(tmp_path, names):
    """Which of them is read would depend on the program."""
    with pytest.raises(BadRelease, match=r"expected each file once, got two of the name '[aA]\.(json|JSON)'"):
        reader(same_names(tmp_path / "double.zip", *names))


@pytest.mark.parametrize("name", ["./a.json", "a/./b", "a/../b", "\\\\host\\a", "a:b", "//a"])
def test_a_roundabout_name_is_refused(tmp_path, name):
    with pytest.raises(BadRelease, match="which leads out of it"):
        reader(same_names(tmp_path / "roundabout.zip", name))


def test_a_member_that_unpacks_to_far_more_than_weights_do_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    bomb = zipped(tmp_path / "bomb.zip", {"model.onnx": b"0" * (20 * 2**20)})
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("a member was read"))

    with pytest.raises(
        BadRelease, match=r"at most 100 bytes for each packed one, got 20971520 from \d+ in 'model\.onnx'"
    ):
        reader(bomb)


def test_a_small_member_may_unpack_to_whatever_it_likes(tmp_path):
    assert len(reader(zipped(tmp_path / "text.zip", {"a": b" " * 2**20}))("a")) == 2**20


def test_a_member_with_a_password_is_refused(tmp_path):
    path = zipped(tmp_path / "secret.zip", {"a": b"one"})
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags, in the header before the member and in the directory.
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)

    with pytest.raises(BadRelease, match=r"expected files without a password, got 'a' with one\. Unpack it"):
        reader(path)


def test_a_file_of_a_folder_that_is_larger_than_any_release_is_refused_unread(tmp_path, monkeypatch):
    with open(tmp_path / "model.onnx", "wb") as file:
        file.truncate(2**40)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))

    with pytest.raises(BadRelease, match=r"expected model\.onnx of at most 4294967296 bytes, got 1099511627776\."):
        reader(tmp_path)("model.onnx")
