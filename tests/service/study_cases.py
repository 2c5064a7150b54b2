"""Cases and readers of studies, put into a database without a release that answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy.orm import Session

from fundoscope.grades import REFERABLE
from fundoscope.service.store.accounts import Account, add_user
from fundoscope.service.store.models import Case, Study
from fundoscope.service.store.photographs import Facts, add_photograph, case_of
from fundoscope.service.store.studies.study import CaseContent, StudyPlan, create_study, find_study

RELEASE = "tiny@1"
BOSS = Account(user_id=0, name="boss", role="administer")


def add_account(session: Session, name: str, role: str = "read") -> Account:
    """Add a user and return the account."""
    user = add_user(session, name, role, None, actor="test")
    session.flush()
    return Account(user_id=user.id, name=name, role=role)


def eye_answer(eye: str | None, grade: int | None) -> dict:
    """Return a release's answer for an eye, as `Case.answer` has it."""
    decision = "cannot grade" if grade is None else "refer" if grade >= REFERABLE else "rescreen"
    tone = {"cannot grade": "unknown", "refer": "alert", "rescreen": "clear"}[decision]
    return {"eye": eye, "decision": decision, "tone": tone, "labels": None, "columns": {"grade": grade}}


def add_case(session: Session, patient: str, answers: Mapping[str | None, int | None], *, state: str = "read") -> Case:
    """Add an answered case with a photograph of each eye."""
    for eye in answers:
        sha256 = hashlib.sha256(f"{patient} {eye}".encode()).hexdigest()
        name = f"{patient}_{eye}.jpg"
        facts = Facts(sha256=sha256, name=name, size=1, kind="JPEG", patient=patient, eye=eye, taken="2026-01-01")
        case = case_of(session, add_photograph(session, facts, sender="test"))
    eyes = [eye_answer(eye, grade) for eye, grade in answers.items()]
    case.answer = {"eyes": eyes, "decision": eyes[0]["decision"]}
    case.state, case.release = state, RELEASE
    session.flush()
    return case


def content_of(case: Case, patient: str, references: Mapping[str, int] | None = None) -> CaseContent:
    """Return what a study keeps of a case that `add_case` added."""
    assert case.answer is not None
    eyes = [answer["eye"] for answer in case.answer["eyes"]]
    photographs = [
        {
            "sha256": hashlib.sha256(f"{patient} {eye}".encode()).hexdigest(),
            "name": f"{patient}_{eye}.jpg",
            "eye": eye,
            "has_picture": True,
            "heatmap": False,
            "presentation": None,
        }
        for eye in eyes
    ]
    return CaseContent(
        case=case, cluster=patient, photographs=photographs, answer=dict(case.answer), references=references or {}
    )


def add_study(session: Session, *readers: str, cases: int = 3, name: str = "Trial", **design: object) -> Study:
    """Add a study of cases with two eyes, and its readers; return it."""
    contents = [
        content_of(add_case(session, f"P{number}", {"left": number % 5, "right": None}), f"P{number}")
        for number in range(cases)
    ]
    users = [add_user(session, reader, "read", None, actor="test") for reader in readers]
    session.flush()
    plan = StudyPlan(name=name, release=RELEASE, cases=contents, readers=users, **design)
    uid = create_study(session, plan, BOSS).uid
    session.flush()
    study = find_study(session, uid)
    assert study is not None
    return study
