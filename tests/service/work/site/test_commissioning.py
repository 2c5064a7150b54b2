"""What a service has for a commissioning: only readings that were made without the answer count."""

from __future__ import annotations

from datetime import date

import pytest
from tests.service.site_cases import Made

from fundoscope.clinic.commissioning.commission import Terms
from fundoscope.clinic.commissioning.from_tables import commission_tables
from fundoscope.service.work.site.commissioning import readiness, site_words
from fundoscope.tables.pair import read_pair


def ready(database, grader):
    with database.reading() as session:
        return readiness(session, grader.opened.name)


def test_patients_who_were_read_with_the_answer_shown_are_counted_apart(site_database, grader, answered):
    blind = [Made(1, 0.9, grade=3), Made(2, 0.1, grade=0), Made(3, 0.1, grade=2)]
    shown = [Made(4, 0.9, grade=4, shown=True), Made(5, 0.9, grade=2, shown=True)]
    answered([*blind, *shown, Made(6, 0.2)])

    found = ready(site_database, grader)

    assert (found.answered, found.seen, found.unread) == (6, 2, 1)
    assert (found.patients, found.referable) == (3, 2)
    assert set(found.tables.readings["patient"]) == {"P1", "P2", "P3"}


def test_the_plan_is_that_of_the_commissioning(site_database, grader, answered):
    found = ready(site_database, grader)

    assert (found.least, found.plan[0.95]) == (23, 75)
    assert (found.patients, found.referable, found.flow) == (0, 0, None)


def test_commission_takes_the_tables_as_they_are(site_database, grader, answered, tmp_path):
    answered([Made(number, 0.9 if number % 2 else 0.1, grade=3 if number % 2 else 0) for number in range(60)])
    answered([Made(100 + number, 0.9, grade=0, shown=True) for number in range(20)])
    predictions, readings = ready(site_database, grader).tables.write(tmp_path / "tables")

    pair = read_pair(predictions, readings)
    done = commission_tables(pair, Terms(), release=grader.opened, day=date(2026, 3, 9))

    assert (done.flow.patients, done.flow.referable) == (60, 30)
    assert done.protocol["guaranteed"]


def test_a_site_that_cannot_be_used_is_said_and_is_no_fault(grader, tmp_path):
    without = site_words(None, grader.opened)
    wrong = site_words(tmp_path, grader.opened)

    assert without.verdict is None
    assert "start the service with --site" in without.notes[0]
    assert "expected a site's folder with dust_map.json" in wrong.notes[0]


@pytest.mark.parametrize("grade", [None, 0])
def test_an_eye_that_a_reader_cannot_grade_is_not_taken_for_healthy(site_database, grader, answered, grade):
    answered([Made(1, 0.9, grade=3), Made(2, 0.1, grade=1)])
    with site_database.writing() as session:
        from sqlalchemy import update

        from fundoscope.service.store.models import EyeReading

        session.execute(update(EyeReading).where(EyeReading.grade == 1).values(grade=grade))

    assert ready(site_database, grader).patients == (1 if grade is None else 2)
