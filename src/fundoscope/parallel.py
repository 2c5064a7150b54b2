"""Call a function on many items on several threads, with results in the order of the items."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

AHEAD_PER_THREAD = 4
"""Finished or waiting photographs held for each thread, so that a slow one does not stop the others."""


Item = TypeVar("Item")


Result = TypeVar("Result")


def available_cores() -> int:
    """Cores this process may use, which a container or `taskset` may have made fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """Call `function` on every item on `threads` threads; results in the order of the items.

    At most `AHEAD_PER_THREAD` items for each thread are drawn before their results are taken. Closing the iterator
    early, or an exception in it, drops what has not begun and waits for what has.
    """
    source = iter(items)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="fundoscope")
    try:
        for item in islice(source, threads * AHEAD_PER_THREAD):
            waiting.append(pool.submit(function, item))
        while waiting:
            yield waiting.popleft().result()
            for item in islice(source, 1):
                waiting.append(pool.submit(function, item))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
