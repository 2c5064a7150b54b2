"""Pages of the site: who may see and start what, and what shadow mode hides."""

from __future__ import annotations

import csv
import io

import pytest
from tests.service.site_cases import Made, add_cases

from fundoscope.service.store.accounts import Account, find_user
from fundoscope.service.store.models import LogEntry


@pytest.fixture(scope="module")
def site(running, retinas):
    """A service with forty patients: thirty read without the answer, five with it."""
    return fill(running, retinas)


def fill(running, retinas, *, in_shadow: bool = False):
    template = dict(running.service.grader.examine(retinas[0])[0].row())
    with running.service.database.reading() as session:
        reader = Account(user_id=find_user(session, "read-user").id, name="read-user", role="read")
    blind = [Made(number, 0.9 if number % 2 else 0.1, grade=3 if number % 2 else 0) for number in range(30)]
    shown = [Made(number, 0.9, grade=3, shown=not in_shadow) for number in range(30, 35)]
    refused = [Made(number, None, day="2026-03-10") for number in range(35, 40)]
    add_cases(running.service.database, running.service.grader, template, [*blind, *shown, *refused], reader)
    return running


def get(site, path: str, role: str = "read"):
    return site.client.get(path, headers=site.headers[role], follow_redirects=False)


def test_the_page_counts_patients_against_the_plan_and_warns_of_readings_that_are_not_independent(site):
    page = get(site, "/site").text

    assert "15 referable patients" in page
    assert "of 30 with a grade for every eye" in page
    assert "5 cases were read with the answer shown." in page
    assert "fundoscope commission predictions.csv readings.csv --release RELEASE" in page
    assert "No commissioning is in force." in page


def test_tables_for_the_commissioning_are_for_who_administers_and_have_only_readings_that_count(site):
    assert get(site, "/site/tables/readings.csv").status_code == 403

    answer = get(site, "/site/tables/readings.csv", "administer")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 30
    assert get(site, "/site/tables/predictions.csv", "administer").status_code == 200
    assert get(site, "/site/tables/other.csv", "administer").status_code == 404
    with site.service.database.reading() as session:
        exports = [
            entry.subject for entry in session.query(LogEntry).where(LogEntry.action == "commissioning exported")
        ]
    assert exports == ["readings.csv", "predictions.csv"]


def test_a_reader_is_shown_no_path_of_the_service(site):
    path = str(site.service.grader.opened.path)

    assert path not in get(site, "/site").text
    assert path in get(site, "/site", "administer").text


def test_a_sites_folder_that_cannot_be_used_is_named_to_who_administers_only(start, tmp_path):
    with start(tmp_path / "s", site=tmp_path / "nowhere") as running:
        for path in ("/site", "/site/monitoring"):
            mine, all_of_it = get(running, path).text, get(running, path, "administer").text
            assert "nowhere" not in mine
            assert "whoever administers the service sees" in mine.lower()
            assert "nowhere: expected a site&#39;s folder, got nothing" in all_of_it


def test_shares_stand_in_a_table_beside_each_chart(site):
    page = get(site, "/site/monitoring").text

    assert page.count('<svg class="chart"') == 2
    assert "2026-W10" in page
    assert "35 patients" in page
    assert "5 of 5, 100% (95% CI 48% to 100%)" in page
    assert "not named (sent by camera-1)" in page
    assert "out of focus" in page
    assert " style=" not in page


def test_without_a_commissioning_a_run_says_what_is_missing_and_keeps_nothing(site):
    page = get(site, "/site/monitoring", "administer").text
    assert "New patients cannot be compared. site: expected a commissioned site, got none." in page

    refused = site.client.post("/site/monitoring/run", headers=site.headers["read"])
    answer = site.client.post(
        "/site/monitoring/run", headers=site.headers["administer"], follow_redirects=False
    ).headers["location"]

    assert refused.status_code == 403
    assert "expected+a+commissioned+site" in answer
    assert "There was no run yet." in get(site, "/site/monitoring").text


def test_in_shadow_mode_no_share_of_answers_is_shown_to_anybody(start, tmp_path, retinas):
    with start(tmp_path / "s", shadow=True) as running:
        fill(running, retinas, in_shadow=True)
        for role in ("read", "administer"):
            page = get(running, "/site/monitoring", role).text
            assert "neither are shares of them" in page
            assert "2026-W10" not in page
        assert get(running, "/site/tables/predictions.csv", "administer").status_code == 409
        assert running.client.post("/site/monitoring/run", headers=running.headers["administer"]).status_code == 409
        assert "predictions.csv" not in get(running, "/site", "administer").text
