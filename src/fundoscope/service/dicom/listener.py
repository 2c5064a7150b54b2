"""A C-STORE listener: photographs that cameras and archives send by DICOM's own protocol.

    listener = DicomListener(intake, incoming_folder, upload_bytes, DicomSettings())
    listener.start()
    listener.stop()

Success is answered when the photograph lies on the disk, in the database and in the queue, and not before. C-ECHO is
answered, too. What peers send is never logged: it holds names of patients.
"""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from sqlalchemy.exc import SQLAlchemyError

from fundoscope.errors import BadRequest, MissingExtra
from fundoscope.service.dicom.instances import (
    OUT_OF_RESOURCES,
    PHOTOGRAPHS,
    PROCESSING_FAILURE,
    SUCCESS,
    Instance,
    store_instance,
)
from fundoscope.service.dicom.settings import DicomSettings
from fundoscope.service.store.files import Incoming
from fundoscope.service.work.intake import Intake, QueueFull

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event, EventHandlerType
    from pynetdicom.transport import ThreadedAssociationServer

LOGGER: Final = logging.getLogger("fundoscope.service")

SYNTAXES: Final = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
)
"""Transfer syntaxes in which photographs are read: uncompressed, deflated, JPEG, JPEG-LS, JPEG 2000, RLE."""

CLASS_UID: Final = "2.25.32393245901786157200996347991986644597"
"""ImplementationClassUID in the files that are written of what was received."""

PREAMBLE: Final = bytes(128) + b"DICM"
"""How DICOM files begin (PS3.10, 7.1)."""

COMMENT_SIGNS: Final = 64
"""Longest ErrorComment (PS3.7, C)."""

SLACK_BYTES: Final = 2**20
"""Of a message beside the photograph; an association that sends more is ended."""

NOT_RECOGNISED: Final = (0x01, 0x01, 0x03)
"""Rejection for good, by the service's user: the calling AE title is not recognised (PS3.8, 9.3.4)."""


class DicomListener:
    """The listener of one service."""

    def __init__(self, intake: Intake, incoming: Path, upload_bytes: int, settings: DicomSettings) -> None:
        self.intake = intake
        self.incoming = incoming
        self.upload_bytes = upload_bytes
        self.settings = settings
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> int:
        """Listen; return the port.

        Raises:
            MissingExtra: If pynetdicom is not installed.
            BadRequest: If the port is taken.
        """
        try:
            from pynetdicom import AE, evt
        except ImportError as problem:
            raise MissingExtra("DICOM on the network", "serve") from problem
        silence_pynetdicom()
        settings = self.settings
        entity = AE(ae_title=settings.ae_title)
        entity.require_called_aet = True
        entity.maximum_associations = settings.associations
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = settings.idle_seconds
        entity.add_supported_context("1.2.840.10008.1.1")
        for class_uid in PHOTOGRAPHS:
            entity.add_supported_context(class_uid, list(SYNTAXES))
        counter = MessageCounter(self.upload_bytes + SLACK_BYTES)
        handlers: list[EventHandlerType] = [
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_PDU_RECV, counter.count),
            (evt.EVT_DIMSE_RECV, counter.reset),
            (evt.EVT_C_STORE, self._store),
        ]
        place = (settings.host, settings.port or 0)
        try:
            self._server = entity.start_server(place, block=False, evt_handlers=handlers)
        except OSError as problem:
            raise BadRequest(
                f"DICOM at {settings.host}:{settings.port}: expected a port that is free, got: {problem.strerror}. "
                "Choose another."
            ) from None
        assert self._server is not None
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop; what is being sent is ended, and its sender was not told that it is kept."""
        if self._server is not None:
            for association in self._server.active_associations:
                # One that was not negotiated yet cannot be aborted.
                if association.is_established:
                    association.abort()
                else:
                    association.kill()
            self._server.shutdown()
            self._server = None

    def _admit(self, event: Event) -> None:
        """Reject an association of a peer that may not send."""
        requestor = event.assoc.requestor
        title = "" if requestor.primitive is None else str(requestor.primitive.calling_ae_title)
        if not self.settings.admits(title, str(requestor.address)):
            LOGGER.warning("DICOM: an association from %s was rejected: no peer that may send", requestor.address)
            event.assoc.acse.send_reject(*NOT_RECOGNISED)
            event.assoc.kill()  # only after which the rejection has been sent

    def _store(self, event: Event) -> Dataset:
        """Answer a C-STORE request."""
        try:
            return self._kept(event)
        except QueueFull as problem:
            return _status(OUT_OF_RESOURCES, str(problem))
        except (OSError, SQLAlchemyError) as problem:
            LOGGER.error("DICOM: a photograph could not be kept (%s)", type(problem).__name__)
            return _status(OUT_OF_RESOURCES, "photograph: could not be kept. Send it again later.")
        except Exception as problem:
            # The text of the exception may hold a patient's name.
            LOGGER.error("DICOM: a fault in the program: %s", type(problem).__name__)
            return _status(PROCESSING_FAILURE, "photograph: a fault in the program. Please report it.")

    def _kept(self, event: Event) -> Dataset:
        """Write what was received to a file, with meta information before it, and accept it."""
        from pynetdicom.dimse_primitives import C_STORE

        request = event.request
        assert isinstance(request, C_STORE)
        assert isinstance(request.DataSet, BytesIO)
        sent_as = Instance(class_uid=str(request.AffectedSOPClassUID), uid=str(request.AffectedSOPInstanceUID))
        is_too_large = request.DataSet.getbuffer().nbytes > self.upload_bytes
        incoming = Incoming.begin(self.incoming)
        try:
            if not is_too_large:
                incoming.write(file_start(sent_as.class_uid, sent_as.uid, str(event.context.transfer_syntax)))
                incoming.write(request.DataSet.getvalue())
            stored = store_instance(
                self.intake,
                incoming,
                sender=f"DICOM {event.assoc.requestor.ae_title.strip()}",
                expected=sent_as,
                limit=self.upload_bytes if is_too_large else None,
            )
        finally:
            incoming.discard()
        return _status(stored.status, stored.sentence)


class MessageCounter:
    """Ends associations whose messages are larger than a photograph may be."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._sizes: WeakKeyDictionary[Association, int] = WeakKeyDictionary()

    def count(self, event: Event) -> None:
        """Add a PDU that was received to those of its message."""
        size = self._sizes.get(event.assoc, 0) + len(event.pdu)
        self._sizes[event.assoc] = size
        if size > self.limit:
            LOGGER.warning("DICOM: an association was ended: an object of more than %d bytes", self.limit)
            event.assoc.abort()

    def reset(self, event: Event) -> None:
        """Begin with the next message."""
        self._sizes[event.assoc] = 0


def file_start(class_uid: str, uid: str, syntax: str) -> bytes:
    """Return the beginning of a DICOM file; the same for the same object, whichever version writes it."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(class_uid), UID(uid)
    meta.TransferSyntaxUID, meta.ImplementationClassUID = UID(syntax), UID(CLASS_UID)
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return PREAMBLE + buffer.getvalue()


def silence_pynetdicom() -> None:
    """Keep pynetdicom from logging what peers send, as it does with requests and with faults in handlers."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


def _status(status: int, sentence: str) -> Dataset:
    from pydicom.dataset import Dataset

    answer = Dataset()
    answer.Status = status
    if status != SUCCESS and sentence:
        answer.ErrorComment = sentence.encode("ascii", "replace").decode()[:COMMENT_SIGNS]
    return answer
