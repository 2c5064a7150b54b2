"""What the pages of label reviews show: progress, outcomes and where readers differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from fundoscope.service.pages.views import CHOICES, NO_GRADE
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.review_models import LabelPhotograph, LabelReview
from fundoscope.service.store.reviews import (
    DIFFER,
    OUTCOMES,
    Judgement,
    judgements_of,
    labels_of,
    next_photograph,
    outcome_of,
    photographs_of_review,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewProgress:
    """How far a review is."""

    uid: str
    name: str
    created: str
    photographs: int
    readers: int
    settled: int
    own: int
    """Photographs whose label the reader has judged."""
    next_number: int | None
    """The photograph that the reader does next; None: nothing is left for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedLine:
    """A photograph and what readers say of it."""

    number: int
    images: tuple[str, ...]
    label: str
    judgements: tuple[str, ...]
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewOverview:
    """The page of a review."""

    progress: ReviewProgress
    own: tuple[JudgedLine, ...]
    """What the reader did themselves."""
    differing: tuple[JudgedLine, ...]
    """Photographs on which readers differ; empty for readers, whose judgements are independent."""
    judged_by: tuple[tuple[str, int], ...]
    """Readers and how many labels each has judged; empty for readers."""
    outcomes: tuple[tuple[str, int], ...]
    """Outcomes and their photographs; empty for readers."""
    refused: tuple[str, ...]
    """Photographs that could not be taken, and why; empty for readers, to whom their names might give labels away."""


def progress_of(session: Session, review: LabelReview, account: Account) -> ReviewProgress:
    """Return how far a review is, for one reader."""
    judgements = judgements_of(session, review)
    photographs = photographs_of_review(session, review)
    return ReviewProgress(
        uid=review.uid,
        name=review.name,
        created=review.created[:10],
        photographs=len(photographs),
        readers=review.readers,
        settled=sum(
            outcome_of(judgements.get(photograph.id, []), review.readers).is_settled for photograph in photographs
        ),
        own=sum(
            any(judgement.user_id == account.user_id and judgement.verdict is not None for judgement in mine)
            for mine in judgements.values()
        ),
        next_number=next_photograph(session, review, account.user_id),
    )


def overview(session: Session, review: LabelReview, account: Account, *, is_administrator: bool) -> ReviewOverview:
    """Return what the page of a review shows."""
    judgements = judgements_of(session, review)
    photographs = photographs_of_review(session, review)
    own = [
        _line(photograph, [judgement], "")
        for photograph in photographs
        for judgement in judgements.get(photograph.id, [])
        if judgement.user_id == account.user_id and judgement.verdict is not None
    ]
    progress = progress_of(session, review, account)
    if not is_administrator:
        return ReviewOverview(progress=progress, own=tuple(own), differing=(), judged_by=(), outcomes=(), refused=())
    outcomes = {
        photograph.id: outcome_of(judgements.get(photograph.id, []), review.readers) for photograph in photographs
    }
    # The words of a photograph whose rows contradict one another: some of them are corrected.
    words = [outcomes[photograph.id].words(_single(labels_of(photograph))) for photograph in photographs]
    counts = Counter(words)
    return ReviewOverview(
        progress=progress,
        own=tuple(own),
        differing=tuple(
            _line(photograph, judgements[photograph.id], DIFFER)
            for photograph in photographs
            if outcomes[photograph.id].differs
        ),
        judged_by=tuple(_judged_by(judgements.values())),
        outcomes=tuple((name, counts[name]) for name in OUTCOMES),
        refused=tuple(f"{row['image']}: {row['why']}" for row in review.refused),
    )


def labels_words(labels: Sequence[int | None]) -> str:
    """Return the labels of a photograph in words."""
    return " and ".join("none" if label is None else CHOICES[str(label)] for label in labels)


def _single(labels: Sequence[int | None]) -> int | None:
    return labels[0] if len(labels) == 1 else None


def _judged_by(groups: Iterable[Sequence[Judgement]]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for mine in groups:
        counts.update(judgement.reader for judgement in mine if judgement.verdict is not None)
    return sorted(counts.items())


def _line(photograph: LabelPhotograph, judgements: Sequence[Judgement], outcome: str) -> JudgedLine:
    return JudgedLine(
        number=photograph.number,
        images=tuple(row["image"] for row in photograph.rows),
        label=labels_words(labels_of(photograph)),
        judgements=tuple(_words(judgement) for judgement in judgements),
        outcome=outcome,
    )


def _words(judgement: Judgement) -> str:
    """Return what a reader says of a photograph: first without the label, then of the label."""
    own = _grade_words(judgement.reading.grade)
    if judgement.verdict is None:
        return f"{judgement.reader}: {own} without the label; the label is not judged yet"
    note = f" ({judgement.verdict.note})" if judgement.verdict.note else ""
    return f"{judgement.reader}: {own} without the label, then {_grade_words(judgement.verdict.grade)}{note}"


def _grade_words(grade: int | None) -> str:
    return NO_GRADE if grade is None else CHOICES[str(grade)]
