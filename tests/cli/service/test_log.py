"""`fundoscope service check-log`: its answer and its exit status."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

DATABASE = Path("fundoscope-service/service.sqlite3")


@pytest.fixture
def check(run_verb, tmp_path: Path, monkeypatch):
    """Check the log of a service that has three entries."""
    monkeypatch.chdir(tmp_path)
    for name in ("ann", "bob", "eve"):
        run_verb("service", "user", "add", name, "--no-password")

    def check(*options: object) -> tuple[int, str, str]:
        return run_verb("service", "check-log", *options)

    return check


def change(statement: str) -> None:
    """Change the log as somebody could who can write to the file."""
    with sqlite3.connect(DATABASE) as connection:
        for name in ("UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER audit_log_{name}")
        connection.execute(statement)
    connection.close()


def test_a_log_that_nobody_changed_passes(check):
    status, out, _ = check()

    assert status == 0
    assert out.startswith("The audit log is as it was written: 3 entries. Last hash: ")


def test_a_changed_log_is_status_1_and_says_where(check):
    change("UPDATE audit_log SET subject = 'mallory' WHERE id = 2")

    status, out, _ = check()

    assert status == 1
    assert out == "The audit log was changed. Entry 2: its content does not agree with its hash."
    assert json.loads(check("--json")[1])["passed"] is False


def test_a_log_whose_end_was_cut_off_is_status_1_against_a_hash(check):
    last = json.loads(check("--json")[1])["last"]
    assert check("--expect", last[:16])[0] == 0

    change("DELETE FROM audit_log WHERE id = 3")

    assert check()[0] == 0
    status, out, _ = check("--expect", last)
    assert status == 1
    assert out.startswith("The audit log lacks an entry that it had.")


def test_a_file_that_is_no_database_is_status_2(check):
    DATABASE.write_bytes(b"not a database at all" * 100)

    status, _, err = check()

    assert status == 2
    assert "expected a database, got: file is not a database" in err
