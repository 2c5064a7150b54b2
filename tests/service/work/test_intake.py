"""Accepting photographs: whose they are, what is refused, and that nothing is lost or taken twice."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image

from fundoscope.service.store.models import Case, LogEntry, Photograph
from fundoscope.service.work.intake import shown_name


def content(number: int) -> bytes:
    """Return a small JPEG picture that no other number has."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (90, 40, 7)).save(buffer, "JPEG", comment=f"{number}")
    return buffer.getvalue()


def dated(number: int, time: str) -> bytes:
    """Return a JPEG picture whose EXIF says when it was taken."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0132] = time
    Image.new("RGB", (32, 32), (number, 9, 9)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def cases_of(running, *hashes: str) -> list[str]:
    with running.service.database.reading() as session:
        found = {photograph.sha256: photograph.case_id for photograph in session.query(Photograph)}
    return [found[sha256] for sha256 in hashes]


def sent(response) -> list[dict]:
    assert response.status_code in (200, 202, 207), response.text
    return response.json()["photographs"]


def test_a_photograph_that_comes_again_is_the_same_one(running):
    first = running.send(("a.jpg", content(1)))
    second = running.send(("b.jpg", content(1)))

    assert (first.status_code, second.status_code) == (202, 200)
    assert [one["status"] for one in (*sent(first), *sent(second))] == ["accepted", "known"]
    assert sent(first)[0]["case"] == sent(second)[0]["case"]


def test_a_photograph_twice_in_one_request_is_accepted_once_and_needs_one_place(start, tmp_path):
    with start(tmp_path / "s", queue_length=2, photographs_per_request=2) as own:
        assert own.service.work.queue.reserve(1, "another"), "one place is left"
        outcomes = sent(own.send(("a.jpg", content(2)), ("b.jpg", content(2))))
        assert [outcome["status"] for outcome in outcomes] == ["accepted", "known"]
        own.wait()
        with own.service.database.reading() as session:
            assert session.query(LogEntry).filter_by(action="photograph answered").count() == 1


def test_each_refusal_costs_the_other_photographs_nothing(running):
    response = running.send(("a.jpg", content(3)), ("b.txt", b"a letter"), ("c.gif", b"GIF89a..."), ("d.jpg", b""))

    assert response.status_code == 207
    outcomes = sent(response)
    assert [outcome["status"] for outcome in outcomes] == ["accepted", "refused", "refused", "refused"]
    assert [outcome["error"] for outcome in outcomes[1:]] == [
        "b.txt: expected a JPEG, PNG, TIFF, BMP, WebP or DICOM picture, got something else. Export the photograph "
        "again.",
        "c.gif: expected a JPEG, PNG, TIFF, BMP, WebP or DICOM picture, got GIF, which cannot be read here. Convert it "
        "to JPEG or PNG.",
        "d.jpg: expected a photograph, got an empty file (0 bytes). Copy it again from the camera.",
    ]


@pytest.mark.parametrize("field", [{"patient": "P-other"}, {"eye": "right"}, {"taken": "2020-01-01"}])
def test_a_photograph_is_never_given_to_another_patient_eye_or_day_silently(running, field: dict[str, str]):
    facts = {"patient": "P-1", "eye": "left", "taken": "2026-03-01"}
    running.send(("a.jpg", content(4)), **facts)

    response = running.send(("a.jpg", content(4)), **{**facts, **field})

    assert response.status_code == 409
    name = {"taken": "time taken"}.get(*field, *field)
    assert response.json()["photographs"][0]["error"] == (
        f"a.jpg: expected the {name} with which this photograph was accepted before, got others. Nothing was changed; "
        "ask whoever runs the service."
    )
    with running.service.database.reading() as session:
        kept = session.query(Photograph).filter_by(patient="P-1").one()
    assert (kept.eye, kept.taken) == ("left", "2026-03-01")


def test_fields_hold_for_all_photographs_or_for_each_in_order(running):
    outcomes = sent(running.send(("l.jpg", content(5)), ("r.jpg", content(6)), patient="P-5", eye=["left", "right"]))

    with running.service.database.reading() as session:
        eyes = {one.sha256: (one.patient, one.eye) for one in session.query(Photograph).filter_by(patient="P-5")}
    assert [eyes[outcome["sha256"]] for outcome in outcomes] == [("P-5", "left"), ("P-5", "right")]

    response = running.send(("l.jpg", content(7)), ("r.jpg", content(8)), ("c", content(9)), eye=["left", "right"])
    assert response.status_code == 422
    assert response.json()["error"] == "eye: expected one value for all 3 photographs or one for each, got 2."


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"eye": "both"}, "a.jpg: expected the eye left or right, got 'both'. Correct the field."),
        (
            {"taken": "yesterday"},
            "a.jpg: expected the time taken as 2026-01-31 or 2026-01-31T09:30:00, got 'yesterday'.",
        ),
        ({"taken": "1066-01-01"}, "a.jpg: expected the time taken as"),
        ({"patient": "x" * 65}, "a.jpg: expected a patient of at most 64 letters, got more. Shorten it."),
    ],
)
def test_fields_that_are_wrong_are_refused(running, fields: dict[str, str], words: str):
    response = running.send(("a.jpg", content(10)), **fields)

    assert response.status_code == 422
    assert response.json()["photographs"][0]["error"].startswith(words)


def test_photographs_of_one_day_are_one_case_and_of_another_day_another(running):
    day = {"patient": "P-7", "taken": "2026-03-01"}
    first = sent(running.send(("a.jpg", content(11)), eye="left", **day))[0]
    second = sent(running.send(("b.jpg", content(12)), eye="right", **day))[0]
    later = sent(running.send(("c.jpg", content(13)), patient="P-7", eye="left", taken="2027-03-01"))[0]

    assert first["case"] == second["case"] != later["case"]


def test_the_day_is_that_of_the_camera_where_the_sender_names_none(running):
    old = sent(running.send(("a.jpg", dated(1, "2019:05:06 10:00:00")), patient="P-8"))[0]
    new = sent(running.send(("b.jpg", dated(2, "2021:05:06 10:00:00")), patient="P-8"))[0]

    with running.service.database.reading() as session:
        days = [session.query(Case).filter_by(uid=one["case"]).one().day for one in (old, new)]
    assert days == ["2019-05-06", "2021-05-06"]


@pytest.mark.parametrize("name", ["", " ", "anonymous", "UNKNOWN", "0000", "test"])
def test_strangers_are_not_one_patient_because_nobody_named_them(running, name: str):
    files = [
        (f"{letter}.jpg", dated(3, f"2020:01:01 00:00:0{number}") + name.encode()) for number, letter in enumerate("ab")
    ]
    outcomes = sent(running.send(*files, patient=name))

    assert outcomes[0]["case"] != outcomes[1]["case"]


def test_nothing_is_accepted_where_there_is_no_place_for_all(start, tmp_path):
    with start(tmp_path / "s", queue_length=2, photographs_per_request=2) as own:
        assert own.service.work.queue.reserve(1, "another")
        response = own.send(("a.jpg", content(40)), ("b.jpg", content(41)))

        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"].startswith("queue: expected a free place, got none. Send it again in")
        with own.service.database.reading() as session:
            assert session.query(Photograph).count() == 0
        assert not [path for path in (tmp_path / "s" / "photographs").rglob("*") if path.is_file()]

        own.service.work.queue.release(1, "another")
        assert own.send(("a.jpg", content(40)), ("b.jpg", content(41))).status_code == 202
        own.wait()


def test_a_photograph_sent_by_many_at_once_is_accepted_once(start, tmp_path):
    with start(tmp_path / "s") as own:
        statuses: list[str] = []

        def send() -> None:
            statuses.append(sent(own.send(("a.jpg", content(50))))[0]["status"])

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        own.wait()

        assert sorted(statuses) == ["accepted", *["known"] * 7]
        senders = map(str, range(own.service.settings.queue_length))
        assert all(own.service.work.queue.reserve(1, sender) for sender in senders), "no reserved place was lost"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\left eye.jpg", "left eye.jpg"),
        ("a\r\nSet-Cookie: x.jpg", "aSet-Cookie: x.jpg"),
        ("", "photograph"),
        ("/", "photograph"),
        ("..", ".."),
        ("x" * 300 + ".jpg", "x" * 196 + ".jpg"),
    ],
)
def test_a_name_is_shown_without_its_folders_and_controls(name: str, shown: str):
    assert shown_name(name) == shown


def test_what_is_kept_lies_under_its_hash_and_nothing_else_remains(start, tmp_path):
    folder = tmp_path / "s"
    with start(folder) as own:
        outcomes = sent(own.send(("../../a.jpg", content(60)), ("b.txt", b"letter")))
        own.wait()
        sha256 = outcomes[0]["sha256"]

        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    # Beside it lie the database and a copy of the release that is served.
    assert [file for file in files if not file.startswith(("service.sqlite3", "releases/"))] == [
        f"photographs/{sha256[:2]}/{sha256[2:4]}/{sha256}"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]
