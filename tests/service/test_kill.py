"""A service that is killed or stopped in the middle of its work: every accepted photograph is answered, and once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

import fundoscope
from fundoscope.service.store.accounts import add_token, add_user
from fundoscope.service.store.audit_log import verify_log
from fundoscope.service.store.models import Answer, Photograph

pytestmark = pytest.mark.slow  # each test starts processes that open a release

SECONDS = 90
"""Longest time that anything here may take on a busy machine."""


class Process:
    """A service in a process of its own."""

    def __init__(self, folder: Path, url: str, release: Path, token: str) -> None:
        self.command = [
            sys.executable, "-m", "fundoscope", "serve", "--json", "--port", "0", "--workers", "1",
            "--folder", str(folder), "--release", str(release),
        ]  # fmt: skip
        self.variables = os.environ | {
            "FUNDOSCOPE_DATABASE": url,
            "PYTHONPATH": str(Path(fundoscope.__file__).parents[1]),
        }
        self.headers = {"Authorization": f"Bearer {token}"}

    @contextlib.contextmanager
    def run(self) -> Iterator[subprocess.Popen[str]]:
        """Start it, wait until it listens, and kill it at the end if nothing else ended it."""
        process = subprocess.Popen(
            self.command, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            lines = []
            while not (lines and lines[-1] == "}\n"):
                line = process.stdout.readline()
                assert line, process.communicate()[1]
                lines.append(line)
            self.address = json.loads("".join(lines))["address"]
            yield process
        finally:
            process.kill()
            process.communicate()

    def send(self, data: bytes, client: httpx2.Client) -> str | None:
        """Send a photograph until it is accepted; return its hash, or None where the service has gone."""
        files = [("photographs", ("a.jpg", data))]
        while True:
            try:
                response = client.post(f"{self.address}/api/photographs", files=files, headers=self.headers, timeout=30)
            except httpx2.HTTPError:
                return None
            if response.status_code != 429:
                assert response.status_code in (200, 202), response.text
                return str(response.json()["photographs"][0]["sha256"])
            time.sleep(0.05)


@pytest.fixture
def process(database, database_url: str, tiny_release: Path, tmp_path: Path) -> Process:
    """A service that is not running yet, with a token that may send photographs."""
    with database.writing() as session:
        add_user(session, "camera", "submit", None, actor="test")
        token = add_token(session, "camera", "test", actor="test")
    return Process(tmp_path / "folder", database_url, tiny_release, token)


def send_many(process: Process, photographs: list[bytes], accepted: set[str], lock: threading.Lock) -> None:
    """Send photographs from four clients at once, and note which were accepted, until the service has gone."""
    with httpx2.Client() as client, ThreadPoolExecutor(4) as pool:
        for sha256 in pool.map(lambda data: process.send(data, client), photographs):
            if sha256 is not None:
                with lock:
                    accepted.add(sha256)


def wait_until(is_so, what: str) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end, f"expected within {SECONDS} s: {what}"
        time.sleep(0.02)


def counts(database) -> tuple[int, int]:
    """Return how many photographs and how many answers there are."""
    with database.reading() as session:
        photographs = session.execute(select(func.count()).select_from(Photograph)).scalar_one()
        return photographs, session.execute(select(func.count()).select_from(Answer)).scalar_one()


def check(database, folder: Path, accepted: set[str]) -> None:
    """Check that every photograph has its answer, one, and that nothing was lost or left."""
    with database.reading() as session:
        stored = dict(session.execute(select(Photograph.sha256, Photograph.state)).all())
        answered = list(session.execute(select(Answer.photograph_id)).scalars())
        log = verify_log(session)
    assert accepted <= set(stored)
    assert set(stored.values()) == {"answered"}
    assert len(answered) == len(set(answered)) == len(stored)
    assert log.passed
    assert {path.name for path in (folder / "photographs").rglob("*") if path.is_file()} >= set(stored)
    assert list((folder / "incoming").iterdir()) == []


def test_every_accepted_photograph_is_answered_once_though_the_service_is_killed_again_and_again(
    process, database, retinas, tmp_path
):
    photographs = [path.read_bytes() + str(number).encode() for number in range(12) for path in retinas]
    accepted: set[str] = set()
    lock, first = threading.Lock(), 0
    for kills in range(1, 3):
        with process.run() as running:
            sender = threading.Thread(target=send_many, args=(process, photographs[first:], accepted, lock))
            sender.start()
            goal = counts(database)[1] + 8
            wait_until(lambda goal=goal: counts(database)[1] >= goal, "eight more answers")
            running.send_signal(signal.SIGKILL)
            running.wait(SECONDS)
            sender.join(SECONDS)
        stored, answered = counts(database)
        assert answered < len(photographs), "the service was too fast to be killed in the middle"
        first = 6 * kills

    with process.run():
        send_many(process, photographs, accepted, lock)
        wait_until(lambda: counts(database) == (len(photographs), len(photographs)), "all answers")

    assert len(accepted) == len(photographs)
    check(database, tmp_path / "folder", accepted)
    assert stored <= len(photographs)


def test_a_service_that_is_stopped_answers_what_it_accepted_after_its_next_start(process, database, retinas, tmp_path):
    photographs = [path.read_bytes() + str(number).encode() for number in range(6) for path in retinas]
    accepted: set[str] = set()
    with process.run() as running:
        send_many(process, photographs, accepted, threading.Lock())
        running.send_signal(signal.SIGTERM)
        assert running.wait(SECONDS) == 0
    with database.reading() as session:
        states = list(session.execute(select(Photograph.state)).scalars())
    assert len(states) == len(accepted) == len(photographs)

    with process.run():
        wait_until(lambda: counts(database)[1] == len(photographs), "all answers")

    check(database, tmp_path / "folder", accepted)


def test_a_second_service_on_the_same_folder_is_refused(process):
    with process.run():
        second = subprocess.run(
            process.command, env=process.variables, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    assert second.returncode == 2
    assert "expected a folder on which no service runs" in " ".join(second.stderr.split())
