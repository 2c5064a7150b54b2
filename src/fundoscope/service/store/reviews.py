"""Reviews of labels: each reader grades a photograph without its label, then sees the label and says what it should be.

Neither of the two is ever changed. A photograph is settled once enough readers have judged its label and more than
half of them agree on the grade; until then, and where readers differ, its label stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest
from fundoscope.grades import GRADES
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import new_uid, now
from fundoscope.service.store.models import User
from fundoscope.service.store.review_models import LabelPhotograph, LabelReading, LabelReview, LabelVerdict
from fundoscope.service.store.studies.study import hidden_hashes

KEEP: Final = "keep"
CORRECT: Final = "correct"
CANNOT: Final = "cannot grade"
"""Verdicts of a reader on a label."""

WAITING: Final = "waiting for readers"
DIFFER: Final = "readers differ"
KEPT: Final = "kept"
CORRECTED: Final = "corrected"
OUTCOMES: Final = (KEPT, CORRECTED, CANNOT, DIFFER, WAITING)
"""What became of a row whose photograph is reviewed."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,98}[A-Za-z0-9]|[A-Za-z0-9]")
MOST_READERS: Final = 20
LONGEST_NOTE: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRow:
    """A row of a manifest that lists a photograph of a review."""

    manifest: int
    """Number of the manifest, from 0."""
    row: int
    """Number of the row, from 0."""
    image: str
    """As the manifest names it."""
    grade: int | None
    """Its label; None: it has none."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {"manifest": self.manifest, "row": self.row, "image": self.image, "grade": self.grade}


@dataclass(slots=True, kw_only=True)
class ReviewPhotograph:
    """A photograph that is taken into a review."""

    sha256: str
    suspicion: str
    reasons: list[str] = field(default_factory=list)
    rows: list[ReviewRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one reader says of a photograph."""

    reader: str
    user_id: int
    reading: LabelReading
    verdict: LabelVerdict | None
    """None until the label was judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a photograph."""

    is_settled: bool
    differs: bool
    """Whether enough readers have judged it, and they do not agree."""
    grade: int | None
    """The grade that it should have, where it is settled; None: it cannot be graded."""
    judged: int
    """Readers who have judged its label."""

    def words(self, label: int | None) -> str:
        """Return what became of a row with this label."""
        if not self.is_settled:
            return DIFFER if self.differs else WAITING
        if self.grade is None:
            return CANNOT
        return KEPT if self.grade == label else CORRECTED


def check_name(session: Session, name: str, readers: int) -> None:
    """Refuse a name or a number of readers that a new review cannot have.

    Raises:
        BadRequest: If the name is none or taken, or the number is out of bounds.
    """
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"--name: expected 1 to 100 letters, digits, blanks or ._-, got {name!r:.80}. Choose another name."
        )
    if not 1 <= readers <= MOST_READERS:
        raise BadRequest(f"--readers: expected 1 to {MOST_READERS}, got {readers}. Correct the number.")
    if session.execute(select(LabelReview).where(LabelReview.name == name)).scalar_one_or_none() is not None:
        raise BadRequest(f"--name: expected a new review, there is one called {name}. Choose another name.")


def add_review(
    session: Session,
    name: str,
    *,
    readers: int,
    manifests: Sequence[Mapping[str, str]],
    photographs: Sequence[ReviewPhotograph],
    refused: Sequence[Mapping[str, Any]],
    actor: str,
) -> LabelReview:
    """Add a review.

    Args:
        session: Of `Database.writing`.
        name: By which people know it.
        readers: Readers that each photograph needs.
        manifests: `name` and `sha256` of each manifest; their bytes are kept already.
        photographs: The most doubtful first; their bytes are kept already.
        refused: Rows that could not be taken: `manifest`, `row`, `image` and `why`.
        actor: Who adds it, for the log.

    Raises:
        BadRequest: As `check_name`, and if there is no photograph.
    """
    check_name(session, name, readers)
    if not photographs:
        raise BadRequest(f"review {name}: expected photographs whose labels are doubted, got none. There is no review.")
    review = LabelReview(
        uid=new_uid(),
        name=name,
        readers=readers,
        manifests=[dict(manifest) for manifest in manifests],
        refused=[dict(row) for row in refused],
        created=now(),
        creator=actor,
    )
    session.add(review)
    session.flush()
    session.add_all(
        LabelPhotograph(
            review_id=review.id,
            number=number,
            sha256=photograph.sha256,
            suspicion=photograph.suspicion,
            reasons=photograph.reasons,
            rows=[row.to_dict() for row in photograph.rows],
        )
        for number, photograph in enumerate(photographs, start=1)
    )
    append_entry(
        session, actor, "label review added", review.uid, photographs=len(photographs), refused=len(review.refused)
    )
    return review


def all_reviews(session: Session) -> list[LabelReview]:
    """Return all reviews, the oldest first."""
    return list(session.execute(select(LabelReview).order_by(LabelReview.id)).scalars())


def find_review(session: Session, uid: str) -> LabelReview | None:
    """Return a review by its identifier."""
    return session.execute(select(LabelReview).where(LabelReview.uid == uid)).scalar_one_or_none()


def photographs_of_review(session: Session, review: LabelReview) -> list[LabelPhotograph]:
    """Return the photographs of a review, the most doubtful first."""
    query = select(LabelPhotograph).where(LabelPhotograph.review_id == review.id).order_by(LabelPhotograph.number)
    return list(session.execute(query).scalars())


def find_photograph_of_review(session: Session, review: LabelReview, number: int) -> LabelPhotograph | None:
    """Return a photograph of a review by its number."""
    query = select(LabelPhotograph).where(LabelPhotograph.review_id == review.id, LabelPhotograph.number == number)
    return session.execute(query).scalar_one_or_none()


def judgements_of(session: Session, review: LabelReview) -> dict[int, list[Judgement]]:
    """Return what readers say of each photograph of a review, by `LabelPhotograph.id` and in order of time."""
    query = (
        select(LabelReading, LabelVerdict, User.name)
        .join(LabelPhotograph, LabelPhotograph.id == LabelReading.photograph_id)
        .join(User, User.id == LabelReading.user_id)
        .outerjoin(LabelVerdict, LabelVerdict.reading_id == LabelReading.id)
        .where(LabelPhotograph.review_id == review.id)
        .order_by(LabelReading.id)
    )
    judgements: dict[int, list[Judgement]] = {}
    for reading, verdict, name in session.execute(query).all():
        judgements.setdefault(reading.photograph_id, []).append(
            Judgement(reader=name, user_id=reading.user_id, reading=reading, verdict=verdict)
        )
    return judgements


def outcome_of(judgements: Sequence[Judgement], readers: int) -> Outcome:
    """Return what became of a photograph.

    Args:
        judgements: What readers say of it.
        readers: Readers that it needs.
    """
    grades = [judgement.verdict.grade for judgement in judgements if judgement.verdict is not None]
    enough = len(grades) >= readers
    grade, votes = Counter(grades).most_common(1)[0] if grades else (None, 0)
    is_settled = enough and 2 * votes > len(grades)
    return Outcome(
        is_settled=is_settled,
        differs=enough and not is_settled,
        grade=grade if is_settled else None,
        judged=len(grades),
    )


def next_photograph(session: Session, review: LabelReview, user_id: int) -> int | None:
    """Return the number of the photograph that a reader does next; None where nothing is left for them.

    What they have begun comes first, then the most doubtful photograph that needs another reader. Photographs of an
    open study that they read in are passed over until it is closed: a label and its doubts may say what it hides.
    """
    hidden = hidden_hashes(session, user_id)
    judgements = judgements_of(session, review)
    numbers: list[int] = []
    for photograph in photographs_of_review(session, review):
        if photograph.sha256 in hidden:
            continue
        mine = judgements.get(photograph.id, [])
        own = next((judgement for judgement in mine if judgement.user_id == user_id), None)
        if own is not None and own.verdict is None:
            return photograph.number
        if own is None and not outcome_of(mine, review.readers).is_settled:
            numbers.append(photograph.number)
    return numbers[0] if numbers else None


def own_judgement(session: Session, photograph: LabelPhotograph, user_id: int) -> Judgement | None:
    """Return what a reader says of a photograph; None while they have not graded it."""
    query = (
        select(LabelReading, LabelVerdict, User.name)
        .join(User, User.id == LabelReading.user_id)
        .outerjoin(LabelVerdict, LabelVerdict.reading_id == LabelReading.id)
        .where(LabelReading.photograph_id == photograph.id, LabelReading.user_id == user_id)
    )
    row = session.execute(query).one_or_none()
    return None if row is None else Judgement(reader=row[2], user_id=user_id, reading=row[0], verdict=row[1])


def add_label_reading(
    session: Session, review: LabelReview, photograph: LabelPhotograph, account: Account, grade: int | None
) -> LabelReading:
    """Keep a reader's own grade, after which the label is shown.

    Raises:
        BadRequest: If the reader has graded it already, it needs no other reader, or the grade is none.
    """
    _check_grade(grade)
    where = f"photograph {photograph.number} of the review {review.name}"
    if own_judgement(session, photograph, account.user_id) is not None:
        raise BadRequest(f"{where}: expected a first grade by {account.name}, there is one. It is never changed.")
    mine = judgements_of(session, review).get(photograph.id, [])
    if outcome_of(mine, review.readers).is_settled:
        raise BadRequest(f"{where}: expected one that needs another reader, its label is settled. Go on to the next.")
    reading = LabelReading(photograph_id=photograph.id, user_id=account.user_id, grade=grade, created=now())
    session.add(reading)
    append_entry(session, account.name, "label graded", photograph.sha256, review=review.uid, grade=grade)
    return reading


def add_verdict(
    session: Session,
    review: LabelReview,
    photograph: LabelPhotograph,
    account: Account,
    grade: int | None,
    note: str | None = None,
) -> LabelVerdict:
    """Keep what a reader says of a label that was shown.

    Args:
        session: Of `Database.writing`.
        review: The review.
        photograph: Of the review; the reader has graded it.
        account: The reader.
        grade: The grade that it should have: that of the label keeps it; None: it cannot be graded.
        note: Why, if the reader says so.

    Raises:
        BadRequest: If the reader has not graded it, or has judged it already, or the grade is none.
    """
    _check_grade(grade)
    where = f"photograph {photograph.number} of the review {review.name}"
    own = own_judgement(session, photograph, account.user_id)
    if own is None:
        raise BadRequest(f"{where}: expected a grade by {account.name} first, there is none. Grade it.")
    if own.verdict is not None:
        raise BadRequest(f"{where}: expected a first verdict by {account.name}, there is one. It is never changed.")
    if len(note or "") > LONGEST_NOTE:
        raise BadRequest(f"note: expected at most {LONGEST_NOTE} letters, got {len(note or '')}. Shorten it.")
    verdict = CANNOT if grade is None else KEEP if labels_of(photograph) == (grade,) else CORRECT
    kept = LabelVerdict(
        reading_id=own.reading.id, verdict=verdict, grade=grade, note=(note or "").strip() or None, created=now()
    )
    session.add(kept)
    append_entry(
        session, account.name, "label judged", photograph.sha256, review=review.uid, verdict=verdict, grade=grade
    )
    return kept


def labels_of(photograph: LabelPhotograph) -> tuple[int | None, ...]:
    """Return the grades that the rows of a photograph have: several where they contradict one another."""
    return tuple(dict.fromkeys(row["grade"] for row in photograph.rows))


def _check_grade(grade: int | None) -> None:
    if grade is not None and grade not in range(GRADES):
        raise BadRequest(f"grade: expected 0 to {GRADES - 1}, got {grade}. Correct the grade.")
