"""What the pages show of cases: answers, photographs and readings, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.grades import SHORT_GRADE_NAMES
from fundoscope.runtime.language.texts import IN_ENGLISH
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Presentation
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.models import (
    ADJUDICATED,
    AGREED,
    DISAGREED,
    PENDING,
    READ,
    UNREAD,
    Answer,
    Case,
    EyeReading,
    Photograph,
    User,
)
from fundoscope.service.store.photographs import answers_of, photographs_of
from fundoscope.service.store.readings import (
    ADJUDICATION,
    FIRST,
    SECOND,
    possible_roles,
    readings_of,
    sees_readings,
)
from fundoscope.service.store.releases import is_answered_otherwise
from fundoscope.service.store.shadow import is_shadow

SYMBOLS: Final[Mapping[str, str]] = MappingProxyType({"alert": "▲", "clear": "●", "unknown": "◆", "waiting": "…"})
"""Beside each decision, so that none is known by its colour alone."""

STATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "all": "all cases",
        UNREAD: "read by nobody",
        READ: "read once",
        DISAGREED: "readers differ",
        AGREED: "readers agree",
        ADJUDICATED: "decided by a third reader",
        PENDING: "waiting for answers",
    }
)
"""States of cases, as the worklist offers them."""

ROLE_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {FIRST: "first reader", SECOND: "second reader", ADJUDICATION: "deciding between the readers"}
)

NO_GRADE: Final = "cannot grade"
CHOICES: Final[Mapping[str, str]] = MappingProxyType(
    {str(grade): f"{grade} {name}" for grade, name in enumerate(SHORT_GRADE_NAMES)} | {"none": NO_GRADE}
)
"""Grades that a reader may choose, by the form's values."""

HIDDEN_WORDS: Final = "answer not shown"
"""In place of a decision, in shadow mode."""

NOT_STATED: Final = "unknown"
"""The key of an eye that is not known, in forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """A case in the worklist."""

    id: str
    patient: str | None
    day: str | None
    decision: str
    tone: str
    urgent: bool
    next_step: str
    eyes: str
    notes: tuple[str, ...]
    read_by: str


def case_line(case: Case, *, hides_answers: bool = False) -> CaseLine:
    """Return a case as the worklist shows it; in shadow mode without its answer."""
    answer = case.answer
    if hides_answers:
        eyes = () if answer is None else [IN_ENGLISH.eye("eye.short", eye["eye"]) for eye in answer["eyes"]]
        return CaseLine(
            id=case.uid,
            patient=case.patient,
            day=case.day,
            decision="waiting" if answer is None else HIDDEN_WORDS,
            tone="waiting",
            urgent=False,
            next_step="",
            eyes="; ".join(eyes),
            notes=(),
            read_by=STATES[case.state],
        )
    return CaseLine(
        id=case.uid,
        patient=case.patient,
        day=case.day,
        decision="waiting" if answer is None else answer["decision"],
        tone="waiting" if answer is None else answer["tone"],
        urgent=bool(answer and answer["urgent"]),
        next_step="" if answer is None else answer["next_step_words"],
        eyes="" if answer is None else "; ".join(_eye_words(eye) for eye in answer["eyes"]),
        notes=() if answer is None else tuple(answer["notes"]),
        read_by=STATES[case.state],
    )


def _eye_words(eye: Mapping[str, Any]) -> str:
    name = IN_ENGLISH.eye("eye.short", eye["eye"])
    grade = eye["columns"].get("grade")
    answered = eye["tone"] != "unknown" and grade is not None
    return f"{name}: {f'grade {grade}' if answered else eye['decision']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographView:
    """A photograph on the page of its case."""

    sha256: str
    name: str
    has_picture: bool
    heatmap: bool
    presentation: Presentation | None
    """None while it waits."""
    reason: str
    advice: tuple[str, ...]
    quality: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeView:
    """An eye on the page of its case."""

    key: str
    """left, right or `NOT_STATED`: the name of its field in the form."""
    title: str
    photographs: tuple[PhotographView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingView:
    """A reading as the page lists it."""

    reader: str
    role: str
    when: str
    words: str
    reason: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """The page of a case."""

    line: CaseLine
    day_words: str
    """When it was examined, or, where no photograph says so, received."""
    state: str
    release: str | None
    eyes: tuple[EyeView, ...]
    readings: tuple[ReadingView, ...]
    hidden_readings: int
    """Readings of others, which are shown once the second reader has read the case too."""
    roles: Mapping[str, str]
    """Roles in which the reader may read the case."""
    fields: tuple[EyeView, ...]
    """Eyes that a reading grades."""
    hides_answers: bool
    """Whether the page shows no answer, because the service runs in shadow mode."""
    earlier: bool
    """Whether the answer is of a release that is no longer active."""
    answered_otherwise: bool
    """Whether the active release would give another answer."""


def case_view(session: Session, case: Case, opened: OpenRelease, account: Account) -> CaseView:
    """Return what the page of a case shows to a reader.

    The second reading is independent of the first: another's reading is shown only to who has read the case, and to who
    decides between the two.
    """
    photographs = photographs_of(session, case)
    hides_answers, release = is_shadow(session), case.release or opened.name
    answers = answers_of(session, photographs, release)
    if hides_answers:
        eyes = _eyes_without_answers(photographs, answers)
    else:
        eyes = _eyes(photographs, answers, opened if release == opened.name else None)
    roles = possible_roles(session, case, account.user_id)
    readings = readings_of(session, case)
    visible = readings if sees_readings(session, case, account) else [
        reading for reading in readings if reading.user_id == account.user_id
    ]  # fmt: skip
    return CaseView(
        line=case_line(case, hides_answers=hides_answers),
        day_words=_day_words(case, photographs),
        state=case.state,
        release=case.release,
        eyes=eyes,
        readings=_readings(session, visible, hides_answers=hides_answers),
        hidden_readings=len({reading.created for reading in readings}) - len({reading.created for reading in visible}),
        roles={role: ROLE_NAMES[role] for role in roles},
        fields=() if not roles else tuple(eye for eye in eyes if eye.photographs),
        hides_answers=hides_answers,
        earlier=release != opened.name and not hides_answers,
        answered_otherwise=not hides_answers and is_answered_otherwise(session, case, opened.name),
    )


def _day_words(case: Case, photographs: Sequence[Photograph]) -> str:
    if any(photograph.taken for photograph in photographs):
        return f"Examined: {case.day}."
    return f"Received: {case.day}; when it was examined is not stated."


def _eyes(
    photographs: Sequence[Photograph], answers: Mapping[int, Answer], opened: OpenRelease | None
) -> tuple[EyeView, ...]:
    return _by_eye(
        (photograph, _photograph(photograph, answers.get(photograph.id), opened)) for photograph in photographs
    )


def _eyes_without_answers(photographs: Sequence[Photograph], answers: Mapping[int, Answer]) -> tuple[EyeView, ...]:
    """Return the photographs alone, and why one of them cannot be read."""
    return _by_eye((photograph, _unanswered(photograph, answers.get(photograph.id))) for photograph in photographs)


def _by_eye(views_of: Iterable[tuple[Photograph, PhotographView]]) -> tuple[EyeView, ...]:
    groups: dict[str | None, list[PhotographView]] = {"right": [], "left": []}
    for photograph, view in views_of:
        groups.setdefault(photograph.eye, []).append(view)
    return tuple(
        EyeView(key=eye or NOT_STATED, title=IN_ENGLISH.eye("eye", eye), photographs=tuple(views))
        for eye, views in groups.items()
    )


def _unanswered(photograph: Photograph, answer: Answer | None) -> PhotographView:
    is_unreadable = answer is not None and answer.status == "unreadable"
    return PhotographView(
        sha256=photograph.sha256,
        name=photograph.name,
        has_picture=not is_unreadable,
        heatmap=False,
        presentation=None,
        reason=str(answer.row["reason"] or "") if answer is not None and is_unreadable else "",
        advice=(),
        quality=None,
    )


def _photograph(photograph: Photograph, answer: Answer | None, opened: OpenRelease | None) -> PhotographView:
    """Return a photograph with its answer.

    Args:
        photograph: The photograph.
        answer: None while it waits.
        opened: The release that answered; None: another one, by whose thresholds nothing can be drawn any more.
    """
    row = None if answer is None else answer.row
    is_read = row is not None and row["status"] != "unreadable"
    return PhotographView(
        sha256=photograph.sha256,
        name=photograph.name,
        has_picture=row is None or is_read,
        heatmap=bool(opened and answer and answer.status == "graded" and opened.shows_heatmap(answer.decision)),
        presentation=_presentation(row, opened) if row is not None and is_read else None,
        reason="" if row is None else str(row["reason"] or ""),
        advice=() if row is None else tuple(row.get("advice", ())),
        quality=None if row is None else row["quality"],
    )


def _presentation(row: Mapping[str, Any], opened: OpenRelease | None) -> Presentation:
    if opened is not None:
        return opened.answerer.present(row)
    grade = row.get("grade")
    words = row["decision"] if grade is None else f"{row['decision']}, grade {grade} {SHORT_GRADE_NAMES[grade]}"
    return Presentation(heading=words[:1].upper() + words[1:], brief=words)


def _readings(session: Session, readings: Sequence[EyeReading], *, hides_answers: bool) -> tuple[ReadingView, ...]:
    """Join the eyes of each reading: those that were kept at one moment by one reader."""
    names = {user.id: user.name for user in session.execute(select(User)).scalars()}
    groups: dict[tuple[int, str, str], list[EyeReading]] = {}
    for reading in readings:
        groups.setdefault((reading.user_id, reading.role, reading.created), []).append(reading)
    return tuple(
        ReadingView(
            reader=names[user],
            role=ROLE_NAMES[role],
            when=created.replace("T", " ")[:16] + " UTC",
            words="; ".join(f"{IN_ENGLISH.eye('eye.short', eye.eye)}: {reading_words(eye)}" for eye in eyes) + ".",
            reason=" ".join(dict.fromkeys(eye.reason for eye in eyes if eye.reason)),
            seen=_seen(eyes, hides_answers=hides_answers),
        )
        for (user, role, created), eyes in groups.items()
    )


def reading_words(reading: EyeReading) -> str:
    """Return a reader's answer for an eye."""
    if reading.label is not None:
        return reading.label
    return NO_GRADE if reading.grade is None else f"{reading.grade} {SHORT_GRADE_NAMES[reading.grade]}"


def _seen(eyes: Sequence[EyeReading], *, hides_answers: bool) -> str:
    if not eyes[0].shown:
        return f"Without seeing the answer of {eyes[0].release}."
    if hides_answers or eyes[0].agrees is None:
        return f"After the answer of {eyes[0].release} could be seen."
    agrees = [eye.agrees for eye in eyes]
    words = "Agrees with" if all(agrees) else "Overrules" if not any(agrees) else "Overrules for one eye"
    return f"{words} the answer of {eyes[0].release}."
