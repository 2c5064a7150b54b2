"""The audit log: who did what and when, as a chain of hashes in which no line can be changed or taken out unseen.

Each entry holds the SHA-256 of its own content and of the hash before it. The database refuses to change or delete
entries (triggers of the first migration); `verify_log` finds what was changed all the same. Whoever can write to the
database could compute a whole new chain, or cut off its end: keep the last hash elsewhere now and then, and give it to
`fundoscope service check-log --expect`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.service.store.database import now
from fundoscope.service.store.models import LogEntry

BEGINNING: Final = "0" * 64
"""Hash before the first entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCheck:
    """What checking an audit log gave."""

    entries: int
    """Entries that were checked, from the first."""
    last: str
    """Hash of the last of them."""
    fault: str | None
    """What is wrong with it, in one sentence; None: nothing."""
    expected_found: bool | None = None
    """Whether the hash that was expected is in the log; None: none was named."""

    @property
    def passed(self) -> bool:
        """Whether the log is whole."""
        return self.fault is None and self.expected_found is not False


def append_entry(session: Session, actor: str, action: str, subject: str, **detail: Any) -> None:
    """Append an entry within a writing transaction, so that it is kept if and only if the deed is.

    Args:
        session: Of `Database.writing`.
        actor: Name of the user, or `system`.
        action: Such as `photograph accepted`.
        subject: What it was done to: a hash, a case's identifier, an account; never a patient's name.
        detail: More of it, as JSON.
    """
    session.flush()
    last = session.execute(select(LogEntry).order_by(LogEntry.id.desc()).limit(1)).scalar_one_or_none()
    entry = LogEntry(
        id=1 if last is None else last.id + 1,
        moment=now(),
        actor=actor,
        action=action,
        subject=subject,
        detail=detail,
        previous=BEGINNING if last is None else last.digest,
    )
    entry.digest = digest_of(entry)
    session.add(entry)
    session.flush()


def digest_of(entry: LogEntry) -> str:
    """Return the hash of an entry."""
    content = [entry.id, entry.moment, entry.actor, entry.action, entry.subject, entry.detail, entry.previous]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def verify_log(session: Session, *, expect: str | None = None) -> LogCheck:
    """Compute every hash of the log again.

    Args:
        session: Of `Database.reading`.
        expect: Hash of an entry, or its first digits, that was noted earlier and must be in the log.
    """
    previous, count, is_there = BEGINNING, 0, False
    for entry in session.execute(select(LogEntry).order_by(LogEntry.id)).scalars().yield_per(1000):
        fault = _fault(entry, count + 1, previous)
        if fault is not None:
            return LogCheck(entries=count, last=previous, fault=fault, expected_found=None)
        previous, count = entry.digest, count + 1
        is_there = is_there or bool(expect and previous.startswith(expect))
    return LogCheck(entries=count, last=previous, fault=None, expected_found=None if expect is None else is_there)


def _fault(entry: LogEntry, number: int, previous: str) -> str | None:
    if entry.id != number:
        return f"entry {number}: expected the next entry, got entry {entry.id}: entries were taken out."
    if entry.previous != previous:
        return f"entry {number}: expected the hash of the entry before it, got another: entries were replaced."
    return None if digest_of(entry) == entry.digest else f"entry {number}: its content does not agree with its hash."
