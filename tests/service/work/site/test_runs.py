"""Runs of monitoring: each looks at the patients who came since the last one, against those of the commissioning."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from tests.service.site_cases import Made, add_cases

from fundoscope.clinic.commissioning.commission import Terms
from fundoscope.clinic.commissioning.from_tables import commission_tables
from fundoscope.clinic.commissioning.protocol import commission_release
from fundoscope.errors import BadRequest
from fundoscope.runtime.grader import Grader
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import Account, add_user, find_user
from fundoscope.service.store.database import Database, open_database
from fundoscope.service.work.site.commissioning import readiness, site_words
from fundoscope.service.work.site.runs import all_runs, count_new, find_reference, run_monitor
from fundoscope.tables.pair import read_pair


def patients(first: int, count: int, *, referable: int, grades: bool = False) -> list[Made]:
    """Return patients of whom every `referable`-th has the disease."""
    rng = np.random.default_rng(first)
    made = []
    for number in range(first, first + count):
        is_referable = number % referable == 0
        score = float(np.clip(rng.normal(0.8 if is_referable else 0.2, 0.08), 0.01, 0.99))
        day = f"2026-{1 + (number // 28) % 12:02}-{1 + number % 28:02}"
        made.append(Made(number, score, day, grade=(3 if is_referable else 0) if grades else None))
    return made


@pytest.fixture(scope="module")
def once_commissioned(tmp_path_factory, migrated_sqlite: Path, grader: Grader, template) -> Path:
    """A folder with the database of a service, and beside it a commissioned copy of its release and its table."""
    folder = tmp_path_factory.mktemp("commissioned")
    database = open_database(f"sqlite+pysqlite:///{shutil.copy(migrated_sqlite, folder)}")
    with database.writing() as session:
        user = add_user(session, "ann", "read", None, actor="test")
        session.flush()
        account = Account(user_id=user.id, name="ann", role="read")
    add_cases(database, grader, template, patients(0, 100, referable=4, grades=True), account)
    with database.reading() as session:
        tables = readiness(session, grader.opened.name).tables
    database.close()
    predictions, readings = tables.write(folder / "site")
    done = commission_tables(read_pair(predictions, readings), Terms(), release=grader.opened, day=date(2026, 3, 9))
    commission_release(grader.opened, folder / "site" / "commissioned", done.protocol)
    return folder


@pytest.fixture
def site_database(once_commissioned: Path, tmp_path: Path) -> Iterator[Database]:
    """A copy of the service that was commissioned."""
    shutil.copytree(once_commissioned, tmp_path, dirs_exist_ok=True)
    database = open_database(f"sqlite+pysqlite:///{tmp_path / 'service.sqlite3'}")
    yield database
    database.close()


@pytest.fixture
def reader(site_database: Database) -> Account:
    """Who read the patients of the commissioning."""
    with site_database.reading() as session:
        return Account(user_id=find_user(session, "ann").id, name="ann", role="read")


@pytest.fixture
def commissioned(site_database: Database, tmp_path: Path) -> Grader:
    """The commissioned copy of the release, with the table that it was commissioned with beside it."""
    return Grader.open(tmp_path / "site" / "commissioned", threads=1)


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    """Settings of the service, which names no site."""
    made = ServiceSettings(folder=tmp_path / "service")
    made.make_folder()
    return made


def test_new_patients_like_those_of_the_commissioning_raise_no_alarm_and_are_looked_at_once(
    site_database, commissioned, answered, settings
):
    answered(patients(1000, 40, referable=4), commissioned)

    run = run_monitor(site_database, settings, commissioned.opened, actor="ann")

    assert run.holds
    assert (run.cases, run.report["now"]["patients"]) == (40, 40)
    with site_database.reading() as session:
        assert count_new(session, commissioned.opened.name) == 0
    with pytest.raises(BadRequest, match="expected patients who came since the last run, got none"):
        run_monitor(site_database, settings, commissioned.opened, actor="ann")


def test_more_referrals_than_at_the_commissioning_are_reported(site_database, commissioned, answered, settings):
    answered(patients(1000, 60, referable=1), commissioned)

    run = run_monitor(site_database, settings, commissioned.opened, actor="ann")

    assert not run.holds
    assert any(
        reason.startswith("More patients are referred than in the reference") for reason in run.report["reasons"]
    )
    with site_database.reading() as session:
        assert [one.id for one in all_runs(session)] == [run.id]


def test_a_later_run_has_only_the_patients_who_came_after_the_first(site_database, commissioned, answered, settings):
    answered(patients(1000, 20, referable=4), commissioned)
    run_monitor(site_database, settings, commissioned.opened, actor="ann")
    answered(patients(2000, 15, referable=4), commissioned)

    second = run_monitor(site_database, settings, commissioned.opened, actor="ann")

    assert (second.cases, second.report["now"]["patients"]) == (15, 15)


def test_patients_of_the_commissioning_are_not_compared_with_themselves(
    commissioned, settings, template, migrated_sqlite
):
    other = open_database(f"sqlite+pysqlite:///{shutil.copy(migrated_sqlite, settings.folder)}")
    nobody = Account(user_id=0, name="nobody", role="read")
    add_cases(other, commissioned, template, [*patients(0, 10, referable=4), *patients(1000, 15, referable=4)], nobody)

    run = run_monitor(other, settings, commissioned.opened, actor="ann")

    other.close()
    assert run.cases == 15


def test_without_the_table_of_the_commissioning_what_is_missing_is_named(commissioned, settings, tmp_path):
    (tmp_path / "site" / "predictions.csv").write_text("image,grade\na,1\n", encoding="utf-8")

    with pytest.raises(BadRequest, match=r"expected the predictions that were commissioned \(predictions.csv, SHA-256"):
        find_reference(settings, commissioned.opened)


def test_the_table_is_found_by_its_content_under_any_name(commissioned, settings, tmp_path):
    shutil.move(tmp_path / "site" / "predictions.csv", tmp_path / "site" / "march.csv")

    assert find_reference(settings, commissioned.opened).table.name == "march.csv"


def test_the_table_may_lie_in_the_folder_of_the_service(commissioned, settings, tmp_path):
    shutil.move(tmp_path / "site" / "predictions.csv", settings.folder / "predictions.csv")

    assert find_reference(settings, commissioned.opened).table.parent == settings.folder


def test_a_release_that_was_not_commissioned_has_nothing_to_compare_with(grader, settings):
    with pytest.raises(BadRequest, match="expected a commissioned site, got none"):
        find_reference(settings, grader.opened)


def test_a_commissioned_release_says_what_it_was_commissioned_to(commissioned):
    words = site_words(None, commissioned.opened)

    assert words.verdict.startswith("Guaranteed: at the threshold")
    assert words.notes == ()
