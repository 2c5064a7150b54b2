"""Worker threads that grade what was accepted: every photograph once, also after the process was killed.

A photograph that is accepted is in the database as `accepted`. A worker grades it and, in one transaction, adds its
answer and sets it to `answered`. Whatever stops the process before that leaves it `accepted`, and `start` puts such
photographs into the queue again. A release answers a photograph at most once: the database refuses a second answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from fundoscope.runtime.grader import Grader
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import Database
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.models import ACCEPTED, Photograph
from fundoscope.service.store.photographs import (
    answers_of,
    case_of,
    find_photograph,
    photographs_of,
    waiting_photographs,
)
from fundoscope.service.work.answers import add_answer, answer_photograph, refresh_case
from fundoscope.service.work.queue import WorkQueue

LOGGER: Final = logging.getLogger("fundoscope.service")

FIRST_GUESS_SECONDS: Final = 1.0
"""What a photograph is taken to need before any was graded."""

RETRY_SECONDS: Final = 2.0
"""Pause after which a photograph whose answer could not be written is tried again."""

REMEMBERED: Final = 0.9
"""Weight of earlier photographs in the mean of the time they need."""

RETRIED: Final = ""
"""Sender in whose turn such a photograph is graded: nobody's name."""

STOP_SECONDS: Final = 60.0
"""How long stopping waits for the photographs that are being graded."""


@dataclass(slots=True)
class Figures:
    """What `/metrics` shows of the work."""

    answered: Counter[str]
    """Photographs answered since the start, by status."""
    seconds: float = 0.0
    """Time of grading, summed."""
    mean_seconds: float = FIRST_GUESS_SECONDS
    """Of the latest photographs."""


class GradingWork:
    """The workers of one service."""

    def __init__(self, database: Database, files: PhotographFiles, grader: Grader, *, length: int) -> None:
        self.database = database
        self.files = files
        self.grader = grader
        self.queue = WorkQueue(length)
        self.figures = Figures(Counter())
        self._lock = threading.Lock()
        self._is_stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> int:
        """Start the workers with what waits since an earlier run; return how many photographs that is."""
        with self.database.writing() as session:
            append_entry(session, "system", "service started", self.grader.opened.name)
            waiting = waiting_photographs(session)
        for sha256, sender in waiting:
            self.queue.put_again(sha256, sender)
        for number in range(self.grader.threads):
            thread = threading.Thread(target=self._run, name=f"grading-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return len(waiting)

    def stop(self) -> None:
        """Finish what is being graded; what waits stays accepted, and is graded after the next start."""
        self._is_stopping.set()
        self.queue.close()
        end = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    @property
    def is_running(self) -> bool:
        """Whether all workers live."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def retry_seconds(self) -> int:
        """Return after how many seconds there should be a place in the queue."""
        return max(1, min(600, round(self.figures.mean_seconds * self.queue.depth / self.grader.threads / 4)))

    def _run(self) -> None:
        while (sha256 := self.queue.take()) is not None:
            try:
                self._answer_case(sha256)
            except Exception as problem:
                # The text of the exception may hold a patient's name; the hash leads to the photograph.
                LOGGER.error("photograph %s: its answer could not be kept (%s)", sha256, type(problem).__name__)
                if not self._is_stopping.wait(RETRY_SECONDS):
                    self.queue.put_again(sha256, RETRIED)
            finally:
                self.queue.done(sha256)

    def _answer_case(self, sha256: str) -> None:
        """Answer a photograph, and those of its case that only other releases have answered yet."""
        with self.database.reading() as session:
            photograph = find_photograph(session, sha256)
            if photograph is None:
                return
            members = photographs_of(session, case_of(session, photograph))
            answers = answers_of(session, members, self.grader.opened.name)
        for member in members:
            is_other = member.sha256 != sha256
            if member.id not in answers and (not is_other or member.state != ACCEPTED):
                self._answer(member)

    def _answer(self, photograph: Photograph) -> None:
        start = time.perf_counter()
        row, status, state = answer_photograph(self.grader, photograph, str(self.files.path(photograph.sha256)))
        seconds = time.perf_counter() - start
        with self.database.writing() as session:
            kept = session.get_one(Photograph, photograph.id)
            if not add_answer(session, kept, self.grader, row, seconds):
                return
            kept.state = state
            refresh_case(session, case_of(session, kept), self.grader)
            detail = {"release": self.grader.opened.name, "status": status, "decision": row["decision"]}
            append_entry(session, "system", "photograph answered", kept.sha256, **detail)
        with self._lock:
            self.figures.answered[status] += 1
            self.figures.seconds += seconds
            self.figures.mean_seconds = REMEMBERED * self.figures.mean_seconds + (1 - REMEMBERED) * seconds
