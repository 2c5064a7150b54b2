"""A bounded queue of photographs that wait for an answer.

A place is reserved before anything is written to the database. Were the row written first and the queue then found
full, the photograph would be refused and yet be known, and the sender's next attempt would find it accepted and never
graded.
"""

from __future__ import annotations

import threading
from collections import deque


class WorkQueue:
    """Hashes of photographs, first come first served; safe to use from several threads."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._waiting: deque[str] = deque()
        self._reserved = 0
        self._running: set[str] = set()
        self._is_closed = False
        self._changed = threading.Condition()

    def reserve(self, count: int) -> bool:
        """Reserve places for photographs that are about to be accepted: for all of them, or none."""
        with self._changed:
            if self._is_closed or len(self._waiting) + self._reserved + count > self.length:
                return False
            self._reserved += count
            return True

    def release(self, count: int) -> None:
        """Give back places that were reserved and are not needed."""
        with self._changed:
            self._reserved -= count

    def put(self, sha256: str) -> None:
        """Append a photograph in a place that was reserved."""
        with self._changed:
            self._reserved -= 1
            self._waiting.append(sha256)
            self._changed.notify()

    def put_again(self, sha256: str) -> None:
        """Append a photograph that was accepted before the service was stopped, even beyond the queue's length."""
        with self._changed:
            self._waiting.append(sha256)
            self._changed.notify()

    def take(self) -> str | None:
        """Wait for the next photograph; None once the queue is closed: what waits then stays accepted."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return None
            sha256 = self._waiting.popleft()
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
            return self._changed.wait_for(lambda: not self._waiting and not self._running, timeout)

    @property
    def depth(self) -> int:
        """Photographs that wait or are being graded."""
        with self._changed:
            return len(self._waiting) + len(self._running)
