"""Routes of the reading room: pages for people, with little script of our own and none from elsewhere."""

from __future__ import annotations

import csv
import io
from itertools import islice
from typing import Annotated, Final
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from fundoscope.errors import BadRequest, UnreadablePhotograph
from fundoscope.runtime.output.html import figures
from fundoscope.service.access.identity import LOGIN, PUBLIC, Requires
from fundoscope.service.access.login import delete_cookie, log_in, set_cookie
from fundoscope.service.access.roles import Role
from fundoscope.service.api.cases import Uid
from fundoscope.service.api.photographs import Hash, read_overlay
from fundoscope.service.pages.readings_table import COLUMNS, reading_rows
from fundoscope.service.pages.render import FOLDER, render_page
from fundoscope.service.pages.views import CHOICES, NOT_STATED, STATES, case_line, case_view
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account, end_session
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.cases import find_case, search_cases
from fundoscope.service.store.models import Case
from fundoscope.service.store.photographs import find_photograph
from fundoscope.service.store.readings import EyeGrade, add_reading
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.study import count_hidden_unread, hidden_numbers
from fundoscope.service.work.pictures import view

LATEST: Final = 200
"""Rows of readings that a page shows."""

KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

STATIC: Final = {path.name: path for path in (FOLDER / "static").iterdir() if path.suffix in KINDS}
"""Styles and scripts, by the only names under which they are served."""

router = APIRouter(include_in_schema=False)

Reader = Annotated[Account, Depends(Requires(Role.read))]


@router.get("/static/{name}", dependencies=[Depends(PUBLIC)])
def static(name: str) -> Response:
    """Send a style sheet, a script or the icon."""
    path = STATIC.get(name)
    if path is None:
        raise HTTPException(404)
    return Response(path.read_bytes(), media_type=KINDS[path.suffix], headers={"Cache-Control": "max-age=3600"})


@router.get(LOGIN, dependencies=[Depends(PUBLIC)])
def loginrender_page() -> HTMLResponse:
    """Show the form to log in."""
    return render_page("login.html.jinja")


@router.post(LOGIN, dependencies=[Depends(PUBLIC)])
async def login(request: Request, parts: Parts) -> Response:
    """Log in. A page of another site may not: it would let somebody work, unawares, in the account of another."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise HTTPException(
            403, "login: expected a form of this service, got one of another site. Open the login page."
        )
    form = await request.form(max_files=0, max_fields=4)
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    address = "" if request.client is None else request.client.host
    minutes = parts.settings.session_minutes
    try:
        begun = await run_in_threadpool(
            log_in,
            parts.database,
            parts.throttle,
            name,
            password,
            address=address,
            minutes=minutes,
        )
    except HTTPException as problem:
        page = render_page("login.html.jinja", message=problem.detail, status=problem.status_code)
        page.headers.update(problem.headers or {})
        return page
    response = RedirectResponse("/", status_code=303)
    set_cookie(response, begun, parts.settings)
    return response


@router.post("/logout")
def logout(parts: Parts, account: Annotated[Account, Depends(Requires(Role.submit))]) -> Response:
    """End the session."""
    if account.session is not None:
        with parts.database.writing() as session:
            end_session(session, account)
    response = RedirectResponse(LOGIN, status_code=303)
    delete_cookie(response, parts.settings)
    return response


@router.get("/")
def worklist(
    parts: Parts,
    account: Reader,
    query: Annotated[str, Query(max_length=100)] = "",
    state: str = "all",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> HTMLResponse:
    """Show the cases, the most urgent first, and where photographs are dropped."""
    state = state if state in STATES else "all"
    with parts.database.reading() as session:
        result = search_cases(
            session, query=query, state=None if state == "all" else state, page=page, hidden_from=account.user_id
        )
        hides_answers = is_shadow(session)
        lines = [case_line(case, hides_answers=hides_answers) for case in result.cases]
        hidden = len(hidden_numbers(session, account.user_id))
        hidden_unread = count_hidden_unread(session, account.user_id)
    return render_page(
        "worklist.html.jinja",
        account,
        place="/",
        cases=lines,
        total=result.total,
        hidden=hidden,
        hidden_unread=hidden_unread,
        page=page,
        pages=result.pages,
        query=query,
        state=state,
        states=STATES,
        search=urlencode({"query": query, "state": state}),
        hides_answers=hides_answers,
        may_submit=Role(account.role).includes(Role.submit),
    )


@router.get("/cases/{case}")
def show_case(
    case: Uid, parts: Parts, account: Reader, message: Annotated[str, Query(max_length=400)] = ""
) -> HTMLResponse:
    """Show a case: both eyes, the answer, and the readings that the reader may see."""
    with parts.database.reading() as session:
        found = find_case(session, case)
        if found is None:
            words = "There is no such case. It may be of another service."
            return render_page("error.html.jinja", account, status=404, title="No such case", words=words)
        shown = case_view(session, found, parts.grader.opened, account)
    # Who looked at whose photographs, and saw which answer.
    with parts.database.writing() as session:
        release = None if shown.hides_answers else shown.release
        append_entry(session, account.name, "case shown", case, release=release)
    return render_page(
        "case.html.jinja",
        account,
        message=message,
        case=shown,
        line=shown.line,
        choices=CHOICES,
        has_grades=parts.grader.opened.task.name == "dr-grade",
        heatmap_words=parts.grader.opened.heatmap_state[1],
    )


@router.post("/cases/{case}/readings")
async def keep_reading(case: Uid, request: Request, parts: Parts, account: Reader) -> Response:
    """Keep a reading, and go back to the case."""
    form = await request.form(max_files=0, max_fields=12)
    values = {name: str(value) for name, value in form.items()}
    problem = await run_in_threadpool(_keep, parts, account, case, values)
    return RedirectResponse(f"/cases/{case}{'?' + urlencode({'message': problem}) if problem else ''}", status_code=303)


def _keep(parts: Service, account: Account, uid: str, values: dict[str, str]) -> str:
    """Keep a reading; return what is wrong with it, or nothing."""
    with parts.database.reading() as session:
        case = _case(session, uid)
        if values.get("release", "") != (case.release or ""):
            return "The case was answered again since the page was loaded. Look at it again."
    grades = []
    for name, value in values.items():
        if name.startswith("grade_") and value in CHOICES:
            eye = name.removeprefix("grade_")
            grade = None if value == "none" else int(value)
            reason = values.get("reason", "").strip() or None
            grades.append(EyeGrade(eye=None if eye == NOT_STATED else eye, grade=grade, reason=reason))
    try:
        with parts.database.writing() as session:
            case = _case(session, uid)
            add_reading(session, case, account, values.get("role", ""), grades, shown=not is_shadow(session))
    except BadRequest as problem:
        return str(problem)
    return ""


@router.get("/pictures/{sha256}.jpg")
def picture(sha256: Hash, parts: Parts, _account: Reader) -> Response:
    """Send a photograph as every browser shows it."""
    with parts.database.reading() as session:
        if find_photograph(session, sha256) is None:
            raise HTTPException(404)
    try:
        data = view(parts.files.path(sha256))
    except UnreadablePhotograph:
        raise HTTPException(404, f"{sha256}: expected a picture, got a file without one. Send it again.") from None
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


@router.get("/pictures/{sha256}/heatmap.png")
def heatmap(sha256: Hash, parts: Parts, account: Reader) -> Response:
    """Send the heatmap that is laid over a photograph."""
    return read_overlay(sha256, parts, account)


@router.get("/readings")
def readings(parts: Parts, account: Reader) -> HTMLResponse:
    """Show the latest readings, and where the table of all is."""
    with parts.database.reading() as session:
        rows = list(islice(reading_rows(session, account, latest_first=True), LATEST + 1))
        hidden = len(hidden_numbers(session, account.user_id))
    latest, has_more = rows[:LATEST], len(rows) > LATEST
    return render_page("readings.html.jinja", account, place="/readings", rows=latest, has_more=has_more, hidden=hidden)


@router.get("/readings.csv")
def readings_table(parts: Parts, account: Reader) -> Response:
    """Send the readings that the reader may see as a manifest, one row for each photograph of an eye that was read."""
    text, count = io.StringIO(), 0
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    with parts.database.reading() as session:
        for row in reading_rows(session, account):
            writer.writerow(row)
            count += 1
    with parts.database.writing() as session:
        append_entry(session, account.name, "readings exported", "readings.csv", rows=count)
    headers = {"Content-Disposition": 'attachment; filename="readings.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/release")
def release_card(parts: Parts, account: Reader) -> HTMLResponse:
    """Show what the release says of itself."""
    opened = parts.grader.opened
    return render_page(
        "release.html.jinja",
        account,
        place="/release",
        release=opened.release,
        digest=opened.digest,
        heatmap_words=opened.heatmap_state[1],
        figures=list(figures(opened.release.evaluation)),
    )


def _case(session: Session, uid: str) -> Case:
    case = find_case(session, uid)
    if case is None:
        raise HTTPException(404, f"case {uid}: expected one that is there, got another. See the worklist.")
    return case
