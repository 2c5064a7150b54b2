"""STOW-RS: what is answered to each object, and what is kept."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from fundoscope.service.store.models import Photograph

OBJECTS = runpy.run_path(str(Path(__file__).with_name("objects.py")))
photograph, data_of = OBJECTS["photograph"], OBJECTS["data_of"]

PATH = "/dicom-web/studies"
STORED, FAILED, OTHER = "00081199", "00081198", "0008119A"
FUNDUS = "1.2.840.10008.5.1.4.1.1.77.1.5.1"


def body(*objects: bytes, kind: str = "application/dicom", boundary: str = "b0undary") -> bytes:
    """Return a request as DICOMweb clients send it."""
    parts = [f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + data + b"\r\n" for data in objects]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def post(running, content: bytes, *, path: str = PATH, role: str = "submit", kind: str | None = None):
    kind = kind or 'multipart/related; type="application/dicom"; boundary=b0undary'
    headers = running.headers[role] | {"Content-Type": kind}
    return running.client.post(path, content=content, headers=headers)


def uids(response, sequence: str) -> list[str]:
    items = response.json().get(sequence, {}).get("Value", [])
    return [item["00081155"]["Value"][0] for item in items]


def reasons(response, sequence: str) -> list[int]:
    return [item["00081197"]["Value"][0] for item in response.json()[sequence]["Value"]]


def count(running) -> int:
    with running.service.database.reading() as session:
        return session.query(Photograph).count()


def incoming(running) -> list[Path]:
    return list(running.service.settings.incoming.iterdir())


def test_both_eyes_of_a_study_are_stored_and_answered_as_one_case(running):
    eyes = [photograph(seed=1, eye="R"), photograph(seed=2, eye="L")]

    response = post(running, body(*map(data_of, eyes)))
    running.wait()

    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/dicom+json"
    assert uids(response, STORED) == [eye.SOPInstanceUID for eye in eyes]
    assert FAILED not in response.json()
    cases = running.client.get("/api/cases", headers=running.headers["read"]).json()["cases"]
    (case,) = [case for case in cases if case["patient"] == "MRN-1"]
    detail = running.client.get(f"/api/cases/{case['id']}", headers=running.headers["read"]).json()
    assert [picture["eye"] for picture in detail["photographs"]] == ["right", "left"]
    assert all(picture["state"] == "answered" for picture in detail["photographs"])


def test_a_photograph_that_is_sent_again_is_stored_and_kept_once(running):
    data = data_of(photograph(seed=3))
    first = post(running, body(data))
    before = count(running)

    again = post(running, body(data))

    assert (first.status_code, again.status_code) == (200, 200)
    assert uids(again, STORED) == uids(first, STORED)
    assert count(running) == before


def test_objects_that_fail_are_listed_by_their_reasons_and_the_others_are_stored(running):
    good = photograph(seed=4)
    report = photograph(seed=5, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.34")

    response = post(running, body(b"no DICOM", data_of(good), data_of(report)))

    assert response.status_code == 202
    assert uids(response, STORED) == [good.SOPInstanceUID]
    assert uids(response, FAILED) == [report.SOPInstanceUID]
    assert reasons(response, FAILED) == [0x0122]
    assert reasons(response, OTHER) == [0xC000]
    assert "expected a DICOM file, got something else" in response.headers["Warning"]
    assert "expected a photograph, got another SOP class" in response.headers["Warning"]
    assert incoming(running) == []


def test_a_request_of_objects_that_all_fail_is_a_conflict(running):
    before = count(running)

    response = post(running, body(b"no DICOM"))

    assert response.status_code == 409
    assert count(running) == before


def test_photographs_of_another_study_than_the_address_names_fail(running):
    data = data_of(photograph(seed=6, StudyInstanceUID="1.2.826.0.1.6"))

    wrong = post(running, body(data), path=f"{PATH}/1.2.826.0.1.7")
    right = post(running, body(data), path=f"{PATH}/1.2.826.0.1.6")

    assert wrong.status_code == 409
    assert reasons(wrong, FAILED) == [0xA900]
    assert right.status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (body(b"x"), "multipart/form-data; boundary=b0undary", 415, "expected multipart/related"),
        (body(b"x", kind="application/dicom+json"), None, 415, "expected application/dicom, got another type"),
        (body(b"x"), 'multipart/related; type="application/dicom"', 400, "got a damaged one"),
        (body(b"x")[:-6], None, 400, "got a damaged one"),
        (b"--b0undary--\r\n", None, 422, "expected at least one file"),
        (b"", None, 400, "got a damaged one"),
    ],
    ids=["another type", "metadata as JSON", "no boundary", "cut off", "no part", "empty"],
)
def test_a_request_that_is_no_list_of_objects_is_refused(running, content, kind, status, words):
    response = post(running, content, kind=kind)

    assert (response.status_code, words in response.json()["error"]) == (status, True), response.text
    assert incoming(running) == []


@pytest.mark.parametrize("study", ["..%2f..%2fapi", "1.2.x", "1" * 65, "%2e%2e", "1..2"])
def test_an_address_that_is_no_study_is_refused(running, study):
    response = post(running, body(data_of(photograph(seed=7))), path=f"{PATH}/{study}")

    assert response.status_code in (404, 405, 422)


def test_nobody_stores_without_the_role(running):
    content = body(data_of(photograph(seed=8)))
    before = count(running)

    without = running.client.post(
        PATH, content=content, headers={"Content-Type": "multipart/related; boundary=b0undary"}
    )

    assert without.status_code == 401
    assert count(running) == before


def test_an_object_that_is_too_large_fails_and_the_next_is_stored(start, tmp_path):
    small, large = photograph(seed=9), photograph(seed=10, side_px=256)
    with start(tmp_path / "service", upload_bytes=100_000) as running:
        response = post(running, body(data_of(large), data_of(small)))

        assert response.status_code == 202
        assert uids(response, STORED) == [small.SOPInstanceUID]
        assert reasons(response, OTHER) == [0xC000]
        assert "expected at most 100000 bytes" in response.headers["Warning"]


def test_a_full_queue_is_said_by_429_and_nothing_is_kept(start, tmp_path):
    data = data_of(photograph(seed=11))
    with start(tmp_path / "service", queue_length=1, photographs_per_request=1) as running:
        queue = running.service.work.queue
        assert queue.reserve(1, "another")  # as if another photograph waited
        full = post(running, body(data))
        queue.release(1, "another")

        assert full.status_code == 429
        assert int(full.headers["Retry-After"]) >= 1
        assert (count(running), incoming(running)) == (0, [])
        assert post(running, body(data)).status_code == 200


def test_photographs_for_which_the_queue_has_no_place_left_fail_by_a700(start, tmp_path, monkeypatch):
    pictures = [photograph(seed=12), photograph(seed=13)]
    with start(tmp_path / "service") as running:
        queue = running.service.work.queue
        put = queue.put

        def put_and_be_full(sha256: str, sender: str) -> None:
            put(sha256, sender)
            queue.length = 0

        monkeypatch.setattr(queue, "put", put_and_be_full)
        response = post(running, body(*map(data_of, pictures)))

        assert response.status_code == 202
        assert uids(response, STORED) == [pictures[0].SOPInstanceUID]
        assert reasons(response, OTHER) == [0xA700]
        assert "expected a free place" in response.headers["Warning"]
        assert count(running) == 1
