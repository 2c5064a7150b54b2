"""Look-back: a release that is not active grades the archive, and the cases whose answer it would change are kept.

The answers that cases have, and all that the service shows, stay as they are. What was graded when a look-back is
interrupted is kept, and is not graded again. It may run while the service does: an answer is one short transaction.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.errors import BadRequest
from fundoscope.files import sha256_of
from fundoscope.parallel import in_order
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Row
from fundoscope.service.store.audit_log import append_entry
from fundoscope.service.store.database import Database, now
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.models import FAILED, Photograph
from fundoscope.service.store.release_models import ChangedCase, LookBack
from fundoscope.service.store.releases import (
    activate,
    active_release,
    answered_cases,
    begin_look_back,
    changes_of,
    last_look_back,
    photographs_without,
)
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.store.site_models import PhotographCamera
from fundoscope.service.work.answers import add_answer, answer_photograph, case_document, rows_of
from fundoscope.service.work.change_table import UNKNOWN_CAMERA
from fundoscope.service.work.changes import change_of, reading_document
from fundoscope.service.work.site.rates import note_cameras

LOW_PRIORITY: Final = 10
"""Niceness of the threads that grade: the service's own come first."""

ALL_FILES: Final = 10**9

UNREADABLE: Final = "unreadable"
"""Status of a file without a picture."""

Progress = Callable[[int, int], None]
"""Called with how many photographs are graded, and of how many."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A photograph with the answer of the release that looks back."""

    photograph: Photograph
    row: Row | None
    """None where there is no answer to keep: the bytes are not there, or a fault in the program."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Compared:
    """The cases that were compared."""

    changes: list[ChangedCase]
    photographs: int
    """Photographs of all these cases."""
    not_compared: int
    """Cases that lack an answer of the release."""
    cameras: Counter[str]
    """How many cases there are of each camera."""


def look_back(
    database: Database, files: PhotographFiles, grader: Grader, *, actor: str, progress: Progress = lambda *_: None
) -> LookBack:
    """Grade every photograph of the archive that a release has not answered yet, and compare the cases.

    Of a photograph whose bytes are not there, or that a fault in the program keeps from being graded, no answer is
    kept: its case is not compared, which is counted, and the next look-back tries again.

    Args:
        database: Of the service.
        files: Where its photographs lie.
        grader: The release.
        actor: Who looks back.
        progress: Shows how far it is.

    Raises:
        BadRequest: As `store.releases.begin_look_back`, and in shadow mode: a list of changed answers shows answers.
    """
    with database.writing() as session:
        _check_shown(session)
        kept = begin_look_back(session, grader.opened, actor=actor)
    lost: set[int] = set()
    while missing := _missing(database, grader.opened.name, lost):
        graded = in_order(lambda photograph: _grade(grader, files, photograph), missing, threads=grader.threads)
        for number, one in enumerate(graded, start=1):
            if one.row is None:
                lost.add(one.photograph.id)
            else:
                with database.writing() as session:
                    photograph = session.get_one(Photograph, one.photograph.id)
                    add_answer(session, photograph, grader, one.row, one.seconds)
            progress(number, len(missing))
    note_cameras(database, files, most=ALL_FILES)
    return _finish(database, grader, kept, actor, lost=len(lost))


def _check_shown(session: Session) -> None:
    if is_shadow(session):
        raise BadRequest(
            "look-back: expected a service that shows its answers, got one in shadow mode, of which no answer has been "
            "seen. Activate the release with --without-look-back, or end shadow mode with: fundoscope serve --no-shadow"
        )


def _missing(database: Database, release: str, lost: Collection[int]) -> list[Photograph]:
    with database.reading() as session:
        return [photograph for photograph in photographs_without(session, release) if photograph.id not in lost]


def _grade(grader: Grader, files: PhotographFiles, photograph: Photograph) -> Graded:
    if hasattr(os, "setpriority"):
        # Of the calling thread alone, on Linux; it only ever grades for this look-back.
        os.setpriority(os.PRIO_PROCESS, 0, max(LOW_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0)))
    start, path = time.perf_counter(), files.path(photograph.sha256)
    row, status, state = answer_photograph(grader, photograph, str(path))
    is_kept = state != FAILED and (status != UNREADABLE or _is_whole(path, photograph.sha256))
    return Graded(photograph, row if is_kept else None, time.perf_counter() - start)


def _is_whole(path: Path, sha256: str) -> bool:
    """Return whether the bytes of a photograph are those that were accepted: they, not the disk, cannot be read."""
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def _finish(database: Database, grader: Grader, look_back: LookBack, actor: str, *, lost: int) -> LookBack:
    """Compare all cases, and keep those whose answer changes.

    Cases are compared outside of the transaction that keeps the result, for the sake of the running service. One that
    gets a further photograph meanwhile lacks an answer of the release, by which an activation finds it.
    """
    with database.reading() as session:
        earlier = last_look_back(session, release=look_back.release)
        dealt_with = {} if earlier is None else {change.case_id: change for change, _ in changes_of(session, earlier)}
        compared = _compared(session, grader.opened, look_back)
    for change in compared.changes:
        before = dealt_with.get(change.case_id)
        if before is not None and (before.before, before.after) == (change.before, change.after):
            change.done, change.done_by = before.done, before.done_by
    with database.writing() as session:
        session.add_all(compared.changes)
        kept = session.get_one(LookBack, look_back.id)
        kept.cases, kept.photographs = compared.cameras.total(), compared.photographs
        kept.finished, kept.cameras = now(), dict(compared.cameras)
        kept.lost, kept.not_compared = lost, compared.not_compared
        counts = {"cases": kept.cases, "changed": len(compared.changes)}
        append_entry(session, actor, "look-back finished", kept.release, look_back=kept.id, **counts)
    return kept


def _compared(session: Session, opened: OpenRelease, look_back: LookBack) -> Compared:
    changes, photographs, not_compared, by_camera = [], 0, 0, Counter[str]()
    cameras = _cameras(session)
    for case in answered_cases(session):
        rows = rows_of(session, case, opened.name)
        if rows is None or case.answer is None:
            not_compared += 1
            continue
        camera = ", ".join(sorted(cameras.get(case.id, ()))) or None
        photographs += len(rows)
        by_camera[camera or UNKNOWN_CAMERA] += 1
        after = _as_json(case_document(answer_patients(rows, opened.task)[0], rows, opened.task))
        change = change_of(case.answer, after)
        if change is not None:
            changes.append(
                ChangedCase(
                    look_back_id=look_back.id,
                    case_id=case.id,
                    kind=change.kind,
                    rank=change.rank,
                    before=case.answer,
                    before_release=case.release or "",
                    after=after,
                    reading=reading_document(session, case, case.answer, after),
                    camera=camera,
                )
            )
    return Compared(changes, photographs, not_compared, by_camera)


def _cameras(session: Session) -> dict[int, set[str]]:
    """Return the cameras that the files of each case name, by `Case.id`."""
    query = select(Photograph.case_id, PhotographCamera.camera).join(
        PhotographCamera, PhotographCamera.photograph_id == Photograph.id
    )
    cameras: dict[int, set[str]] = {}
    for case, camera in session.execute(query).all():
        if camera is not None:
            cameras.setdefault(case, set()).add(camera)
    return cameras


def _as_json(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as the database gives it back: with lists in place of tuples."""
    return dict(json.loads(json.dumps(document)))


def activate_release(
    database: Database, opened: OpenRelease, *, actor: str, without_look_back: str | None = None
) -> LookBack | None:
    """Make a release the active one; return the look-back that says what it changes, where there is one.

    Cases keep the answers that they have; whatever comes from now on is answered by this release.

    Args:
        database: Of a service that does not run.
        opened: The release.
        actor: Who activates it.
        without_look_back: Why nobody looked back; None: a finished look-back is needed.

    Raises:
        BadRequest: If it is active already, or there is no look-back of it that is finished and up to date.
    """
    with database.writing() as session:
        active = active_release(session)
        if active == opened.name:
            raise BadRequest(f"--release: expected another release than the active one, got {active}. Nothing to do.")
        if without_look_back is not None:
            activate(session, opened, actor=actor, reason=without_look_back)
            return None
        finished = None if active is None else last_look_back(session, release=opened.name, against=active)
        missing = len(photographs_without(session, opened.name))
        if finished is None or missing > finished.lost:
            came = "none" if finished is None else f"one after which {missing - finished.lost} photographs came"
            raise BadRequest(
                f"{opened.name}: expected a finished look-back of all photographs, got {came}. Run: fundoscope service "
                f"look-back --release {opened.path}; or say why not by --without-look-back."
            )
        activate(session, opened, actor=actor, look_back=finished)
        return finished
