"""The reading room as its users see it: in a browser, against a running server."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

from fundoscope.grades import NOT_A_DEVICE
from fundoscope.service.store.audit_log import verify_log

CHROMIUM = shutil.which("chromium")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PASSWORD = "four words in a row"
WAIT_MS = 10_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's Chromium, which drives the pages")


def drop(page, *names: str, patient: str = "", eye: str = "") -> None:
    """Send example photographs from the worklist, and wait for their answers."""
    page.fill("#patient", patient)
    page.select_option("#eye", eye)
    before = page.locator(".sent li").count()
    page.set_input_files("#files", [EXAMPLES / name for name in names])
    for number in range(before, before + len(names)):
        page.locator(".sent li").nth(number).and_(page.locator("[data-state]")).wait_for()


@pytest.fixture(scope="module")
def filled(room):
    """The room with ten photographs: two patients with both eyes, and six photographs of nobody known."""
    page = room.log_in("ada")
    drop(page, "idrid_test_021.jpg", patient="P1", eye="left")
    drop(page, "idrid_test_022.jpg", patient="P1", eye="right")
    drop(page, "idrid_test_054.jpg", patient="P2", eye="right")
    drop(page, "idrid_test_055_out_of_focus.jpg", patient="P2", eye="left")
    others = ["003", "010", "011", "038", "039", "040"]
    drop(page, *(f"idrid_test_{number}.jpg" for number in others))
    assert page.locator("[data-status]").inner_text().startswith("10 of 10 photographs answered.")
    page.context.close()
    return room


def choose(page, **grades: str) -> None:
    for eye, grade in grades.items():
        page.locator(f"input[name=grade_{eye}][value='{grade}']").check()


def keep(page) -> None:
    page.get_by_role("button", name="Keep this reading").click()
    page.wait_for_load_state()


def open_case(page, patient: str) -> None:
    page.goto("/")
    page.get_by_role("link", name=patient, exact=True).click()
    page.get_by_role("heading", name=f"Patient {patient}").wait_for()


def test_the_most_urgent_case_is_first_and_what_cannot_be_graded_says_what_to_do(filled):
    page = filled.log_in("ada")

    lines = page.locator("[data-case]")
    assert lines.count() == 8
    assert "P1" in lines.first.inner_text()
    assert "sight-threatening" in lines.first.inner_text()
    open_case(page, "P2")
    text = page.locator("main").inner_text()
    assert "Photograph again: focus on the vessels" in text
    assert NOT_A_DEVICE in page.locator(".notice").inner_text()
    page.context.close()


def test_a_photograph_that_is_none_is_refused_by_name_and_the_others_are_graded(filled, tmp_path: Path):
    (tmp_path / "letter.jpg").write_text("Dear Ada")
    page = filled.log_in("ada")

    page.set_input_files("#files", [tmp_path / "letter.jpg", EXAMPLES / "idrid_test_085.jpg"])

    page.locator(".sent li[data-state=refused]").wait_for()
    page.locator(".sent li[data-state=answered]").wait_for()
    assert "letter.jpg" in page.locator(".sent li[data-state=refused]").inner_text()
    page.context.close()


def test_two_readers_who_differ_are_decided_between_by_a_third(filled):
    first, second, third = (filled.log_in(name) for name in ("ada", "bo", "cy"))
    open_case(first, "P1")
    choose(first, left="2", right="4")
    keep(first)
    assert "reason: expected one for the left eye" in first.locator("[role=alert]").inner_text()
    choose(first, left="2", right="4")
    first.fill("#reason", "No haemorrhages in four quadrants.")
    keep(first)
    assert "Overrules for one eye" in first.locator(".readings").inner_text()

    open_case(second, "P1")
    assert "Another reader's reading is shown when you have kept yours." in second.locator("main").inner_text()
    assert "four quadrants" not in second.locator("main").inner_text()
    second.goto("/readings")
    assert "P1" not in second.locator("main").inner_text()
    open_case(second, "P1")
    choose(second, left="3", right="4")
    keep(second)
    assert "The readers differ" in second.locator("main").inner_text()

    open_case(third, "P1")
    choose(third, left="3", right="4")
    third.fill("#reason", "Venous beading.")
    keep(third)
    assert "deciding between the readers" in third.locator(".readings").inner_text()
    third.goto("/readings")
    with third.expect_download() as download:
        third.get_by_role("link", name="Download the table (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    counted = {
        (row["eye"], row["grade"], row["role"]) for row in rows if row["patient"] == "P1" and row["counts"] == "1"
    }
    assert counted == {("left", "3", "adjudication"), ("right", "4", "adjudication")}
    for page in (first, second, third):
        page.context.close()


def test_photographs_are_zoomed_by_keys_and_seen_red_free(filled):
    page = filled.log_in("ada")
    open_case(page, "P1")
    viewer = page.locator(".viewer").first

    def transform() -> str:
        return viewer.locator(".stack").evaluate("element => element.style.transform")

    before = transform()
    viewer.focus()
    page.wait_for_load_state("load")  # then its scripts listen
    page.keyboard.press("+")
    assert "scale(1.25)" in transform()
    page.keyboard.press("0")
    assert transform() == before
    page.get_by_role("button", name="Red-free").first.click()
    assert "red-free" in (viewer.get_attribute("class") or "")
    page.locator("[data-heat]").first.fill("0")
    assert viewer.evaluate("element => getComputedStyle(element.querySelector('.heat')).opacity") == "0"
    page.context.close()


def test_a_case_prints_on_paper_without_what_is_only_for_the_screen(filled):
    page = filled.log_in("ada")
    open_case(page, "P1")
    page.emulate_media(media="print")

    assert not page.get_by_role("button", name="Log out").is_visible()
    assert page.locator(".notice").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.context.close()


def test_nothing_is_shown_after_logging_out_nor_to_who_only_submits(filled):
    page = filled.log_in("ada")
    open_case(page, "P1")
    case = page.url
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()

    page.goto(case)
    assert page.url.endswith("/login")
    page.fill("#name", "dee")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_load_state()
    assert "expected a user of the role read" in page.locator("body").inner_text()
    page.context.close()


def test_a_wrong_password_is_refused_in_words(room):
    page = room.browser.new_context(base_url=room.address).new_page()
    page.goto("/login")
    page.fill("#name", "ada")
    page.fill("#password", "another")
    page.get_by_role("button", name="Log in").click()

    assert "expected the name and password of a user" in page.locator("[role=alert]").inner_text()
    page.context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_accessibility_or_runs_off_the_screen(filled, width: int, scheme: str):
    page = filled.log_in("cy", viewport={"width": width, "height": 844}, color_scheme=scheme)
    problems: list[str] = []

    def check(name: str) -> None:
        problems.extend(f"{name}: {problem}" for problem in filled.faults_of(page))

    check("worklist")
    open_case(page, "P1")
    check("case")
    for place in ("/readings", "/release"):
        page.goto(place)
        check(place)
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    check("login")

    assert problems == []
    page.context.close()


def test_who_saw_and_read_what_stands_in_the_log(filled):
    page = filled.log_in("cy")
    open_case(page, "P1")
    uid = page.url.rpartition("/")[2]
    page.context.close()

    from sqlalchemy import select

    from fundoscope.service.store.models import LogEntry

    with filled.database.reading() as session:
        actions = {
            (entry.actor, entry.action)
            for entry in session.execute(select(LogEntry).where(LogEntry.subject == uid)).scalars()
        }
        assert verify_log(session).passed
    assert ("cy", "case shown") in actions
