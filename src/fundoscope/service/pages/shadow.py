"""The page of shadow mode: how far it has come, and, once the plan is reached, how readers and release agree."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse

from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.pages.render import render_page
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.work.releases import kept_release
from fundoscope.service.work.shadow import PREDICTIONS, READINGS, enough_tables, shadow_progress
from fundoscope.service.work.shadow_words import commission_command, count_words, decision_counts, figure_words

PLACE: Final = "/shadow"

router = APIRouter(prefix=PLACE, include_in_schema=False)

Administrator = Annotated[Account, Depends(Requires(Role.administer))]


@router.get("")
def shadow(parts: Parts, account: Administrator) -> HTMLResponse:
    """Show how many of the planned patients were read, and figures only once all are; each look is logged."""
    progress = shadow_progress(parts.database, actor=account.name)
    if progress is None:
        return render_page("shadow.html.jinja", account, place=PLACE, progress=None)
    release = kept_release(parts.settings.folder, progress.period.release)
    return render_page(
        "shadow.html.jinja",
        account,
        place=PLACE,
        progress=progress,
        has_grades=parts.grader.opened.task.name == "dr-grade",
        counts=count_words(progress),
        figures=figure_words(progress),
        decisions=decision_counts(progress),
        command=commission_command(progress, release=release),
        share=min(progress.referable, progress.period.planned),
    )


@router.get(f"/{READINGS}")
def readings(parts: Parts, account: Administrator) -> Response:
    """Send the readings as a manifest for `fundoscope commission`. 422 before the plan is reached."""
    return _table(parts, account, READINGS)


@router.get(f"/{PREDICTIONS}")
def predictions(parts: Parts, account: Administrator) -> Response:
    """Send the release's answers as a table of predictions. 422 before the plan is reached."""
    return _table(parts, account, PREDICTIONS)


def _table(parts: Service, account: Account, name: str) -> Response:
    progress = enough_tables(parts.database, actor=account.name)
    with TemporaryDirectory() as folder:
        progress.tables.write(Path(folder))
        content = (Path(folder) / name).read_bytes()
    with parts.database.writing() as session:
        append_entry(session, account.name, "shadow table exported", name, rows=len(progress.tables.readings))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
