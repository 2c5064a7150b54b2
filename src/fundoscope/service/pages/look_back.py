"""The page of look-backs: the cases whose answer another release changes, for people to read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.access.shadow import refuse_in_shadow
from fundoscope.service.pages.render import render_page
from fundoscope.service.state import Parts
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import now
from fundoscope.service.store.models import Case
from fundoscope.service.store.release_models import ChangedCase, LookBack
from fundoscope.service.store.releases import activation_by, active_release, changes_of, count_left, finished_look_backs
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.studies.study import hidden_numbers
from fundoscope.service.work.change_table import AGREEMENT_WORDS, change_rows, summary_of, write_changes

PLACE: Final = "/look-back"

SHOWN: Final = 100
"""Cases on one page."""

router = APIRouter(prefix=PLACE, include_in_schema=False)

Administrator = Annotated[Account, Depends(Requires(Role.administer))]
Number = Annotated[int, Query(ge=1, le=1_000_000)]
LookBackNumber = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
Change = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("")
def look_back(parts: Parts, account: Administrator, page: Number = 1, number: LookBackNumber = None) -> HTMLResponse:
    """Show what a look-back found, the latest where none is named; in shadow mode nothing, because it shows answers."""
    with parts.database.reading() as session:
        active, hides_answers = active_release(session), is_shadow(session)
        all_of_them = [] if hides_answers else finished_look_backs(session)
        chosen = _chosen(all_of_them, number)
        changes, left_out = ([], 0) if chosen is None else _visible(session, chosen, account)
        activation = None if chosen is None else activation_by(session, chosen)
        others = [
            (other, None if activation_by(session, other) is None else count_left(session, other))
            for other in all_of_them
            if other is not chosen
        ]
    shown = changes[(page - 1) * SHOWN : page * SHOWN]
    return render_page(
        "look_back.html.jinja",
        account,
        place=PLACE,
        hides_answers=hides_answers,
        active=active,
        look_back=chosen,
        activation=activation,
        others=others,
        summary=None if chosen is None else summary_of(chosen, changes),
        left_out=left_out,
        names=AGREEMENT_WORDS,
        changes=list(zip(shown, change_rows(shown), strict=True)),
        page=page,
        pages=max(1, -(-len(changes) // SHOWN)),
    )


@router.get("/changes.csv")
def table(parts: Parts, account: Administrator, number: LookBackNumber = None) -> Response:
    """Send all changes of a look-back as a table. 404 where there is none, 409 in shadow mode."""
    with parts.database.reading() as session:
        refuse_in_shadow(session, "look-back")
        chosen = _chosen(finished_look_backs(session), number)
        if chosen is None:
            sentence = "look-back: expected a finished one, there is none. Run: fundoscope service look-back"
            raise HTTPException(404, sentence)
        rows = change_rows(_visible(session, chosen, account)[0])
    with parts.database.writing() as session:
        append_entry(session, account.name, "look-back exported", chosen.release, look_back=chosen.id, rows=len(rows))
    with TemporaryDirectory() as folder:
        path = FilePath(folder) / "changes.csv"
        write_changes(rows, path)
        content = path.read_bytes()
    headers = {"Content-Disposition": 'attachment; filename="changes.csv"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/{change}/done")
def mark_done(change: Change, parts: Parts, account: Administrator) -> Response:
    """Note that a case was dealt with, and go back to the list. It is noted once, with who and when."""
    with parts.database.writing() as session:
        refuse_in_shadow(session, "look-back")
        kept = session.get(ChangedCase, change)
        if kept is None:
            raise HTTPException(404, f"change {change}: expected one that is there, got another. See /look-back.")
        if kept.done is None:
            kept.done, kept.done_by = now(), account.name
            case = session.get_one(Case, kept.case_id)
            append_entry(session, account.name, "changed case dealt with", case.uid, look_back=kept.look_back_id)
        number = kept.look_back_id
    return RedirectResponse(f"{PLACE}?number={number}", status_code=303)


def _chosen(look_backs: Sequence[LookBack], number: int | None) -> LookBack | None:
    """Return the look-back of a number, the latest where none is named; None where there is none.

    Raises:
        HTTPException: 404 if there are others only.
    """
    if number is None:
        return look_backs[0] if look_backs else None
    for one in look_backs:
        if one.id == number:
            return one
    raise HTTPException(404, f"look-back {number}: expected a finished one, got another. See /look-back.")


def _visible(session: Session, chosen: LookBack, account: Account) -> tuple[list[tuple[ChangedCase, Case]], int]:
    """Return the changes that an account may see, and how many it may not: those in studies that it reads in."""
    hidden, changes = hidden_numbers(session, account.user_id), changes_of(session, chosen)
    visible = [(change, case) for change, case in changes if case.id not in hidden]
    return visible, len(changes) - len(visible)
