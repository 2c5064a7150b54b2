"""DICOM on the network as a part of a running service.

app = create_app(settings, extensions=[partial(dicom_network, settings=DicomSettings(...))])
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from fundoscope.service.dicom.forwarding import Forwarder
from fundoscope.service.dicom.listener import DicomListener
from fundoscope.service.dicom.settings import DicomSettings
from fundoscope.service.state import Service

OUTGOING: Final = "outgoing"
"""Folder, in that of the service, of reports that were not sent yet."""


@dataclass(frozen=True, slots=True)
class Network:
    """What runs."""

    port: int | None
    """Where photographs are received; None: nowhere."""
    forwarder: Forwarder | None


@contextmanager
def dicom_network(service: Service, settings: DicomSettings) -> Iterator[Network]:
    """Receive photographs and send reports on, as far as the settings say so.

    Raises:
        BadRelease: As `forwarding.Forwarder`.
        BadRequest: As `forwarding.Forwarder`, or if the port is taken.
        MissingExtra: If pynetdicom or highdicom is not installed.
    """
    with ExitStack() as running:
        forwarder, port = None, None
        if settings.destination is not None:
            folder = service.settings.folder / OUTGOING
            for partial in folder.glob("*.part"):
                shutil.rmtree(partial, ignore_errors=True)
            forwarder = Forwarder(service.database, service.files, service.grader, folder, settings)
            forwarder.start()
            running.callback(forwarder.stop)
        if settings.port is not None:
            limits = service.settings
            listener = DicomListener(service.intake, limits.incoming, limits.upload_bytes, settings)
            port = listener.start()
            running.callback(listener.stop)
        yield Network(port, forwarder)
