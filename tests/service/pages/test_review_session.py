"""A label review and the pages of the site as their users see them: in a browser, against a running server."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tests.service.label_audits import write_audit
from tests.service.site_cases import Made, add_cases

from fundoscope.runtime.grader import Grader
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import Account, find_user
from fundoscope.service.work.review_intake import NewReview, add_audit


@pytest.fixture(scope="module")
def reviewed(room, retinas, tmp_path_factory):
    """The service with a review of three photographs for one reader each, and twelve patients that were made up."""
    audited = tmp_path_factory.mktemp("audited")
    write_audit(audited, retinas)
    settings = ServiceSettings(folder=Path(room.database.engine.url.database).parent)
    new = NewReview(name="first", readers=1, actor="test")
    add_audit(room.database, settings, audited / "audit", [audited / "mine.csv"], new)
    grader = Grader.open(threads=1)
    template = dict(grader.examine(retinas[0])[0].row())
    with room.database.reading() as session:
        reader = Account(user_id=find_user(session, "ada").id, name="ada", role="read")
    made = [Made(number, None if number % 5 == 0 else number / 12, f"2026-03-{1 + number:02}") for number in range(12)]
    add_cases(room.database, grader, template, made, reader)
    return room


def press(page, key: str) -> None:
    """Press a key once the page's scripts listen, which is so when it counts as loaded."""
    page.wait_for_load_state("load")
    page.keyboard.press(key)


def test_no_page_of_reviews_or_of_the_site_has_a_serious_fault_or_runs_off_the_screen(reviewed):
    problems = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = reviewed.log_in("flo", viewport={"width": width, "height": 844}, color_scheme=scheme)
        for place in ("/reviews", "/site", "/site/monitoring"):
            page.goto(place)
            problems += [f"{place} {width}: {fault}" for fault in reviewed.faults_of(page)]
        page.goto("/reviews")
        page.get_by_role("link", name="first", exact=True).click()
        page.get_by_role("heading", name="Review first").wait_for()
        problems += [f"review {width}: {fault}" for fault in reviewed.faults_of(page)]
        page.get_by_role("link", name="Continue").click()
        page.get_by_role("heading", name="Your grade").wait_for()
        problems += [f"photograph {width}: {fault}" for fault in reviewed.faults_of(page)]
        page.context.close()

    assert problems == []


def test_a_review_is_done_by_keys_is_resumed_and_its_corrections_come_back(reviewed, tmp_path):
    page = reviewed.log_in("bo")
    page.goto("/reviews")
    page.get_by_role("link", name="Continue the review first").click()
    page.get_by_role("heading", name="Photograph 1 of 3").wait_for()
    assert "photos/" not in page.content()
    press(page, "4")
    press(page, "Enter")
    page.get_by_role("heading", name="The label").wait_for()
    assert "photos/" in page.locator("dl").inner_text()
    assert reviewed.faults_of(page) == []
    page.context.close()

    page = reviewed.log_in("bo")
    page.goto("/reviews")
    page.get_by_role("link", name="Continue the review first").click()
    page.get_by_role("heading", name="The label").wait_for()
    press(page, "4")
    page.fill("#note", "New vessels at the disc.")
    page.get_by_role("button", name="Keep and go on").click()
    for number in (2, 3):
        page.get_by_role("heading", name=f"Photograph {number} of 3").wait_for()
        page.get_by_role("heading", name="Your grade").wait_for()
        press(page, "u")
        press(page, "Enter")
        page.get_by_role("heading", name="The label").wait_for()
        press(page, "u")
        press(page, "Enter")
    page.get_by_role("heading", name="Judged by you").wait_for()
    assert "There is nothing left for you in this review." in page.locator("main").inner_text()
    page.context.close()

    administrator = reviewed.log_in("flo")
    administrator.goto("/reviews")
    administrator.get_by_role("link", name="first", exact=True).click()
    with administrator.expect_download() as download:
        administrator.get_by_role("link", name="mine_reviewed.csv").click()
    frame = pd.read_csv(download.value.path(), dtype=str)
    assert len(frame) == 8
    corrected = frame[frame["review"] == "corrected"]
    assert set(corrected["grade"]) == {"4"}
    assert set(corrected["grade_why"]) == {"New vessels at the disc."}
    administrator.context.close()


def test_the_photograph_of_a_review_is_seen_red_free_and_its_keys_do_not_choose_a_grade(reviewed):
    page = reviewed.log_in("cy")
    page.goto("/reviews")
    page.get_by_role("link", name="first", exact=True).click()
    page.get_by_role("heading", name="Review first").wait_for()
    page.goto(f"{page.url}/photographs/1")
    viewer = page.locator(".viewer")
    viewer.focus()
    press(page, "+")
    assert "scale(1.25)" in viewer.locator(".stack").evaluate("element => element.style.transform")
    press(page, "0")
    assert page.locator("input[name=grade]:checked").count() == 0
    page.get_by_role("button", name="Red-free").click()
    assert "red-free" in (viewer.get_attribute("class") or "")
    page.context.close()
