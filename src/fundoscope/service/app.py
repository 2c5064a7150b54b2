"""The application of a service: routes, middleware, and what starts and stops with it.

    app = create_app(ServiceSettings(folder=Path("service")))

`app.state.service` is the running `Service`, `app.state.rules` the role that each route needs. Routers of other
packages are handed over as `routers`; each of their routes states its rule (`access.identity`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from fundoscope.errors import BadRequest
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.runtime.grader import Grader
from fundoscope.service.access.errors import add_handlers
from fundoscope.service.access.headers import SecurityHeaders
from fundoscope.service.access.identity import Identity, rules_of
from fundoscope.service.access.limits import BodyLimits
from fundoscope.service.api import cases, operation, photographs, readings
from fundoscope.service.api.multipart import most_bytes
from fundoscope.service.dicom import stow
from fundoscope.service.pages import look_back, reviews, shadow, site, studies, study_reading
from fundoscope.service.pages import routes as pages
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.state import Service
from fundoscope.service.store.database import Database, open_database
from fundoscope.service.store.files import PhotographFiles, remove_partial
from fundoscope.service.store.releases import begin_with
from fundoscope.service.store.shadow import start_shadow
from fundoscope.service.work.grading import GradingWork
from fundoscope.service.work.intake import Intake
from fundoscope.service.work.releases import check_single_eye, keep_release
from fundoscope.service.work.shadow import checked_plan, planned_patients
from fundoscope.version import __version__

SMALL_BODY = 256 * 1024
"""Most bytes of a request that sends no photographs."""

UPLOADS = frozenset({"/api/photographs"}) | stow.UPLOADS
"""Paths to which photographs are sent."""

NO_TELEMETRY: Final[Any] = {"auto_configure": False, "exclude": lambda _scope: True}
"""FastAPI from 0.160 on reports requests to whatever the environment names; earlier versions take no notice of it."""

ROUTERS = (
    photographs.router,
    cases.router,
    readings.router,
    operation.router,
    pages.router,
    studies.router,
    study_reading.router,
    reviews.router,
    site.router,
    shadow.router,
    look_back.router,
    stow.router,
)

Extension = Callable[[Service], AbstractContextManager[object]]
"""What runs beside the application: it is entered once photographs are graded, and left before that ends."""


def open_service(settings: ServiceSettings, grader: Grader) -> Service:
    """Open what a service keeps; nothing is started.

    Raises:
        BadRelease: If the release grades both eyes together: photographs come one by one, in any order.
        BadRequest: If the database cannot be opened, another release is active in it, or a plan of the shadow mode is
            lowered or too small.
    """
    check_single_eye(grader.opened)
    for folder in (settings.folder, settings.photographs, settings.incoming):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = open_database(settings.database_url)
    try:
        with database.writing() as session:
            begin_with(session, grader.opened)
            shadow = start_shadow(
                session,
                grader.opened.name,
                wanted=settings.shadow,
                planned=checked_plan(settings.shadow_patients),
                default=planned_patients(),
            )
    except BadRequest:
        database.close()
        raise
    keep_release(settings.folder, grader.opened)
    files = PhotographFiles(settings.photographs)
    work = GradingWork(database, files, grader, length=settings.queue_length)
    return Service(settings, database, files, work, Intake(database, files, work), shadow)


def create_app(
    settings: ServiceSettings,
    grader: Grader | None = None,
    *,
    routers: Sequence[APIRouter] = (),
    uploads: frozenset[str] = frozenset(),
    extensions: Sequence[Extension] = (),
) -> FastAPI:
    """Make the application; its workers start and stop with it.

    Args:
        settings: Of the service.
        grader: The release, opened; None: that of the settings.
        routers: More routes: pages, other ways by which photographs come.
        uploads: Paths of theirs to which photographs are sent, whose requests may be as large as a submission; one that
            ends with a slash stands for all that begin with it.
        extensions: What runs beside the application while it runs, such as `dicom.network.dicom_network`.

    Raises:
        BadRelease: As `open_service`.
        BadRequest: As `open_service`.
        ValueError: If a route has no rule.
    """
    grader = grader or Grader.open(settings.release, threads=settings.workers)
    service = open_service(settings, grader)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(remove_partial, settings.incoming)
        await run_in_threadpool(service.work.start)
        with ExitStack() as running:
            for extension in extensions:
                await run_in_threadpool(running.enter_context, extension(service))
            yield
            await run_in_threadpool(running.close)
        await run_in_threadpool(service.work.stop)
        service.database.close()

    app = FastAPI(
        title="fundoscope",
        version=__version__,
        description=NOT_A_DEVICE,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    app.state.service = service
    app.state.rules = rules_of((*ROUTERS, *routers))
    for router in (*ROUTERS, *routers):
        app.include_router(router)
    add_handlers(app)
    _add_middleware(app, settings, service.database, UPLOADS | uploads)
    return app


def _add_middleware(app: FastAPI, settings: ServiceSettings, database: Database, uploads: frozenset[str]) -> None:
    """Add middleware, the innermost first: a request passes headers and host, then who sends it, then its limits."""

    prefixes = tuple(path for path in uploads if path.endswith("/"))

    def most(scope: Scope) -> int:
        is_upload = scope["path"].startswith(prefixes) or scope["path"] in uploads
        return most_bytes(settings) if is_upload else SMALL_BODY

    app.add_middleware(
        BodyLimits, most_bytes=most, request_seconds=settings.request_seconds, idle_seconds=settings.idle_seconds
    )
    app.add_middleware(Identity, database=database)
    app.add_middleware(SecurityHeaders, hosts=settings.allowed_hosts, https=settings.https)
