"""Label reviews in the database: blind grades first, verdicts after them, and none of them ever changed."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fundoscope.errors import BadRequest
from fundoscope.service.store.accounts import Account, add_user
from fundoscope.service.store.reviews import (
    CANNOT,
    CORRECTED,
    DIFFER,
    KEPT,
    WAITING,
    ReviewPhotograph,
    ReviewRow,
    add_label_reading,
    add_review,
    add_verdict,
    find_review,
    judgements_of,
    next_photograph,
    outcome_of,
    photographs_of_review,
)

READERS = ("ann", "bo", "cy")


def row(image: str, grade: int | None, at: int = 0) -> ReviewRow:
    return ReviewRow(manifest=0, row=at, image=image, grade=grade)


def photograph(letter: str, *rows: ReviewRow) -> ReviewPhotograph:
    return ReviewPhotograph(sha256=letter * 64, suspicion="unlikely", reasons=["odd"], rows=list(rows))


class Reviewing:
    """A review of two photographs, and its readers."""

    def __init__(self, database, readers: int) -> None:
        self.database = database
        self.accounts: dict[str, Account] = {}
        with database.writing() as session:
            for name in READERS:
                user = add_user(session, name, "read", None, actor="test")
                session.flush()
                self.accounts[name] = Account(user_id=user.id, name=name, role="read")
            photographs = [photograph("a", row("a.jpg", 2)), photograph("b", row("b.jpg", 1, 1), row("c.jpg", 3, 2))]
            review = add_review(
                session, "first", readers=readers, manifests=[], photographs=photographs, refused=[], actor="test"
            )
            self.uid = review.uid

    def grade(self, name: str, number: int, grade: int | None) -> None:
        with self.database.writing() as session:
            review = find_review(session, self.uid)
            chosen = photographs_of_review(session, review)[number - 1]
            add_label_reading(session, review, chosen, self.accounts[name], grade)

    def judge(self, name: str, number: int, grade: int | None, note: str | None = None) -> str:
        with self.database.writing() as session:
            review = find_review(session, self.uid)
            chosen = photographs_of_review(session, review)[number - 1]
            return add_verdict(session, review, chosen, self.accounts[name], grade, note).verdict

    def read(self, name: str, number: int, grade: int | None) -> str:
        self.grade(name, number, grade)
        return self.judge(name, number, grade)

    def outcome(self, number: int, label: int | None) -> str:
        with self.database.reading() as session:
            review = find_review(session, self.uid)
            chosen = photographs_of_review(session, review)[number - 1]
            return outcome_of(judgements_of(session, review).get(chosen.id, []), review.readers).words(label)

    def next(self, name: str) -> int | None:
        with self.database.reading() as session:
            return next_photograph(session, find_review(session, self.uid), self.accounts[name].user_id)


@pytest.fixture
def alone(database) -> Reviewing:
    return Reviewing(database, 1)


@pytest.fixture
def in_pairs(database) -> Reviewing:
    return Reviewing(database, 2)


def test_the_grade_of_the_label_keeps_it_and_another_corrects_it(alone):
    assert alone.read("ann", 1, 2) == "keep"
    assert alone.read("ann", 2, 3) == "correct"

    assert alone.outcome(1, 2) == KEPT
    assert (alone.outcome(2, 1), alone.outcome(2, 3)) == (CORRECTED, KEPT)
    assert alone.next("ann") is None


def test_who_was_interrupted_goes_on_with_what_they_began(in_pairs):
    in_pairs.grade("ann", 2, 1)

    assert in_pairs.next("ann") == 2
    in_pairs.judge("ann", 2, 1)
    assert in_pairs.next("ann") == 1


def test_a_photograph_that_cannot_be_graded_keeps_its_label(alone):
    assert alone.read("ann", 1, None) == CANNOT

    assert alone.outcome(1, 2) == CANNOT


def test_readers_who_differ_leave_the_label_until_a_third_agrees_with_one(in_pairs):
    in_pairs.read("ann", 1, 2)
    assert in_pairs.outcome(1, 2) == WAITING
    in_pairs.read("bo", 1, 3)
    assert in_pairs.outcome(1, 2) == DIFFER
    assert in_pairs.next("cy") == 1

    in_pairs.read("cy", 1, 3)

    assert in_pairs.outcome(1, 2) == CORRECTED
    assert in_pairs.next("cy") == 2


def test_no_grade_and_no_verdict_is_given_twice_nor_in_the_wrong_order(alone):
    with pytest.raises(BadRequest, match="expected a grade by ann first, there is none"):
        alone.judge("ann", 1, 2)
    alone.read("ann", 1, 2)

    with pytest.raises(BadRequest, match="expected a first grade by ann, there is one"):
        alone.grade("ann", 1, 0)
    with pytest.raises(BadRequest, match="expected a first verdict by ann, there is one"):
        alone.judge("ann", 1, 0)
    with pytest.raises(BadRequest, match="its label is settled"):
        alone.grade("bo", 1, 0)


@pytest.mark.parametrize("grade", [-1, 5])
def test_a_grade_that_is_none_is_refused(alone, grade):
    with pytest.raises(BadRequest, match="grade: expected 0 to 4"):
        alone.grade("ann", 1, grade)


@pytest.mark.parametrize("table", ["label_readings", "label_verdicts"])
@pytest.mark.parametrize("deed", ["UPDATE {} SET grade = 0", "DELETE FROM {}"])
def test_the_database_refuses_to_change_what_readers_said(alone, table, deed):
    alone.read("ann", 1, 2)

    with pytest.raises(DBAPIError, match="never changed"), alone.database.writing() as session:
        session.execute(text(deed.format(table)))


def test_a_review_of_a_name_that_is_taken_and_one_of_nothing_are_refused(alone):
    for name, photographs, message in (
        ("first", [photograph("a", row("a.jpg", 2))], "expected a new review, there is one called first"),
        ("second", [], "expected photographs whose labels are doubted, got none"),
        ("../second", [photograph("a", row("a.jpg", 2))], "expected 1 to 100 letters"),
    ):
        with pytest.raises(BadRequest, match=message), alone.database.writing() as session:
            add_review(session, name, readers=1, manifests=[], photographs=photographs, refused=[], actor="test")
