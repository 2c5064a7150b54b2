"""The audit log: every change of it is found, and most are refused by the database itself."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fundoscope.service.store.audit_log import BEGINNING, append_entry, verify_log
from fundoscope.service.store.database import Database


@pytest.fixture
def log(database: Database) -> Database:
    """A database whose log has five entries."""
    for number in range(5):
        with database.writing() as session:
            append_entry(session, "ann", "photograph accepted", f"{number:064x}", case="c", size=number)
    return database


def check(database: Database, **arguments):
    with database.reading() as session:
        return verify_log(session, **arguments)


def unprotect(database: Database) -> None:
    """Remove the triggers, as somebody could who can write to the database."""
    with database.writing() as session:
        if database.engine.dialect.name == "sqlite":
            for deed in ("UPDATE", "DELETE"):
                session.execute(text(f"DROP TRIGGER audit_log_{deed}"))
        else:
            session.execute(text("DROP TRIGGER audit_log_append_only ON audit_log"))


def change(database: Database, statement: str) -> None:
    unprotect(database)
    with database.writing() as session:
        session.execute(text(statement))


def test_a_log_that_nobody_changed_passes(log):
    result = check(log)

    assert (result.passed, result.entries, result.fault) == (True, 5, None)
    assert len(result.last) == 64
    assert result.last != BEGINNING


def test_an_empty_log_passes(database):
    assert (check(database).passed, check(database).last) == (True, BEGINNING)


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor = 'bob' WHERE id = 3", "DELETE FROM audit_log"])
def test_the_database_refuses_to_change_or_delete_entries(log, statement):
    with pytest.raises(DBAPIError, match="append-only"), log.writing() as session:
        session.execute(text(statement))

    assert check(log).entries == 5


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit_log SET actor = 'bob' WHERE id = 3", "entry 3: its content does not agree"),
        ("UPDATE audit_log SET moment = '2020-01-01' WHERE id = 1", "entry 1: its content does not agree"),
        ("UPDATE audit_log SET subject = 'x' WHERE id = 5", "entry 5: its content does not agree"),
        ("UPDATE audit_log SET detail = '{}' WHERE id = 2", "entry 2: its content does not agree"),
        ("UPDATE audit_log SET digest = 'f' WHERE id = 2", "entry 2: its content does not agree"),
        ("DELETE FROM audit_log WHERE id = 3", "entry 3: expected the next entry, got entry 4"),
        ("DELETE FROM audit_log WHERE id = 1", "entry 1: expected the next entry, got entry 2"),
        ("UPDATE audit_log SET id = 9 WHERE id = 4", "entry 4: expected the next entry, got entry 5"),
        ("UPDATE audit_log SET previous = 'f' WHERE id = 4", "entry 4: expected the hash of the entry before it"),
    ],
)
def test_a_changed_log_fails_and_the_check_says_where(log, statement, fault):
    change(log, statement)

    result = check(log)

    assert not result.passed
    assert fault in str(result.fault)


def test_a_log_whose_end_was_cut_off_fails_against_a_hash_that_was_noted(log):
    noted = check(log).last

    change(log, "DELETE FROM audit_log WHERE id > 3")

    assert check(log).passed  # the chain alone cannot show it
    assert not check(log, expect=noted).passed
    assert not check(log, expect=noted[:12]).passed


def test_a_hash_that_was_noted_is_found_in_a_log_that_has_grown(log):
    noted = check(log).last
    with log.writing() as session:
        append_entry(session, "ann", "logged in", "ann")

    assert check(log, expect=noted).passed
    assert check(log, expect=noted[:12]).passed


def test_an_entry_is_kept_only_with_the_deed(log):
    def fail_after_the_entry() -> None:
        with log.writing() as session:
            append_entry(session, "ann", "logged in", "ann")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_after_the_entry()

    assert check(log).entries == 5
