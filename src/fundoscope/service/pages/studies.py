"""Routes of reader studies for who administers the service: made, watched, closed; and their results."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Annotated, Final
from urllib.parse import urlencode

import pandas as pd
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from fundoscope.errors import BadRequest
from fundoscope.evaluation.subgroups import FEW_CASES
from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.access.shadow import refuse_in_shadow
from fundoscope.service.pages.render import render_page
from fundoscope.service.pages.study_form import EMPTY, STATES, StudyForm, plan_of, possible_readers, read_form
from fundoscope.service.pages.study_views import (
    STAGE_NAMES,
    design_words,
    progress_words,
    reader_lines,
    reference_words,
    study_line,
)
from fundoscope.service.pages.views import STATES as STATE_NAMES
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account, find_user
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.models import Study
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.sittings import progress_of
from fundoscope.service.store.studies.study import (
    WITH_ANSWER,
    all_studies,
    cases_of,
    close_study,
    create_study,
    enrol_reader,
    find_study,
    is_reader,
    readers_of,
    unread_cases,
)
from fundoscope.service.work.studies.counts import (
    GRADE_COLUMNS,
    changes_of,
    completeness_of,
    durations_of,
    grade_rows,
)
from fundoscope.service.work.studies.figures import figures_of
from fundoscope.service.work.studies.observations import observations_of
from fundoscope.tables.formulas import neutralised

PLACE: Final = "/studies"

StudyUid = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Identifier of the study.")]
Message = Annotated[str, Query(max_length=1000)]
Reader = Annotated[Account, Depends(Requires(Role.read))]
Administrator = Annotated[Account, Depends(Requires(Role.administer))]

router = APIRouter(include_in_schema=False, prefix=PLACE)


def administers(account: Account) -> bool:
    """Return whether an account administers the service."""
    return Role(account.role) is Role.administer


def study_of(session: Session, uid: str, account: Account) -> Study:
    """Return a study that an account administers or reads in.

    Raises:
        HTTPException: 404 if there is none.
    """
    study = find_study(session, uid)
    if study is None or not (administers(account) or is_reader(session, study, account.user_id)):
        raise HTTPException(404, f"study {uid}: expected one that you read in, got another. See {PLACE}.")
    return study


@router.get("")
def studies(parts: Parts, account: Reader) -> HTMLResponse:
    """Show the studies that a reader reads in, or, to who administers the service, all."""
    user_id = None if administers(account) else account.user_id
    with parts.database.reading() as session:
        lines = [study_line(session, study, user_id) for study in all_studies(session, user_id=user_id)]
    return render_page("studies.html.jinja", account, place=PLACE, studies=lines, administers=administers(account))


@router.get("/new")
def new(parts: Parts, account: Administrator) -> HTMLResponse:
    """Show the form in which a study is made."""
    return _form(parts, account, EMPTY)


def _form(parts: Service, account: Account, form: StudyForm, *, message: str = "", status: int = 200) -> HTMLResponse:
    with parts.database.reading() as session:
        readers = [user.name for user in possible_readers(session)]
    return render_page(
        "study_new.html.jinja",
        account,
        place=PLACE,
        message=message,
        status=status,
        form=form,
        readers=readers,
        states={state: STATE_NAMES[state] for state in STATES},
        release=parts.grader.opened.name,
        heatmap=parts.grader.opened.heatmap_state,
    )


@router.post("")
async def create(request: Request, parts: Parts, account: Administrator) -> Response:
    """Make a study, or show the form again with what is wrong in it."""
    form = read_form(await request.form(max_files=0))
    return await run_in_threadpool(_create, parts, account, form)


def _create(parts: Service, account: Account, form: StudyForm) -> Response:
    try:
        with parts.database.writing() as session:
            plan, left_out = plan_of(session, form, parts.grader.opened)
            if plan.with_answer and is_shadow(session):
                raise BadRequest(
                    "stages: expected one stage in shadow mode, in which no answer is shown, got two. Clear that box."
                )
            study = create_study(session, plan, account)
    except BadRequest as problem:
        return _form(parts, account, form, message=str(problem), status=422)
    return RedirectResponse(f"{PLACE}/{study.uid}?{urlencode({'left_out': left_out})}", status_code=303)


@router.get("/{study}")
def show(
    study: StudyUid,
    parts: Parts,
    account: Reader,
    message: Message = "",
    left_out: Annotated[int, Query(ge=0, le=10**6)] = 0,
) -> HTMLResponse:
    """Show a study: to a reader what is to be done, to who administers it how far its readers are."""
    with parts.database.reading() as session:
        record = study_of(session, study, account)
        design = design_words(session, record)
        if administers(account):
            readers = reader_lines(session, record)
            names = {reader.name for reader in readers}
            return render_page(
                "study.html.jinja",
                account,
                message=message,
                place=PLACE,
                study=record,
                design=design,
                readers=readers,
                others=[user.name for user in possible_readers(session) if user.name not in names],
                references=reference_words(cases_of(session, record)),
                left_out=left_out,
                unread=unread_cases(session, record),
            )
        progress = progress_of(session, record, account.user_id)
    return render_page(
        "study_start.html.jinja",
        account,
        message=message,
        place=PLACE,
        study=record,
        design=design,
        words=progress_words(record, progress),
        may_grade=record.closed is None and progress.case is not None,
        begun=progress.done > 0 or progress.stage == WITH_ANSWER,
    )


@router.post("/{study}/readers")
async def enrol(study: StudyUid, request: Request, parts: Parts, account: Administrator) -> Response:
    """Make an account a reader of a study."""
    name = str((await request.form(max_files=0)).get("reader", "")).replace("\0", "")

    def change(session: Session, record: Study) -> None:
        enrol_reader(session, record, find_user(session, name), account)

    return await run_in_threadpool(_changed, parts, account, study, change)


@router.post("/{study}/close")
async def close(study: StudyUid, request: Request, parts: Parts, account: Administrator) -> Response:
    """Close a study, once the box is ticked."""
    is_confirmed = bool((await request.form(max_files=0)).get("confirm"))

    def change(session: Session, record: Study) -> None:
        if not is_confirmed:
            raise BadRequest("close: expected the box to be ticked: a closed study is not opened again. Tick it.")
        close_study(session, record, account)

    return await run_in_threadpool(_changed, parts, account, study, change)


def _changed(parts: Service, account: Account, uid: str, change: Callable[[Session, Study], None]) -> Response:
    """Change a study, and go back to its page, which says what was wrong."""
    query = ""
    try:
        with parts.database.writing() as session:
            change(session, study_of(session, uid, account))
    except BadRequest as problem:
        query = f"?{urlencode({'message': str(problem)})}"
    return RedirectResponse(f"{PLACE}/{uid}{query}", status_code=303)


def with_result(session: Session, uid: str, account: Account) -> Study:
    """Return a study whose result an account may see: who administers it, and its readers once it is closed.

    Nobody sees one in shadow mode: it compares the readers with the release.

    Raises:
        HTTPException: 404 as `study_of`, 403 while it is open, 409 in shadow mode.
    """
    study = study_of(session, uid, account)
    if study.closed is None and not administers(account):
        raise HTTPException(403, f"study {study.name}: expected a closed study, got an open one. Wait until it closes.")
    refuse_in_shadow(session, f"study {study.name}")
    return study


@router.get("/{study}/result")
def result(study: StudyUid, parts: Parts, account: Reader) -> HTMLResponse:
    """Show the result of a study; each look is kept in the log, because looks before the end may bias a study."""
    with parts.database.reading() as session:
        record = with_result(session, study, account)
        observations = observations_of(session, record)
        durations = list(durations_of(session, record, observations))
        readers = [(user.name, reader.opened_before) for reader, user in readers_of(session, record)]
        design, references = design_words(session, record), reference_words(cases_of(session, record))
    with parts.database.writing() as session:
        append_entry(session, account.name, "study result shown", study, open=record.closed is None)
    return render_page(
        "study_result.html.jinja",
        account,
        place=PLACE,
        study=record,
        design=design,
        references=references,
        readers=readers,
        patients=len(set(observations.patients.tolist())),
        eyes=len(observations.eyes),
        figures=figures_of(study, observations),
        completeness=list(completeness_of(observations)),
        changes=list(changes_of(observations)),
        durations=durations,
        stages=STAGE_NAMES,
        few=FEW_CASES,
    )


@router.get("/{study}/grades.csv")
def grades_table(study: StudyUid, parts: Parts, account: Reader) -> Response:
    """Send all grades of a study as a table."""
    with parts.database.reading() as session:
        record = with_result(session, study, account)
        frame = pd.DataFrame(grade_rows(session, record), columns=list(GRADE_COLUMNS))
    with parts.database.writing() as session:
        append_entry(session, account.name, "study grades exported", study, rows=len(frame), open=record.closed is None)
    columns = {name: neutralised(frame[name], numbers=True).tolist() for name in frame}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    headers = {"Content-Disposition": 'attachment; filename="grades.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
