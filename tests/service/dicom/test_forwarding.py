"""Reports that are sent on: to a program of pynetdicom, and to Orthanc."""

from __future__ import annotations

import json
import runpy
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pynetdicom import AE, evt
from sqlalchemy import select, update

from fundoscope.service.dicom.forwarding import Forwarder
from fundoscope.service.dicom.network import dicom_network
from fundoscope.service.dicom.settings import Destination, DicomSettings
from fundoscope.service.store.database import now
from fundoscope.service.store.deliveries import answered_cases, begin_sending
from fundoscope.service.store.models import Case, Delivery, LogEntry

_OBJECTS = runpy.run_path(str(Path(__file__).with_name("objects.py")))
photograph, data_of = _OBJECTS["photograph"], _OBJECTS["data_of"]

REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")


class Archive:
    """An archive that takes reports, and answers as it is told to."""

    def __init__(self, port=0, title="ARCHIVE"):
        self.objects, self.status = [], 0x0000
        entity = AE(ae_title=title)
        entity.require_called_aet = True
        entity.add_supported_context(REPORT)
        entity.add_supported_context("1.2.840.10008.5.1.4.1.1.7")
        self.server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.take)])
        self.port = self.server.server_address[1]

    def take(self, event):
        self.objects.append(event.dataset)
        return self.status

    def close(self):
        self.server.ae.shutdown()


@pytest.fixture
def archive():
    opened = Archive()
    yield opened
    opened.close()


@pytest.fixture
def running(start, tmp_path):
    with start(tmp_path / "service") as running:
        yield running


def forwarder_of(running, port, title="ARCHIVE", **settings):
    parts = running.service
    destination = Destination(title, "127.0.0.1", port)
    settings = DicomSettings(port=None, destination=destination, **{"settle_seconds": 0.0} | settings)
    return Forwarder(parts.database, parts.files, parts.grader, parts.settings.folder / "outgoing", settings)


def deliveries(running):
    with running.service.database.reading() as session:
        return list(session.execute(select(Delivery).order_by(Delivery.id)).scalars())


def make_due(running):
    with running.service.database.writing() as session:
        session.execute(update(Delivery).values(due=now()))


def send_photograph(running, **elements):
    response = running.send(("photograph.dcm", data_of(photograph(**elements))))
    assert response.status_code == 202, response.text
    running.wait()


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_the_report_on_a_study_is_sent_once(running, archive):
    send_photograph(running, seed=1, eye="R")
    send_photograph(running, seed=2, eye="L")
    forwarder = forwarder_of(running, archive.port)
    forwarder.step()
    forwarder.step()
    (report,) = archive.objects
    assert report.SOPClassUID == REPORT
    assert (report.StudyInstanceUID, report.PatientID) == ("1.2.826.0.1.5", "MRN-1")
    assert (
        len(report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence) == 2
    )
    assert [(one.state, one.attempts) for one in deliveries(running)] == [("sent", 0)]
    assert list((running.service.settings.folder / "outgoing").iterdir()) == []


def test_what_was_answered_before_the_destination_was_first_named_is_not_sent(running):
    release = running.service.grader.opened.name
    send_photograph(running, seed=1, StudyInstanceUID="1.2.826.0.1.51", PatientID="EARLIER")
    time.sleep(0.005)  # moments are of milliseconds
    began = []
    for number in (2, 3):  # the second start changes nothing
        with running.service.database.writing() as session:
            began.append(begin_sending(session, "ARCHIVE"))
        send_photograph(running, seed=number, StudyInstanceUID=f"1.2.826.0.1.5{number}", PatientID="LATER")
        time.sleep(0.005)

    with running.service.database.reading() as session:
        cases = answered_cases(session, "ARCHIVE", release, limit=9, since=began[1])
        assert session.query(LogEntry).filter_by(action="sending began").count() == 1
    assert began[0] == began[1]
    assert [case.patient for case in cases] == ["LATER", "LATER"]


def test_a_thread_that_sends_notes_when_it_began(running, archive):
    send_photograph(running, seed=1, StudyInstanceUID="1.2.826.0.1.51", PatientID="EARLIER")
    time.sleep(0.005)
    forwarder = forwarder_of(running, archive.port)
    forwarder.start()
    forwarder.stop()

    assert archive.objects == []
    assert deliveries(running) == []


def test_a_photograph_that_comes_later_gives_another_report(running, archive):
    forwarder = forwarder_of(running, archive.port)
    send_photograph(running, seed=1, eye="R")
    forwarder.step()
    send_photograph(running, seed=2, eye="L")
    forwarder.step()
    assert len({one.SOPInstanceUID for one in archive.objects}) == 2
    assert [one.state for one in deliveries(running)] == ["sent", "sent"]


def test_the_second_eye_of_a_study_that_is_still_coming_is_in_the_first_report(running, archive):
    forwarder = forwarder_of(running, archive.port, settle_seconds=3600.0)
    send_photograph(running, seed=1, eye="R")
    forwarder.step()
    send_photograph(running, seed=2, eye="L")
    forwarder.step()
    assert archive.objects == []
    make_due(running)
    forwarder.step()
    (report,) = archive.objects
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert len(series.ReferencedSOPSequence) == 2
    assert [one.state for one in deliveries(running)] == ["superseded", "sent"]


def test_a_reading_of_a_case_sends_nothing_again(running, archive):
    forwarder = forwarder_of(running, archive.port)
    send_photograph(running, seed=1)
    forwarder.step()
    with running.service.database.writing() as session:
        session.execute(update(Case).values(changed=now()))
    forwarder.step()
    assert len(archive.objects) == 1
    assert len(deliveries(running)) == 1


# pynetdicom forgets the socket of a connection that was refused.
@pytest.mark.filterwarnings("ignore:.*unclosed.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_archive_that_does_not_answer_gets_the_same_objects_after_a_restart(running):
    port = free_port()
    send_photograph(running, seed=1)
    first = forwarder_of(running, port, retry_seconds=3600.0)
    first.step()
    (waiting,) = deliveries(running)
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert "does not answer" in waiting.fault
    assert waiting.due > now()
    folder = running.service.settings.folder / "outgoing" / str(waiting.id)
    (written,) = folder.rglob("*.dcm")
    uid = _OBJECTS["uid_of"](written)
    archive = Archive(port)
    try:
        again = forwarder_of(running, port)
        again.step()
        assert archive.objects == []  # not due yet
        make_due(running)
        again.step()
        assert [one.SOPInstanceUID for one in archive.objects] == [uid]
    finally:
        archive.close()
    assert [one.state for one in deliveries(running)] == ["sent"]
    with running.service.database.reading() as session:
        entries = session.execute(select(LogEntry.action).where(LogEntry.action.startswith("results"))).scalars().all()
    assert entries == ["results not sent yet", "results sent"]


@pytest.mark.parametrize(
    ("status", "state"), [(0xA700, "waiting"), (0xC000, "waiting"), (0xB000, "sent"), (0x0111, "sent")]
)
def test_what_an_archive_answers_decides(running, archive, status, state):
    archive.status = status
    send_photograph(running, seed=1)
    forwarder_of(running, archive.port).step()
    (delivery,) = deliveries(running)
    assert delivery.state == state
    assert (f"0x{status:04X}" in (delivery.fault or "")) == (state == "waiting")


def test_a_pause_doubles_with_each_attempt(running, archive):
    archive.status = 0xA700
    send_photograph(running, seed=1)
    forwarder = forwarder_of(running, archive.port, retry_seconds=100.0)
    pauses = []
    for _ in range(3):
        forwarder.step()
        (delivery,) = deliveries(running)
        pauses.append(round((_moment(delivery.due) - _moment(delivery.changed)) / 100))
        make_due(running)
    assert pauses == [1, 2, 4]
    assert delivery.attempts == 3


def _moment(text):
    return datetime.fromisoformat(text).timestamp()


def test_an_archive_that_does_not_know_the_title_is_named(running, archive):
    send_photograph(running, seed=1)
    forwarder_of(running, archive.port, title="OTHER").step()
    (delivery,) = deliveries(running)
    assert "rejected the association" in delivery.fault


def test_a_case_without_a_dicom_study_is_not_sent_and_says_why(running, archive):
    made = photograph(seed=1)
    buffer = BytesIO()
    Image.frombytes("RGB", (made.Columns, made.Rows), made.PixelData).save(buffer, "PNG")
    assert running.send(("a.png", buffer.getvalue())).status_code == 202
    running.wait()
    forwarder_of(running, archive.port).step()
    (delivery,) = deliveries(running)
    assert delivery.state == "refused"
    assert "only DICOM files say which study" in delivery.fault
    assert archive.objects == []


def test_the_network_receives_and_sends_while_the_service_runs(running, archive):
    settings = DicomSettings(port=0, destination=Destination("ARCHIVE", "127.0.0.1", archive.port), settle_seconds=0.0)
    with dicom_network(running.service, settings) as network:
        entity = AE(ae_title="CAMERA")
        made = photograph(seed=1)
        entity.add_requested_context(made.SOPClassUID, made.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", network.port, ae_title="FUNDOSCOPE")
        assert association.send_c_store(made).Status == 0
        association.release()
        end = time.monotonic() + 30
        while not archive.objects and time.monotonic() < end:
            time.sleep(0.05)
    assert [one.StudyInstanceUID for one in archive.objects] == [made.StudyInstanceUID]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", network.port), timeout=5)


def test_extensions_run_while_the_application_runs(grader, tmp_path):
    from starlette.testclient import TestClient

    from fundoscope.service.app import create_app
    from fundoscope.service.settings import ServiceSettings

    ports = []

    @contextmanager
    def noted(service):
        with dicom_network(service, DicomSettings(port=0)) as network:
            ports.append(network.port)
            yield
        ports.append(None)

    app = create_app(ServiceSettings(folder=tmp_path / "service"), grader, extensions=[noted])
    with TestClient(app, base_url="http://localhost"):
        assert len(ports) == 1
        socket.create_connection(("127.0.0.1", ports[0]), timeout=5).close()
    assert ports[1:] == [None]


@pytest.mark.skipif(ORTHANC is None, reason="needs Orthanc, which is not installed")
def test_orthanc_receives_the_report(running, tmp_path):
    http, dicom = free_port(), free_port()
    configuration = {
        "HttpServerEnabled": True, "HttpPort": http, "HttpBindAddresses": ["127.0.0.1"], "RemoteAccessAllowed": False,
        "DicomServerEnabled": True, "DicomPort": dicom, "DicomAet": "ORTHANC", "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": True, "StorageDirectory": str(tmp_path / "orthanc"), "Plugins": [],
        "AuthenticationEnabled": False, "ExecuteLuaEnabled": False,
    }  # fmt: skip
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    assert ORTHANC is not None
    server = subprocess.Popen(
        [ORTHANC, str(tmp_path / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                instances = _read(http, "/instances")
                break
            except OSError:
                time.sleep(0.1)
        assert instances == []
        send_photograph(running, seed=1)
        forwarder_of(running, dicom, title="ORTHANC").step()
        (delivery,) = deliveries(running)
        assert delivery.state == "sent", delivery.fault
        (instance,) = _read(http, "/instances")
        tags = _read(http, f"/instances/{instance}/simplified-tags")
        assert (tags["SOPClassUID"], tags["PatientID"], tags["Modality"]) == (REPORT, "MRN-1", "SR")
    finally:
        server.terminate()
        server.wait(30)


def _read(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)
