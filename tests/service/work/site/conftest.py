"""A service's database with the tiny release, and patients that were made up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.service.site_cases import Made, add_cases

from fundoscope.runtime.grader import Grader
from fundoscope.service.store.accounts import Account, add_user
from fundoscope.service.store.database import Database, open_database


@pytest.fixture(scope="session")
def template(grader: Grader, retinas: list[Path]) -> dict[str, Any]:
    """Row of a photograph that the tiny release has graded."""
    return dict(grader.examine(retinas[0])[0].row())


@pytest.fixture
def site_database(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Database]:
    """A database of its own."""
    database = open_database(f"sqlite+pysqlite:///{shutil.copy(migrated_sqlite, tmp_path)}")
    yield database
    database.close()


@pytest.fixture
def reader(site_database: Database) -> Account:
    """Who reads."""
    with site_database.writing() as session:
        user = add_user(session, "ann", "read", None, actor="test")
        session.flush()
        return Account(user_id=user.id, name="ann", role="read")


@pytest.fixture
def answered(site_database: Database, grader: Grader, template, reader) -> Callable[..., None]:
    """Adds patients whom a release has answered: `answered([Made(1, 0.9)])`."""

    def add(patients: Sequence[Made], by: Grader = grader) -> None:
        add_cases(site_database, by, template, patients, reader)

    return add
