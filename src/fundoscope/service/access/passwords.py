"""Passwords: hashed with Argon2, and compared as slowly for a user who does not exist."""

from __future__ import annotations

from functools import cache
from typing import Final

from pwdlib import PasswordHash

from fundoscope.errors import BadRequest

SHORTEST: Final = 12
"""Letters of a password at least (NIST SP 800-63B asks for 8, and 15 where it stands alone)."""

LONGEST: Final = 1024


def hash_password(password: str) -> str:
    """Return what is kept of a password.

    Raises:
        BadRequest: If it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadRequest(
            f"password: expected {SHORTEST} to {LONGEST} letters, got {len(password)}. Choose another one, such as "
            "four words."
        )
    return _hasher().hash(password)


def is_right(password: str, stored: str | None) -> bool:
    """Return whether a password is the one whose hash is stored.

    Args:
        password: As it was typed.
        stored: None: there is no such user, or the user has none. It takes as long, so that names cannot be found out.
    """
    if len(password) > LONGEST:
        return False
    matches = _hasher().verify(password, stored or _nobody())
    return matches and stored is not None


@cache
def _hasher() -> PasswordHash:
    return PasswordHash.recommended()


@cache
def _nobody() -> str:
    return _hasher().hash("the password of nobody")
