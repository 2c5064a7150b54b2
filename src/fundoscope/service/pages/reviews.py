"""Pages of label reviews: a photograph is graded without its label first, then the label is shown and judged.

Neither a photograph's file name nor its label, nor what a model answered, is in anything that a reader is sent before
they have graded it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from fundoscope.errors import BadRequest, UnreadablePhotograph
from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.api.cases import Uid
from fundoscope.service.pages.render import render_page
from fundoscope.service.pages.review_views import labels_words, overview, progress_of
from fundoscope.service.pages.views import CHOICES
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.review_models import LabelPhotograph, LabelReview
from fundoscope.service.store.reviews import (
    add_label_reading,
    add_verdict,
    all_reviews,
    find_photograph_of_review,
    find_review,
    labels_of,
    next_photograph,
    own_judgement,
    photographs_of_review,
)
from fundoscope.service.store.studies.study import hidden_words, hiding_study
from fundoscope.service.work.pictures import view
from fundoscope.service.work.review_exports import export_review, table_bytes, table_names

PLACE: Final = "/reviews"

KINDS: Final = {".csv": "text/csv; charset=utf-8", ".jsonl": "application/jsonl"}
"""Media types of tables; others are sent as bytes."""

router = APIRouter(prefix=PLACE, include_in_schema=False)

Reader = Annotated[Account, Depends(Requires(Role.read))]
Administrator = Annotated[Account, Depends(Requires(Role.administer))]
Number = Annotated[int, Path(ge=1, le=1_000_000)]
Message = Annotated[str, Query(max_length=400)]


@router.get("")
def reviews(parts: Parts, account: Reader) -> HTMLResponse:
    """Show all reviews, and how far they are."""
    with parts.database.reading() as session:
        lines = [progress_of(session, review, account) for review in all_reviews(session)]
    return render_page("reviews.html.jinja", account, place=PLACE, lines=lines)


@router.get("/{review}")
def show_review(review: Uid, parts: Parts, account: Reader) -> HTMLResponse:
    """Show a review: to a reader what they did themselves, to who administers the service all of it."""
    is_administrator = Role(account.role).includes(Role.administer)
    with parts.database.reading() as session:
        shown = overview(session, _review(session, review), account, is_administrator=is_administrator)
        tables = table_names(session, _review(session, review)) if is_administrator else []
    return render_page(
        "review.html.jinja",
        account,
        place=PLACE,
        review=shown,
        tables={name: quote(name) for name in tables},
        is_administrator=is_administrator,
    )


@router.get("/{review}/next")
def go_on(review: Uid, parts: Parts, account: Reader) -> Response:
    """Go to the photograph that the reader does next, or back to the review where nothing is left."""
    with parts.database.reading() as session:
        number = next_photograph(session, _review(session, review), account.user_id)
    return RedirectResponse(_address(review, number), status_code=303)


@router.get("/{review}/photographs/{number}")
def show_photograph(review: Uid, number: Number, parts: Parts, account: Reader, message: Message = "") -> HTMLResponse:
    """Show a photograph: without its label until the reader has graded it."""
    with parts.database.reading() as session:
        of_review = _review(session, review)
        photograph = _photograph(session, of_review, number, account)
        own = own_judgement(session, photograph, account.user_id)
        count = len(photographs_of_review(session, of_review))
    shown: dict[str, Any] = {
        "review": of_review.name,
        "uid": review,
        "number": number,
        "count": count,
        "choices": CHOICES,
    }
    if own is None:
        return render_page("review_blind.html.jinja", account, message=message, place=PLACE, **shown)
    labels = labels_of(photograph)
    return render_page(
        "review_label.html.jinja",
        account,
        message=message,
        place=PLACE,
        **shown,
        own=_choice(own.reading.grade),
        labels=[_choice(label) for label in labels],
        label_words=labels_words(labels),
        images=[row["image"] for row in photograph.rows],
        suspicion=photograph.suspicion,
        reasons=photograph.reasons,
        verdict=None if own.verdict is None else _choice(own.verdict.grade),
        note=None if own.verdict is None else own.verdict.note,
    )


@router.get("/{review}/photographs/{number}/picture.jpg")
def picture(review: Uid, number: Number, parts: Parts, account: Reader) -> Response:
    """Send a photograph of a review as every browser shows it; its address says nothing of it."""
    with parts.database.reading() as session:
        sha256 = _photograph(session, _review(session, review), number, account).sha256
    try:
        data = view(parts.files.path(sha256))
    except UnreadablePhotograph:
        raise HTTPException(404, f"{sha256}: expected a picture, got a file without one. Add the review again.") from (
            None
        )
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


@router.post("/{review}/photographs/{number}/grade")
async def keep_grade(review: Uid, number: Number, request: Request, parts: Parts, account: Reader) -> Response:
    """Keep the grade that a reader gives without the label, and show the label."""
    values = await _values(request)
    return await run_in_threadpool(_keep_grade, parts, account, (review, number), values)


@router.post("/{review}/photographs/{number}/verdict")
async def keep_verdict(review: Uid, number: Number, request: Request, parts: Parts, account: Reader) -> Response:
    """Keep what a reader says of the label, and go to the next photograph."""
    values = await _values(request)
    return await run_in_threadpool(_keep_verdict, parts, account, (review, number), values)


@router.get("/{review}/tables/{name}")
def table(review: Uid, name: Annotated[str, Path(max_length=300)], parts: Parts, account: Administrator) -> Response:
    """Send a table of a review, made when it is asked for."""
    with parts.database.reading() as session:
        tables = export_review(session, _review(session, review), parts.settings)
    wanted = next((one for one in tables if one.name == name), None)
    if wanted is None:
        raise HTTPException(404, f"{name!r:.80}: expected a table of the review, there is none of this name. Open it.")
    data = table_bytes(wanted, parts.settings.incoming)
    with parts.database.writing() as session:
        append_entry(session, account.name, "label review exported", review, rows=len(wanted.frame))
    kind = KINDS.get(f".{name.rpartition('.')[2]}", "application/octet-stream")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(data, media_type=kind, headers=headers)


async def _values(request: Request) -> dict[str, str]:
    form = await request.form(max_files=0, max_fields=6)
    # PostgreSQL keeps no text with a zero byte.
    return {name: str(value).replace("\0", "") for name, value in form.items()}


def _keep_grade(parts: Service, account: Account, place: tuple[str, int], values: dict[str, str]) -> Response:
    """Keep a grade; the answer leads back to the photograph, with what is wrong with it."""
    with parts.database.writing() as session:
        review = _review(session, place[0])
        photograph = _photograph(session, review, place[1], account)
        try:
            add_label_reading(session, review, photograph, account, _grade(values))
        except BadRequest as problem:
            return RedirectResponse(_address(*place, message=str(problem)), status_code=303)
    return RedirectResponse(_address(*place), status_code=303)


def _keep_verdict(parts: Service, account: Account, place: tuple[str, int], values: dict[str, str]) -> Response:
    """Keep a verdict; the answer leads to the next photograph, or back with what is wrong with it."""
    with parts.database.writing() as session:
        review = _review(session, place[0])
        photograph = _photograph(session, review, place[1], account)
        try:
            add_verdict(session, review, photograph, account, _grade(values), values.get("note"))
        except BadRequest as problem:
            return RedirectResponse(_address(*place, message=str(problem)), status_code=303)
    return RedirectResponse(f"{PLACE}/{place[0]}/next", status_code=303)


def _grade(values: dict[str, str]) -> int | None:
    """Return the grade of a form.

    Raises:
        BadRequest: If none of the choices was made.
    """
    value = values.get("grade", "")
    if value not in CHOICES:
        raise BadRequest(f"grade: expected one of {', '.join(CHOICES.values())}, got none. Choose one.")
    return None if value == "none" else int(value)


def _choice(grade: int | None) -> str:
    return "none" if grade is None else str(grade)


def _address(review: str, number: int | None, *, message: str = "") -> str:
    """Return the address of a photograph of a review, or of the review."""
    place = f"{PLACE}/{review}" if number is None else f"{PLACE}/{review}/photographs/{number}"
    return f"{place}?{urlencode({'message': message})}" if message else place


def _review(session: Session, uid: str) -> LabelReview:
    review = find_review(session, uid)
    if review is None:
        raise HTTPException(404, f"review {uid}: expected one that is there, got another. See /reviews.")
    return review


def _photograph(session: Session, review: LabelReview, number: int, account: Account) -> LabelPhotograph:
    photograph = find_photograph_of_review(session, review, number)
    if photograph is None:
        raise HTTPException(404, f"photograph {number}: expected one of the review, there is none. Open the review.")
    study = hiding_study(session, account.user_id, sha256=photograph.sha256)
    if study is not None:
        raise HTTPException(403, hidden_words(f"photograph {number}", study))
    return photograph
