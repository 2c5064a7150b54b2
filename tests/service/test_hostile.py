"""Hostile uploads: each is answered in words, none with 500; nothing is written elsewhere and nothing grows."""

from __future__ import annotations

import resource
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

_HOSTILE = runpy.run_path(str(Path(__file__).with_name("hostile.py")))
KINDS = _HOSTILE["KINDS"]

MOST_GROWTH = 64 * 2**20
"""Bytes of memory that may be kept after two more rounds of bombs; one of them alone inflates to as much."""


@pytest.fixture(scope="module")
def photo(retinas: list[Path]) -> bytes:
    """A photograph that is answered."""
    return retinas[0].read_bytes()


@pytest.fixture(scope="module")
def hostile(start, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A service with small limits, in a folder beside which nothing else lies."""
    folder = tmp_path_factory.mktemp("hostile") / "service"
    with start(folder, upload_bytes=2 * 2**20, photographs_per_request=8, queue_length=64) as running:
        yield running


def send(running, upload):
    headers = {"Content-Type": upload.content_type} | upload.headers | running.headers["submit"]
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    return running.client.post("/api/photographs", content=upload.body, headers=encoded)


def uploads(kind: str, photo: bytes) -> list:
    return list(KINDS[kind](np.random.default_rng(len(kind)), photo))


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_there_are_two_hundred_uploads_of_fifty_kinds(photo):
    assert len(KINDS) >= 50
    assert sum(len(uploads(kind, photo)) for kind in KINDS) >= 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_upload_is_answered_in_words(kind, hostile, photo):
    for upload in uploads(kind, photo):
        response = send(hostile, upload)

        assert response.status_code in (200, 202, 207, 400, 408, 409, 411, 413, 415, 422, 429), response.text
        document = response.json()
        sentences = (
            [document["error"]]
            if "error" in document
            else [outcome["error"] for outcome in document["photographs"] if outcome["status"] == "refused"]
        )
        for sentence in sentences:
            assert ": expected " in sentence
            assert len(sentence) < 800
        if response.status_code == 429:
            hostile.wait()
        assert list(hostile.service.settings.incoming.iterdir()) == []
    assert hostile.client.get("/health").status_code == 200


def release_files(running) -> list[Path]:
    """Return the files of the release that is served, of which the service keeps a copy."""
    return list(running.service.grader.opened.path.iterdir())


def test_after_all_of_them_the_service_is_as_it_should_be(hostile, photo):
    hostile.wait()
    folder = hostile.service.settings.folder

    with hostile.service.database.reading() as session:
        connection = session.connection()
        stored = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT sha256, state FROM photographs")}
        answers = [row[0] for row in connection.exec_driver_sql("SELECT photograph_id FROM answers")]
    assert "accepted" not in stored.values()
    assert len(answers) == len(set(answers)) == len(stored)

    own = {f"photographs/{sha256[:2]}/{sha256[2:4]}/{sha256}" for sha256 in stored}
    database = {"service.sqlite3", "service.sqlite3-wal", "service.sqlite3-shm"}
    copied = {f"releases/{hostile.service.grader.opened.digest[:12]}/{path.name}" for path in release_files(hostile)}
    assert files_below(folder) - database == own | copied
    assert {path.name for path in folder.parent.iterdir()} == {"service"}

    outcome = hostile.send(("good.jpg", photo + b"good")).json()["photographs"][0]
    hostile.wait()
    answer = hostile.client.get(f"/api/photographs/{outcome['sha256']}", headers=hostile.headers["submit"]).json()
    assert answer["state"] == "answered"
    assert hostile.service.work.is_running


def memory() -> int:
    """Return the bytes of memory that this process holds."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        # Only Linux says it so, which is where the service runs.
        pytest.skip("needs /proc, which only Linux has")
    return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_memory_does_not_grow_with_bombs(hostile, photo):
    bombs = [upload for kind in KINDS if "bomb" in kind or "impossible" in kind for upload in uploads(kind, photo)]
    levels = []
    for _ in range(3):
        for upload in bombs:
            send(hostile, upload)
        hostile.wait()
        levels.append(memory())

    assert len(bombs) >= 20
    assert levels[-1] - levels[0] < MOST_GROWTH
