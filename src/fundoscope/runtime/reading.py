"""What became of one photograph: graded, ungradable or unreadable, and why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from html import escape
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float32

from fundoscope.arrays import Heatmap, Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.photo.artefacts.retouch import Spot
from fundoscope.photo.decoding.header import Header
from fundoscope.photo.fov import Field
from fundoscope.photo.illustration import illustrate
from fundoscope.photo.quality import Quality
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.photo.recipe import Placement
from fundoscope.runtime.listing.identifiers import is_filling, is_placeholder
from fundoscope.runtime.tasks.dr_grade import GradeAnswer
from fundoscope.runtime.tasks.task import Answer, Cell
from fundoscope.tables.columns import STORED_DIGITS

FELLOW_WORDS: Final = {
    "used": "",
    "missing": "Graded without the other eye: no photograph of it is known.",
    "unreadable": "Graded without the other eye: {name} could not be read.",
    "ungradable": "Graded without the other eye: {name} is not gradable.",
}
"""What may become of the other eye's photograph, and what `reason` then says."""


NOT_KEPT: Final = frozenset({"horizontal_field", "pupil_dilated", "burned_in"})
"""What a file says of how it was photographed, which `photo.read.Photograph` has and no answer depends on."""

HEADER_FIELDS: Final = tuple(field.name for field in fields(Header) if field.name not in NOT_KEPT)
"""What is taken over from a photograph's file."""

NAMED_COLUMNS: Final = (
    "image", "sha256", "source", "patient", "patient_raw", "eye", "taken", "study_uid", "series_uid",
    "sop_uid", "accession", "position", "graded_at", "status", "reason", "quality",
)  # fmt: skip
"""Columns of the predictions table that are fields of a `Reading`, in order."""

NOTEBOOK_PX: Final = 800
"""Longer side at which a photograph is decoded for a notebook, at least."""

NOT_ANSWERED: Final = GradeAnswer()
"""The answer of a reading that was only assessed."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reading:
    """The answer to one photograph. There is one for every photograph that was asked about.

    `graded`: everything is filled. `ungradable`: no fundus or more than one was found, or the release's gate refuses
    the picture; the answer has no grade and its decision says that it cannot be graded. Where one fundus was found all
    the same, the network was run and `raw`, `probabilities`, `features` and `heatmap` are there, so that an evaluation
    may count such photographs in. `unreadable`: there is no picture, or a fault stopped this one; only `reason` says
    more.
    """

    image: str
    """The path as it was typed; empty for an array."""
    status: str
    """graded, ungradable or unreadable."""
    reason: str
    """Why it is not graded, or what lowers its quality; empty where nothing is to be said."""
    release: str
    """Id and hash of the release that answered."""
    graded_at: str
    """When, ISO 8601 in UTC."""
    fellow: str | None = None
    """What became of the other eye's photograph where the release takes both: one of `FELLOW_WORDS` (`reason` says it
    in words unless it was used); None where the release grades eyes singly, or the network was not asked."""
    fellow_sha256: str | None = None
    """SHA-256 of the other eye's file, where it could be read."""
    sha256: str | None = None
    source: str | None = None
    patient: str | None = None
    """Whose photograph, without blanks around the name; None also where the name is a placeholder."""
    patient_raw: str | None = None
    """The patient's name as it is written, where that differs from `patient`."""
    eye: str | None = None
    taken: str | None = None
    study_uid: str | None = None
    """DICOM's StudyInstanceUID."""
    series_uid: str | None = None
    """DICOM's SeriesInstanceUID."""
    sop_uid: str | None = None
    """DICOM's SOPInstanceUID."""
    accession: str | None = None
    """DICOM's AccessionNumber."""
    position: str | None = None
    """Where the field lies on the retina, as DICOM says it."""
    quality: str | None = None
    """One of `grades.QUALITY_NAMES`; None where there is no picture."""
    parts: Quality | None = None
    faults: tuple[str, ...] = ()
    """What keeps the photograph from being graded, the worst first: names of `photo.quality.FAULTS`."""
    raw: tuple[float, ...] = ()
    """The head's output, in the head's own units."""
    answer: Answer = NOT_ANSWERED
    """The task's answer: `tasks.dr_grade.GradeAnswer`, `tasks.signs.SignsAnswer` or `tasks.classes.ClassAnswer`."""
    field: Field | None = None
    """Where the retina lies on the photograph as it was decoded, in px."""
    dust_map: str | None = None
    """Seal of the dust map that the sensor's specks were retouched by; None: nothing was."""
    retouched: tuple[Spot, ...] = ()
    """Specks that were retouched, on the photograph as it was decoded, in px."""
    features: Float32[np.ndarray, " feature"] | None = None
    heatmap: Heatmap | None = None
    """Where the network looked, on its own grid, which covers the prepared canvas."""
    placement: Placement | None = None
    """How the prepared canvas lies on the decoded photograph, whose size is `decoded`."""
    decoded: tuple[int, int] | None = None
    """Height and width of the photograph as it was decoded (a large JPEG is decoded reduced)."""
    side: int | None = None
    """Side of the prepared canvas in px."""
    path: PurePath | None = None
    """The file that was opened; None of pixels. `image` may be what a manifest calls it."""
    heatmap_shown: bool = False
    """Whether `heatmap` may be shown to people (`OpenRelease.shows_heatmap`)."""

    def __repr__(self) -> str:
        name = PurePath(self.image).name or "pixels"
        state = "" if self.status == "graded" else f" ({self.status})"
        details = [self.answer.brief()] if self.status == "graded" else [self.reason]
        quality = [f"quality {self.quality}"] if self.quality and self.status == "graded" else []
        return f"<Reading {name}: {', '.join(filter(None, [self.decision + state, *details, *quality]))}>"

    def _repr_html_(self) -> str:
        """Return the photograph, its heatmap where one may be shown, and the answer, for notebooks."""
        try:
            pictures = "" if self.path is None else self._pictures(Path(self.path))
        except UnreadablePhotograph as problem:
            pictures = f"<p>{escape(str(problem))}</p>"
        reason = f"<p>{escape(self.reason)}</p>" if self.reason else ""
        name = escape(PurePath(self.image).name or "pixels")
        answer = self.answer.words() if self.status == "graded" else f"{self.decision} ({self.status})"
        return (
            f"<div><p><b>{name}</b>: {escape(answer)}</p>{pictures}{reason}<p><small>Release {escape(self.release)}. "
            f"{NOT_A_DEVICE}</small></p></div>"
        )

    def _pictures(self, path: Path) -> str:
        """Return the photograph, and again under its heatmap.

        Raises:
            UnreadablePhotograph: If the file is not there any more.
        """
        photograph = read_photo(path, target_px=NOTEBOOK_PX)
        if photograph.sha256 != self.sha256:
            return f"<p>{escape(str(path))} has changed since it was graded, and is not shown.</p>"
        shown = illustrate(photograph.pixels, self, overlaid=self.heatmap_shown)
        image = f'<img src="{shown.photograph}" style="width:100%;display:block" alt="photograph">'
        frame = '<div style="position:relative;display:inline-block;width:min(400px,100%);margin:0 4px 4px 0">'
        if shown.overlay is None:
            return f"{frame}{image}</div>"
        over = f'<img src="{shown.overlay}" style="position:absolute;inset:0;width:100%;height:100%" alt="heatmap">'
        return f"{frame}{image}</div>{frame}{image}{over}</div>"

    @property
    def decision(self) -> str:
        """One of the task's decisions (`Task.words.decisions`)."""
        return self.answer.decision

    @property
    def probabilities(self) -> tuple[float, ...] | None:
        """One for each of the release's labels; None where the network was not run."""
        return self.answer.probabilities

    @property
    def grade(self) -> int | None:
        """The ICDR grade; None where it is not gradable, or the release answers another task."""
        return self.answer.grade if isinstance(self.answer, GradeAnswer) else None

    @property
    def grade_name(self) -> str | None:
        """The grade in words; None as `grade`."""
        return self.answer.grade_name if isinstance(self.answer, GradeAnswer) else None

    @property
    def p_referable(self) -> float | None:
        """Probability of referable retinopathy; None as `grade`."""
        return self.answer.p_referable if isinstance(self.answer, GradeAnswer) else None

    @property
    def grades_set(self) -> str | None:
        """Grades that cannot be excluded (`GradeAnswer.grades_set`); None as `grade`."""
        return self.answer.grades_set if isinstance(self.answer, GradeAnswer) else None

    def row(self) -> dict[str, Any]:
        """Return the row of the predictions table, columns in the table's order; None is blank."""
        row: dict[str, Any] = {name: getattr(self, name) for name in NAMED_COLUMNS}
        for part in ("field_size", "sharpness", "exposure", "contrast", "vessels"):
            row[f"q_{part}"] = None if self.parts is None else _stored(getattr(self.parts, part))
        row |= {f"raw{i}": _exact(value) for i, value in enumerate(self.raw)}
        row |= {name: _not_nothing(value, _stored(value)) for name, value in self.answer.columns().items()}
        retouched = None if self.dust_map is None else len(self.retouched)
        row |= {"dust_map": self.dust_map, "retouched": retouched}
        return row | {"patient_note": None, "fold": None, "release": self.release}


class Readings(Iterator[Reading]):
    """Readings of many photographs, in order, each computed when it is taken.

    Example:
        >>> table = Grader.open().grade_many("examples/manifest.csv").to_frame()  # doctest: +SKIP
    """

    def __init__(
        self,
        readings: Iterator[Reading],
        frame: Callable[[Iterable[dict[str, Any]]], pd.DataFrame],
        *,
        notes: Sequence[str] = (),
        troubles: Sequence[str] = (),
    ) -> None:
        self.notes = tuple(notes)
        """What should be known of the photographs that were listed: files passed over, placeholders, repeated names."""
        self.troubles = tuple(troubles)
        """Folders that could not be read; their photographs are not among the readings."""
        self._readings = readings
        self._frame = frame
        self._taken = 0

    def __next__(self) -> Reading:
        reading = next(self._readings)
        self._taken += 1
        return reading

    def __repr__(self) -> str:
        return f"<Readings: {self._taken} taken>"

    def to_frame(self) -> pd.DataFrame:
        """Return the predictions table: one row for each photograph, blank where nothing is known.

        Of heatmaps and features nothing is kept, so that memory grows by rows only. It warns of `troubles`.

        Raises:
            ValueError: If readings were taken before: their rows would be missing in the table.
        """
        if self._taken:
            raise ValueError(
                f"to_frame: expected readings of which none was taken, got {self._taken} taken. Grade them again, and "
                "call to_frame at once."
            )
        for trouble in self.troubles:
            warnings.warn(trouble, stacklevel=2)
        return self._frame([reading.row() for reading in self])


def with_header(reading: Reading, photograph: Photograph | Photo) -> Reading:
    """Return the reading with what the photograph's file says of it; of pixels alone nothing is known."""
    if isinstance(photograph, np.ndarray):
        return reading
    return replace(reading, sha256=photograph.sha256, **known_fields(photograph.header()))


def known_fields(header: Mapping[str, str | None]) -> dict[str, Any]:
    """Return what a file's header says as fields of a reading.

    The institution that named the patient is the source. A placeholder in the place of a name is no patient's.
    """
    values: dict[str, Any] = {
        name: value for name, value in header.items() if name in HEADER_FIELDS and value is not None
    }
    if "issuer" in values:
        values["source"] = values.pop("issuer")
    patient = values.get("patient")
    if patient is not None and (is_placeholder(patient) or is_filling(patient)):
        values |= {"patient": None, "patient_raw": values.get("patient_raw", patient)}
    return values


def unread(reading: Reading, reason: str, *, answer: Answer) -> Reading:
    """Return a reading as that of a photograph without a picture; whose it is stays.

    Args:
        reading: What came of the file.
        reason: Why it does not count.
        answer: The answer to photographs without a picture.
    """
    return Reading(
        image=reading.image,
        status="unreadable",
        reason=reason,
        release=reading.release,
        graded_at=reading.graded_at,
        sha256=reading.sha256,
        source=reading.source,
        patient=reading.patient,
        patient_raw=reading.patient_raw,
        eye=reading.eye,
        taken=reading.taken,
        study_uid=reading.study_uid,
        series_uid=reading.series_uid,
        sop_uid=reading.sop_uid,
        accession=reading.accession,
        position=reading.position,
        answer=answer,
    )


def _exact(value: float) -> float:
    """Return the shortest number that is the network's 32-bit output again: what is fitted on a table is then fitted on
    what the release computes."""
    return float(str(np.float32(value))) + 0.0


def _not_nothing(value: Cell, stored: Cell) -> Cell:
    """Return what is stored of a probability: the smallest number of a table where rounding would make it 0."""
    return 10.0**-STORED_DIGITS if isinstance(value, float) and value > 0 and stored == 0 else stored


def _stored(value: Cell) -> Cell:
    """Round a fraction to the digits that all computers agree on; return anything else as it is."""
    # Adding 0 turns -0.0, which rounding leaves of a tiny negative difference, into 0.0.
    return round(value, STORED_DIGITS) + 0.0 if isinstance(value, float) else value
