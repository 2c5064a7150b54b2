"""Users, their tokens and their sessions in browsers. Secrets are shown once; the database has only their hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import now
from fundoscope.service.store.models import LoginSession, Token, User

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""Names of users: they stand in the log, and in file names of nothing."""

TOKEN_PREFIX: Final = "fds_"
"""By which scanners for leaked secrets know a token."""

SECRET_BYTES: Final = 32

ROLES: Final = ("submit", "read", "administer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who sends a request."""

    user_id: int
    name: str
    role: str
    """The lesser of the user's role and the token's."""
    session: str | None = None
    """Hash of the session's cookie; None: a token was sent."""
    csrf: str | None = None
    """What forms and scripts of the session must send along; None: a token was sent, which no other site can."""


def add_user(session: Session, name: str, role: str, password_hash: str | None, *, actor: str) -> User:
    """Add a user.

    Args:
        session: Of `Database.writing`.
        name: Letters, digits and `._@-`.
        role: One of `ROLES`.
        password_hash: As `access.passwords.hash_password` makes it; None: tokens only.
        actor: Who adds it, for the log.

    Raises:
        BadRequest: If there is such a user already, or the name or the role is none.
    """
    if not NAME.fullmatch(name):
        raise BadRequest(f"{name!r:.80}: expected a name of 1 to 64 letters, digits or ._@-. Choose another name.")
    check_role(role)
    if session.execute(select(User).where(User.name == name)).scalar_one_or_none() is not None:
        raise BadRequest(f"{name}: expected a new user, there is one of that name. Choose another name.")
    user = User(name=name, role=role, password=password_hash, created=now(), disabled=False)
    session.add(user)
    append_entry(session, actor, "user added", name, role=role)
    return user


def check_role(role: str) -> None:
    """Refuse what is no role.

    Raises:
        BadRequest: If it is none of `ROLES`.
    """
    if role not in ROLES:
        raise BadRequest(f"role: expected {', '.join(ROLES[:-1])} or {ROLES[-1]}, got {role!r:.80}. Name one of them.")


def find_user(session: Session, name: str) -> User:
    """Return a user by name.

    Raises:
        BadRequest: If there is none.
    """
    user = session.execute(select(User).where(User.name == name)).scalar_one_or_none()
    if user is None:
        raise BadRequest(f"{name!r:.80}: expected a user, there is none. See: fundoscope service user list")
    return user


def all_users(session: Session) -> list[User]:
    """Return all users, by name."""
    return list(session.execute(select(User).order_by(User.name)).scalars())


def disable_user(session: Session, name: str, *, actor: str) -> None:
    """Disable a user: tokens and sessions end at once; what the user did stays.

    Raises:
        BadRequest: If there is none.
    """
    user = find_user(session, name)
    user.disabled = True
    moment = now()
    for table in (Token, LoginSession):
        session.execute(update(table).where(table.user_id == user.id, table.revoked.is_(None)).values(revoked=moment))
    append_entry(session, actor, "user disabled", name)


def add_token(session: Session, name: str, label: str, *, role: str | None = None, actor: str) -> str:
    """Add a token to a user and return it: this is the only time that it can be seen.

    Args:
        session: Of `Database.writing`.
        name: The user.
        label: What the token is for.
        role: At most what the user may; None: the same.
        actor: For the log.

    Raises:
        BadRequest: If there is no such user or role.
    """
    user = find_user(session, name)
    check_role(role or user.role)
    if user.disabled:
        raise BadRequest(f"{name}: expected a user who may log in, this one is disabled. Add another user.")
    if ROLES.index(role or user.role) > ROLES.index(user.role):
        raise BadRequest(f"role: expected at most {user.role}, which {name} has, got {role}. Name a lesser role.")
    secret = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    token = Token(user_id=user.id, label=label[:100], role=role or user.role, digest=hash_of(secret), created=now())
    session.add(token)
    session.flush()
    append_entry(session, actor, "token added", name, token=token.id, role=token.role)
    return secret


def tokens_of(session: Session, name: str) -> list[Token]:
    """Return the tokens of a user, in order.

    Raises:
        BadRequest: If there is no such user.
    """
    user = find_user(session, name)
    return list(session.execute(select(Token).where(Token.user_id == user.id).order_by(Token.id)).scalars())


def revoke_token(session: Session, number: int, *, actor: str) -> None:
    """Revoke a token.

    Args:
        session: Of `Database.writing`.
        number: Its number, as it is shown when it is added.
        actor: For the log.

    Raises:
        BadRequest: If there is none of that number.
    """
    token = session.get(Token, number)
    if token is None:
        raise BadRequest(f"{number}: expected the number of a token, there is none. See: fundoscope service user list")
    token.revoked = token.revoked or now()
    append_entry(session, actor, "token revoked", str(number))


def account_of_token(session: Session, secret: str) -> Account | None:
    """Return whose token it is; None of one that is unknown, revoked or of a disabled user."""
    match = session.execute(
        select(Token, User)
        .join(User, User.id == Token.user_id)
        .where(Token.digest == hash_of(secret), Token.revoked.is_(None), User.disabled.is_(False))
    ).one_or_none()
    if match is None:
        return None
    token, user = match
    role = min(token.role, user.role, key=ROLES.index)
    return Account(user_id=user.id, name=user.name, role=role)


def begin_session(session: Session, user: User, *, minutes: int) -> tuple[str, LoginSession]:
    """Begin a session of a user who gave the right password; return the cookie's value and the session."""
    secret, start = secrets.token_urlsafe(SECRET_BYTES), datetime.now(UTC)
    login = LoginSession(
        user_id=user.id,
        digest=hash_of(secret),
        csrf=secrets.token_urlsafe(SECRET_BYTES),
        created=start.isoformat(timespec="milliseconds"),
        expires=(start + timedelta(minutes=minutes)).isoformat(timespec="milliseconds"),
    )
    session.add(login)
    append_entry(session, user.name, "logged in", user.name)
    return secret, login


def account_of_session(session: Session, secret: str) -> Account | None:
    """Return whose session it is; None of one that is unknown, has ended or is of a disabled user."""
    match = session.execute(
        select(LoginSession, User)
        .join(User, User.id == LoginSession.user_id)
        .where(
            LoginSession.digest == hash_of(secret),
            LoginSession.revoked.is_(None),
            LoginSession.expires > now(),
            User.disabled.is_(False),
        )
    ).one_or_none()
    if match is None:
        return None
    login, user = match
    return Account(user_id=user.id, name=user.name, role=user.role, session=login.digest, csrf=login.csrf)


def end_session(session: Session, account: Account) -> None:
    """End the session that an account's request came with."""
    ended = update(LoginSession).where(LoginSession.digest == account.session, LoginSession.revoked.is_(None))
    session.execute(ended.values(revoked=now()))
    append_entry(session, account.name, "logged out", account.name)


def hash_of(secret: str) -> str:
    """Return the hash under which a secret of full randomness is kept; passwords need a slow one."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
