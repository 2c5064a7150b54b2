"""The service's database: opened, migrated, and written one transaction at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from fundoscope.errors import BadRequest
from fundoscope.service.store.accounts import add_user, all_users
from fundoscope.service.store.database import MIGRATIONS, open_database
from fundoscope.service.store.models import Answer, Base, Case


def test_the_migrations_make_the_tables_that_the_models_describe(database):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)

    assert differences == []
    assert set(Base.metadata.tables) <= set(inspect(database.engine).get_table_names())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+pysqlite:///{tmp_path / 'empty.sqlite3'}"
    server = request.getfixturevalue("postgresql")
    import psycopg

    with psycopg.connect(server.replace("+psycopg", "").format(name="postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE earlier")
    return server.format(name="earlier")


def test_a_database_of_an_earlier_version_with_cases_in_it_gets_the_later_tables_and_columns(empty_url: str):
    from alembic import command
    from alembic.config import Config

    config, engine = Config(), create_engine(empty_url)
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        insert = "INSERT INTO cases (uid, key, created, changed) VALUES ('u', 'k', 't', 't')"
        connection.execute(text(insert))
        connection.commit()
    engine.dispose()

    opened = open_database(empty_url)
    with opened.reading() as session:
        case = session.query(Case).one()
    opened.close()

    assert (case.uid, case.shadow) == ("u", False)


def test_opening_a_database_again_keeps_what_is_in_it(database, database_url):
    with database.writing() as session:
        add_user(session, "ann", "read", None, actor="test")

    again = open_database(database_url)
    with again.reading() as session:
        names = [user.name for user in all_users(session)]
    again.close()

    assert names == ["ann"]


def test_a_transaction_that_fails_leaves_nothing(database):
    def fail_after_a_write() -> None:
        with database.writing() as session:
            add_user(session, "ann", "read", None, actor="test")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_after_a_write()

    with database.reading() as session:
        assert all_users(session) == []


def test_writers_wait_for_one_another(database):
    def add(number: int) -> None:
        with database.writing() as session:
            add_user(session, f"user{number}", "read", None, actor="test")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.reading() as session:
        assert len(all_users(session)) == 12


def test_two_services_on_one_database_write_one_after_the_other(database, database_url):
    other = open_database(database_url)

    def add(opened, letter: str) -> None:
        for number in range(8):
            with opened.writing() as session:
                add_user(session, f"{letter}{number}", "read", None, actor="test")

    threads = [threading.Thread(target=add, args=pair) for pair in ((database, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    with database.reading() as session:
        assert len(all_users(session)) == 16


def test_rows_cannot_name_what_is_not_there(database):
    answer = Answer(
        photograph_id=7, release="r", status="graded", decision="refer", row={}, seconds=0.1, created="2026-01-01"
    )
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), database.writing() as session:
        session.add(answer)


def test_a_database_in_a_file_survives_a_crash_after_a_transaction_has_ended(tmp_path):
    database = open_database(f"sqlite+pysqlite:///{tmp_path / 'service.sqlite3'}")
    with database.reading() as session:
        values = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.close()

    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://user@host/name", "sqlite:////nowhere/at/all.sqlite3"])
def test_a_url_that_leads_to_no_database_is_refused_in_a_sentence(url):
    with pytest.raises(BadRequest, match=r"expected .*, got"):
        open_database(url)


def test_a_refusal_shows_no_password(tmp_path: Path):
    with pytest.raises(BadRequest, match="Check the address") as refusal:
        open_database(f"postgresql+psycopg://ann:my-secret@/name?host={tmp_path}")

    assert "my-secret" not in str(refusal.value)


def test_a_database_of_a_later_version_is_refused(database, database_url):
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(BadRequest, match="tables of this version or an earlier one"):
        open_database(database_url)


def test_migrations_are_part_of_the_package():
    assert (MIGRATIONS / "env.py").is_file()
    assert list((MIGRATIONS / "versions").glob("0001_*.py"))
