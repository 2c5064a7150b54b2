"""Tables of the service's database.

Times are ISO 8601 in UTC as text, so that SQLite and PostgreSQL sort and return them alike. Nothing here is named by
what a request says: photographs are found by the SHA-256 of their bytes, cases by random identifiers.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlalchemy import JSON, Boolean, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ACCEPTED: Final = "accepted"
ANSWERED: Final = "answered"
FAILED: Final = "failed"
STATES: Final = (ACCEPTED, ANSWERED, FAILED)
"""States of a photograph: it waits for its answer; it has one; it has one that says that grading failed."""

PENDING: Final = "pending"
UNREAD: Final = "unread"
READ: Final = "read"
AGREED: Final = "agreed"
DISAGREED: Final = "disagreed"
ADJUDICATED: Final = "adjudicated"
CASE_STATES: Final = (PENDING, UNREAD, READ, DISAGREED, AGREED, ADJUDICATED)
"""States of a case: photographs wait for answers; nobody has read it; read once; read twice, grades differ or agree;
decided by a third reader."""


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: JSON, list[str]: JSON}


class User(Base):
    """A person or a device with an account."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    password: Mapped[str | None] = mapped_column(Text)
    """Argon2 hash; None: it cannot log in, only use tokens."""
    created: Mapped[str] = mapped_column(String(32))
    disabled: Mapped[bool] = mapped_column(Boolean, server_default="0", default=False)


class Token(Base):
    """A secret that programs send with each request; only its SHA-256 is kept."""

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    label: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[str] = mapped_column(String(32))
    revoked: Mapped[str | None] = mapped_column(String(32))


class LoginSession(Base):
    """A browser in which a user logged in; only the SHA-256 of its cookie is kept."""

    __tablename__ = "sessions"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created: Mapped[str] = mapped_column(String(32))
    expires: Mapped[str] = mapped_column(String(32))
    revoked: Mapped[str | None] = mapped_column(String(32))


class Case(Base):
    """An examination: one patient's photographs of one study, or of one day. One of an unknown patient has one."""

    __tablename__ = "cases"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    """What the case is called in addresses; random, so that none can be guessed."""
    key: Mapped[str] = mapped_column(String(64), unique=True)
    """Hash of patient, source and examination, or of the one photograph."""
    patient: Mapped[str | None] = mapped_column(Text, index=True)
    source: Mapped[str | None] = mapped_column(Text)
    """In which institution `patient` is a name."""
    study_uid: Mapped[str | None] = mapped_column(Text, index=True)
    day: Mapped[str | None] = mapped_column(String(10), index=True)
    """Day of the examination, or that of the first photograph's arrival where no photograph says when it was taken."""
    state: Mapped[str] = mapped_column(String(20), server_default=PENDING, default=PENDING, index=True)
    decision: Mapped[str | None] = mapped_column(String(60))
    """The patient's decision; None while photographs wait for answers."""
    urgency: Mapped[int] = mapped_column(Integer, server_default="0", default=0, index=True)
    """Rank among cases, the most urgent lowest; cases that wait come before those that nobody need act on."""
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The patient's answer (`service.work.answers`); None while photographs wait."""
    release: Mapped[str | None] = mapped_column(String(200))
    """The release that the answer is of."""
    shadow: Mapped[bool] = mapped_column(Boolean, server_default="0", default=False)
    """Whether the answer was made in shadow mode, in which it is shown to nobody and sent nowhere."""
    created: Mapped[str] = mapped_column(String(32))
    changed: Mapped[str] = mapped_column(String(32))


class Photograph(Base):
    """An accepted photograph; its bytes lie in the folder of photographs under their hash."""

    __tablename__ = "photographs"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    """What the sender called the file: data, never a path."""
    size: Mapped[int] = mapped_column(Integer)
    """Bytes."""
    kind: Mapped[str] = mapped_column(String(20))
    """JPEG, PNG, DICOM, ... by its first bytes."""
    source: Mapped[str | None] = mapped_column(Text)
    patient: Mapped[str | None] = mapped_column(Text)
    patient_raw: Mapped[str | None] = mapped_column(Text)
    eye: Mapped[str | None] = mapped_column(String(5))
    taken: Mapped[str | None] = mapped_column(String(32))
    study_uid: Mapped[str | None] = mapped_column(Text)
    series_uid: Mapped[str | None] = mapped_column(Text)
    sop_uid: Mapped[str | None] = mapped_column(Text)
    accession: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20), server_default=ACCEPTED, default=ACCEPTED, index=True)
    received: Mapped[str] = mapped_column(String(32))
    sender: Mapped[str] = mapped_column(String(100))
    """User who submitted it."""


class Answer(Base):
    """What a release answered to a photograph; at most one for each pair of them, which is never changed."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("photograph_id", "release", name="one_answer_a_release"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    photograph_id: Mapped[int] = mapped_column(ForeignKey("photographs.id"), index=True)
    release: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20))
    """graded, ungradable or unreadable."""
    decision: Mapped[str] = mapped_column(String(60))
    row: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Row of the predictions table (`Reading.row`), null for blank."""
    seconds: Mapped[float] = mapped_column()
    """How long grading took."""
    created: Mapped[str] = mapped_column(String(32))


class ReleaseSeen(Base):
    """A release that answers were made with."""

    __tablename__ = "releases"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    """Id and the first digits of the hash, as the column `release` of predictions has it."""
    digest: Mapped[str] = mapped_column(String(64))
    task: Mapped[str] = mapped_column(String(40))
    first_used: Mapped[str] = mapped_column(String(32))


class EyeReading(Base):
    """A person's grade of one eye of a case; never changed: a later one of the same reader counts instead."""

    __tablename__ = "readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    role: Mapped[str] = mapped_column(String(20))
    """first, second or adjudication."""
    eye: Mapped[str | None] = mapped_column(String(5))
    grade: Mapped[int | None] = mapped_column(Integer)
    """None: the reader could not grade the eye."""
    label: Mapped[str | None] = mapped_column(String(100))
    """The reader's answer where the release's task has no grades."""
    agrees: Mapped[bool | None] = mapped_column(Boolean)
    """Whether it is the answer that was shown; None where none was shown."""
    reason: Mapped[str | None] = mapped_column(Text)
    shown: Mapped[bool] = mapped_column(Boolean, server_default="0", default=False)
    """Whether the reader saw the answer before grading."""
    release: Mapped[str | None] = mapped_column(String(200))
    """The release whose answer was shown, or was hidden."""
    photographs: Mapped[list[str]] = mapped_column(JSON)
    """SHA-256 of the photographs that the case had when it was read."""
    created: Mapped[str] = mapped_column(String(32))


class Delivery(Base):
    """The reports on a case on their way to an archive; one for each set of photographs and release (`key`)."""

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("case_id", "destination", "key", name="one_delivery"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    destination: Mapped[str] = mapped_column(String(300))
    """AE title, host and port."""
    key: Mapped[str] = mapped_column(String(64))
    """Hash of the release and of the photographs that it answered."""
    case_changed: Mapped[str] = mapped_column(String(32))
    """`Case.changed` when the delivery was last compared with its case."""
    state: Mapped[str] = mapped_column(String(20), index=True)
    """waiting, sent, refused (no report can be made of the case) or superseded (more photographs came before it was
    made)."""
    attempts: Mapped[int] = mapped_column(Integer, server_default="0", default=0)
    """Attempts at sending that failed."""
    due: Mapped[str] = mapped_column(String(32), index=True)
    """When the next attempt is made."""
    fault: Mapped[str | None] = mapped_column(Text)
    """Why the last attempt failed, or no report can be made."""
    created: Mapped[str] = mapped_column(String(32))
    changed: Mapped[str] = mapped_column(String(32))


class Study(Base):
    """A reader study: cases that several readers grade before they see the answer, each in an order of their own."""

    __tablename__ = "studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    release: Mapped[str] = mapped_column(String(200))
    """The release whose answers the readers are compared with."""
    with_answer: Mapped[bool] = mapped_column(Boolean)
    """Whether each case is graded a second time, with the answer, after it was graded without."""
    heatmap: Mapped[bool] = mapped_column(Boolean)
    """Whether the heatmap belongs to the answer that is shown; the service then has to run this release."""
    sittings: Mapped[int] = mapped_column(Integer)
    """How often each reader grades every case."""
    washout_days: Mapped[int] = mapped_column(Integer)
    """Days from a reader's last case of one sitting to the first of the next, at least."""
    created: Mapped[str] = mapped_column(String(32))
    closed: Mapped[str | None] = mapped_column(String(32))
    """None: readers still grade."""


class StudyCase(Base):
    """A case of a study as it was when the study was made: what becomes of the case later changes nothing here."""

    __tablename__ = "study_cases"
    __table_args__ = (UniqueConstraint("study_id", "case_id", name="one_case_a_study"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(32), unique=True)
    """What the case is called in the study's addresses, which do not lead to the case itself."""
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    cluster: Mapped[str] = mapped_column(String(64))
    """Hash that the cases of one patient share; intervals resample patients."""
    photographs: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """Hash, eye and answer of each photograph (`work.studies.cases`)."""
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The answer for the patient, as `Case.answer` was."""
    references: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Reference grade by eye, of the eyes that have one."""


class StudyReader(Base):
    """A reader of a study."""

    __tablename__ = "study_readers"
    __table_args__ = (UniqueConstraint("study_id", "user_id", name="one_enrolment"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    opened_before: Mapped[int] = mapped_column(Integer)
    """Cases of the study that the reader had opened or read, and whose answer they may remember, when enrolled."""
    enrolled: Mapped[str] = mapped_column(String(32))


class StudyView(Base):
    """A moment at which a reader was shown a case of a study."""

    __tablename__ = "study_views"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_case_id: Mapped[int] = mapped_column(ForeignKey("study_cases.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    sitting: Mapped[int] = mapped_column(Integer)
    stage: Mapped[str] = mapped_column(String(20))
    moment: Mapped[str] = mapped_column(String(32))


class StudyGrade(Base):
    """A reader's grade of an eye in one sitting and stage of a study; never changed, and the database refuses it."""

    __tablename__ = "study_grades"
    __table_args__ = (UniqueConstraint("study_case_id", "user_id", "sitting", "stage", "eye", name="one_study_grade"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_case_id: Mapped[int] = mapped_column(ForeignKey("study_cases.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    sitting: Mapped[int] = mapped_column(Integer)
    """From 1."""
    stage: Mapped[str] = mapped_column(String(20))
    """alone or with answer."""
    eye: Mapped[str] = mapped_column(String(7))
    """left, right or unknown."""
    grade: Mapped[int | None] = mapped_column(Integer)
    """None: the reader could not grade the eye."""
    place: Mapped[int] = mapped_column(Integer)
    """Place of the case in the reader's order, from 1."""
    views: Mapped[int] = mapped_column(Integer)
    """How often the case was shown until it was graded; more than once where the reader went away in between."""
    seconds: Mapped[float] = mapped_column()
    """From when the case was first shown until it was graded."""
    created: Mapped[str] = mapped_column(String(32))


class LogEntry(Base):
    """A line of the audit log: it holds the hash of the line before it, and is never changed (`store.audit_log`)."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(primary_key=True)
    """Counts from 1 without a gap."""
    moment: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(Text)
    """A hash, a case's identifier or an account: never a patient's name."""
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
