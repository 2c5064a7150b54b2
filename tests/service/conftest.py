"""Databases of the service: SQLite, and a PostgreSQL server that the tests start where one is installed; services."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fundoscope.runtime.grader import Grader
from fundoscope.service.app import create_app
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.state import Service
from fundoscope.service.store.accounts import ROLES, add_token, add_user
from fundoscope.service.store.database import Database, open_database

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""Folders of PostgreSQL's programs, as Debian has them."""


def _unprivileged() -> str | None:
    """Return the user that PostgreSQL runs as; None: whoever runs the tests, unless that is root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server without a database of ours; a socket in a folder, no port."""
    if not PROGRAMS:
        # A checkout alone has none; .ci/run says which packages bring it.
        pytest.skip("needs PostgreSQL's programs in /usr/lib/postgresql, which are not installed")
    user, programs = _unprivileged(), PROGRAMS[-1]
    # Not pytest's folder: another user may not enter it.
    folder = Path(tempfile.mkdtemp(prefix="fundoscope-pg-"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"

    def call(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder, timeout=120)

    call("initdb", "-U", "fundoscope", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://fundoscope@/{{name}}?host={folder}"
    finally:
        call("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_postgresql(postgresql: str) -> Callable[[], str]:
    """Makes a database on the server whose tables were made by the migrations, and returns its URL."""
    import psycopg

    numbers = itertools.count()

    def create(name: str, options: str = "") -> str:
        with psycopg.connect(postgresql.replace("+psycopg", "").format(name="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
        return postgresql.format(name=name)

    open_database(create("migrated")).close()
    return lambda: create(f"service{next(numbers)}", "TEMPLATE migrated")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in a file whose tables were made by the migrations; copied by tests."""
    path = tmp_path_factory.mktemp("migrated") / "service.sqlite3"
    open_database(f"sqlite+pysqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database in which only the tables are, of each kind in turn."""
    if request.param == "postgresql":
        return request.getfixturevalue("new_postgresql")()
    path = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "service.sqlite3")
    return f"sqlite+pysqlite:///{path}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the tables of this version, of each kind in turn."""
    opened = open_database(database_url)
    yield opened
    opened.close()


@dataclass
class Running:
    """A service that runs in this process."""

    client: TestClient
    service: Service
    headers: dict[str, dict[str, str]]
    """Headers of a request, by the role of the token in them."""

    def send(self, *files: tuple[str, bytes], role: str = "submit", **fields: str):
        """Send photographs; return the response."""
        parts = [("photographs", file) for file in files]
        return self.client.post("/api/photographs", files=parts, data=fields, headers=self.headers[role])

    def wait(self) -> None:
        """Wait until nothing waits for an answer."""
        assert self.service.work.queue.join(60.0), "photographs are not answered within a minute"


@pytest.fixture(scope="session")
def grader(tiny_release: Path) -> Grader:
    """The tiny release, opened."""
    return Grader.open(tiny_release, threads=2)


@pytest.fixture(scope="session")
def start(grader: Grader) -> Callable[..., AbstractContextManager[Running]]:
    """Starts services: `with start(folder, queue_length=3) as running`."""

    @contextmanager
    def run(folder: Path, *, database: str | None = None, **settings: object) -> Iterator[Running]:
        app = create_app(ServiceSettings(folder=folder, database=database, **settings), grader)
        service: Service = app.state.service
        headers = {}
        with service.database.writing() as session:
            for role in ROLES:
                add_user(session, f"{role}-user", role, None, actor="test")
                headers[role] = {"Authorization": f"Bearer {add_token(session, f'{role}-user', 'test', actor='test')}"}
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            yield Running(client, service, headers)

    return run


@pytest.fixture(scope="module")
def running(start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that the tests of a module share."""
    with start(tmp_path_factory.mktemp("service") / "folder") as service:
        yield service
