"""Who sends a request: a bearer token, or the cookie of a session. Everybody else is answered nothing but health.

Every route of the application says which role it needs: `Depends(Requires(Role.read))` for a role, `Depends(PUBLIC)`
for none. `rules_of` refuses routers in which a route says nothing, so that a forgotten rule is no open door.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fundoscope.service.access.blinding import refuse_hidden
from fundoscope.service.access.errors import error_response
from fundoscope.service.access.roles import Role
from fundoscope.service.store.accounts import Account, account_of_session, account_of_token
from fundoscope.service.store.database import Database

COOKIE: Final = "fundoscope_session"
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOGIN: Final = "/login"
PUBLIC_PATHS: Final = frozenset({"/health", LOGIN, "/api/session"})
"""Paths that answer without a token; what logging in needs."""

PUBLIC_FOLDER: Final = "/static/"
"""Styles and scripts of the login page."""

FORM: Final = "application/x-www-form-urlencoded"

NO_ACCOUNT: Final = (
    "request: expected a token or a session, got none that is valid. Send the header Authorization: Bearer TOKEN, or "
    "log in."
)


class Identity:
    """Middleware that finds out who sends a request and answers nobody else."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        account = await run_in_threadpool(self._account, request)
        scope.setdefault("state", {})["account"] = account
        if account is None and not is_public(scope["path"]):
            await _refuse(request)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _account(self, request: Request) -> Account | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        cookie = request.cookies.get(COOKIE)
        if not secret and not cookie:
            return None
        with self.database.reading() as session:
            if scheme.lower() == "bearer" and secret:
                return account_of_token(session, secret.strip())
            return account_of_session(session, cookie) if cookie and not scheme else None


def is_public(path: str) -> bool:
    """Return whether a path answers without a token."""
    return path in PUBLIC_PATHS or (path.startswith(PUBLIC_FOLDER) and ".." not in path)


def _refuse(request: Request) -> Response:
    """Return the answer to a request from nobody: for a page that of logging in, else an error."""
    wants_page = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    if wants_page and not request.url.path.startswith("/api/"):
        return RedirectResponse(LOGIN, status_code=303)
    return error_response(401, NO_ACCOUNT, headers={"WWW-Authenticate": "Bearer"})


class Requires:
    """The rule of a route: the role that it needs, and for sessions the token against requests forged elsewhere."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request) -> Account:
        """Return who sends the request.

        Raises:
            HTTPException: 401 without an account, 403 without the role or the session's token, and for a case of an
                open study that the account reads in (`blinding`).
        """
        account: Account | None = getattr(request.state, "account", None)
        if account is None:
            raise HTTPException(401, NO_ACCOUNT, headers={"WWW-Authenticate": "Bearer"})
        if not Role(account.role).includes(self.role):
            raise HTTPException(
                403,
                f"request: expected a user of the role {self.role}, got one of the role {account.role}. Ask whoever "
                "runs the service.",
            )
        await check_csrf(request, account)
        if request.path_params:
            await run_in_threadpool(refuse_hidden, request, account)
        return account


async def check_csrf(request: Request, account: Account) -> None:
    """Refuse a request that changes something, comes with a session's cookie, and may come from another site's page.

    Raises:
        HTTPException: 403 if neither the header nor the form's field holds the session's token.
    """
    if account.csrf is None or request.method in SAFE_METHODS:
        return
    given: Any = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == FORM:
        given = (await request.form()).get(CSRF_FIELD)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), account.csrf.encode()):
        raise HTTPException(
            403,
            f"request: expected the session's token in the header {CSRF_HEADER} or the field {CSRF_FIELD}, got none or "
            "another. Load the page again.",
        )


async def _public() -> None:
    """Let everybody in."""


PUBLIC: Final[Callable[[], Awaitable[None]]] = _public
"""The rule of a route that needs no role; its path must be in `PUBLIC_PATHS`."""


def rule_of(route: APIRoute) -> Role | None:
    """Return the role that a route needs; None: it is public.

    Raises:
        ValueError: If it has no rule, or more than one, or says that it is public and its path is not.
    """
    rules = [call for call in _calls(route.dependant) if isinstance(call, Requires) or call is PUBLIC]
    roles = {rule.role if isinstance(rule, Requires) else None for rule in rules}
    if len(roles) != 1 or (None in roles) != is_public(route.path):
        shown = ", ".join(sorted(map(str, roles))) or "none"
        raise ValueError(f"{route.path}: a route must have one rule, Requires(role) or PUBLIC, got {shown}")
    return roles.pop()


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


def rules_of(routers: Sequence[APIRouter]) -> dict[tuple[str, str], Role | None]:
    """Return the role that each route needs, by method and path; None: it is public.

    Raises:
        ValueError: As `rule_of`, and if a router has other things than routes, which have no rule.
    """
    rules: dict[tuple[str, str], Role | None] = {}
    for route in (route for router in routers for route in router.routes):
        if not isinstance(route, APIRoute):
            raise ValueError(f"{route}: a router must have routes with a rule only, got {type(route).__name__}")
        rules |= {(method, route.path): rule_of(route) for method in route.methods or ()}
    return rules
