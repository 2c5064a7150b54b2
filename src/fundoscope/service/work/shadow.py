"""Shadow mode: how many patients were read without the answer, and once they are enough how readers and release agree.

The two tables that are exported here are those that `fundoscope commission` takes, and every count and figure is
computed from them by what computes it there and in `fundoscope evaluate`: nothing is counted in a second way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fundoscope.clinic.commissioning.cohort import Flow, answers_of, patients_of
from fundoscope.clinic.commissioning.commission import Terms
from fundoscope.clinic.commissioning.planning import positives_needed, sample_size
from fundoscope.errors import BadRequest
from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.patients.figures import PatientFigures, patient_figures
from fundoscope.evaluation.patients.outcomes import with_unanswered
from fundoscope.service.store.database import Database
from fundoscope.service.store.models import Case, EyeReading, Photograph
from fundoscope.service.store.photographs import answers_of as stored_answers
from fundoscope.service.store.photographs import photographs_of
from fundoscope.service.store.readings import counting_readings, current_readings
from fundoscope.service.store.release_models import ShadowPeriod
from fundoscope.service.store.shadow import count_looks, last_period, note_look
from fundoscope.tables.formats import write_table
from fundoscope.tables.pair import Pair, read_pair

TRUE_SENSITIVITY: Final = 0.95
"""True sensitivity for which the default plan has 80 % power (docs/commission.md)."""

READINGS: Final = "readings.csv"
PREDICTIONS: Final = "predictions.csv"

NO_COLUMNS: Final = frozenset({"faults", "advice"})
"""Of an answer's row, what the table of predictions does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowTables:
    """Readings and answers of the cases that were read without the answer, a row for each of their photographs."""

    readings: pd.DataFrame
    """A manifest: `grade` is the reading that counts, blank where there is none or the eye could not be graded."""
    predictions: pd.DataFrame
    last_reading: int
    """Id of the last reading that counts; 0: there is none."""
    answered: int
    """Cases that were answered in shadow mode."""
    read: int
    """Of them, cases that were read without the answer."""
    differing: int
    """Of those, cases in which readers differ and nobody has decided yet."""

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both tables; return predictions and readings, in the order in which `commission` takes them.

        Raises:
            BadRequest: If one of them is there already.
        """
        paths = folder / PREDICTIONS, folder / READINGS
        for path in paths:
            if path.exists():
                raise BadRequest(f"{path}: expected a name that is free, got a file. Name another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        for path, table in zip(paths, (self.predictions, self.readings), strict=True):
            write_table(table, path)
        return paths


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowProgress:
    """How far a shadow mode has come."""

    period: ShadowPeriod
    is_on: bool
    tables: ShadowTables
    flow: Flow | None
    """Patients whose photographs were read, as `commission` counts them; None: no eye was graded yet."""
    looks: int
    """Looks at the figures so far, this one included."""
    figures: PatientFigures | None
    """Agreement of readers and release; None before the planned number of patients was read."""

    @property
    def referable(self) -> int:
        """Referable patients so far, by the readers."""
        return 0 if self.flow is None else self.flow.referable

    @property
    def is_enough(self) -> bool:
        """Whether the planned number of patients was read."""
        return self.referable >= self.period.planned


def planned_patients() -> int:
    """Return the referable patients that a shadow mode is planned for by default."""
    terms = Terms()
    number = sample_size(TRUE_SENSITIVITY, wanted=terms.sensitivity, confidence=terms.confidence)
    assert number is not None
    return number


def checked_plan(number: int | None) -> int | None:
    """Return a plan that can guarantee something.

    Raises:
        BadRequest: If so few referable patients cannot guarantee any threshold.
    """
    terms = Terms()
    least = positives_needed(sensitivity=terms.sensitivity, confidence=terms.confidence)
    if number is not None and number < least:
        raise BadRequest(
            f"--shadow-patients: expected at least {least} referable patients, with fewer of whom no threshold can be "
            f"guaranteed, got {number}. Plan for more."
        )
    return number


def shadow_progress(database: Database, *, actor: str) -> ShadowProgress | None:
    """Return how far the last shadow mode has come; None where there was none.

    Seeing figures is a look, which is noted in the audit log; before the planned number of patients there are none.

    Args:
        database: Of the service.
        actor: Who looks.
    """
    with database.reading() as session:
        period = last_period(session)
        if period is None:
            return None
        tables = shadow_tables(session, period.release)
        looks = count_looks(session, period.release)
    with TemporaryDirectory() as folder:
        pair = _paired(tables, Path(folder))
    flow = None if pair is None else patients_of(pair.rows, answers_of(pair.rows, grade_refers=True))[1]
    progress = ShadowProgress(
        period=period, is_on=period.ended is None, tables=tables, flow=flow, looks=looks, figures=None
    )
    if pair is None or not progress.is_enough:
        return progress
    with database.writing() as session:
        looks = note_look(session, period.release, tables.last_reading, actor=actor)
    figures = patient_figures(with_unanswered(cases_of(pair.rows).matched, pair.chosen))
    return ShadowProgress(period=period, is_on=progress.is_on, tables=tables, flow=flow, looks=looks, figures=figures)


def enough_tables(database: Database, *, actor: str) -> ShadowProgress:
    """Return a shadow mode whose tables may be handed out: the planned number of patients was read. It is a look, too.

    Raises:
        BadRequest: Before that, or if there was no shadow mode.
    """
    progress = shadow_progress(database, actor=actor)
    if progress is None:
        raise BadRequest(
            "shadow: expected a service that runs or ran in shadow mode, got another. Start it with: fundoscope serve "
            "--shadow"
        )
    if not progress.is_enough:
        raise BadRequest(
            f"shadow: expected {progress.period.planned} referable patients, as planned, got {progress.referable} so "
            "far. Readings and answers are compared once they are reached: looking earlier misleads."
        )
    return progress


def shadow_tables(session: Session, release: str, *, every: bool = False) -> ShadowTables:
    """Return readings and answers of the cases that a release answered in shadow mode and people read in it.

    Args:
        session: Of `Database.reading`.
        release: Its name.
        every: Whether cases answered outside of shadow mode are taken, too, where they were read without the answer.
            `answered` then counts cases with a reading.
    """
    query = select(Case).where(Case.answer.is_not(None), Case.release == release).order_by(Case.id)
    query = query if every else query.where(Case.shadow)
    cases = list(session.execute(query.where(Case.id.in_(select(EyeReading.case_id)))).scalars())
    answered = len(cases) if every else session.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    readings, predictions = [], []
    read = differing = last = 0
    for case in cases:
        current = current_readings(session, case, blind=True)
        if not current:
            continue
        read += 1
        counting = counting_readings(session, case, blind=True)
        current_eyes = [reading for eyes in current.values() for reading in eyes.values()]
        by_eye = {reading.eye: reading for reading in current_eyes if reading.id in counting}
        differing += len(by_eye) < len({reading.eye for reading in current_eyes})
        last = max([last, *(reading.id for reading in current_eyes)])
        photographs = photographs_of(session, case)
        answers = stored_answers(session, photographs, release)
        for photograph in photographs:
            readings.append(_manifest_row(photograph, by_eye.get(photograph.eye)))
            predictions.append(_prediction_row(photograph, answers[photograph.id].row))
    return ShadowTables(
        readings=pd.DataFrame(readings, dtype=object),
        predictions=pd.DataFrame(predictions, dtype=object),
        last_reading=last,
        answered=answered,
        read=read,
        differing=differing,
    )


def _image(photograph: Photograph) -> str:
    """Return what a photograph is called in both tables: senders call several by one name."""
    return f"{photograph.sha256[:12]}/{photograph.name}"


def _manifest_row(photograph: Photograph, reading: EyeReading | None) -> dict[str, Any]:
    return {
        "image": _image(photograph),
        "sha256": photograph.sha256,
        "source": photograph.source,
        "patient": photograph.patient,
        "eye": photograph.eye,
        "taken": photograph.taken,
        "grade": None if reading is None else reading.grade,
    }


def _prediction_row(photograph: Photograph, row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in NO_COLUMNS} | {"image": _image(photograph)}


def _paired(tables: ShadowTables, folder: Path) -> Pair | None:
    """Return the tables as `commission` reads them; None where no eye was graded."""
    if tables.readings.empty or tables.readings["grade"].isna().all():
        return None
    return read_pair(*tables.write(folder))
