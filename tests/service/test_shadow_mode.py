"""Shadow mode: whatever the release answers, no route says anything that depends on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fundoscope.errors import BadRequest
from fundoscope.service.access.identity import rules_of
from fundoscope.service.app import ROUTERS
from fundoscope.service.store.deliveries import add_delivery, answered_cases, due_deliveries
from fundoscope.service.store.models import Answer, Case, EyeReading, LogEntry, Photograph
from fundoscope.service.store.shadow import is_shadow, was_never_shown
from fundoscope.service.work.answers import refresh_case

RULES = rules_of(ROUTERS)
READS = sorted(path for (method, path) in RULES if method == "GET")
ROLES = ("submit", "read", "administer")

CHANGING = re.compile(r'"(?:moment|created|changed)": ?"[^"]*"|_seconds_total [0-9.e+-]+')
"""What differs between two requests whatever was answered."""


@pytest.fixture(scope="module")
def shadow(start, tmp_path_factory, retinas):
    """A service in shadow mode with cases of three patients, one of which was read, and one file without a picture."""
    with start(tmp_path_factory.mktemp("shadow") / "s", shadow=True) as running:
        for number, path in enumerate(retinas[:5]):
            eye = ("left", "right")[number % 2]
            running.send((path.name, path.read_bytes()), patient=f"P{number // 2}", eye=eye, taken="2026-01-31")
        running.send(("cut.jpg", retinas[5].read_bytes()[:4000]), patient="P9", eye="left", taken="2026-01-31")
        running.wait()
        read_case(running, "P0", left=2, right=0)
        yield running


def case_of(running, patient: str) -> Case:
    with running.service.database.reading() as session:
        return session.query(Case).filter_by(patient=patient).one()


def read_case(running, patient: str, *, shown: bool = False, **grades: int | None):
    """Send a reading of a case; return the response."""
    body = {"case": case_of(running, patient).uid, "role": "first", "shown": shown}
    body["grades"] = [{"eye": eye, "grade": grade} for eye, grade in grades.items()]
    return running.client.post("/api/readings", json=body, headers=running.headers["read"])


def addresses(running) -> list[str]:
    """Return every address of a route that is read, for each case and photograph."""
    with running.service.database.reading() as session:
        uids = [case.uid for case in session.query(Case).order_by(Case.id)]
        hashes = [photograph.sha256 for photograph in session.query(Photograph).order_by(Photograph.id)]
    places = []
    for path in READS:
        names = uids if "{case}" in path else hashes if "{sha256}" in path else [""]
        places += [path.replace("{case}", name).replace("{sha256}", name) for name in names]
    return [re.sub(r"\{\w+\}", "1", path) for path in places]


def responses(running) -> dict[tuple[str, str], tuple[int, str]]:
    """Return status and text of what each role is answered at each address."""
    running.client.cookies.clear()
    texts = {}
    for role in ROLES:
        for address in addresses(running):
            response = running.client.get(address, headers=running.headers[role], follow_redirects=False)
            texts[role, address] = response.status_code, CHANGING.sub("", response.content.decode("latin-1"))
    files = [("photographs", (path.name, path.read_bytes())) for path in sent_again(running)]
    again = running.client.post("/api/photographs", files=files, headers=running.headers["submit"])
    texts["submit", "POST /api/photographs"] = again.status_code, again.text
    return texts


def sent_again(running) -> list[Path]:
    """Return the stored files of all photographs, to be sent once more."""
    with running.service.database.reading() as session:
        return [running.service.files.path(photograph.sha256) for photograph in session.query(Photograph)]


def reverse_answers(running) -> None:
    """Give every photograph that was read the other answer, as if another release had been asked."""
    other = {"refer": ("rescreen", 0, 0.01), "rescreen": ("refer", 4, 0.99)}
    with running.service.database.writing() as session:
        for answer in session.query(Answer).filter(Answer.status != "unreadable"):
            decision, grade, score = other.get(answer.decision, ("refer", 4, 0.99))
            probabilities = {f"p{number}": float(number == grade) for number in range(5)}
            row = answer.row | probabilities | {"decision": decision, "grade": grade, "p_referable": score}
            row |= {"status": "graded", "reason": f"other {decision}", "quality": "good", "grades_set": str(grade)}
            answer.row, answer.decision, answer.status = row | {"advice": [], "faults": []}, decision, "graded"
        session.flush()
        for case in session.query(Case):
            changed = case.changed
            refresh_case(session, case, running.service.grader)
            case.changed = changed


def test_no_route_says_anything_that_depends_on_an_answer(shadow):
    before = responses(shadow)
    decisions = [case_of(shadow, f"P{number}").decision for number in range(3)]
    reverse_answers(shadow)
    shadow.service.work.figures.answered.update({"graded": 3, "ungradable": -3})
    after = responses(shadow)

    assert [case_of(shadow, f"P{number}").decision for number in range(3)] != decisions, "the answers are others now"
    assert {place for place in before if before[place] != after[place]} == set()


def test_the_same_routes_do_depend_on_it_where_answers_are_shown(start, tmp_path, retinas):
    with start(tmp_path / "s") as running:
        running.send((retinas[0].name, retinas[0].read_bytes()), patient="P0", eye="left")
        running.wait()
        before = responses(running)
        reverse_answers(running)
        after = responses(running)

    differing = {
        re.sub("[0-9a-f]{32,64}", "X", address)
        for role, address in before
        if before[role, address] != after[role, address]
    }
    expected = {"/", "/cases/X", "/api/cases", "/api/cases/X", "/api/photographs/X", "/api/cases/X/fhir.json"}
    assert expected | {"/api/cases/X/report.html"} <= differing


@pytest.mark.parametrize("role", ["read", "administer"])
def test_what_consists_of_an_answer_alone_is_refused_in_a_sentence(shadow, role):
    case = case_of(shadow, "P0")
    with shadow.service.database.reading() as session:
        sha256 = session.query(Photograph).first().sha256

    for address in [
        f"/api/cases/{case.uid}/{name}" for name in ("report.html", "report.pdf", "fhir.json", "dicom.zip")
    ] + [
        f"/api/photographs/{sha256}/overlay.png",
        f"/pictures/{sha256}/heatmap.png",
    ]:
        response = shadow.client.get(address, headers=shadow.headers[role])
        assert response.status_code == 409, address
        assert "expected a service that shows its answers, got one in shadow mode" in response.json()["error"]


def test_a_camera_learns_that_its_photograph_was_kept_and_nothing_of_the_answer(shadow):
    with shadow.service.database.reading() as session:
        sha256 = session.query(Photograph).filter_by(patient="P0").first().sha256

    answer = shadow.client.get(f"/api/photographs/{sha256}", headers=shadow.headers["submit"]).json()

    assert (answer["state"], answer["answer_hidden"]) == ("answered", True)
    assert [answer[name] for name in ("status", "decision", "reason", "columns", "release")] == [None] * 5
    assert (answer["faults"], answer["advice"], answer["heatmap_shown"]) == ([], [], False)


def test_a_file_that_cannot_be_read_is_still_told(shadow):
    with shadow.service.database.reading() as session:
        sha256 = session.query(Photograph).filter_by(patient="P9").one().sha256

    answer = shadow.client.get(f"/api/photographs/{sha256}", headers=shadow.headers["submit"]).json()

    assert answer["status"] == "unreadable"
    assert answer["reason"].startswith("cut.jpg: expected ")
    assert (answer["decision"], answer["columns"]) == (None, None)


def test_readers_grade_without_the_answer_and_their_readings_say_so(shadow):
    refused = read_case(shadow, "P1", shown=True, left=1, right=1)
    with shadow.service.database.reading() as session:
        (left, right) = session.query(EyeReading).filter_by(case_id=case_of(shadow, "P0").id)

    assert refused.status_code in (400, 422)
    assert "shown: expected false, because this service runs in shadow mode" in refused.json()["error"]
    assert [(reading.shown, reading.agrees) for reading in (left, right)] == [(False, None)] * 2


def test_the_reading_room_has_a_form_without_the_answer(shadow):
    case = case_of(shadow, "P2")
    page = shadow.client.get(f"/cases/{case.uid}", headers=shadow.headers["read"]).text
    worklist = shadow.client.get("/", headers=shadow.headers["read"]).text

    assert 'name="grade_left"' in page
    assert "overrule" not in page
    assert "This service runs in shadow mode" in page
    assert "answer not shown" in worklist
    assert "the oldest first" in worklist


def test_nothing_is_sent_to_an_archive_neither_during_shadow_mode_nor_of_it_afterwards(start, tmp_path, retinas):
    folder = tmp_path / "s"
    with start(folder, shadow=True) as first:
        first.send((retinas[0].name, retinas[0].read_bytes()), patient="P0", eye="left")
        first.wait()
        name = first.service.grader.opened.name
        with first.service.database.writing() as session:
            assert answered_cases(session, "A", name, limit=9) == []
    shown = restarted(first, folder, shadow=False)
    with shown.database.writing() as session:
        case = session.query(Case).one()
        assert answered_cases(session, "A", name, limit=9) == []
        add_delivery(session, case, "A", name, settle=-1.0)
        assert due_deliveries(session, "A", limit=9) == []
        refresh_case(session, case, shown.grader)
        assert [one.id for one in answered_cases(session, "A", name, limit=9)] == [case.id], "answered anew"


def restarted(running, folder, **settings):
    """Return the service of a folder, opened again."""
    from fundoscope.service.app import open_service
    from fundoscope.service.settings import ServiceSettings

    return open_service(ServiceSettings(folder=folder, **settings), running.service.grader)


def test_a_start_that_says_nothing_leaves_shadow_mode_as_it_was_and_switching_it_off_is_logged(
    start, tmp_path, retinas
):
    folder = tmp_path / "s"
    with start(folder, shadow=True) as first:
        first.send((retinas[0].name, retinas[0].read_bytes()), patient="P0", eye="left")
        first.wait()

    silent, over, again = (restarted(first, folder, **options) for options in ({}, {"shadow": False}, {}))

    assert silent.shadow.is_on
    assert (over.shadow.is_on, over.shadow.shown_from_now) == (False, 1)
    assert (again.shadow.is_on, again.shadow.shown_from_now) == (False, 0)
    with again.database.reading() as session:
        assert not is_shadow(session)
        entries = session.query(LogEntry).filter(LogEntry.action.like("shadow mode%")).order_by(LogEntry.id)
        assert [(entry.action, entry.detail) for entry in entries] == [
            ("shadow mode on", {"planned": 75}),
            ("shadow mode off", {"cases": 1}),
        ]


def test_a_plan_may_be_raised_and_not_lowered_and_must_be_able_to_guarantee_something(start, tmp_path):
    folder = tmp_path / "s"
    with start(folder, shadow=True, shadow_patients=40) as first:
        pass

    with pytest.raises(BadRequest, match="--shadow-patients: expected at least 40, as was planned on"):
        restarted(first, folder, shadow_patients=39)
    with pytest.raises(BadRequest, match="--shadow-patients: expected at least 23 referable patients"):
        restarted(first, folder, shadow_patients=22)
    assert restarted(first, folder, shadow_patients=41).shadow.is_on


def test_a_reading_of_an_answer_that_could_be_seen_before_shadow_mode_is_not_taken_for_a_blind_one(
    start, tmp_path, retinas
):
    folder = tmp_path / "s"
    with start(folder) as first:
        first.send((retinas[0].name, retinas[0].read_bytes()), patient="P0", eye="left")
        first.wait()
    with start_again(start, first, folder) as second:
        response = read_case(second, "P0", left=1)
        with second.service.database.reading() as session:
            reading = session.query(EyeReading).one()

    assert response.status_code == 201, response.text
    assert (reading.shown, reading.agrees) == (True, None)


def test_a_break_in_shadow_mode_or_a_case_that_was_there_before_it_may_have_shown_an_answer(start, tmp_path, retinas):
    folder = tmp_path / "s"
    with start(folder, shadow=True) as first:
        first.send((retinas[0].name, retinas[0].read_bytes()), patient="P0", eye="left", taken="2026-01-31")
        first.wait()
        with first.service.database.reading() as session:
            assert was_never_shown(session, case_of(first, "P0"))
    same = restarted(first, folder, shadow_patients=80)  # another plan begins another period at once
    with same.database.reading() as session:
        assert was_never_shown(session, case_of(first, "P0"))
    restarted(first, folder, shadow=False)
    with start_again(start, first, folder) as again:
        with again.service.database.reading() as session:
            assert not was_never_shown(session, case_of(again, "P0")), "it could be seen in between"
        files = [("photographs", (retinas[1].name, retinas[1].read_bytes()))]
        for patient, eye in (("P0", "right"), ("P1", "left")):
            fields = {"patient": patient, "eye": eye, "taken": "2026-01-31"}
            again.client.post("/api/photographs", files=files, data=fields, headers=again.headers["submit"])
            files = [("photographs", (retinas[2].name, retinas[2].read_bytes()))]
        again.wait()
        read_case(again, "P0", left=1, right=1)
        read_case(again, "P1", left=1)
        with again.service.database.reading() as session:
            shown = [reading.shown for reading in session.query(EyeReading).order_by(EyeReading.id)]

    assert shown == [True, True, False]


def test_a_plan_is_for_a_shadow_mode(start, tmp_path):
    with start(tmp_path / "s") as first:
        pass

    for options in ({}, {"shadow": False}):
        with pytest.raises(BadRequest, match="--shadow-patients: expected --shadow beside it, got none"):
            restarted(first, tmp_path / "s", shadow_patients=40, **options)


def start_again(start, running, folder) -> Iterator:
    """Start a service in shadow mode on a folder on which one ran without it, with the same users."""
    from contextlib import contextmanager

    from starlette.testclient import TestClient

    from fundoscope.service.app import create_app
    from fundoscope.service.settings import ServiceSettings

    @contextmanager
    def run():
        app = create_app(ServiceSettings(folder=folder, shadow=True), running.service.grader)
        with TestClient(app, base_url="http://localhost") as client:
            yield type(running)(client, app.state.service, running.headers)

    return run()
