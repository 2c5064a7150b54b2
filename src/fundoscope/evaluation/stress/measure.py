"""Grade photographs clean and under every dose of the stress set: one row for each photograph, disturbance and dose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from fundoscope.arrays import Photo
from fundoscope.errors import BadRequest, UnreadablePhotograph
from fundoscope.evaluation.stress.stress_set import (
    CLEAN,
    DISTURBANCES,
    DOSES,
    CroppedOrWhole,
    Disturbance,
    disturb,
    set_name,
)
from fundoscope.grades import GRADES
from fundoscope.parallel import in_order
from fundoscope.photo.fov import find_field
from fundoscope.photo.read import read_photo
from fundoscope.tables import PROBABILITIES
from fundoscope.tables.pair import Reference
from fundoscope.tables.places import Places

ANSWERED: Final = (
    "status", "reason", "quality", *PROBABILITIES, "p_referable", "grade", "decision", "grades_set", "release"
)  # fmt: skip
"""Columns of predictions that a row takes over from the system's answer."""

COLUMNS: Final = (
    "image", "sha256", "source", "patient", "reference", "disturbance", "dose", "amount", *ANSWERED, "fold",
    "stress_set",
)  # fmt: skip

RAW: Final = tuple(f"raw{output}" for output in range(GRADES))
"""Columns of the head's raw outputs, blank where it has fewer: by them another readout can be tried on the table."""

UNREADABLE: Final = "unreadable"

Row = dict[str, Any]


@runtime_checkable
class System(Protocol):
    """What is put under stress: it grades pictures."""

    @property
    def name(self) -> str:
        """Name with a hash, as the column `release` has it."""

    @property
    def decode_px(self) -> int:
        """Shortest side that photographs are decoded with at least (`Recipe.decode_px`)."""

    @property
    def folds(self) -> Mapping[str, int] | None:
        """Fold whose network never saw a photograph, by its SHA-256; None where the system is one network."""

    def grade(self, pixels: Photo, fold: int | None) -> Mapping[str, Any]:
        """Grade a picture; the columns of predictions in `ANSWERED`, None for blank."""


@runtime_checkable
class Journal(Protocol):
    """What is done of an unfinished run, so that it goes on where it stopped (`runtime.part_file.PartFile`)."""

    @property
    def finished(self) -> Mapping[str, Mapping[str, Any]]:
        """Finished entries by `entry["row"]["image"]`."""

    def append(self, entry: dict[str, Any]) -> None:
        """Keep the entry of a finished photograph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StressCase:
    """A photograph with its reference grade."""

    image: str
    """As the manifest writes it."""
    path: Path
    sha256: str
    reference: int
    source: str | None
    patient: str | None
    fold: int | None = None
    """Whose network grades it; None: the system has one network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StressPlan:
    """Which part of the stress set is run."""

    disturbances: tuple[str, ...] = tuple(DISTURBANCES)
    """Names in `DISTURBANCES`."""
    doses: tuple[int, ...] = tuple(range(1, DOSES + 1))

    def __post_init__(self) -> None:
        unknown = [name for name in self.disturbances if name not in DISTURBANCES]
        if unknown or not self.disturbances:
            raise BadRequest(
                f"--disturbances: expected names among {', '.join(DISTURBANCES)}, got {', '.join(unknown) or 'none'}."
            )
        if not self.doses or not set(self.doses) <= set(range(1, DOSES + 1)):
            raise BadRequest(f"--doses: expected numbers from 1 to {DOSES}, got {' '.join(map(str, self.doses))}.")

    @property
    def is_complete(self) -> bool:
        """Whether it is the whole set, which alone gives a figure that others can be compared with."""
        return set(self.disturbances) == set(DISTURBANCES) and len(set(self.doses)) == DOSES

    def conditions(self) -> list[tuple[Disturbance, int]]:
        """Return every disturbance with every dose, in order."""
        return [
            (DISTURBANCES[name], dose) for name in dict.fromkeys(self.disturbances) for dose in sorted(set(self.doses))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        return {"disturbances": list(self.disturbances), "doses": list(self.doses)}


def cases_from(
    reference: Reference,
    hashes: Callable[[Path], str],
    *,
    folds: Mapping[str, int] | None = None,
    most: int | None = None,
    seed: int = 0,
) -> list[StressCase]:
    """List the photographs of a manifest that have a reference grade, or a seeded sample of them.

    Args:
        reference: The manifest, its split chosen.
        hashes: SHA-256 of a file, asked for where the manifest has none.
        folds: By SHA-256; photographs of no fold are left out. None: all are used.
        most: Photographs at most; None: all.
        seed: Of the sample.

    Raises:
        BadRequest: If none is left.
    """
    rows = reference.chosen
    rows = rows[rows["grade"].notna()] if "grade" in rows else rows.iloc[:0]
    places = Places(reference.path.parent)
    cases = [_case(row, places.find(str(row["image"])), hashes) for row in rows.to_dict("records")]
    if folds is not None:
        cases = [replace(case, fold=folds[case.sha256]) for case in cases if case.sha256 in folds]
    if not cases:
        among = "" if folds is None else " in a fold of the runs"
        raise BadRequest(f"{reference.path}: expected graded photographs{among}, got none. Name another manifest.")
    if most is None or most >= len(cases):
        return cases
    chosen = np.random.default_rng(seed).choice(len(cases), size=most, replace=False)
    return [cases[at] for at in np.sort(chosen)]


def _case(row: Mapping[Any, Any], path: Path, hashes: Callable[[Path], str]) -> StressCase:
    def text(name: str) -> str | None:
        value = row.get(name)
        return None if value is None or pd.isna(value) or str(value) == "" else str(value)

    return StressCase(
        image=str(row["image"]),
        path=path,
        sha256=text("sha256") or _hash_of(path, hashes),
        reference=int(row["grade"]),
        source=text("source"),
        patient=text("patient"),
    )


def _hash_of(path: Path, hashes: Callable[[Path], str]) -> str:
    """Return a file's hash; blank where it cannot be read, which its row will say."""
    try:
        return hashes(path)
    except OSError:
        return ""


def measure(
    system: System,
    cases: Sequence[StressCase],
    plan: StressPlan,
    *,
    journal: Journal | None = None,
    threads: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> pd.DataFrame:
    """Grade every photograph clean and under every condition.

    Args:
        system: What is put under stress.
        cases: Photographs.
        plan: Conditions.
        journal: Keeps what is done; photographs that it has finished are not graded again.
        threads: Photographs worked on side by side.
        progress: Called with the number of photographs that are done.

    Returns:
        One row for each photograph and condition, in the order of the cases, columns `COLUMNS` and `RAW`. A photograph
        that cannot be read has one row of dose 0, which says why.
    """
    done = _finished(cases, journal)
    remaining = [case for case in cases if case.image not in done]
    progress(len(cases) - len(remaining))
    for case, rows in zip(
        remaining, in_order(lambda case: _rows_of(system, case, plan), remaining, threads=threads), strict=True
    ):
        if journal is not None:
            journal.append({"row": {"image": case.image}, "rows": rows})
        done[case.image] = rows
        progress(len(done))
    frame = pd.DataFrame([row for case in cases for row in done[case.image]], columns=[*COLUMNS, *RAW])
    return frame.astype({"grade": "Int64", "fold": "Int64", "p_referable": "float64", **dict.fromkeys(RAW, "float64")})


def _finished(cases: Sequence[StressCase], journal: Journal | None) -> dict[str, list[Row]]:
    """Return the rows of photographs that an earlier run finished, if they are the same files and were read.

    Source and patient are those of the manifest now: a patient's name may have been put right since.
    """
    entries = {} if journal is None else journal.finished
    rows = {case.image: list(entries[case.image]["rows"]) for case in cases if case.image in entries}
    return {
        case.image: [row | {"source": case.source, "patient": case.patient} for row in rows[case.image]]
        for case in cases
        if case.image in rows
        and all((row["sha256"], row["reference"]) == (case.sha256, case.reference) for row in rows[case.image])
        and rows[case.image][0]["status"] != UNREADABLE
    }


def _rows_of(system: System, case: StressCase, plan: StressPlan) -> list[Row]:
    try:
        photograph = read_photo(case.path, target_px=system.decode_px)
        if photograph.sha256 != case.sha256:
            return [_row(case, CLEAN, 0, None, _unread(system, "another file than the manifest means"))]
    except (UnreadablePhotograph, OSError) as problem:
        return [_row(case, CLEAN, 0, None, _unread(system, str(problem)))]
    clean = _row(case, CLEAN, 0, None, system.grade(photograph.pixels, case.fold))
    return [clean, *_disturbed_rows(system, case, plan, photograph.pixels)]


def _disturbed_rows(system: System, case: StressCase, plan: StressPlan, pixels: Photo) -> Iterator[Row]:
    """Yield the rows of all conditions; none where no field of view is found that sizes could be shares of."""
    field = find_field(pixels)
    if field is None:
        return
    for disturbance, dose in plan.conditions():
        picture: CroppedOrWhole = disturb(pixels, disturbance, dose, field, sha256=case.sha256)
        amount = float(disturbance.amounts[dose - 1])
        yield _row(case, disturbance.name, dose, amount, system.grade(picture, case.fold))


def _unread(system: System, reason: str) -> dict[str, Any]:
    return {"status": UNREADABLE, "reason": reason, "release": system.name}


def _row(case: StressCase, disturbance: str, dose: int, amount: float | None, answer: Mapping[str, Any]) -> Row:
    about = {
        "image": case.image,
        "sha256": case.sha256,
        "source": case.source,
        "patient": case.patient,
        "reference": case.reference,
        "disturbance": disturbance,
        "dose": dose,
        "amount": amount,
    }
    return (
        about | {name: answer.get(name) for name in (*ANSWERED, *RAW)} | {"fold": case.fold, "stress_set": set_name()}
    )
