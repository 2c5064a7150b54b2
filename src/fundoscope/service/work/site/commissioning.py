"""What a service has for commissioning its release at the site, and what the site's folder says of it already.

Readings count only where they were made without the answer: a reader who has seen it no longer says what they would
have said, and a sensitivity by such readings is too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.clinic.commissioning.cohort import Flow, answers_of, patients_of
from fundoscope.clinic.commissioning.commission import PLANNED, Terms
from fundoscope.clinic.commissioning.planning import positives_needed, sample_size
from fundoscope.clinic.commissioning.protocol import PROTOCOL, parse_protocol
from fundoscope.clinic.commissioning.site import check_site, dust_words, open_site
from fundoscope.clinic.commissioning.words import details, verdict
from fundoscope.errors import FundoscopeError
from fundoscope.runtime.archive import reader
from fundoscope.runtime.release import OpenRelease
from fundoscope.service.store.models import Case, EyeReading
from fundoscope.service.store.readings import current_readings
from fundoscope.service.work.shadow import ShadowTables, shadow_tables
from fundoscope.tables.pair import read_pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How many patients a commissioning would have, against how many it needs."""

    tables: ShadowTables
    """Readings and answers of the cases that count."""
    flow: Flow | None
    """Their patients, as `commission` counts them; None: no eye was graded."""
    answered: int
    """Cases that the active release has answered."""
    seen: int
    """Cases whose readings were all made with the answer shown: they do not count."""
    unread: int
    """Cases that nobody has read."""
    others: int
    """Cases that another release has answered."""
    least: int
    """Referable patients with fewer of whom no threshold can be guaranteed."""
    plan: Mapping[float, int | None]
    """Referable patients for 80 % power, by the true sensitivity; None: more than are planned for."""
    terms: Terms

    @property
    def referable(self) -> int:
        """Referable patients by the readers."""
        return 0 if self.flow is None else self.flow.referable

    @property
    def patients(self) -> int:
        """Patients with a reading that counts for every eye, or a referable one."""
        return 0 if self.flow is None else self.flow.patients - self.flow.without_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteWords:
    """What a site's folder, or a commissioned release, says of its commissioning."""

    protocol: Mapping[str, Any] | None
    verdict: str | None
    details: tuple[str, ...]
    notes: tuple[str, ...]
    """What is missing or does not agree."""
    dust: str | None
    """What is known of the dust on the camera's sensor."""


def readiness(session: Session, release: str) -> Readiness:
    """Return what a service has for a commissioning of a release.

    Args:
        session: Of `Database.reading`.
        release: Name of the release that answers.
    """
    tables = shadow_tables(session, release, every=True)
    answered = seen = unread = others = 0
    were_read = set(session.execute(select(EyeReading.case_id).distinct()).scalars())
    for case in session.execute(select(Case).where(Case.answer.is_not(None))).scalars():
        if case.release != release:
            others += 1
            continue
        answered += 1
        if case.id not in were_read or not current_readings(session, case):
            unread += 1
        elif not current_readings(session, case, blind=True):
            seen += 1
    terms = Terms()
    return Readiness(
        tables=tables,
        flow=_flow(tables),
        answered=answered,
        seen=seen,
        unread=unread,
        others=others,
        least=positives_needed(sensitivity=terms.sensitivity, confidence=terms.confidence_each),
        plan={true: sample_size(true, wanted=terms.sensitivity, confidence=terms.confidence_each) for true in PLANNED},
        terms=terms,
    )


def _flow(tables: ShadowTables) -> Flow | None:
    """Count patients as `commission` does; None where no eye was graded."""
    if tables.readings.empty or tables.readings["grade"].isna().all():
        return None
    with TemporaryDirectory() as folder:
        pair = read_pair(*tables.write(Path(folder)))
    return patients_of(pair.rows, answers_of(pair.rows, grade_refers=True))[1]


def site_words(folder: Path | None, opened: OpenRelease) -> SiteWords:
    """Return what is known of the commissioning: by the site's folder, else by the release itself.

    A folder that cannot be used is said, and is no fault of the page.

    Args:
        folder: Folder of the site (`serve --site`); None: none was named.
        opened: The release that answers.
    """
    try:
        protocol = site_protocol(folder, opened)
        if folder is None:
            notes = () if protocol else ("No site is named: start the service with --site FOLDER once there is one.",)
            return _words(protocol, notes, None)
        site = open_site(folder)
        return _words(protocol, tuple(check_site(site, opened)), dust_words(site.dust))
    except FundoscopeError as problem:
        return _words(None, (str(problem),), None)


def site_protocol(folder: Path | None, opened: OpenRelease) -> dict[str, Any] | None:
    """Return the protocol of the site's folder, else of the release that answers; None where there is none.

    Raises:
        BadRelease: If it is damaged.
        BadRequest: If the folder is none of a site.
    """
    if folder is not None and (protocol := open_site(folder).protocol) is not None:
        return protocol
    if PROTOCOL not in opened.release.files:
        return None
    return parse_protocol(reader(opened.path)(PROTOCOL), opened.path / PROTOCOL)


def _words(protocol: dict[str, Any] | None, notes: tuple[str, ...], dust: str | None) -> SiteWords:
    return SiteWords(
        protocol=protocol,
        verdict=None if protocol is None else verdict(protocol),
        details=() if protocol is None else tuple(details(protocol)),
        notes=notes,
        dust=dust,
    )
