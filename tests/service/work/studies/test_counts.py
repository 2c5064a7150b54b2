"""Counts of studies: what is missing, what the answer changed, times, and the table of all grades."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fundoscope.service.store.accounts import Account
from fundoscope.service.store.studies.sittings import add_grades, add_view, progress_of
from fundoscope.service.store.studies.study import ALONE, WITH_ANSWER, readers_of
from fundoscope.service.work.studies.counts import (
    GRADE_COLUMNS,
    Completeness,
    changes_of,
    completeness_of,
    durations_of,
    grade_rows,
)
from fundoscope.service.work.studies.observations import MISSING, NO_GRADE, Observations, apart, observations_of

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "study_cases.py")))


def grade(session, study, reader: Account, left: int | None, right: int | None, *, views: int = 1) -> None:
    progress = progress_of(session, study, reader.user_id)
    for _ in range(views):
        add_view(session, progress, reader)
    grades = {"left": left, "right": right}
    add_grades(session, study, reader, (progress.case.uid, progress.sitting, progress.stage), grades)


def account_of(session, study, name: str) -> Account:
    (user,) = [user for _, user in readers_of(session, study) if user.name == name]
    return Account(user_id=user.id, name=name, role="read")


def changes(alone, final, *, release, reference):
    """Return what a reader changed; eyes are observations of one sitting."""
    count = len(alone)
    observations = Observations(
        eyes=(("case", "left"),) * count,
        sittings=1,
        patients=np.arange(count),
        reference=np.array(reference),
        release=np.array(release),
        release_referred=np.array([grade >= 2 or grade == NO_GRADE for grade in release]),
        grades={("ann", ALONE): np.array(alone), ("ann", WITH_ANSWER): np.array(final)},
        readers=("ann",),
        stages=(ALONE, WITH_ANSWER),
    )
    (line,) = changes_of(observations)
    return line


def test_changes_are_counted_by_their_direction_and_what_the_reference_says():
    line = changes(
        alone=[0, 0, 3, 2, 1, 1, 0, 2, 1],
        final=[2, 1, 4, 2, 3, MISSING, NO_GRADE, 0, 3],
        release=[2, 2, 2, 0, 2, 2, NO_GRADE, 0, 3],
        reference=[2, 0, 3, 2, MISSING, 2, 0, 2, 2],  # of the last eye both grades are as far from it
    )

    assert (line.graded_twice, line.changed) == (8, 7)
    assert (line.towards.moved, line.towards.closer, line.towards.farther) == (5, 1, 3)
    assert (line.away.moved, line.away.closer, line.away.farther) == (1, 0, 1)
    assert (line.aside.moved, line.aside.with_reference) == (1, 0)
    assert line.referrals_corrected == 2, "the first eye and the last"
    assert (line.referrals_made_wrong, line.made_wrong_as_release) == (2, 2), (
        "the two before the last, as the release said"
    )


def test_a_referral_made_wrong_against_the_release_is_not_laid_to_it():
    line = changes(alone=[2, 0], final=[0, 2], release=[2, 0], reference=[2, 0])

    assert (line.referrals_made_wrong, line.made_wrong_as_release) == (2, 0)
    assert line.away.moved == 2


@pytest.mark.parametrize(
    ("one", "other", "distance"), [(0, 4, 4), (NO_GRADE, NO_GRADE, 0), (NO_GRADE, 0, 5), (4, NO_GRADE, 5), (3, 3, 0)]
)
def test_a_grade_and_none_are_farther_apart_than_any_two_grades(one, other, distance):
    assert apart(np.array([one]), np.array([other])).tolist() == [distance]


def test_what_is_missing_is_counted_for_each_reader_sitting_and_stage(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", "bob", cases=2, with_answer=False, sittings=2, washout_days=0)
        ann = account_of(session, study, "ann")
        grade(session, study, ann, 0, None)
        grade(session, study, ann, None, None)
        grade(session, study, ann, 1, 1)
        lines = list(completeness_of(observations_of(session, study)))

    def line(reader: str, sitting: int, graded: int, cannot_grade: int) -> Completeness:
        return Completeness(
            reader=reader, sitting=sitting, stage=ALONE, graded=graded, total=4, cannot_grade=cannot_grade
        )

    assert lines == [line("ann", 1, 4, 3), line("ann", 2, 2, 0), line("bob", 1, 0, 0), line("bob", 2, 0, 0)]


def test_observations_put_each_grade_beside_the_reference_and_the_answer_of_its_eye(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=3)
        ann = account_of(session, study, "ann")
        for number in range(6):
            case = progress_of(session, study, ann.user_id).case
            left = case.answer["eyes"][0]["columns"]["grade"]
            grade(session, study, ann, left, 4 if number % 2 else None)
        observations = observations_of(session, study)

    is_left = np.array([eye == "left" for _, eye in observations.eyes])
    assert observations.release[is_left].tolist() == [0, 1, 2]
    assert observations.release[~is_left].tolist() == [NO_GRADE] * 3
    assert observations.grades["ann", ALONE][is_left].tolist() == [0, 1, 2]
    assert observations.grades["ann", ALONE][~is_left].tolist() == [NO_GRADE] * 3
    assert observations.grades["ann", WITH_ANSWER][~is_left].tolist() == [4] * 3
    assert observations.release_referred.tolist() == [True, False, True, False, True, True]
    assert set(observations.reference.tolist()) == {MISSING}


def test_the_time_is_the_median_of_cases_that_were_graded_at_once(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=3, with_answer=False)
        ann = account_of(session, study, "ann")
        grade(session, study, ann, 0, 0)
        grade(session, study, ann, 0, 0, views=3)
        (line,) = durations_of(session, study, observations_of(session, study))

    assert (line.cases, line.interrupted) == (1, 1)
    assert 0 <= line.median_seconds < 5


def test_of_nothing_graded_there_is_no_time(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", cases=2, with_answer=False)
        (line,) = durations_of(session, study, observations_of(session, study))

    assert (line.cases, line.median_seconds) == (0, None)


def test_the_table_has_a_row_for_each_grade_with_answer_and_reader(database):
    with database.writing() as session:
        study = made.add_study(session, "ann", "bob", cases=2)
        for name in ("ann", "bob"):
            grade(session, study, account_of(session, study, name), 3, None)
        rows = grade_rows(session, study)

    assert len(rows) == 4
    assert all(tuple(row) == GRADE_COLUMNS for row in rows)
    assert [(row["reader"], row["eye"], row["grade"], row["cannot_grade"]) for row in rows] == [
        ("ann", "left", 3, 0),
        ("ann", "right", "", 1),
        ("bob", "left", 3, 0),
        ("bob", "right", "", 1),
    ]
    left, right = rows[0], rows[1]
    assert (left["release_grade"], right["release_grade"], right["release_decision"]) == (
        int(left["patient"][1:]) % 5,
        "",
        "cannot grade",
    )
    assert left["photographs"] != right["photographs"]
    assert {row["stage"] for row in rows} == {ALONE}
    assert {row["place"] for row in rows} == {1}
