"""Shares by week and camera: one number a patient, and nothing that is left out goes unsaid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, update
from tests.service.site_cases import Made

from fundoscope.evaluation.statistics.interval import proportion_interval
from fundoscope.photo.quality import FAULTS
from fundoscope.service.pages.site import REASONS
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.models import Case, Photograph
from fundoscope.service.store.site_models import PhotographCamera
from fundoscope.service.work.site.rates import (
    OTHER,
    UNREADABLE,
    WEEKS,
    note_cameras,
    site_rates,
    unread_files,
)

NOBODY = 0


def rates(database, grader):
    with database.reading() as session:
        return site_rates(session, grader.opened.name, user_id=NOBODY)


def test_shares_of_a_week_are_of_its_patients_with_exact_intervals(site_database, grader, answered):
    monday, sunday, next_monday = "2026-03-02", "2026-03-08", "2026-03-09"
    answered([Made(1, 0.9, monday), Made(2, 0.1, sunday), Made(3, 0.1, sunday), Made(4, None, sunday)])
    answered([Made(5, 0.9, next_monday)])

    first, second = rates(site_database, grader).weeks

    assert (first.name, first.patients, first.referred, first.cannot_grade) == ("2026-W10", 4, 1, 1)
    assert (second.name, second.patients, second.referred) == ("2026-W11", 1, 1)
    assert (first.referral.low, first.referral.high) == proportion_interval(1, 4)


def test_a_patient_who_came_twice_in_a_week_is_one_and_the_more_urgent_answer_counts(site_database, grader, answered):
    answered([Made(1, 0.9, "2026-03-02", patient="P"), Made(2, 0.1, "2026-03-04", patient="P")])

    (week,) = rates(site_database, grader).weeks

    assert (week.patients, week.referred) == (1, 1)


@pytest.mark.parametrize("day", ["2026", "2026-03", None])
def test_a_case_whose_file_names_no_day_is_of_the_week_in_which_it_came(site_database, grader, answered, day):
    answered([Made(1, 0.9)])
    with site_database.writing() as session:
        session.execute(update(Case).values(day=day, created="2026-03-11T08:00:00.000+00:00"))

    assert [week.name for week in rates(site_database, grader).weeks] == ["2026-W11"]


def test_photographs_are_counted_by_every_reason_for_which_they_are_refused(site_database, grader, answered):
    answered([Made(1, None, faults=("dark", "sharpness")), Made(2, None, faults=("dark",)), Made(3, 0.1)])

    found = rates(site_database, grader)

    assert found.refusals == (("dark", 2), ("sharpness", 1))
    assert (found.refused, found.photographs) == (2, 3)


def test_every_reason_has_words():
    assert {*FAULTS, UNREADABLE, OTHER} <= set(REASONS)


def test_what_is_not_shown_is_counted(site_database, grader, answered):
    answered(
        [
            Made(1, 0.9, "2025-01-06"),
            *(Made(2 + week, 0.1, f"2026-{1 + week // 4:02}-{1 + 7 * (week % 4):02}") for week in range(WEEKS)),
        ]
    )
    answered([Made(90, 0.9), Made(91, 0.9)])
    with site_database.writing() as session:
        session.execute(update(Case).where(Case.patient == "P90").values(release="another"))
        session.execute(update(Case).where(Case.patient == "P91").values(answer=None, state="pending"))

    found = rates(site_database, grader)

    assert (found.earlier, found.others, found.waiting) == (1, 1, 1)
    assert sum(week.patients for week in found.weeks) == WEEKS


def test_cameras_are_those_that_files_name_else_who_sent_them(site_database, grader, answered, tmp_path: Path):
    answered([Made(1, 0.9), Made(2, 0.1, sender="router"), Made(3, 0.1)])
    files = PhotographFiles(tmp_path / "photographs")
    with site_database.reading() as session:
        sha256 = session.execute(select(Photograph.sha256).where(Photograph.patient == "P3")).scalar_one()
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Topcon", "NW400"
    files.path(sha256).parent.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(files.path(sha256), "JPEG", exif=exif)

    note_cameras(site_database, files)

    found = {group.name: group.patients for group in rates(site_database, grader).cameras}
    assert found == {"Topcon NW400": 1, "not named (sent by camera-1)": 1, "not named (sent by router)": 1}


def test_files_are_read_for_their_camera_a_part_at_a_time_and_once(site_database, grader, answered, tmp_path: Path):
    answered([Made(number, 0.1) for number in range(5)])
    files = PhotographFiles(tmp_path / "photographs")

    note_cameras(site_database, files, most=3)
    assert rates(site_database, grader).unread_files == 2
    note_cameras(site_database, files, most=3)
    note_cameras(site_database, files, most=3)

    with site_database.reading() as session:
        assert len(session.execute(select(PhotographCamera)).scalars().all()) == 5
        assert unread_files(session) == []


@pytest.mark.parametrize("count", [0, 1])
def test_a_service_without_answers_has_no_shares(site_database, grader, answered, count):
    answered([Made(number, 0.5) for number in range(count)])
    assert len(rates(site_database, grader).weeks) == count
