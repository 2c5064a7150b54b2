"""A study as its readers and who administers it see it: in a browser, against a running server."""

from __future__ import annotations

import csv
import io
import re
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PHOTOGRAPHS = {
    "idrid_test_021.jpg": ("P1", "left"),
    "idrid_test_022.jpg": ("P1", "right"),
    "idrid_test_054.jpg": ("P2", "right"),
}


def wait_until(page, condition: str) -> None:
    """Wait until JavaScript of the test is true; the policy of the pages forbids Playwright's own way of polling."""
    end = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def trial(room):
    """The room with two patients and a study that ada and bo read in."""
    page = room.log_in("flo")
    for name, (patient, eye) in PHOTOGRAPHS.items():
        page.fill("#patient", patient)
        page.select_option("#eye", eye)
        page.set_input_files("#files", EXAMPLES / name)
        page.locator(".sent li", has_text=name).and_(page.locator("[data-state=answered]")).wait_for()
    page.context.close()
    return room


@pytest.fixture(scope="module")
def study(trial, tmp_path_factory) -> str:
    """Address of the study, made by the form."""
    table = tmp_path_factory.mktemp("references") / "references.csv"
    table.write_text("image;eye;grade\nidrid_test_021.jpg;left;4\nidrid_test_054.jpg;right;0\n", encoding="utf-8")
    page = trial.log_in("flo")
    page.get_by_role("link", name="Studies").click()
    page.get_by_role("link", name="New study").click()
    page.get_by_label("Name of the study").fill("Spring trial")
    page.get_by_label("Include cases that nobody has read").check()
    page.get_by_label("ada").check()
    page.get_by_label("bo", exact=True).check()
    page.get_by_label("Show the heatmap with the answer").check()
    page.get_by_label("Take the table from a file").set_input_files(table)
    wait_until(page, "document.getElementById('references').value.includes('idrid_test_054.jpg')")
    page.get_by_role("button", name="Make the study").click()
    page.get_by_role("heading", name="Spring trial").wait_for()
    assert "2 of 3 eyes have a reference grade." in page.locator("main").inner_text()
    address = re.sub(r"\?.*", "", page.url)
    page.context.close()
    return address


def test_a_session_goes_from_the_first_grade_to_the_result(trial, study):
    page = trial.log_in("ada")
    assert "2 cases of open studies that you read in are not listed here" in page.locator("main").inner_text()
    page.get_by_role("link", name="To the studies").click()
    page.get_by_role("link", name="Spring trial", exact=True).click()
    page.get_by_role("link", name="Begin").click()

    stages = []
    for number in range(4):
        text = page.locator("main").inner_text()
        stages.append(("with the answer" in text.split("Your grades")[1][:20], "Answer for the eye" in text))
        # Every photograph, and in the second stage every heatmap, is sent.
        wait_until(page, "[...document.images].every((image) => image.complete && image.naturalWidth > 100)")
        for fieldset in page.locator("fieldset").all():
            fieldset.get_by_label("cannot grade" if number == 0 else "2 moderate").check()
        if number == 1:  # an interruption: another browser goes on where this one stopped
            page.context.close()
            page = trial.log_in("ada")
            page.goto(study)
            page.get_by_role("link", name="Continue").click()
            for fieldset in page.locator("fieldset").all():
                fieldset.get_by_label("2 moderate").check()
        page.get_by_role("button", name="Keep th").click()
        page.wait_for_load_state()

    assert stages == [(False, False), (True, True)] * 2
    assert "All cases are graded." in page.locator("main").inner_text()
    page.context.close()


def test_who_administers_the_study_closes_it_and_its_readers_see_the_result(trial, study):
    boss = trial.log_in("flo")
    boss.goto(study)
    assert "All cases are graded." in boss.get_by_role("row", name="ada").inner_text()
    boss.get_by_label("Close Spring trial for good").check()
    boss.get_by_role("button", name="Close the study").click()
    boss.get_by_text("closed on").wait_for()
    boss.context.close()

    page = trial.log_in("bo")
    page.goto(study)
    page.get_by_role("link", name="Result").click()
    text = page.locator("main").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all grades").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))

    assert "too few: 1 of at least 10 patients" in text
    assert "and 1 that were opened more than once and do not count" in text
    assert {row["reader"] for row in rows} == {"ada"}
    assert len(rows) == 6
    assert {row["cannot_grade"] for row in rows if row["stage"] == "with answer"} == {"0"}
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_page_of_a_study_has_a_serious_fault_of_accessibility_or_runs_off_the_screen(trial, study, width, scheme):
    options = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
    boss = trial.log_in("flo", **options)
    problems: list[str] = []

    def check(page, address: str) -> None:
        page.goto(address)
        problems.extend(f"{page.url}: {problem}" for problem in trial.faults_of(page))

    for address in ("/studies", "/studies/new", study, f"{study}/result"):
        check(boss, address)
    boss.goto("/studies/new")
    boss.get_by_label("Name of the study").fill(f"{scheme} {width}")
    boss.get_by_label("Include cases that nobody has read").check()
    boss.get_by_label("cy", exact=True).check()
    boss.get_by_role("button", name="Make the study").click()
    boss.get_by_role("heading", name=f"{scheme} {width}").wait_for()
    own = re.sub(r"\?.*", "", boss.url)
    problems.extend(f"{boss.url}: {problem}" for problem in trial.faults_of(boss))
    reader = trial.log_in("cy", **options)
    for address in ("/studies", own, f"{own}/case"):
        check(reader, address)
    for fieldset in reader.locator("fieldset").all():
        fieldset.get_by_label("1 mild").check()
    reader.get_by_role("button", name="Keep th").click()
    check(reader, f"{own}/case")
    assert "Answer for the eye" in reader.locator("main").inner_text()
    boss.get_by_label(f"Close {scheme} {width} for good").check()
    boss.get_by_role("button", name="Close the study").click()
    boss.get_by_text("closed on").wait_for()

    assert problems == []
    reader.context.close()
    boss.context.close()
