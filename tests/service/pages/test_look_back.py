"""The page of look-backs, without a browser and in one."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from fundoscope.runtime.grader import Grader
from fundoscope.service.store.database import now
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.models import Answer, Case, LogEntry, Photograph
from fundoscope.service.store.releases import begin_look_back
from fundoscope.service.store.shadow import start_shadow
from fundoscope.service.work.look_back import activate_release, look_back

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(scope="module")
def other(write_tiny_release, tmp_path_factory) -> Grader:
    """Another release, which answers as the first does."""
    return Grader.open(write_tiny_release(tmp_path_factory.mktemp("other") / "other", id="other"), threads=2)


def answer_otherwise(database, release: Grader, patient: str) -> None:
    """Write that a release sends a patient home, before it looks back."""
    with database.writing() as session:
        begin_look_back(session, release.opened, actor="test")
        photograph = session.query(Photograph).filter_by(patient=patient).one()
        row = session.query(Answer).filter_by(photograph_id=photograph.id).first().row
        row = row | {"decision": "rescreen", "grade": 0, "release": release.opened.name}
        answer = {"status": "graded", "decision": "rescreen", "row": row, "seconds": 0.1, "created": now()}
        session.add(Answer(photograph_id=photograph.id, release=release.opened.name, **answer))


@pytest.fixture
def looked_back(start, tmp_path, retinas, other):
    """A running service with two patients, one of whom another release sends home; the page of an administrator."""
    with start(tmp_path / "s") as running:
        for patient, path in zip("AB", retinas, strict=False):
            running.send((path.name, path.read_bytes()), patient=patient, eye="left", taken="2026-01-31")
        running.wait()
        answer_otherwise(running.service.database, other, "A")
        look_back(running.service.database, running.service.files, other, actor="ann")
        yield running


def page_of(running, address: str = "/look-back", role: str = "administer"):
    return running.client.get(address, headers=running.headers[role])


def test_the_page_lists_the_changes_and_says_which_release_is_active(looked_back, other):
    page = page_of(looked_back).text

    assert f"Active release: {looked_back.service.grader.opened.name}." in page
    assert f"{other.opened.name} answers 1 of 2 cases (2 photographs) otherwise than they are answered." in page
    assert "It is not active" in page
    assert "refer becomes rescreen" in page
    assert "0 of 1 dealt with" in page
    assert [page_of(looked_back, role=role).status_code for role in ("submit", "read")] == [403, 403]


def test_after_the_activation_the_page_asks_to_read_the_cases_again(looked_back, other):
    activate_release(looked_back.service.database, other.opened, actor="ann")

    page = page_of(looked_back).text

    assert "Cases keep the answers that they had: read those below again" in page
    with looked_back.service.database.reading() as session:
        case = session.query(Case).filter_by(patient="A").one()
    assert f'href="/cases/{case.uid}"' in page


def test_a_case_is_noted_as_dealt_with_once_with_who_and_when(looked_back):
    def mark():
        headers = looked_back.headers["administer"]
        return looked_back.client.post("/look-back/1/done", headers=headers, follow_redirects=False)

    assert [mark().status_code, mark().status_code] == [303, 303]

    page = page_of(looked_back).text
    assert "1 of 1 dealt with" in page
    assert "UTC, administer-user" in page
    with looked_back.service.database.reading() as session:
        assert session.query(LogEntry).filter_by(action="changed case dealt with").count() == 1
    far = looked_back.client.post(f"/look-back/{2**70}/done", headers=looked_back.headers["administer"])
    assert far.status_code == 422
    missing = looked_back.client.post("/look-back/99/done", headers=looked_back.headers["administer"])
    assert missing.status_code == 404
    assert "change 99: expected one that is there" in missing.json()["error"]


def test_the_table_has_all_changes(looked_back):
    response = page_of(looked_back, "/look-back/changes.csv")

    (row,) = csv.DictReader(io.StringIO(response.text))
    assert (row["patient"], row["change"], row["before"], row["after"]) == (
        "A",
        "refer becomes rescreen",
        "refer",
        "rescreen",
    )
    assert row["eyes_after"] == "left: rescreen, grade 0"


def test_cases_of_an_earlier_look_back_stay_on_a_page_of_their_own(looked_back, other, write_tiny_release, tmp_path):
    activate_release(looked_back.service.database, other.opened, actor="ann")
    third = Grader.open(write_tiny_release(tmp_path / "third", id="third"), threads=2)
    look_back(looked_back.service.database, looked_back.service.files, third, actor="ann")

    latest, earlier = page_of(looked_back).text, page_of(looked_back, "/look-back?number=1").text

    assert f"{third.opened.name} answers 0 of 2 cases" in latest
    assert "not activated" in earlier
    assert "1 case not dealt with" in latest
    assert 'href="/look-back?number=1"' in latest
    assert "refer becomes rescreen" in earlier
    assert page_of(looked_back, "/look-back?number=9").status_code == 404
    assert "refer becomes rescreen" in page_of(looked_back, "/look-back/changes.csv?number=1").text


def test_in_shadow_mode_the_page_shows_no_answer_and_there_is_no_table(looked_back):
    with looked_back.service.database.writing() as session:
        start_shadow(session, looked_back.service.grader.opened.name, wanted=True, planned=None, default=75)

    page, table = page_of(looked_back).text, page_of(looked_back, "/look-back/changes.csv")

    assert "This service runs in shadow mode: a look-back compares answers, and none is shown." in page
    assert "rescreen" not in page
    assert table.status_code == 409


def test_a_service_without_a_look_back_says_how_to_make_one(start, tmp_path):
    with start(tmp_path / "s") as running:
        assert "fundoscope service look-back --release NEW" in page_of(running).text
        assert page_of(running, "/look-back/changes.csv").status_code == 404


@pytest.fixture(scope="module")
def compared(room, other):
    """The room with a case that another release answers otherwise."""
    page = room.log_in("ada")
    page.fill("#patient", "P1")
    page.set_input_files("#files", [EXAMPLES / "idrid_test_021.jpg"])
    page.locator(".sent li[data-state=answered]").wait_for()
    page.context.close()
    answer_otherwise(room.database, other, "P1")
    look_back(room.database, PhotographFiles(EXAMPLES), other, actor="flo")
    return room


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_for_administrators_have_no_serious_fault_and_fit_the_screen(compared, width: int):
    page = compared.log_in("flo", viewport={"width": width, "height": 900})

    for place, heading in (("Look-back", "Look-back"), ("Shadow mode", "Shadow mode")):
        page.get_by_role("link", name=place, exact=True).click()
        page.get_by_role("heading", name=heading, exact=True).wait_for()
        assert compared.faults_of(page) == []
    page.goto("/look-back")
    if width == 1280:
        page.get_by_role("button", name="Dealt with").click()
        page.get_by_text("1 of 1 dealt with").wait_for()
    page.context.close()
