"""Tables of label reviews: photographs of a manifest whose labels are read again. None of them is a patient's case."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fundoscope.service.store.models import Base


class LabelReview(Base):
    """A review of the labels that an audit doubts."""

    __tablename__ = "label_reviews"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    """What the review is called in addresses."""
    name: Mapped[str] = mapped_column(String(100), unique=True)
    readers: Mapped[int] = mapped_column(Integer)
    """Readers that each photograph needs."""
    manifests: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """Of each manifest: its name, the SHA-256 of the file itself (`original`), and the suffix and SHA-256 of the copy
    of its values, which lies in the folder of manifests under that hash."""
    refused: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """Rows that were doubted and could not be taken: number of the manifest, row, image and why."""
    created: Mapped[str] = mapped_column(String(32))
    creator: Mapped[str] = mapped_column(String(100))


class LabelPhotograph(Base):
    """A photograph of a review; its bytes lie in the folder of photographs under their hash."""

    __tablename__ = "label_photographs"
    __table_args__ = (
        UniqueConstraint("review_id", "sha256", name="one_photograph_a_review"),
        UniqueConstraint("review_id", "number", name="one_number_a_review"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    review_id: Mapped[int] = mapped_column(ForeignKey("label_reviews.id"), index=True)
    number: Mapped[int] = mapped_column(Integer)
    """Its place in the review, from 1, the most doubtful first."""
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    suspicion: Mapped[str] = mapped_column(String(40))
    """One of `audit.doubts.SUSPICIONS`."""
    reasons: Mapped[list[str]] = mapped_column(JSON)
    rows: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """Rows of the manifests that list it: number of the manifest, row, image and grade (null: none)."""


class LabelReading(Base):
    """A reader's own grade of a photograph, given without the label; never changed."""

    __tablename__ = "label_readings"
    __table_args__ = (UniqueConstraint("photograph_id", "user_id", name="one_reading_a_reader"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    photograph_id: Mapped[int] = mapped_column(ForeignKey("label_photographs.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    grade: Mapped[int | None] = mapped_column(Integer)
    """None: the reader cannot grade it."""
    created: Mapped[str] = mapped_column(String(32))


class LabelVerdict(Base):
    """What the same reader says of the label, once it was shown; never changed."""

    __tablename__ = "label_verdicts"
    id: Mapped[int] = mapped_column(primary_key=True)
    reading_id: Mapped[int] = mapped_column(ForeignKey("label_readings.id"), unique=True)
    verdict: Mapped[str] = mapped_column(String(20))
    """keep, correct or cannot grade."""
    grade: Mapped[int | None] = mapped_column(Integer)
    """The grade that the photograph should have; None: it cannot be graded."""
    note: Mapped[str | None] = mapped_column(Text)
    created: Mapped[str] = mapped_column(String(32))
