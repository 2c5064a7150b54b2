"""Logging in by name and password, for the API and for the pages."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import HTTPException
from sqlalchemy import select
from starlette.responses import Response

from fundoscope.service.access.identity import COOKIE
from fundoscope.service.access.passwords import is_right
from fundoscope.service.access.throttle import LoginThrottle
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import begin_session
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import Database
from fundoscope.service.store.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A session that has begun."""

    name: str
    role: str
    secret: str
    """Value of the cookie."""
    csrf: str


def log_in(
    database: Database, throttle: LoginThrottle, name: str, password: str, *, address: str, minutes: int
) -> Login:
    """Begin a session.

    Args:
        database: The service's.
        throttle: The service's.
        name: As it was typed.
        password: As it was typed.
        address: Of the client.
        minutes: After which the session ends.

    Raises:
        HTTPException: 401 if name and password are not a user's, 429 after too many failures.
    """
    wait = throttle.wait_seconds(name, address)
    if wait:
        raise HTTPException(
            429,
            f"login: expected fewer attempts, got too many that failed. Wait {-(-wait // 60)} minutes.",
            headers={"Retry-After": str(wait)},
        )
    with database.reading() as session:
        user = session.execute(select(User).where(User.name == name)).scalar_one_or_none()
    if not is_right(password, None if user is None or user.disabled else user.password) or user is None:
        throttle.note_failure(name, address)
        with database.writing() as session:
            append_entry(session, "system", "login failed", "" if user is None else user.name)
        raise HTTPException(401, "login: expected the name and password of a user, got others. Try again.")
    throttle.note_success(name)
    with database.writing() as session:
        secret, login = begin_session(session, user, minutes=minutes)
        return Login(name=user.name, role=user.role, secret=secret, csrf=login.csrf)


def set_cookie(response: Response, login: Login, settings: ServiceSettings) -> None:
    """Send a session's cookie: no script reads it, and no other site's page sends it along."""
    response.set_cookie(
        COOKIE,
        login.secret,
        max_age=settings.session_minutes * 60,
        path="/",
        secure=is_secure(settings),
        httponly=True,
        samesite="strict",
    )


def delete_cookie(response: Response, settings: ServiceSettings) -> None:
    """Let a browser forget a session's cookie."""
    response.delete_cookie(COOKIE, path="/", secure=is_secure(settings), httponly=True, samesite="strict")


def is_secure(settings: ServiceSettings) -> bool:
    """Return whether cookies are sent by HTTPS only: wherever other computers can reach the service."""
    return settings.https or not settings.is_loopback
