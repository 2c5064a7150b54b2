"""Workers: every accepted photograph is answered once, whatever happens on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fundoscope.errors import BadRelease
from fundoscope.runtime.grader import Grader
from fundoscope.service.app import create_app
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.audit_log import verify_log
from fundoscope.service.store.models import Answer, Case, LogEntry, Photograph, ReleaseSeen
from fundoscope.service.store.releases import activate
from fundoscope.service.work import grading
from fundoscope.service.work.answers import add_answer, answer_photograph


def send_retinas(running, retinas: list[Path], **fields: str) -> list[dict]:
    response = running.send(*((path.name, path.read_bytes()) for path in retinas), **fields)
    assert response.status_code == 202, response.text
    return response.json()["photographs"]


def answers(running) -> list[tuple[str, str]]:
    """Return the photographs that were answered, and by which release, once for each answer."""
    with running.service.database.reading() as session:
        rows = session.query(Photograph.sha256, Answer.release).join(Answer, Answer.photograph_id == Photograph.id)
        return sorted((sha256, release) for sha256, release in rows)


def test_what_waits_when_the_service_stops_is_answered_once_after_the_next_start(start, tmp_path, retinas, grader):
    folder = tmp_path / "s"
    with start(folder, workers=1) as first:
        hashes = [photograph["sha256"] for photograph in send_retinas(first, retinas)]
    app = create_app(ServiceSettings(folder=folder), grader)
    before = answers_in(app)
    with TestClient(app, base_url="http://localhost"):
        assert app.state.service.work.queue.join(60.0)
        after = answers_in(app)
    with TestClient(create_app(ServiceSettings(folder=folder), grader), base_url="http://localhost") as again:
        assert again.app.state.service.work.queue.join(60.0)
        last = answers_in(again.app)

    name = grader.opened.name
    assert len(before) < len(hashes), "something waited"
    assert after == last == sorted((sha256, name) for sha256 in hashes)


def answers_in(app) -> list[tuple[str, str]]:
    with app.state.service.database.reading() as session:
        rows = session.query(Photograph.sha256, Answer.release).join(Answer, Answer.photograph_id == Photograph.id)
        return sorted((sha256, release) for sha256, release in rows)


def test_a_stop_finishes_what_is_being_graded(start, tmp_path, retinas):
    with start(tmp_path / "s") as own:
        send_retinas(own, retinas)
        own.service.work.stop()

        assert not any(thread.is_alive() for thread in own.service.work._threads)
        with own.service.database.reading() as session:
            states = [photograph.state for photograph in session.query(Photograph)]
        assert len(states) == len(retinas)
        assert states.count("answered") == len(answers(own))
        assert own.send(("a.jpg", retinas[0].read_bytes() + b" ")).status_code == 429


def test_a_photograph_whose_answer_cannot_be_written_is_tried_again(start, tmp_path, retinas, monkeypatch, caplog):
    faults = [OSError("disk full for Smith^Ann"), OSError("disk full for Smith^Ann")]

    def unreliable(*arguments):
        if faults:
            raise faults.pop()
        return add_answer(*arguments)

    monkeypatch.setattr(grading, "add_answer", unreliable)
    monkeypatch.setattr(grading, "RETRY_SECONDS", 0.01)
    with start(tmp_path / "s") as own:
        (photograph,) = send_retinas(own, retinas[:1], patient="Smith^Ann")
        for _ in range(500):
            own.wait()
            if answers(own):
                break

        assert answers(own) == [(photograph["sha256"], own.service.grader.opened.name)]
    assert "OSError" in caplog.text
    assert "Smith" not in caplog.text


def test_a_photograph_whose_bytes_were_changed_on_the_disk_is_not_answered_as_the_one_that_came(
    start, tmp_path, retinas, grader
):
    with start(tmp_path / "s") as own:
        (outcome,) = send_retinas(own, retinas[:1])
        own.wait()
        with own.service.database.reading() as session:
            photograph = session.query(Photograph).one()
        own.service.files.path(outcome["sha256"]).write_bytes(retinas[1].read_bytes())

        row, status, state = answer_photograph(grader, photograph, str(own.service.files.path(outcome["sha256"])))

    assert row["p_referable"] is row["quality"] is None, "nothing of the other picture is left"
    assert (status, state, row["grade"], row["decision"]) == ("unreadable", "answered", None, "cannot grade")
    assert row["reason"] == (
        f"{retinas[0].name}: expected the photograph that was accepted, got another. Send it again."
    )


def test_a_photograph_that_is_gone_from_the_disk_is_answered_without_a_path_of_this_computer(
    start, tmp_path, retinas, grader
):
    with start(tmp_path / "s") as own:
        (outcome,) = send_retinas(own, retinas[:1])
        own.wait()
        with own.service.database.reading() as session:
            photograph = session.query(Photograph).one()
        path = own.service.files.path(outcome["sha256"])
        path.unlink()

        row, status, _ = answer_photograph(grader, photograph, str(path))

    assert status == "unreadable"
    assert row["reason"].startswith(f"{retinas[0].name}: expected a photograph, there is no such file.")
    assert str(tmp_path) not in str(row)


def test_another_release_answers_a_case_as_a_whole(start, tmp_path, retinas, write_tiny_release, grader):
    folder = tmp_path / "s"
    with start(folder) as first:
        send_retinas(first, retinas[:1], patient="P-1", eye="left")
        first.wait()
    other = Grader.open(write_tiny_release(tmp_path / "other", id="other"), threads=2)
    with first.service.database.writing() as session:
        activate(session, other.opened, actor="test", reason="a test")
    app = create_app(ServiceSettings(folder=folder), other)
    with TestClient(app, base_url="http://localhost", headers=first.headers["submit"]) as client:
        files = [("photographs", ("b.jpg", retinas[1].read_bytes()))]
        assert client.post("/api/photographs", files=files, data={"patient": "P-1", "eye": "right"}).status_code == 202
        assert app.state.service.work.queue.join(60.0)
        with app.state.service.database.reading() as session:
            case = session.query(Case).filter_by(patient="P-1").one()
            releases = [one.name for one in session.query(ReleaseSeen).order_by(ReleaseSeen.id)]
            by_release = [release for _, release in answers_in(app)]
            check = verify_log(session)

    assert case.release == other.opened.name
    assert len(case.answer["eyes"]) == 2
    assert releases == [grader.opened.name, other.opened.name]
    assert sorted(by_release) == sorted([grader.opened.name, other.opened.name, other.opened.name])
    assert check.passed


def test_a_release_of_both_eyes_is_refused(tmp_path, write_tiny_release, grader):
    both = Grader.__new__(Grader)
    both.__dict__.update(grader.__dict__)
    both.opened = replace(grader.opened, release=replace(grader.opened.release, eyes=2))

    with pytest.raises(BadRelease, match="expected a release that grades each eye by itself, got one of both eyes"):
        create_app(ServiceSettings(folder=tmp_path / "s"), both)


def test_every_answer_stands_in_the_log_once_and_names_no_patient(start, tmp_path, retinas):
    with start(tmp_path / "s") as own:
        photographs = send_retinas(own, retinas[:3], patient="Smith^Ann")
        own.wait()
        with own.service.database.reading() as session:
            entries = list(session.query(LogEntry))
            text = " ".join(f"{entry.actor} {entry.action} {entry.subject} {entry.detail}" for entry in entries)

    answered = sorted(entry.subject for entry in entries if entry.action == "photograph answered")
    assert answered == sorted(photograph["sha256"] for photograph in photographs)
    assert "Smith" not in text
    assert not any(path.name in text for path in retinas)
