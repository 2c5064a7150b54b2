"""Failed attempts to log in, counted by user and by address, so that passwords cannot be tried out."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 15 * 60
"""Attempts older than this are forgotten."""

MOST_BY_USER: Final = 10
MOST_BY_ADDRESS: Final = 30
"""An address may be that of a whole clinic's proxy."""

MOST_KEYS: Final = 10_000
"""Users and addresses remembered; the oldest are forgotten first, so that memory does not grow."""


class LoginThrottle:
    """Counts failed attempts; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, str], deque[float]] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, name: str, address: str) -> int:
        """Return after how many seconds a user may try again from an address; 0: now."""
        with self._lock:
            return max(
                self._wait(("user", name), MOST_BY_USER),
                self._wait(("address", address), MOST_BY_ADDRESS),
            )

    def note_failure(self, name: str, address: str) -> None:
        """Count a failed attempt."""
        with self._lock:
            for key in (("user", name), ("address", address)):
                moments = self._failures.pop(key, deque(maxlen=MOST_BY_ADDRESS))
                moments.append(self._clock())
                self._failures[key] = moments
            while len(self._failures) > MOST_KEYS:
                self._failures.pop(next(iter(self._failures)))

    def note_success(self, name: str) -> None:
        """Forget the failures of a user who logged in."""
        with self._lock:
            self._failures.pop(("user", name), None)

    def _wait(self, key: tuple[str, str], most: int) -> int:
        moments, present = self._failures.get(key), self._clock()
        if moments is None:
            return 0
        while moments and moments[0] <= present - WINDOW_SECONDS:
            moments.popleft()
        if len(moments) < most:
            return 0
        return math.ceil(moments[len(moments) - most] + WINDOW_SECONDS - present)
