"""Pages of the site: what is there for its commissioning, and whether its patients still are as they were then."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse
from starlette.responses import RedirectResponse

from fundoscope.clinic.monitoring.words import details, verdict
from fundoscope.errors import FundoscopeError
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.pages import interval_words
from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.access.shadow import refuse_in_shadow
from fundoscope.service.pages.render import render_page
from fundoscope.service.pages.site_charts import Chart, chart_of
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.site_models import MonitoringRun
from fundoscope.service.work.shadow import PREDICTIONS, READINGS, shadow_tables
from fundoscope.service.work.site.commissioning import Readiness, readiness, site_words
from fundoscope.service.work.site.rates import OTHER, UNREADABLE, SiteRates, note_cameras, site_rates
from fundoscope.service.work.site.runs import all_runs, count_new, find_reference, run_monitor

PLACE: Final = "/site"
MONITORING: Final = f"{PLACE}/monitoring"

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "field_size": "too little of the retina in the picture",
        "dark": "too dark",
        "bright": "too bright",
        "sharpness": "out of focus",
        "contrast": "too little contrast",
        "vessels": "no vessels to be seen",
        "lid": "eyelid or lashes in the picture",
        "no_retina": "no retina found",
        "several_retinas": "more than one retina",
        "light_surround": "light around the retina: not the camera's own picture",
        "squashed": "proportions changed",
        "too_small": "too few pixels",
        "no_colour": "no colour",
        "not_a_scan": "no scan of the retina",
        "weak_signal": "signal too weak",
        "cut_off": "the retina is cut off",
        UNREADABLE: "the file cannot be read",
        OTHER: "another reason",
    }
)
"""Why photographs are refused, by `photo.quality.FAULTS`."""

router = APIRouter(prefix=PLACE, include_in_schema=False)

Reader = Annotated[Account, Depends(Requires(Role.read))]
Administrator = Annotated[Account, Depends(Requires(Role.administer))]


@router.get("")
def commissioning(parts: Parts, account: Reader) -> HTMLResponse:
    """Show how many patients a commissioning would have, and what the site's folder says of it."""
    opened = parts.grader.opened
    with parts.database.reading() as session:
        ready = readiness(session, opened.name) if opened.task.name == "dr-grade" else None
        hidden = is_shadow(session)
    is_administrator = Role(account.role).includes(Role.administer)
    return render_page(
        "site.html.jinja",
        account,
        place=PLACE,
        ready=ready,
        share=None if ready is None else _share_done(ready),
        site=site_words(parts.settings.site, opened),
        release=opened.name,
        release_path=shlex.quote(str(opened.path)) if is_administrator else "RELEASE",
        is_administrator=is_administrator,
        in_shadow=hidden,
        tables=(PREDICTIONS, READINGS),
    )


@router.get("/tables/{name}")
def table(name: str, parts: Parts, account: Administrator) -> Response:
    """Send the readings that count, or the answers to them: the two tables that `commission` takes."""
    with parts.database.reading() as session:
        refuse_in_shadow(session, name)
        tables = shadow_tables(session, parts.grader.opened.name, every=True)
    with TemporaryDirectory() as folder:
        paths = {path.name: path for path in tables.write(FilePath(folder))}
        data = paths[name].read_bytes() if name in paths else None
    if data is None:
        return Response(status_code=404)
    with parts.database.writing() as session:
        append_entry(session, account.name, "commissioning exported", name, rows=len(tables.readings))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/monitoring")
def monitoring(parts: Parts, account: Reader, message: Annotated[str, Query(max_length=600)] = "") -> HTMLResponse:
    """Show what was answered by week and camera, and what the runs of monitoring found."""
    opened = parts.grader.opened
    with parts.database.reading() as session:
        if is_shadow(session):
            return render_page("site_shadow.html.jinja", account, place=PLACE)
    note_cameras(parts.database, parts.files)
    with parts.database.reading() as session:
        rates = site_rates(session, opened.name, user_id=account.user_id)
        runs = [_run_shown(run) for run in all_runs(session)]
        new = count_new(session, opened.name)
    site = site_words(parts.settings.site, opened)
    act = "Referred" if opened.task.name == "dr-grade" else "To be acted on"
    return render_page(
        "site_monitoring.html.jinja",
        account,
        message=message,
        place=PLACE,
        rates=rates,
        charts=_charts(rates, site.protocol, act),
        act=act,
        reasons=REASONS,
        share_words=_share_words,
        site=site,
        missing=_missing(parts),
        runs=runs,
        new=new,
        release=opened.name,
        is_administrator=Role(account.role).includes(Role.administer),
    )


@router.post("/monitoring/run")
def run(parts: Parts, account: Administrator) -> Response:
    """Compare the patients who came since the last run with those of the commissioning."""
    with parts.database.reading() as session:
        refuse_in_shadow(session, "monitoring")
    try:
        run_monitor(parts.database, parts.settings, parts.grader.opened, actor=account.name)
    except FundoscopeError as problem:
        return RedirectResponse(f"{MONITORING}?{urlencode({'message': str(problem)[:600]})}", status_code=303)
    return RedirectResponse(MONITORING, status_code=303)


def _share_done(ready: Readiness) -> int:
    """Return the referable patients that the page shows a bar up to: those of the plan for a sensitivity of 95 %."""
    return ready.plan.get(0.95) or ready.least


def _share_words(share: Interval) -> str:
    return interval_words(share.estimate, share.low, share.high, level=share.level, style=".0%")


def _missing(parts: Service) -> str | None:
    """Return why new patients cannot be compared with those of the commissioning; None where they can."""
    try:
        find_reference(parts.settings, parts.grader.opened)
    except FundoscopeError as problem:
        return str(problem)
    return None


def _charts(rates: SiteRates, protocol: Mapping[str, Any] | None, act: str) -> list[Chart]:
    """Return the charts of both shares by week, with those of the commissioning where there was one."""
    if not rates.weeks:
        return []
    referred, ungradable = _commissioned(protocol)
    return [
        chart_of(act, [(week.name, week.referral) for week in rates.weeks], reference=referred),
        chart_of(
            "An eye cannot be graded", [(week.name, week.ungradable) for week in rates.weeks], reference=ungradable
        ),
    ]


def _commissioned(protocol: Mapping[str, Any] | None) -> tuple[float | None, float | None]:
    """Return the shares of the patients of the commissioning who were referred, and who could not be graded."""
    if protocol is None or protocol["at_threshold"] is None:
        return None, None
    counts, figures = protocol["counts"], protocol["at_threshold"]
    patients = counts["patients"] - counts["without_reference"]
    return figures["referred"] / patients, counts["ungradable"] / patients


def _run_shown(run: MonitoringRun) -> dict[str, Any]:
    report: Any = run.report
    return {
        "when": run.created[:16].replace("T", " ") + " UTC",
        "actor": run.actor,
        "cases": run.cases,
        "holds": run.holds,
        "release": run.release,
        "verdict": verdict(report),
        "reasons": report["reasons"],
        "details": list(details(report)),
    }
