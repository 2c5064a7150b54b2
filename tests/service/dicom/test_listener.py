"""Photographs that come by C-STORE, from pynetdicom's client and from DCMTK's."""

from __future__ import annotations

import hashlib
import logging
import runpy
import socket
import time
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from fundoscope.errors import BadRequest
from fundoscope.service.dicom.listener import SYNTAXES, DicomListener, file_start
from fundoscope.service.dicom.settings import DicomSettings, Peer
from fundoscope.service.store.models import Case, LogEntry, Photograph

_OBJECTS = runpy.run_path(str(Path(__file__).with_name("objects.py")))
DCMTK, data_of, photograph, storescu = (_OBJECTS[name] for name in ("DCMTK", "data_of", "photograph", "storescu"))

CLASS = "1.2.840.10008.5.1.4.1.1.77.1.5.1"


@contextmanager
def listening(running, **settings):
    """Start a listener on a service; yield it with its port."""
    parts = running.service
    listener = DicomListener(
        parts.intake, parts.settings.incoming, parts.settings.upload_bytes, DicomSettings(port=0, **settings)
    )
    port = listener.start()
    try:
        yield port
    finally:
        listener.stop()


@contextmanager
def associated(port, *, calling="CAMERA", called="FUNDOSCOPE", class_uid=CLASS):
    entity = AE(ae_title=calling)
    entity.add_requested_context(class_uid, list(SYNTAXES[:1]))
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", port, ae_title=called)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(port, *objects, **how):
    """Send objects; return the statuses."""
    with associated(port, **how) as association:
        assert association.is_established
        return [association.send_c_store(made) for made in objects]


def photographs(running):
    with running.service.database.reading() as session:
        return list(session.execute(select(Photograph).order_by(Photograph.id)).scalars())


@pytest.fixture
def running(start, tmp_path):
    with start(tmp_path / "service") as running:
        yield running


def test_both_eyes_become_one_case_that_is_answered(running):
    with listening(running) as port:
        answers = send(port, photograph(seed=1, eye="R"), photograph(seed=2, eye="L"))
    assert [answer.Status for answer in answers] == [0, 0]
    running.wait()
    kept = photographs(running)
    assert [(one.eye, one.patient, one.study_uid, one.sender, one.state) for one in kept] == [
        ("right", "MRN-1", "1.2.826.0.1.5", "DICOM CAMERA", "answered"),
        ("left", "MRN-1", "1.2.826.0.1.5", "DICOM CAMERA", "answered"),
    ]
    with running.service.database.reading() as session:
        (case,) = session.execute(select(Case)).scalars()
    assert case.answer is not None
    assert {eye["eye"] for eye in case.answer["eyes"]} == {"left", "right"}


def test_what_is_kept_is_the_file_that_was_sent(running):
    made = photograph(seed=3)
    with listening(running) as port:
        send(port, made)
    (kept,) = photographs(running)
    data = running.service.files.path(kept.sha256).read_bytes()
    assert hashlib.sha256(data).hexdigest() == kept.sha256
    start = file_start(CLASS, made.SOPInstanceUID, SYNTAXES[0])
    assert data.startswith(start)
    assert data_of(made).endswith(data[len(start) :])
    assert len(data) > len(start) + made.Rows * made.Columns * 3


def test_a_photograph_that_comes_again_is_answered_with_success_and_accepted_once(running):
    made = photograph(seed=4)
    with listening(running) as port:
        assert [answer.Status for answer in send(port, made, made)] == [0, 0]
        assert send(port, made)[0].Status == 0
    assert len(photographs(running)) == 1


def test_without_a_place_in_the_queue_the_sender_is_told_to_come_again(running):
    queue = running.service.work.queue
    others = [f"sender {number}" for number in range(queue.length - queue.depth)]
    assert all(queue.reserve(1, sender) for sender in others)
    with listening(running) as port:
        (answer,) = send(port, photograph(seed=5))
        assert answer.Status == 0xA700
        assert "Send it again" in answer.ErrorComment
        assert photographs(running) == []
        for sender in others:
            queue.release(1, sender)
        assert send(port, photograph(seed=5))[0].Status == 0
    assert list(running.service.settings.incoming.iterdir()) == []


@pytest.mark.parametrize("problem", [OSError(28, "No space left"), OperationalError("Meier^Anna", {}, Exception())])
def test_a_photograph_that_cannot_be_kept_is_no_success(running, monkeypatch, caplog, problem):
    def fail(*_arguments, **_options):
        raise problem

    monkeypatch.setattr(type(running.service.files), "keep", fail)
    with listening(running) as port, caplog.at_level(logging.DEBUG):
        (answer,) = send(port, photograph(seed=6))
    assert answer.Status == 0xA700
    assert photographs(running) == []
    assert "could not be kept" in caplog.text
    assert "Meier" not in caplog.text + str(answer)


def test_a_fault_in_the_program_is_a_failure_that_names_no_patient(running, monkeypatch, caplog):
    def fail(*_arguments, **_options):
        raise ValueError("Meier^Anna")

    monkeypatch.setattr(type(running.service.files), "keep", fail)
    with listening(running) as port, caplog.at_level(logging.DEBUG):
        (answer,) = send(port, photograph(seed=6))
    assert answer.Status == 0x0110
    assert "ValueError" in caplog.text
    assert "Meier" not in caplog.text + str(answer)


def test_an_object_that_is_not_what_it_is_sent_as_is_refused(running):
    request = C_STORE()  # the client's own call cannot contradict itself
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CLASS, "1.2.3"
    request.DataSet = BytesIO(encode(photograph(seed=7), False, True))
    with listening(running) as port, associated(port) as association:
        # As the client's own calls do: else its thread may take the answer for a request, and drop it.
        association._reactor_checkpoint.clear()
        while not association._is_paused:
            time.sleep(0.01)
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, answer = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
    assert answer.Status == 0xA900
    assert photographs(running) == []


def test_a_heatmap_that_comes_back_with_its_study_is_no_photograph(running):
    capture = "1.2.840.10008.5.1.4.1.1.7"
    made = photograph(seed=8, SOPClassUID=capture, Manufacturer="fundoscope")
    other = photograph(seed=8, SOPClassUID=capture, Manufacturer="A camera")
    with listening(running) as port:
        answers = send(port, made, other, class_uid=capture)
    assert [answer.Status for answer in answers] == [0x0122, 0]


def test_a_report_is_not_negotiated(running):
    with listening(running) as port, associated(port, class_uid="1.2.840.10008.5.1.4.1.1.88.34") as association:
        assert [str(context.abstract_syntax) for context in association.accepted_contexts] == ["1.2.840.10008.1.1"]


def test_an_echo_is_answered(running):
    with listening(running) as port, associated(port) as association:
        assert association.send_c_echo().Status == 0


def test_an_object_larger_than_an_upload_may_be_is_refused_and_the_association_goes_on(start, tmp_path):
    with start(tmp_path / "small", upload_bytes=60_000) as small, listening(small) as port:
        answers = send(port, photograph(seed=1, side_px=160), photograph(seed=1))
    assert answers[0].Status == 0xC000
    assert "60000 bytes" in answers[0].ErrorComment
    assert answers[1].Status == 0


def test_an_object_far_larger_ends_the_association(start, tmp_path):
    with start(tmp_path / "small", upload_bytes=60_000) as small, listening(small) as port:
        with associated(port) as association:
            answer = association.send_c_store(photograph(seed=1, side_px=1024))
        assert "Status" not in answer
        assert photographs(small) == []
        assert send(port, photograph(seed=1))[0].Status == 0


@pytest.mark.parametrize(
    ("peers", "calling", "called", "is_admitted"),
    [
        ([], "ANY", "FUNDOSCOPE", True),
        ([], "ANY", "OTHER", False),
        (["CAMERA"], "CAMERA", "FUNDOSCOPE", True),
        (["CAMERA"], "STRANGER", "FUNDOSCOPE", False),
        (["CAMERA@127.0.0.1"], "CAMERA", "FUNDOSCOPE", True),
        (["CAMERA@10.0.0.5"], "CAMERA", "FUNDOSCOPE", False),
        (["CAMERA@10.0.0.5", "ROUTER@127.0.0.1"], "ROUTER", "FUNDOSCOPE", True),
    ],
)
def test_only_peers_that_are_named_may_send(running, peers, calling, called, is_admitted):
    named = tuple(Peer.parse(text) for text in peers)
    with listening(running, peers=named) as port, associated(port, calling=calling, called=called) as association:
        assert association.is_established == is_admitted
        assert association.is_rejected != is_admitted


def test_after_bytes_that_are_no_dicom_others_are_served(running):
    with listening(running) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(4096))
        assert send(port, photograph(seed=9))[0].Status == 0


def test_a_port_that_is_taken_is_named(running):
    with listening(running) as port:
        second = DicomListener(running.service.intake, running.service.settings.incoming, 1, DicomSettings(port=port))
        with pytest.raises(BadRequest, match=f"127.0.0.1:{port}: expected a port that is free"):
            second.start()


def test_what_was_accepted_is_in_the_audit_log_by_its_hash(running):
    with listening(running) as port:
        send(port, photograph(seed=10))
    (kept,) = photographs(running)
    with running.service.database.reading() as session:
        entries = session.execute(select(LogEntry).where(LogEntry.action == "photograph accepted")).scalars().all()
    assert [(entry.actor, entry.subject) for entry in entries] == [("DICOM CAMERA", kept.sha256)]


@pytest.mark.skipif(not DCMTK.is_file(), reason="needs DCMTK's storescu, which is not installed")
def test_dcmtk_sends_a_study_of_two_eyes(running, tmp_path):
    files = []
    for number, eye in enumerate("RL"):
        files.append(tmp_path / f"{eye}.dcm")
        photograph(seed=number, eye=eye).save_as(files[-1], enforce_file_format=True)
    with listening(running) as port:
        sent = storescu(*files, port=port)
        refused = storescu(files[0], port=port, called="OTHER")
    assert sent.returncode == 0, sent.stderr
    assert (sent.stdout + sent.stderr).count("Received Store Response (Success)") == 2
    assert refused.returncode != 0
    assert "Called AE Title Not Recognized" in refused.stdout + refused.stderr
    assert [one.eye for one in photographs(running)] == ["right", "left"]
