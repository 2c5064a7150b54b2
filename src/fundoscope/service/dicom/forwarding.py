"""Sending reports on: the structured report of each answered case, with its heatmaps, goes to an archive by C-STORE.

A case whose answer was not sent is found in the database, so that nothing is lost when the service is stopped or the
archive does not answer. The objects of a delivery are written to the disk before the first is sent, and kept until all
are: a delivery that is tried again sends the same objects, which an archive takes for one.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fundoscope.errors import FundoscopeError
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.output.dicom.export import DicomReports
from fundoscope.runtime.tasks.task import Row
from fundoscope.service.dicom.listener import silence_pynetdicom
from fundoscope.service.dicom.settings import Destination, DicomSettings
from fundoscope.service.store.database import Database
from fundoscope.service.store.deliveries import (
    REFUSED,
    SENT,
    SUPERSEDED,
    add_delivery,
    answered_cases,
    begin_sending,
    delivery_key,
    due_deliveries,
    end_delivery,
    postpone_delivery,
)
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.models import Case, Delivery
from fundoscope.service.store.photographs import answers_of, photographs_of

LOGGER: Final = logging.getLogger("fundoscope.service")

AT_ONCE: Final = 50
"""Cases and deliveries that are looked at in one go."""

PAUSE_SECONDS: Final = 2.0
"""Between two looks at the database."""

STOP_SECONDS: Final = 30.0

SUCCESS: Final = 0x0000
DUPLICATE: Final = 0x0111
"""The archive has the object already."""

WARNINGS: Final = range(0xB000, 0xC000)
"""Stored, with a remark (PS3.4, B.2.3)."""


class NotSent(Exception):
    """An attempt at sending that failed; the text says why, without a patient's name."""


class Forwarder:
    """A thread that sends what the cases of a service are answered."""

    def __init__(
        self,
        database: Database,
        files: PhotographFiles,
        grader: Grader,
        folder: Path,
        settings: DicomSettings,
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """Prepare sending; `settings` must name a destination.

        Args:
            database: Of the service.
            files: Where its photographs lie.
            grader: The release that answers.
            folder: For the objects of deliveries that are not sent yet.
            settings: Of DICOM on the network.
            pause_seconds: Between two looks at the database.

        Raises:
            BadRelease: If the release does not grade retinopathy: there are no codes for what it answers.
            MissingExtra: If highdicom is not installed.
            BadRequest: If nothing can be written into the folder.
        """
        assert settings.destination is not None
        self.database = database
        self.files = files
        self.grader = grader
        self.folder = folder
        self.settings = settings
        self.destination: Destination = settings.destination
        self.pause_seconds = pause_seconds
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._since = ""
        DicomReports(folder=folder, paths=[]).try_out(grader.opened)

    def start(self) -> None:
        """Start sending what is answered from now on, or was since the destination was first named."""
        silence_pynetdicom()
        with self.database.writing() as session:
            self._since = begin_sending(session, str(self.destination))
        self._thread = threading.Thread(target=self._run, name="dicom-forwarding", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the object that is being sent; the rest is sent after the next start."""
        self._is_stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                self.step()
            except Exception as problem:
                # Whatever fails must not end the thread. The text of the exception may hold a patient's name.
                LOGGER.error("DICOM: results could not be sent on (%s)", type(problem).__name__)
            self._is_stopping.wait(self.pause_seconds)

    def step(self) -> None:
        """Note new answers, and try each delivery that is due."""
        release = self.grader.opened.name
        with self.database.reading() as session:
            cases = answered_cases(session, str(self.destination), release, limit=AT_ONCE, since=self._since)
        if cases:
            with self.database.writing() as session:
                for case in cases:
                    present = session.get_one(Case, case.id)
                    add_delivery(session, present, str(self.destination), release, settle=self.settings.settle_seconds)
        with self.database.reading() as session:
            due = due_deliveries(session, str(self.destination), limit=AT_ONCE)
        for delivery in due:
            if self._is_stopping.is_set():
                return
            self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        """Make one attempt at a delivery, and note what came of it."""
        place = self.folder / str(delivery.id)
        state, fault, count = SENT, None, 0
        try:
            if not place.is_dir() and (refusal := self._write(delivery, place)) is not None:
                state, fault = refusal
            if state == SENT:
                paths = sorted(place.rglob("*.dcm"))
                count = len(paths)
                self._send(paths)
        except Exception as problem:  # whatever it is, the delivery is tried again
            words = str(problem) if isinstance(problem, (NotSent, FundoscopeError)) else type(problem).__name__
            LOGGER.warning("DICOM: results for %s were not sent: %s", self.destination, words)
            with self.database.writing() as session:
                postpone_delivery(session, delivery, fault=words, first_pause=self.settings.retry_seconds)
            return
        with self.database.writing() as session:
            end_delivery(session, delivery, state, fault=fault, files=count)
        shutil.rmtree(place, ignore_errors=True)

    def _write(self, delivery: Delivery, place: Path) -> tuple[str, str | None] | None:
        """Write the objects of a delivery; return how it ends where there are none."""
        with self.database.reading() as session:
            case = session.get_one(Case, delivery.case_id)
            photographs = photographs_of(session, case)
            answers = answers_of(session, photographs, self.grader.opened.name)
            is_same = delivery_key(session, case, self.grader.opened.name) == delivery.key
        if not is_same or len(answers) < len(photographs):
            return SUPERSEDED, None
        rows: list[Row] = [answers[photograph.id].row for photograph in photographs]
        partial = place.with_name(f"{place.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        paths = [self.files.path(photograph.sha256) for photograph in photographs]
        reports = DicomReports(folder=partial, paths=paths)
        reports.write(self.grader, rows)
        if not reports.written:
            shutil.rmtree(partial, ignore_errors=True)
            return REFUSED, " ".join([*reports.refused, *reports.notes])
        if reports.refused:
            LOGGER.warning("DICOM: case %s: no report can be made of %d studies", case.uid, len(reports.refused))
        os.replace(partial, place)
        return None

    def _send(self, paths: Sequence[Path]) -> None:
        """Send objects.

        Raises:
            NotSent: If not all of them were taken.
        """
        from pydicom import dcmread
        from pynetdicom import AE

        entity = AE(ae_title=self.settings.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = self.settings.idle_seconds
        entity.connection_timeout = self.settings.idle_seconds
        metas = [dcmread(path, stop_before_pixels=True).file_meta for path in paths]
        for class_uid, syntax in sorted({(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) for meta in metas}):
            entity.add_requested_context(class_uid, syntax)
        place = self.destination
        association = entity.associate(place.host, place.port, ae_title=place.ae_title)
        if not association.is_established:
            words = "rejected the association" if association.is_rejected else "does not answer"
            raise NotSent(f"{place}: expected to send reports, but it {words}. Check that it runs and knows the title.")
        try:
            for path in paths:
                self._send_one(association, path)
        finally:
            if association.is_established:
                association.release()

    def _send_one(self, association: object, path: Path) -> None:
        from pydicom import dcmread
        from pynetdicom.association import Association

        assert isinstance(association, Association)
        try:
            answer = association.send_c_store(dcmread(path))
        except (RuntimeError, ValueError):  # no connection any more; no context that was accepted
            raise NotSent(f"{self.destination}: expected to take reports, but it takes no such object.") from None
        status = answer.get("Status")
        if status is None:
            raise NotSent(f"{self.destination}: expected an answer to a report, got none within the time.")
        if status not in (SUCCESS, DUPLICATE) and status not in WARNINGS:
            raise NotSent(f"{self.destination}: expected to take a report, but it answered status 0x{status:04X}.")
