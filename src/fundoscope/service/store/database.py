"""The database of a service: opened, brought to this version's tables, and used one transaction at a time.

    with database.reading() as session:    # any number at once
    with database.writing() as session:    # one at a time, committed at the end, rolled back after an error

What `writing` committed survives a crash: SQLite runs with a write-ahead log and synchronous FULL.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest, MissingExtra

MIGRATIONS: Final = Path(__file__).with_name("migrations")

BUSY_SECONDS: Final = 30
"""How long a transaction waits for another process, such as `fundoscope service user add`."""

WRITERS_LOCK: Final = 0x66756E64
"""Number of PostgreSQL's advisory lock that a writing transaction takes, so that log entries form one chain."""


class Database:
    """A service's database, safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that reads."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that writes; no other writes at the same time, in this process or another."""
        with self._writer, Session(self.engine, expire_on_commit=False) as session, session.begin():
            if self.engine.dialect.name == "sqlite":
                # Asked for at once: a transaction that read before it wrote could not wait for another's end.
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            else:
                session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": WRITERS_LOCK})
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open a database and bring its tables to this version.

    Args:
        url: As SQLAlchemy has it; SQLite or PostgreSQL.

    Raises:
        BadRequest: If it cannot be opened, or is of a later version.
        MissingExtra: If PostgreSQL's driver is not installed.
    """
    engine = _engine(url)
    try:
        _migrate(engine)
    except BadRequest:
        engine.dispose()
        raise
    except DBAPIError as problem:
        shown, why = engine.url.render_as_string(hide_password=True), str(problem.orig).strip().splitlines()
        engine.dispose()
        raise BadRequest(
            f"{shown}: expected a database, got: {why[0] if why else problem}. Check the address and that it runs."
        ) from None
    return Database(engine)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise BadRequest(
                f"database: expected SQLite or PostgreSQL, got {parsed.get_backend_name()}. Use a URL such as "
                "postgresql://user@host/name."
            )
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(create_engine(parsed, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}))
        return create_engine(parsed, pool_pre_ping=True, pool_size=10)
    except ModuleNotFoundError:
        raise MissingExtra("PostgreSQL", "postgres") from None
    except (ArgumentError, NoSuchModuleError, ValueError):
        # The URL is not repeated: it may hold a password.
        raise BadRequest(
            "database: expected a URL such as postgresql://user@host/name, got something else. Correct the URL."
        ) from None


def _sqlite(engine: Engine) -> Engine:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver begins no transactions of its own accord: `writing` does, and reading needs none.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _migrate(engine: Engine) -> None:
    """Run the migrations that a database lacks."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as problem:
            raise BadRequest(
                f"database: expected tables of this version or an earlier one, got others ({problem}). "
                "Start the version of fundoscope that wrote them, or a later one."
            ) from None
        connection.commit()


def new_uid() -> str:
    """Return what a case, study or review is called in addresses: random, so that none can be guessed."""
    return secrets.token_hex(16)


def now() -> str:
    """Return the present moment as the tables have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
