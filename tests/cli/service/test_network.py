"""Options of `fundoscope serve` for DICOM on the network."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest
from pynetdicom import AE

from fundoscope.cli.service.network import check_network, dicom_settings, network_words
from fundoscope.errors import BadRequest
from fundoscope.runtime.grader import Grader
from fundoscope.service.dicom.settings import Destination, Peer


def test_without_options_nothing_listens():
    assert dicom_settings(None, "127.0.0.1", "FUNDOSCOPE", None, None) is None


def test_options_become_settings():
    settings = dicom_settings(11112, "0.0.0.0", "READER", ["CAMERA@10.0.0.5"], "ARCHIVE@10.0.0.9:104")
    assert settings is not None
    assert (settings.port, settings.host, settings.ae_title) == (11112, "0.0.0.0", "READER")
    assert settings.peers == (Peer("CAMERA", "10.0.0.5"),)
    assert settings.destination == Destination("ARCHIVE", "10.0.0.9", 104)
    assert network_words(settings) == "DICOM: receiving as READER at 0.0.0.0:11112; reports go to ARCHIVE@10.0.0.9:104."


def test_peers_without_a_port_are_refused():
    with pytest.raises(BadRequest, match="--dicom-peer: expected --dicom-port beside it"):
        dicom_settings(None, "127.0.0.1", "FUNDOSCOPE", ["CAMERA"], None)


def test_a_port_that_is_taken_is_named_before_the_service_starts(tiny_release):
    with socket.create_server(("127.0.0.1", 0)) as server:
        grader = Grader.open(tiny_release, threads=1)
        settings = dicom_settings(server.getsockname()[1], "127.0.0.1", "FUNDOSCOPE", None, None)
        assert settings is not None
        with pytest.raises(BadRequest, match=r"expected a port that is free at 127\.0\.0\.1"):
            check_network(settings, grader.opened)


def test_serve_receives_and_stops(tiny_release, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "fundoscope", "serve", "--json", "--port", "0", "--workers", "1"]
    command += ["--release", str(tiny_release), "--folder", str(tmp_path / "service"), "--dicom-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = ""
            while not lines.rstrip().endswith("}"):
                line = process.stdout.readline()
                assert line, process.stderr.read() if process.stderr else ""
                lines += line
            assert "address" in json.loads(lines)
            entity = AE(ae_title="CAMERA")
            entity.add_requested_context("1.2.840.10008.1.1")
            association = entity.associate("127.0.0.1", port, ae_title="FUNDOSCOPE")
            assert association.send_c_echo().Status == 0
            association.release()
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - start < 20
        finally:
            process.kill()
