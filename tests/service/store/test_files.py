"""The bytes of photographs: under their hash, and nowhere else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fundoscope.errors import BadRequest
from fundoscope.service.store.files import Incoming, PhotographFiles, remove_partial


def arrive(folder: Path, data: bytes) -> Incoming:
    incoming = Incoming.begin(folder)
    for start in range(0, len(data), 300):
        incoming.write(data[start : start + 300])
    return incoming


def test_a_photograph_lies_under_the_hash_of_its_bytes(tmp_path):
    data = bytes(range(256)) * 10
    incoming = arrive(tmp_path / "incoming", data)

    path = PhotographFiles(tmp_path / "kept").keep(incoming)

    digest = hashlib.sha256(data).hexdigest()
    assert path == tmp_path / "kept" / digest[:2] / digest[2:4] / digest
    assert path.read_bytes() == data
    assert (incoming.size, incoming.head) == (len(data), data[:512])
    assert list((tmp_path / "incoming").iterdir()) == []


def test_the_same_bytes_are_kept_once_and_never_written_over(tmp_path):
    files = PhotographFiles(tmp_path / "kept")
    path = files.keep(arrive(tmp_path / "incoming", b"one"))
    before = path.stat()

    files.keep(arrive(tmp_path / "incoming", b"one"))

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len([one for one in (tmp_path / "kept").rglob("*") if one.is_file()]) == 1
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "g" * 64, f"{'a' * 64}\n", "/" * 64])
def test_only_a_hash_leads_to_a_file(tmp_path, name):
    with pytest.raises(BadRequest, match="expected 64 hexadecimal digits"):
        PhotographFiles(tmp_path).path(name)


def test_what_is_discarded_or_was_cut_off_leaves_nothing(tmp_path):
    arrive(tmp_path, b"discarded").discard()
    cut_off = arrive(tmp_path, b"cut off")
    other = tmp_path / "not ours.txt"
    other.write_text("stays")

    remove_partial(tmp_path)

    assert list(tmp_path.iterdir()) == [other]
    cut_off.discard()


def test_an_upload_that_has_ended_takes_no_more_bytes(tmp_path):
    incoming = arrive(tmp_path, b"one")
    incoming.end()

    with pytest.raises(ValueError, match="expected a file that is open"):
        incoming.write(b"more")
