"""Routes by which readers grade the cases of a study: one at a time, without the answer, then perhaps with it.

Addresses name a case by its identifier in the study, and a photograph by its number in the case: neither leads to the
case or the photograph outside the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from fundoscope.errors import BadRequest, UnreadablePhotograph
from fundoscope.service.pages.render import render_page
from fundoscope.service.pages.studies import PLACE, Message, Reader, StudyUid, study_of
from fundoscope.service.pages.study_views import STAGE_NAMES, EyeView, eye_views, progress_words
from fundoscope.service.pages.views import CHOICES
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.models import Study
from fundoscope.service.store.photographs import answers_of, find_photograph
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.sittings import Progress, add_grades, add_view, progress_of
from fundoscope.service.store.studies.study import WITH_ANSWER, is_reader
from fundoscope.service.work.pictures import overlay, view

LARGEST_NUMBER: Final = 10_000
FIELD: Final = "grade_"
"""Begins the name of a form's field with the grade of an eye."""

ItemUid = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Identifier of a case in a study.")]
Number = Annotated[int, Path(ge=0, le=LARGEST_NUMBER, description="Number of a photograph in the case, from 0.")]

router = APIRouter(include_in_schema=False, prefix=PLACE)


@router.get("/{study}/case")
def show_case(study: StudyUid, parts: Parts, account: Reader, message: Message = "") -> Response:
    """Show the case that is to be graded now; the time that it takes counts from here."""
    with parts.database.writing() as session:
        record, progress = _current(session, study, account)
        if record.closed is not None or progress.case is None:
            return RedirectResponse(f"{PLACE}/{study}", status_code=303)
        obstacle = _obstacle(session, parts, record, progress)
        if obstacle:
            return RedirectResponse(f"{PLACE}/{study}?{urlencode({'message': obstacle})}", status_code=303)
        eyes = eye_views(session, record, progress, account.user_id)
        add_view(session, progress, account)
        append_entry(
            session,
            account.name,
            "study case shown",
            study,
            case=progress.case.uid,
            sitting=progress.sitting,
            stage=progress.stage,
        )
    return _page(account, record, progress, eyes, message)


def _page(account: Account, record: Study, progress: Progress, eyes: Sequence[EyeView], message: str) -> HTMLResponse:
    assert progress.case is not None
    return render_page(
        "study_case.html.jinja",
        account,
        message=message,
        place=PLACE,
        study=record,
        item=progress.case.uid,
        progress=progress,
        words=progress_words(record, progress),
        stage=STAGE_NAMES[progress.stage],
        with_answer=progress.stage == WITH_ANSWER,
        eyes=eyes,
        choices=CHOICES,
    )


def _current(session: Session, uid: str, account: Account) -> tuple[Study, Progress]:
    """Return a study that an account reads in, and where it stands.

    Raises:
        HTTPException: 404 if there is no such study.
    """
    study = study_of(session, uid, account)
    if not is_reader(session, study, account.user_id):
        raise HTTPException(404, f"study {study.name}: expected one of its readers, got {account.name}. See {PLACE}.")
    return study, progress_of(session, study, account.user_id)


def _obstacle(session: Session, parts: Service, study: Study, progress: Progress) -> str:
    """Return why a case cannot be graded now, or nothing.

    In shadow mode no answer is shown, and heatmaps are those of the study's release only.
    """
    if progress.stage == WITH_ANSWER and is_shadow(session):
        return (
            f"study {study.name}: expected a service that shows its answers, got one in shadow mode. Go on with this "
            "case when shadow mode is over."
        )
    if progress.stage == WITH_ANSWER and study.heatmap and parts.grader.opened.name != study.release:
        return (
            f"study {study.name}: expected the service to run {study.release}, whose heatmaps the study shows, got "
            f"{parts.grader.opened.name}. Ask whoever runs the service to start it with that release."
        )
    return ""


@router.post("/{study}/case")
async def keep_grades(study: StudyUid, request: Request, parts: Parts, account: Reader) -> Response:
    """Keep the grades of a case, and go on to what is to be graded next."""
    form = await request.form(max_files=0, max_fields=12)
    values = {name: str(value) for name, value in form.items()}
    problem = await run_in_threadpool(_keep, parts, account, study, values)
    query = f"?{urlencode({'message': problem})}" if problem else ""
    return RedirectResponse(f"{PLACE}/{study}/case{query}", status_code=303)


def _keep(parts: Service, account: Account, uid: str, values: dict[str, str]) -> str:
    """Keep grades; return what is wrong with them, or nothing."""
    grades = {
        name.removeprefix(FIELD): None if value == "none" else int(value)
        for name, value in values.items()
        if name.startswith(FIELD) and value in CHOICES
    }
    sitting = values.get("sitting", "")
    shown = (values.get("case", ""), int(sitting) if sitting in map(str, range(1, 100)) else 0, values.get("stage", ""))
    try:
        with parts.database.writing() as session:
            study, progress = _current(session, uid, account)
            obstacle = _obstacle(session, parts, study, progress)
            if obstacle:
                return obstacle
            add_grades(session, study, account, shown, grades)
    except BadRequest as problem:
        return str(problem)
    return ""


@router.get("/{study}/pictures/{item}/{number}.jpg")
def picture(study: StudyUid, item: ItemUid, number: Number, parts: Parts, account: Reader) -> Response:
    """Send a photograph of the case that is to be graded now."""
    with parts.database.reading() as session:
        sha256 = _photograph(session, study, item, number, account)
    try:
        data = view(parts.files.path(sha256))
    except UnreadablePhotograph:
        raise HTTPException(404, "photograph: expected a picture, got a file without one. Grade without it.") from None
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


@router.get("/{study}/heatmaps/{item}/{number}.png")
def heatmap(study: StudyUid, item: ItemUid, number: Number, parts: Parts, account: Reader) -> Response:
    """Send the heatmap of a photograph of the case that is to be graded now, with the answer."""
    with parts.database.reading() as session:
        record, progress = _current(session, study, account)
        sha256 = _photograph(session, study, item, number, account)
        is_shown = record.heatmap and progress.stage == WITH_ANSWER and not _obstacle(session, parts, record, progress)
        photograph = find_photograph(session, sha256)
        answer = None if photograph is None else answers_of(session, [photograph], record.release).get(photograph.id)
        if not is_shown or answer is None:
            raise HTTPException(403, "heatmap: expected a case that was graded without the answer, got another.")
    return Response(overlay(parts.grader, parts.files.path(sha256), answer.row), media_type="image/png")


def _photograph(session: Session, uid: str, item: str, number: int, account: Account) -> str:
    """Return the hash of a photograph of the case that a reader is to grade now.

    Raises:
        HTTPException: 404 if it is of no such case.
    """
    study, progress = _current(session, uid, account)
    case = progress.case if study.closed is None else None
    if case is None or case.uid != item or number >= len(case.photographs):
        raise HTTPException(404, "photograph: expected one of the case to be graded now, got another. Load the page.")
    return str(case.photographs[number]["sha256"])
