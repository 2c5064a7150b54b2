"""Runs of `monitor` on the service's own answers: each looks at the patients who came since the last one, once.

The tests and charts of `clinic.monitoring` promise few false alarms where every table is looked at once. A page that
computed them at each load would look at growing data again and again; so a run is started by a person, takes the
patients that no run has had, and is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from fundoscope.clinic.commissioning.protocol import PROTOCOL
from fundoscope.clinic.monitoring.from_tables import monitor_tables
from fundoscope.clinic.monitoring.watch import Rules
from fundoscope.errors import BadRequest
from fundoscope.files import sha256_of
from fundoscope.runtime.description import DESCRIPTION
from fundoscope.runtime.release import OpenRelease
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import Database, now
from fundoscope.service.store.models import Case
from fundoscope.service.store.photographs import photographs_of
from fundoscope.service.store.site_models import MonitoredCase, MonitoringRun
from fundoscope.service.work.answers import rows_of
from fundoscope.service.work.shadow import NO_COLUMNS
from fundoscope.service.work.site.commissioning import site_protocol
from fundoscope.tables import read_table, write_table
from fundoscope.tables.formats import READ_SUFFIXES
from fundoscope.tables.patients import texts

TABLE: Final = "service.csv"
"""Name of the table of new patients in reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a site's new patients are compared with."""

    protocol: Mapping[str, Any]
    protocol_path: Path
    """`protocol.json`, or the release that holds it."""
    table: Path
    """Predictions of the patients of the commissioning."""


def find_reference(settings: ServiceSettings, opened: OpenRelease) -> Reference:
    """Return what new patients are compared with: the protocol, and the table of predictions that it was made from.

    The table is recognised by its SHA-256 in the protocol. It lies in the site's folder, in the folder of the service,
    or beside the commissioned release, whose own folder is sealed.

    Args:
        settings: Of the service: its folder, and that of the site.
        opened: The release that answers.

    Raises:
        BadRequest: If there is no protocol, or its table is not there.
        BadRelease: If the protocol is damaged.
    """
    protocol = site_protocol(settings.site, opened)
    if protocol is None:
        raise BadRequest("site: expected a commissioned site, got none. Commission the release, and serve its copy.")
    place = opened.path if settings.site is None else settings.site
    is_release = place.is_file() or (place / DESCRIPTION).is_file()
    wanted = protocol["data"].get("predictions_sha256")
    for folder in (place.parent if is_release else place, settings.folder):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in READ_SUFFIXES and path.is_file() and sha256_of(path) == wanted:
                return Reference(protocol=protocol, protocol_path=place if is_release else place / PROTOCOL, table=path)
    raise BadRequest(
        f"site: expected the predictions that were commissioned ({protocol['data']['predictions']}, SHA-256 "
        f"{str(wanted)[:12]}...), to compare new patients with, got none. Copy them into the folder of the service."
    )


def run_monitor(database: Database, settings: ServiceSettings, opened: OpenRelease, *, actor: str) -> MonitoringRun:
    """Compare the patients who came since the last run with those of the commissioning, and keep the result.

    Args:
        database: Of the service.
        settings: Of the service.
        opened: The release that answers.
        actor: Who starts it.

    Raises:
        BadRequest: As `find_reference`, or if no patient came since.
        BadRelease: If the protocol is damaged.
        BadTable: If the tables cannot be compared.
    """
    reference = find_reference(settings, opened)
    known = set(texts(read_table(reference.table), "sha256"))
    with database.reading() as session:
        cases = dict(_new_cases(session, opened.name, known))
    if not cases:
        raise BadRequest(
            "monitoring: expected patients who came since the last run, got none. Wait for further patients: a look at "
            "the same ones again would raise false alarms."
        )
    with TemporaryDirectory() as scratch:
        table = Path(scratch) / TABLE
        write_table(pd.DataFrame([row for rows in cases.values() for row in rows], dtype=object), table)
        report = monitor_tables(
            table, reference.table, Rules(), protocol=reference.protocol_path, day=datetime.now(UTC).date()
        )
    with database.writing() as session:
        run = MonitoringRun(
            release=opened.name,
            protocol=reference.protocol["seal"],
            holds=report["holds"],
            cases=len(cases),
            report=dict(report),
            actor=actor,
            created=now(),
        )
        session.add(run)
        session.flush()
        _keep_apart(session, run, cases)
        append_entry(session, actor, "monitoring run", str(run.id), cases=len(cases), holds=run.holds)
    return run


def all_runs(session: Session) -> list[MonitoringRun]:
    """Return all runs, the latest first."""
    return list(session.execute(select(MonitoringRun).order_by(MonitoringRun.id.desc())).scalars())


def count_new(session: Session, release: str) -> int:
    """Return how many cases no run has had, those of the commissioning included."""
    return session.execute(select(func.count()).select_from(_unmonitored(release).subquery())).scalar_one()


def _unmonitored(release: str) -> Select[Case]:
    """Return the query for the cases that a release has answered and no run has had."""
    return (
        select(Case)
        .outerjoin(MonitoredCase, MonitoredCase.case_id == Case.id)
        .where(MonitoredCase.case_id.is_(None), Case.answer.is_not(None), Case.release == release)
        .order_by(Case.id)
    )


def _new_cases(session: Session, release: str, known: set[str | None]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield the cases that a release has answered and no run has had, with the rows of their photographs."""
    for case in session.execute(_unmonitored(release)).scalars():
        if any(photograph.sha256 in known for photograph in photographs_of(session, case)):
            continue  # of the commissioning itself
        rows = rows_of(session, case, release)
        if rows is not None:
            yield case.id, [_plain(row) for row in rows]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as the table of predictions has it; senders call several photographs by one name."""
    values = {name: value for name, value in row.items() if name not in NO_COLUMNS}
    return values | {"image": f"{row['sha256'][:12]}/{row['image']}"}


def _keep_apart(session: Session, run: MonitoringRun, cases: Mapping[int, object]) -> None:
    """Note that a run has had these cases.

    Raises:
        BadRequest: If another run has had one of them meanwhile.
    """
    numbers = set(session.execute(select(MonitoredCase.case_id)).scalars())
    if numbers & set(cases):
        raise BadRequest("monitoring: expected one run at a time, another has just had these patients. Look at it.")
    session.add_all(MonitoredCase(case_id=number, run_id=run.id) for number in cases)
