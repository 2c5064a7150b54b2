"""Settings of DICOM on the network."""

from __future__ import annotations

import pytest

from fundoscope.errors import BadRequest
from fundoscope.service.dicom.settings import Destination, DicomSettings, Peer


@pytest.mark.parametrize("text", ["", "@10.0.0.5", "CAMERA@", "CAMERA@host", "A TITLE THAT IS TOO LONG", "A\\B", " A"])
def test_a_peer_that_is_none_is_refused(text):
    with pytest.raises(BadRequest, match="expected a peer as AE_TITLE@ADDRESS"):
        Peer.parse(text)


def test_a_peer_is_known_by_title_and_address():
    peer = Peer.parse("CAMERA@10.0.0.5")
    assert peer.matches("CAMERA ", "10.0.0.5")
    assert peer.matches("CAMERA", "::ffff:10.0.0.5")
    assert not peer.matches("CAMERA", "10.0.0.6")
    assert not peer.matches("camera", "10.0.0.5")
    assert not peer.matches("CAMERA", "somewhere")


@pytest.mark.parametrize(
    "text", ["", "A@host", "A@host:0", "A@host:65536", "A@:104", "@host:104", "A@host:1²", "host:1"]
)
def test_a_destination_that_is_none_is_refused(text):
    with pytest.raises(BadRequest, match="expected a destination as AE_TITLE@HOST:PORT"):
        Destination.parse(text)


@pytest.mark.parametrize(("text", "host"), [("ARCHIVE@10.0.0.9:104", "10.0.0.9"), ("ARCHIVE@[::1]:104", "::1")])
def test_a_destination_is_written_as_it_is_read(text, host):
    destination = Destination.parse(text)
    assert destination == Destination("ARCHIVE", host, 104)
    assert str(destination) == text


def test_a_listener_that_others_reach_names_its_peers():
    with pytest.raises(BadRequest, match="expected the peers that may send photographs, got none"):
        DicomSettings(host="0.0.0.0")
    assert DicomSettings(host="0.0.0.0", peers=(Peer.parse("CAMERA@10.0.0.5"),)).admits("CAMERA", "10.0.0.5")
    assert DicomSettings(host="0.0.0.0", port=None).port is None


@pytest.mark.parametrize("changes", [{"ae_title": ""}, {"ae_title": "A" * 17}, {"port": 65536}])
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(BadRequest, match="expected"):
        DicomSettings(**changes)
