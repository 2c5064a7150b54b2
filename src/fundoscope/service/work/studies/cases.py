"""The cases of a study: chosen among the answered ones, and kept with their photographs and answers as they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.decide.referral import decide_eye
from fundoscope.errors import BadRequest
from fundoscope.grades import CANNOT_GRADE_REFER, GRADES, REFER
from fundoscope.runtime.release import OpenRelease
from fundoscope.service.store.cases import search_cases
from fundoscope.service.store.models import PENDING, UNREAD, Answer, Case, Photograph, StudyCase
from fundoscope.service.store.photographs import answers_of, photographs_of
from fundoscope.service.store.studies.sittings import NOT_STATED
from fundoscope.service.store.studies.study import CaseContent

MOST_CASES: Final = 2000
"""Cases of one study."""

NAMED: Final = 10
"""Faults that a sentence names; the others are counted."""

FITTING_TASK: Final = "dr-grade"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which cases a study is to have."""

    lines: tuple[str, ...] = ()
    """Identifiers of cases, hashes of photographs, or patients' identifiers; empty: those of the search."""
    query: str = ""
    """As of the worklist's search."""
    state: str | None = None
    most: int | None = None
    """A random sample of so many of the cases that the search gives; None: all."""
    with_unread: bool = False
    """Whether cases that nobody has read may be among them, although their readers then cannot read them outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The cases of a choice."""

    cases: tuple[Case, ...]
    left_out: int
    """Cases that fit the search and have no answer of the present release."""


def choose_cases(session: Session, choice: Choice, release: str) -> Selection:
    """Return the cases of a choice.

    Args:
        session: Of the database.
        choice: Which cases.
        release: The present release, which has to have answered them.

    Raises:
        BadRequest: If a line fits no case that is answered, there are too many, or somebody has yet to read one.
    """
    if choice.lines:
        selection = Selection(cases=tuple(_listed(session, choice.lines, release)), left_out=0)
    else:
        selection = _searched(session, choice, release)
    if len(selection.cases) > MOST_CASES:
        raise BadRequest(f"cases: expected at most {MOST_CASES}, got {len(selection.cases)}. Choose fewer.")
    unread = [case for case in selection.cases if case.state == UNREAD]
    if unread and not choice.with_unread:
        raise BadRequest(
            f"cases: expected cases that somebody has read, got {len(unread)} that nobody has, whose patients would "
            "wait while the study hides them from its readers. Read them first, choose others, or allow unread cases."
        )
    return selection


def _searched(session: Session, choice: Choice, release: str) -> Selection:
    page = search_cases(session, query=choice.query, state=choice.state, size=MOST_CASES + 1)
    usable = [case for case in page.cases if _is_usable(case, release)]
    left_out = page.total - len(usable) if page.total <= MOST_CASES else 0
    if choice.most is not None and choice.most < len(usable):
        # Case identifiers are random, so that their order is a random one.
        usable = sorted(usable, key=lambda case: hashlib.sha256(case.uid.encode()).digest())[: choice.most]
    return Selection(cases=tuple(usable), left_out=left_out)


def _is_usable(case: Case, release: str) -> bool:
    return case.state != PENDING and case.answer is not None and case.release == release


def _listed(session: Session, lines: Sequence[str], release: str) -> Iterable[Case]:
    """Return the cases that lines name, each once.

    Raises:
        BadRequest: If a line names none, or one without an answer of the release; all such lines are named.
    """
    if len(lines) > MOST_CASES:
        raise BadRequest(f"cases: expected at most {MOST_CASES} lines, got {len(lines)}. Choose fewer.")
    cases: dict[int, Case] = {}
    faults: list[str] = []
    for line in lines:
        fitting = _named(session, line)
        if not fitting:
            faults.append(f"{line!r:.80}: no case, photograph or patient of this name")
        for case in fitting:
            if _is_usable(case, release):
                cases[case.id] = case
            else:
                faults.append(f"{line!r:.80}: not answered by {release}")
    if faults:
        raise BadRequest(f"cases: expected lines that each name answered cases, got {listing(faults)}. Correct them.")
    return cases.values()


def _named(session: Session, line: str) -> list[Case]:
    by_photograph = select(Photograph.case_id).where(Photograph.sha256 == line.lower())
    query = select(Case).where((Case.uid == line.lower()) | (Case.patient == line) | Case.id.in_(by_photograph))
    return list(session.execute(query.order_by(Case.id)).scalars())


def listing(faults: Sequence[str]) -> str:
    """Return faults in one sentence: the first of them, and how many more there are."""
    more = len(faults) - NAMED
    return "; ".join(faults[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def contents_of(session: Session, cases: Sequence[Case], opened: OpenRelease) -> list[CaseContent]:
    """Return what a study keeps of cases, without reference grades.

    Raises:
        BadRequest: If the release does not grade retinopathy: readers of a study give grades.
    """
    if opened.task.name != FITTING_TASK:
        raise BadRequest(
            f"release: expected one that grades retinopathy, got {opened.name}, of the task {opened.task.name}. Make "
            "studies in a service that grades it."
        )
    return [_content(session, case, opened) for case in cases]


def _content(session: Session, case: Case, opened: OpenRelease) -> CaseContent:
    assert case.answer is not None
    photographs = photographs_of(session, case)
    answers = answers_of(session, photographs, opened.name)
    return CaseContent(
        case=case,
        cluster=_cluster(case),
        photographs=[_photograph(photograph, answers[photograph.id], opened) for photograph in photographs],
        answer=dict(case.answer),
        references={},
    )


def _cluster(case: Case) -> str:
    """Return a hash that all cases of a patient share; a case of nobody known stands for itself."""
    patient = ["case", case.uid] if case.patient is None else ["patient", case.source, case.patient]
    return hashlib.sha256(json.dumps(patient).encode()).hexdigest()


def _photograph(photograph: Photograph, answer: Answer, opened: OpenRelease) -> dict[str, Any]:
    """Return a photograph and its answer as the study shows them, as JSON."""
    row = answer.row
    has_picture = row["status"] != "unreadable"
    presentation = opened.answerer.present(row) if has_picture else None
    shown = None if presentation is None else asdict(presentation)
    if shown is not None and presentation is not None:
        bars = zip(shown["bars"], presentation.bars, strict=True)
        shown["bars"] = [values | {"words": bar.words} for values, bar in bars]
    return {
        "sha256": photograph.sha256,
        "name": photograph.name,
        "eye": photograph.eye,
        "has_picture": has_picture,
        "heatmap": answer.status == "graded" and opened.shows_heatmap(answer.decision),
        "decision": answer.decision,
        # A reason may begin with the file's name, in which a patient's may stand.
        "reason": str(row["reason"] or "").removeprefix(f"{photograph.name}: "),
        "quality": row["quality"],
        "presentation": shown,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeAnswer:
    """The release's answer for an eye of a study."""

    grade: int | None
    """None: it could not grade the eye."""
    decision: str

    @property
    def referred(self) -> bool:
        """Whether the eye is referred by the answer; one that could not be graded is, to be on the safe side."""
        return self.decision in (REFER, CANNOT_GRADE_REFER) or self.grade is None


def release_answer(case: StudyCase, eye: str) -> EyeAnswer:
    """Return the release's answer for an eye of a study's case, as it was when the study was made."""
    answers = [answer for answer in case.answer["eyes"] if (answer["eye"] or NOT_STATED) == eye]
    grades = [
        answer["columns"]["grade"]
        for answer in answers
        if answer["tone"] != "unknown" and answer["columns"]["grade"] is not None
    ]
    return EyeAnswer(
        grade=max(grades, default=None), decision=decide_eye([str(answer["decision"]) for answer in answers])
    )


def with_references(contents: Sequence[CaseContent], references: Mapping[tuple[str, str], int]) -> list[CaseContent]:
    """Return contents with the reference grades of their eyes.

    Args:
        contents: Of cases.
        references: Grade, 0 to 4, by the case's identifier and the eye (`references.read_references`).
    """
    assert all(grade in range(GRADES) for grade in references.values())
    return [
        CaseContent(
            case=content.case,
            cluster=content.cluster,
            photographs=content.photographs,
            answer=content.answer,
            references={eye: grade for (uid, eye), grade in references.items() if uid == content.case.uid},
        )
        for content in contents
    ]
