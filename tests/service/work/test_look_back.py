"""Look-back: what another release would change is found out without changing anything, whenever it was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from fundoscope.errors import BadRequest
from fundoscope.runtime.grader import Grader
from fundoscope.service.app import create_app, open_service
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.database import now
from fundoscope.service.store.models import Answer, Case, LogEntry, Photograph
from fundoscope.service.store.release_models import ChangedCase, LookBack
from fundoscope.service.store.releases import active_release, begin_look_back, changes_of
from fundoscope.service.work import look_back as module
from fundoscope.service.work.answers import refresh_case
from fundoscope.service.work.change_table import change_rows, summary_of
from fundoscope.service.work.look_back import activate_release, look_back
from fundoscope.service.work.releases import keep_release, kept_release


@pytest.fixture(scope="module")
def other(write_tiny_release, tmp_path_factory) -> Grader:
    """Another release, which answers as the first does."""
    return Grader.open(write_tiny_release(tmp_path_factory.mktemp("other") / "other", id="other"), threads=2)


@pytest.fixture
def archive(start, tmp_path, retinas):
    """A stopped service with one case of both eyes and two of one eye, all of them referred."""
    with start(tmp_path / "s") as running:
        for patient, eye, path in zip("ABCC", ("left", "left", "left", "right"), retinas, strict=False):
            running.send((path.name, path.read_bytes()), patient=patient, eye=eye, taken="2026-01-31")
        running.wait()
    return running


def set_answer(session, photograph: Photograph, release: str, decision: str, grade: int | None) -> None:
    """Write what a release answers to a photograph, whatever it answered or would have."""
    row = session.query(Answer).filter_by(photograph_id=photograph.id).first().row
    status = "graded" if grade is not None else "ungradable"
    row = row | {"decision": decision, "grade": grade, "status": status, "release": release}
    session.query(Answer).filter_by(photograph_id=photograph.id, release=release).delete()
    answer = {"status": status, "decision": decision, "row": row, "seconds": 0.1, "created": now()}
    session.add(Answer(photograph_id=photograph.id, release=release, **answer))
    session.flush()


def photograph_of(session, patient: str, eye: str = "left") -> Photograph:
    return session.query(Photograph).filter_by(patient=patient, eye=eye).one()


def state_of(service) -> list[tuple]:
    """Return what the service shows of all cases."""
    with service.database.reading() as session:
        return [
            (case.uid, case.answer, case.decision, case.release, case.urgency, case.state, case.changed)
            for case in session.query(Case).order_by(Case.id)
        ]


def test_the_changes_are_listed_the_most_harmful_first_and_nothing_that_is_shown_changes(archive, other):
    service, name = archive.service, other.opened.name
    with service.database.writing() as session:
        begin_look_back(session, other.opened, actor="test")
        set_answer(session, photograph_of(session, "A"), name, "rescreen", 0)
        set_answer(session, photograph_of(session, "C", "right"), name, "refer", 2)
        set_answer(session, photograph_of(session, "B"), archive.service.grader.opened.name, "rescreen", 1)
        refresh_case(session, session.query(Case).filter_by(patient="B").one(), service.grader)
    before = state_of(service)

    finished = look_back(service.database, service.files, other, actor="ann")

    assert state_of(service) == before
    with service.database.reading() as session:
        changes = changes_of(session, finished)
        rows, summary = change_rows(changes), summary_of(finished, changes)
        log = [entry.action for entry in session.query(LogEntry).order_by(LogEntry.id)][-2:]
        assert session.query(LookBack).count() == 1
    assert [(row["patient"], row["change"]) for row in rows] == [
        ("A", "refer becomes rescreen"),
        ("B", "rescreen becomes refer"),
        ("C", "another grade or next step"),
    ]
    assert rows[2]["eyes_before"] == "left: refer, grade 4; right: refer, grade 4"
    assert rows[2]["eyes_after"] == "left: refer, grade 4; right: refer, grade 2"
    assert (summary["cases"], summary["photographs"], summary["changed"]) == (3, 4, 3)
    assert [kind["cases"] for kind in summary["changes"]] == [1, 1, 1]
    assert log == ["look-back begun", "look-back finished"]


def test_a_release_that_answers_alike_changes_nothing(archive, other):
    finished = look_back(archive.service.database, archive.service.files, other, actor="ann")

    with archive.service.database.reading() as session:
        assert changes_of(session, finished) == []
        assert session.query(Answer).filter_by(release=other.opened.name).count() == 4
    assert (finished.cases, finished.photographs) == (3, 4)


def test_an_interrupted_look_back_continues_with_what_is_left(archive, other):
    service, graded = archive.service, []

    def interrupt(done: int, total: int) -> None:
        graded.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_back(service.database, service.files, other, actor="ann", progress=interrupt)
    with service.database.reading() as session:
        assert session.query(LookBack).one().finished is None

    again = []
    finished = look_back(
        service.database, service.files, other, actor="ann", progress=lambda *counts: again.append(counts)
    )

    assert graded == [(1, 4), (2, 4)]
    assert again == [(1, 2), (2, 2)]
    assert finished.finished is not None
    with service.database.reading() as session:
        assert session.query(LookBack).count() == 1


def test_the_running_service_accepts_and_answers_meanwhile_and_new_photographs_are_looked_back_at_too(
    start, tmp_path, retinas, other
):
    with start(tmp_path / "s") as running:
        running.send((retinas[0].name, retinas[0].read_bytes()), patient="A", eye="left")
        running.wait()

        def send_another(done: int, total: int) -> None:
            if done == total and len(sent) < 1:
                sent.append(running.send((retinas[1].name, retinas[1].read_bytes()), patient="B", eye="left"))
                running.wait()

        sent = []
        finished = look_back(running.service.database, running.service.files, other, actor="ann", progress=send_another)

        with running.service.database.reading() as session:
            cases = session.query(Case).order_by(Case.id).all()
            assert {case.release for case in cases} == {running.service.grader.opened.name}
    assert (finished.cases, sent[0].status_code) == (2, 202)


def test_a_case_whose_bytes_are_not_there_is_not_compared_and_is_tried_again(archive, other):
    service = archive.service
    with service.database.reading() as session:
        path = service.files.path(photograph_of(session, "A").sha256)
    path.rename(path.with_name("elsewhere"))

    finished = look_back(service.database, service.files, other, actor="ann")
    with service.database.reading() as session:
        assert summary_of(finished, changes_of(session, finished))["not_compared"] == 1
        assert session.query(Answer).filter_by(release=other.opened.name).count() == 3
    path.with_name("elsewhere").rename(path)
    again = look_back(service.database, service.files, other, actor="ann")

    assert (finished.cases, finished.lost, again.cases, again.lost) == (2, 1, 3, 0)
    with service.database.reading() as session:
        assert changes_of(session, again) == []


def test_bytes_that_are_lost_for_good_do_not_keep_a_release_from_being_activated(archive, other):
    service = archive.service
    with service.database.reading() as session:
        service.files.path(photograph_of(session, "A").sha256).unlink()
    look_back(service.database, service.files, other, actor="ann")

    activate_release(service.database, other.opened, actor="ann")

    with service.database.reading() as session:
        assert active_release(session) == other.opened.name


def test_a_file_without_a_picture_is_looked_back_at_as_what_it_is(start, tmp_path, retinas, other):
    with start(tmp_path / "s") as running:
        running.send(("cut.jpg", retinas[0].read_bytes()[:4000]), patient="A", eye="left")
        running.wait()
        finished = look_back(running.service.database, running.service.files, other, actor="ann")

        with running.service.database.reading() as session:
            assert changes_of(session, finished) == []
    assert (finished.cases, finished.not_compared) == (1, 0)


def test_changes_are_counted_by_the_camera_that_files_name(start, tmp_path, retinas, other):
    with start(tmp_path / "s") as running:
        for patient, camera, path in zip("ABC", ("Topcon", "Topcon", ""), retinas, strict=False):
            photograph = Image.open(path)
            exif = photograph.getexif()
            if camera:
                exif[0x010F] = camera
            photograph.save(tmp_path / "p.jpg", exif=exif, quality=92)
            running.send(("p.jpg", (tmp_path / "p.jpg").read_bytes()), patient=patient, eye="left")
        running.wait()
        with running.service.database.writing() as session:
            begin_look_back(session, other.opened, actor="test")
            set_answer(session, photograph_of(session, "A"), other.opened.name, "rescreen", 0)
        finished = look_back(running.service.database, running.service.files, other, actor="ann")
        with running.service.database.reading() as session:
            summary = summary_of(finished, changes_of(session, finished))

    assert summary["cameras"] == {
        "Topcon": {"cases": 2, "changed": 1},
        "not stated": {"cases": 1, "changed": 0},
    }


def test_a_release_is_activated_after_a_look_back_and_cases_keep_their_answers(archive, other):
    service = archive.service
    before = state_of(service)
    with pytest.raises(BadRequest, match="expected a finished look-back of all photographs, got none"):
        activate_release(service.database, other.opened, actor="ann")
    finished = look_back(service.database, service.files, other, actor="ann")

    activate_release(service.database, other.opened, actor="ann")

    with service.database.reading() as session:
        assert active_release(session) == other.opened.name
        entry = session.query(LogEntry).filter_by(action="release activated", actor="ann").one()
        assert entry.detail["look_back"] == finished.id
    assert state_of(service) == before
    with pytest.raises(BadRequest, match="expected another release than the active one"):
        activate_release(service.database, other.opened, actor="ann")


def test_photographs_that_came_after_a_look_back_have_to_be_looked_at_too(archive, other, start, retinas):
    look_back(archive.service.database, archive.service.files, other, actor="ann")
    app = create_app(ServiceSettings(folder=archive.service.settings.folder), archive.service.grader)
    with TestClient(app, base_url="http://localhost", headers=archive.headers["submit"]) as client:
        client.post("/api/photographs", files=[("photographs", ("x.jpg", retinas[5].read_bytes()))])
        assert app.state.service.work.queue.join(60.0)

    with pytest.raises(BadRequest, match="got one after which 1 photographs came"):
        activate_release(archive.service.database, other.opened, actor="ann")
    look_back(archive.service.database, archive.service.files, other, actor="ann")
    activate_release(archive.service.database, other.opened, actor="ann")


def test_a_reason_takes_the_place_of_a_look_back_and_is_logged(archive, other):
    activate_release(archive.service.database, other.opened, actor="ann", without_look_back="answers are wrong")

    with archive.service.database.reading() as session:
        entry = session.query(LogEntry).filter_by(action="release activated", actor="ann").one()
    assert (entry.detail["reason"], entry.detail["look_back"]) == ("answers are wrong", None)


def test_after_an_activation_old_answers_are_shown_and_no_report_is_made_of_them(archive, other):
    service, headers = archive.service, archive.headers["read"]
    first = service.grader.opened.name
    with service.database.writing() as session:
        set_answer(session, photograph_of(session, "A"), other.opened.name, "rescreen", 0)
    look_back(service.database, service.files, other, actor="ann")
    activate_release(service.database, other.opened, actor="ann")

    app = create_app(ServiceSettings(folder=service.settings.folder), other)
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        uid = client.get("/api/cases?query=A").json()["cases"][0]["id"]
        case = client.get(f"/api/cases/{uid}").json()
        report = client.get(f"/api/cases/{uid}/fhir.json")
        page = client.get(f"/cases/{uid}").text
        heatmap = client.get(f"/api/photographs/{case['photographs'][0]['sha256']}/overlay.png")
        same = client.get(f"/cases/{client.get('/api/cases?query=B').json()['cases'][0]['id']}").text

    assert (case["decision"], case["release"]) == ("refer", first)
    assert (case["photographs"][0]["decision"], case["photographs"][0]["release"]) == ("refer", first)
    assert report.status_code == 409
    assert f"got one of {first}, which is no longer active" in report.json()["error"]
    assert "Refer, grade 4" in page
    assert f"Answered by {first}, which is no longer the active release" in page
    assert "The active release would answer this case otherwise: read it again." in page
    assert "The active release would answer" not in same
    assert heatmap.status_code == 404


def test_a_new_photograph_of_an_old_case_has_the_whole_case_answered_by_the_active_release(archive, other, retinas):
    service = archive.service
    look_back(service.database, service.files, other, actor="ann")
    activate_release(service.database, other.opened, actor="ann")
    app = create_app(ServiceSettings(folder=service.settings.folder), other)
    with TestClient(app, base_url="http://localhost", headers=archive.headers["submit"]) as client:
        files = [("photographs", ("b.jpg", retinas[5].read_bytes()))]
        client.post("/api/photographs", files=files, data={"patient": "A", "eye": "right", "taken": "2026-01-31"})
        assert app.state.service.work.queue.join(60.0)

    with service.database.reading() as session:
        case = session.query(Case).filter_by(patient="A").one()
        assert (case.release, len(case.answer["eyes"])) == (other.opened.name, 2)


def test_what_was_dealt_with_stays_so_in_the_next_look_back_where_the_change_is_the_same(archive, other):
    service = archive.service
    with service.database.writing() as session:
        for patient in "AB":
            set_answer(session, photograph_of(session, patient), other.opened.name, "rescreen", 0)
    look_back(service.database, service.files, other, actor="ann")
    with service.database.writing() as session:
        for change in session.query(ChangedCase):
            change.done, change.done_by = "t", "bo"
        set_answer(session, photograph_of(session, "B"), other.opened.name, "cannot grade", None)

    finished = look_back(service.database, service.files, other, actor="ann")

    with service.database.reading() as session:
        done = {row["patient"]: row["dealt_with_by"] for row in change_rows(changes_of(session, finished))}
    assert done == {"A": "bo", "B": None}


def test_in_shadow_mode_nobody_looks_back(archive, other):
    open_service(ServiceSettings(folder=archive.service.settings.folder, shadow=True), archive.service.grader)

    with pytest.raises(
        BadRequest, match="look-back: expected a service that shows its answers, got one in shadow mode"
    ):
        look_back(archive.service.database, archive.service.files, other, actor="ann")


def test_grading_for_a_look_back_gives_way_to_the_service(archive, other, monkeypatch):
    priorities = []
    monkeypatch.setattr(module.os, "setpriority", lambda *values: priorities.append(values), raising=False)

    look_back(archive.service.database, archive.service.files, other, actor="ann")

    assert {values[:2] for values in priorities} == {(module.os.PRIO_PROCESS, 0)}
    assert min(values[2] for values in priorities) >= module.LOW_PRIORITY


def test_a_service_keeps_a_copy_of_the_release_that_it_answers_with(archive):
    opened = archive.service.grader.opened
    copy = kept_release(archive.service.settings.folder, opened.name)

    assert copy is not None
    assert Grader.open(copy, threads=1).opened.name == opened.name
    assert kept_release(archive.service.settings.folder, "none@0") is None


def test_a_half_written_copy_is_written_anew(tmp_path: Path, grader):
    partial = tmp_path / "releases" / f"{grader.opened.digest[:12]}.part"
    partial.mkdir(parents=True)
    (partial / "model.onnx").write_text("half")

    assert Grader.open(keep_release(tmp_path, grader.opened), threads=1).opened.digest == grader.opened.digest


def test_the_id_of_a_release_leads_no_copy_out_of_the_folder(tmp_path: Path, write_tiny_release):
    strange = Grader.open(write_tiny_release(tmp_path / "strange", id="../../outside"), threads=1)

    copy = keep_release(tmp_path / "s", strange.opened)

    assert copy.parent == tmp_path / "s" / "releases"
    assert kept_release(tmp_path / "s", strange.opened.name) == copy
