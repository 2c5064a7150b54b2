from __future__ import annotations

import errno
import hashlib
import os
import socket
import sys
from pathlib import Path

import pytest

from fundoscope.files import locked, locked_folder, replacing, sha256_of, write_text


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


@pytest.mark.skipif(sys.platform == "win32", reason="locks as on POSIX systems")
@pytest.mark.parametrize("file_system_has_locks", [True, False])
def test_a_file_is_locked_for_one_at_a_time(tmp_path, monkeypatch, file_system_has_locks):
    import fcntl

    def unsupported(*_args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if not file_system_has_locks:
        monkeypatch.setattr(fcntl, "flock", unsupported)
    path = tmp_path / "rows.jsonl"
    with (
        open(path, "w") as first,
        open(path, "w") as second,
        locked(first.fileno(), path) as ours,
        locked(second.fileno(), path) as theirs,
    ):
        assert (ours, theirs) == (True, False)
    with open(path, "w") as third, locked(third.fileno(), path) as ours:
        assert ours
    assert [each.name for each in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks as on POSIX systems")
@pytest.mark.parametrize(
    ("host", "process", "free"), [("here", 2**22 + 1, True), ("here", 1, False), ("away", 1, False)]
)
def test_the_lock_of_a_killed_run_stands_in_nobodys_way(tmp_path, monkeypatch, host, process, free):
    import fcntl

    def unsupported(*_args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    path = tmp_path / "rows.jsonl"
    (tmp_path / "rows.jsonl.lock").write_text(f"{socket.gethostname() if host == 'here' else host} {process}")

    with open(path, "w") as file, locked(file.fileno(), path) as ours:
        assert ours == free


def test_a_folder_is_locked_for_one_at_a_time_and_nothing_is_left_in_it(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with locked_folder(tmp_path / "folder") as ours, locked_folder(tmp_path / "link") as also_ours:
        assert (ours, also_ours) == (True, False)
        with locked_folder(tmp_path) as another:
            assert another

    with locked_folder(tmp_path / "folder") as ours:
        assert ours
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_folder_that_cannot_be_opened_is_locked_by_a_file_beside_it(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    opened = os.open

    def refuse(path, flags, *mode):
        if Path(path) == tmp_path / "folder":
            raise PermissionError(errno.EACCES, "as on Windows")
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with locked_folder(tmp_path / "folder") as ours, locked_folder(tmp_path / "folder") as also_ours:
        assert (ours, also_ours) == (True, False)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
