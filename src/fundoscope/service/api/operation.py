"""Running the service: health, readiness, metrics, releases, and sessions of browsers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy import func, select
from starlette.responses import JSONResponse

from fundoscope.service.access.identity import PUBLIC, Requires
from fundoscope.service.access.login import delete_cookie, log_in, set_cookie
from fundoscope.service.access.roles import Role
from fundoscope.service.api.metrics import metrics_text
from fundoscope.service.api.schemas import AccountAnswer, Health, LoginSent, Ready, ReleaseAnswer, ReleaseList, faults
from fundoscope.service.state import Parts
from fundoscope.service.store.accounts import Account, end_session
from fundoscope.service.store.models import Answer, ReleaseSeen
from fundoscope.service.store.photographs import count_by_state
from fundoscope.service.store.shadow import is_shadow

router = APIRouter(tags=["operation"])

Anyone = Annotated[Account, Depends(Requires(Role.submit))]
FAULTS = faults(401, 403)


@router.get("/health", dependencies=[Depends(PUBLIC)])
def health() -> Health:
    """Say that the process lives. Needs no token."""
    return Health(status="ok")


@router.get("/ready", responses={**FAULTS, 503: {"model": Ready}})
def ready(parts: Parts, _account: Anyone) -> Response:
    """Say whether photographs are answered: 200, or 503 while the service starts, stops or has lost a worker."""
    with parts.database.reading() as session:
        session.execute(select(1))
    is_ready = parts.work.is_running
    document = Ready(ready=is_ready, release=parts.grader.opened.name, waiting=parts.work.queue.depth)
    return JSONResponse(document.model_dump(), status_code=200 if is_ready else 503)


@router.get("/metrics", response_class=PlainTextResponse, responses=FAULTS)
def metrics(parts: Parts, _account: Anyone) -> PlainTextResponse:
    """Return figures in Prometheus's text format. They name no patient and no photograph."""
    with parts.database.reading() as session:
        counts, hides_answers = count_by_state(session), is_shadow(session)
    text = metrics_text(parts.work, counts, hides_answers=hides_answers)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/api/releases", responses=FAULTS)
def releases(parts: Parts, _account: Annotated[Account, Depends(Requires(Role.read))]) -> ReleaseList:
    """List the releases that answers were made with, and the present one."""
    with parts.database.reading() as session:
        query = select(Answer.release, func.count()).group_by(Answer.release)
        counts = {name: count for name, count in session.execute(query)}
        rows = list(session.execute(select(ReleaseSeen).order_by(ReleaseSeen.id)).scalars())
    current = parts.grader.opened.name
    return ReleaseList(
        releases=[
            ReleaseAnswer(
                name=row.name,
                digest=row.digest,
                task=row.task,
                first_used=row.first_used,
                current=row.name == current,
                answers=counts.get(row.name, 0),
            )
            for row in rows
        ]
    )


@router.post(
    "/api/session",
    dependencies=[Depends(PUBLIC)],
    responses={200: {"model": AccountAnswer}, **faults(400, 401, 422, 429)},
)
def begin(sent: LoginSent, request: Request, parts: Parts) -> Response:
    """Log in by name and password; the answer sets the session's cookie."""
    address = "" if request.client is None else request.client.host
    minutes = parts.settings.session_minutes
    login = log_in(parts.database, parts.throttle, sent.name, sent.password, address=address, minutes=minutes)
    response = JSONResponse(AccountAnswer(name=login.name, role=login.role, csrf=login.csrf).model_dump())
    set_cookie(response, login, parts.settings)
    return response


@router.get("/api/account", responses=FAULTS)
def account(account: Anyone) -> AccountAnswer:
    """Say who sends the request."""
    return AccountAnswer(name=account.name, role=account.role, csrf=account.csrf)


@router.post("/api/account/log-out", status_code=204, responses=FAULTS)
def end(parts: Parts, account: Anyone) -> Response:
    """End the session that the request comes with; of a token nothing ends."""
    response = Response(status_code=204)
    if account.session is not None:
        with parts.database.writing() as session:
            end_session(session, account)
        delete_cookie(response, parts.settings)
    return response
