"""A bounded queue of photographs that wait for an answer.

A place is reserved before anything is written to the database. Were the row written first and the queue then found
full, the photograph would be refused and yet be known, and the sender's next attempt would find it accepted and never
graded.

Senders take turns: of those whose photographs wait, each has one graded before any has a second. A patient who still
sits at the camera is thus answered in about the time that one photograph needs, however many an archive has sent. For
the same reason no sender may fill the last eighth of the places.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Final

KEPT_FREE: Final = 8
"""A sender with more than one in so many of the queue's places may not fill the last of that many parts."""


class WorkQueue:
    """Hashes of photographs, each sender's in the order in which they came; safe to use from several threads."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._turns: deque[str] = deque()
        """Senders whose photographs wait, the next first."""
        self._waiting: dict[str, deque[str]] = {}
        """By sender; none is empty."""
        self._reserved: Counter[str] = Counter()
        self._running: set[str] = set()
        self._is_closed = False
        self._changed = threading.Condition()

    def reserve(self, count: int, sender: str) -> bool:
        """Reserve places for photographs that a sender is about to have accepted: for all of them, or none."""
        with self._changed:
            part = self.length // KEPT_FREE
            own = len(self._waiting.get(sender, ())) + self._reserved[sender] + count
            most = self.length if own <= part else self.length - part
            if self._is_closed or self._count_waiting() + self._reserved.total() + count > most:
                return False
            self._reserved[sender] += count
            return True

    def release(self, count: int, sender: str) -> None:
        """Give back places that were reserved and are not needed."""
        with self._changed:
            self._give_back(count, sender)

    def put(self, sha256: str, sender: str) -> None:
        """Append a photograph in a place that its sender has reserved."""
        with self._changed:
            self._give_back(1, sender)
            self._append(sha256, sender)

    def put_again(self, sha256: str, sender: str) -> None:
        """Append a photograph that was accepted before the service was stopped, even beyond the queue's length."""
        with self._changed:
            self._append(sha256, sender)

    def take(self) -> str | None:
        """Wait for the next photograph; None once the queue is closed: what waits then stays accepted."""
        with self._changed:
            while not self._turns and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return None
            sender = self._turns.popleft()
            sha256 = self._waiting[sender].popleft()
            if self._waiting[sender]:
                self._turns.append(sender)
            else:
                del self._waiting[sender]
            self._running.add(sha256)
            return sha256

    def done(self, sha256: str) -> None:
        """Note that a photograph which was taken is finished with."""
        with self._changed:
            self._running.discard(sha256)
            self._changed.notify_all()

    def close(self) -> None:
        """Accept nothing more and let `take` return None."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait until nothing waits or is being graded; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._turns and not self._running, timeout)

    @property
    def depth(self) -> int:
        """Photographs that wait or are being graded."""
        with self._changed:
            return self._count_waiting() + len(self._running)

    def _count_waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _give_back(self, count: int, sender: str) -> None:
        self._reserved[sender] -= count
        if not self._reserved[sender]:
            del self._reserved[sender]

    def _append(self, sha256: str, sender: str) -> None:
        if sender not in self._waiting:
            self._waiting[sender] = deque()
            self._turns.append(sender)
        self._waiting[sender].append(sha256)
        self._changed.notify()
