"""What a release answered to patients by week and by camera: shares with intervals, and why photographs are refused.

One number a patient: two eyes are not two cases, and who came twice in a week is one patient of that week.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from fundoscope.evaluation.statistics.interval import Interval, proportion_interval
from fundoscope.grades import CANNOT_GRADE_REFER
from fundoscope.photo.decoding.camera import read_camera
from fundoscope.service.store.database import Database
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.models import Answer, Case, Photograph
from fundoscope.service.store.site_models import PhotographCamera
from fundoscope.service.store.studies.study import hidden_cases

WEEKS: Final = 26
"""Weeks that are shown: the last ones in which patients were answered."""

LEVEL: Final = 0.95

FILES_READ: Final = 500
"""Files that are read for their camera at a time, so that a page does not wait for a whole archive."""

GRADED: Final = "graded"
UNREADABLE: Final = "unreadable"
"""Reason of a photograph whose file cannot be read; the others are names of `photo.quality.FAULTS`."""

OTHER: Final = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRates:
    """What was answered to the patients of a week, or of a camera."""

    name: str
    patients: int
    referred: int
    cannot_grade: int
    """Patients with an eye of which no photograph can be graded; some of them are referred."""

    @property
    def referral(self) -> Interval:
        """Share of the patients who are referred."""
        return _share(self.referred, self.patients)

    @property
    def ungradable(self) -> Interval:
        """Share of the patients with an eye that cannot be graded."""
        return _share(self.cannot_grade, self.patients)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRates:
    """What a release answered in the last weeks."""

    weeks: tuple[GroupRates, ...]
    """The earliest first; weeks without patients are left out."""
    cameras: tuple[GroupRates, ...]
    """Of the same weeks, the camera of most patients first; photographs of several count for each of them."""
    refusals: tuple[tuple[str, int], ...]
    """Reasons for which photographs could not be graded, and how many; a photograph may have several."""
    photographs: int
    """Photographs of these weeks."""
    refused: int
    """Of them, photographs that could not be graded or read."""
    earlier: int
    """Cases of earlier weeks."""
    others: int
    """Cases that another release has answered."""
    waiting: int
    """Cases that wait for an answer."""
    hidden: int
    """Cases of an open study, which are hidden from its readers."""
    unread_files: int
    """Photographs whose files were not read for their camera yet."""


@dataclass(frozen=True, slots=True)
class _Patient:
    """What was answered to a patient of a week."""

    key: tuple[str, ...]
    is_referred: bool
    cannot_grade: bool

    def joined(self, other: _Patient) -> _Patient:
        """Return what was answered in both cases: the more urgent of the two."""
        return _Patient(self.key, self.is_referred or other.is_referred, self.cannot_grade or other.cannot_grade)


def site_rates(session: Session, release: str, *, user_id: int) -> SiteRates:
    """Return what a release answered by week and camera.

    Args:
        session: Of `Database.reading`.
        release: Name of the release that answers.
        user_id: Who asks: cases of open studies that they read in are left out.
    """
    hidden = set(session.execute(hidden_cases(user_id)).scalars())
    cases = list(session.execute(select(Case).order_by(Case.day, Case.id)).scalars())
    answered = [case for case in cases if case.answer is not None and case.release == release]
    shown = [case for case in answered if case.id not in hidden]
    weeks = sorted({week_of(case) for case in shown})[-WEEKS:]
    recent = [case for case in shown if week_of(case) in weeks]
    cameras = _cameras(session, recent)
    count, refused = _refused(session, recent, release)
    return SiteRates(
        weeks=tuple(_rates(week, [case for case in recent if week_of(case) == week]) for week in weeks),
        cameras=tuple(_by_camera(recent, cameras)),
        refusals=tuple(Counter(reason for row in refused for reason in _reasons(row)).most_common()),
        photographs=count,
        refused=len(refused),
        earlier=len(shown) - len(recent),
        others=sum(case.answer is not None and case.release != release for case in cases),
        waiting=sum(case.answer is None for case in cases),
        hidden=len(answered) - len(shown),
        unread_files=len(unread_files(session)),
    )


def week_of(case: Case) -> str:
    """Return the ISO week of a case's day, such as 2026-W07; of its arrival where a file names only month or year."""
    try:
        day = date.fromisoformat(case.day or "")
    except ValueError:
        day = date.fromisoformat(case.created[:10])
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def unread_files(session: Session) -> list[tuple[int, str]]:
    """Return number and hash of the photographs whose files were not read for their camera yet."""
    query = (
        select(Photograph.id, Photograph.sha256)
        .outerjoin(PhotographCamera, PhotographCamera.photograph_id == Photograph.id)
        .where(PhotographCamera.photograph_id.is_(None))
        .order_by(Photograph.id.desc())
    )
    return [(number, sha256) for number, sha256 in session.execute(query).all()]


def note_cameras(database: Database, files: PhotographFiles, *, most: int = FILES_READ) -> None:
    """Note the cameras that the latest photographs' files name, where that was not done yet.

    Args:
        database: Of the service.
        files: Where photographs lie.
        most: Files that are read at most.
    """
    with database.reading() as session:
        unread = unread_files(session)[:most]
    cameras = {number: read_camera(files.path(sha256)) for number, sha256 in unread}
    if not cameras:
        return
    with database.writing() as session:
        noted = set(session.execute(select(PhotographCamera.photograph_id)).scalars())
        session.add_all(
            PhotographCamera(photograph_id=number, camera=camera)
            for number, camera in cameras.items()
            if number not in noted  # by another request meanwhile
        )


def _rates(name: str, cases: Sequence[Case]) -> GroupRates:
    patients: dict[tuple[str, ...], _Patient] = {}
    for case in cases:
        patient = _patient(case)
        patients[patient.key] = patients[patient.key].joined(patient) if patient.key in patients else patient
    return GroupRates(
        name=name,
        patients=len(patients),
        referred=sum(patient.is_referred for patient in patients.values()),
        cannot_grade=sum(patient.cannot_grade for patient in patients.values()),
    )


def _patient(case: Case) -> _Patient:
    """Return what was answered to the patient of a case; one whose name is not known is a patient of their own."""
    answer: Mapping[str, Any] = case.answer or {}
    key = ("case", case.uid) if case.patient is None else ("patient", case.source or "", case.patient)
    return _Patient(
        key=key,
        is_referred=answer["tone"] == "alert",
        cannot_grade=any(eye["tone"] == "unknown" or eye["decision"] == CANNOT_GRADE_REFER for eye in answer["eyes"]),
    )


def _by_camera(cases: Sequence[Case], cameras: Mapping[int, Sequence[str]]) -> Iterable[GroupRates]:
    by_camera: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        for camera in cameras[case.id]:
            by_camera[camera].append(case)
    rates = [_rates(camera, mine) for camera, mine in by_camera.items()]
    return sorted(rates, key=lambda group: (-group.patients, group.name))


def _cameras(session: Session, cases: Sequence[Case]) -> dict[int, list[str]]:
    """Return the cameras of each case; where files name none, who sent the photographs."""
    numbers = {case.id for case in cases}
    query = select(Photograph.case_id, Photograph.sender, PhotographCamera.camera).outerjoin(
        PhotographCamera, PhotographCamera.photograph_id == Photograph.id
    )
    cameras: dict[int, dict[str, None]] = {number: {} for number in numbers}
    for case_id, sender, camera in session.execute(query).all():
        if case_id in numbers:
            cameras[case_id][camera or f"not named (sent by {sender})"] = None
    return {number: list(names) for number, names in cameras.items()}


def _refused(session: Session, cases: Sequence[Case], release: str) -> tuple[int, list[dict[str, Any]]]:
    """Return how many photographs cases have, and a release's rows of those that were not graded."""
    numbers = {case.id for case in cases}
    answers = (
        select(Photograph.case_id)
        .join(Answer, Answer.photograph_id == Photograph.id)
        .where(Answer.release == release, Photograph.case_id >= min(numbers, default=0))
    )
    count = sum(case_id in numbers for case_id in session.execute(answers).scalars())
    refused = session.execute(answers.add_columns(Answer.row).where(Answer.status != GRADED)).all()
    return count, [row for case_id, row in refused if case_id in numbers]


def _reasons(row: Mapping[str, Any]) -> list[str]:
    if row["status"] == UNREADABLE:
        return [UNREADABLE]
    return list(row.get("faults") or [OTHER])


def _share(hits: int, total: int) -> Interval:
    """Return a share with its exact interval: patients are independent, and few of them are no matter."""
    low, high = proportion_interval(hits, total, level=LEVEL)
    return Interval(hits / total, low, high, LEVEL, 0)
