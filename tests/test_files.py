from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fundoscope.files import replacing, sha256_of, write_text


def test_a_file_is_whole_or_the_old_one(tmp_path: Path):
    path = tmp_path / "new" / "table.csv"
    write_text(path, "old")

    def interrupted() -> None:
        with replacing(path) as fresh:
            fresh.write_text("half")
            raise RuntimeError("pulled plug")

    with pytest.raises(RuntimeError, match="pulled plug"):
        interrupted()

    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_written_file_is_readable_by_others(tmp_path: Path):
    write_text(tmp_path / "table.csv", "x")

    assert (tmp_path / "table.csv").stat().st_mode & 0o444 == 0o444


def test_the_hash_is_of_the_bytes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"retina" * 10_000)

    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"retina" * 10_000).hexdigest()
