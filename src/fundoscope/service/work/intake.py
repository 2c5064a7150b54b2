"""Accepting photographs: for the REST service, and for any other way by which they come.

    outcomes = intake.submit([Submission(incoming, "left.jpg", patient="P1", eye="left")], sender="camera 2")

There is one outcome for each submission, in order. What is accepted lies on the disk, in the database and in the queue
when `submit` returns. A photograph is known by the SHA-256 of its bytes: one that comes again is not accepted again.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final, Literal

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from sqlalchemy.orm import Session

from fundoscope.grades import EYES
from fundoscope.photo.decoding.header import (
    QUIET,
    checked_time,
    clean_identifier,
    read_header,
)
from fundoscope.photo.decoding.kinds import EXPECTED, READABLE, convert_words, kind_of
from fundoscope.photo.decoding.picture import exif_time
from fundoscope.runtime.listing.identifiers import is_filling, is_placeholder
from fundoscope.runtime.reading import known_fields
from fundoscope.service.store.database import Database
from fundoscope.service.store.files import Incoming, PhotographFiles
from fundoscope.service.store.models import Photograph
from fundoscope.service.store.photographs import Facts, add_photograph, case_of, find_photograph
from fundoscope.service.work.grading import GradingWork

LONGEST_NAME: Final = 200
"""Letters of a photograph's name that are kept."""

LONGEST_IDENTIFIER: Final = 64
"""Letters of a patient's identifier (DICOM's LO)."""

_EXIF_READERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "JPEG": JpegImageFile,
    "TIFF": TiffImageFile,
    "WebP": WebPImageFile,
}
"""Kinds whose time is read without decoding a pixel."""


class QueueFull(Exception):
    """No place in the queue: nothing was accepted.

    Attributes:
        retry_seconds: After how many seconds there should be one.
    """

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"queue: expected a free place, got none. Send it again in {retry_seconds} s.")
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A photograph that was sent, and what its sender says of it."""

    incoming: Incoming
    name: str
    """What the sender calls the file."""
    patient: str | None = None
    eye: str | None = None
    taken: str | None = None
    limit: int | None = None
    """Most bytes of a photograph, where this one has more and its bytes were thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a submission."""

    name: str
    status: Literal["accepted", "known", "refused"]
    sha256: str | None = None
    """None where there is no photograph."""
    state: str | None = None
    """State of the photograph."""
    case: str | None = None
    """Identifier of its case."""
    error: str | None = None
    """Why it is refused."""
    code: int = 202
    """HTTP's status that a submission of this photograph alone has."""


class _Refused(Exception):
    """A submission that is not accepted; the text is the sentence for the sender."""

    def __init__(self, sentence: str, code: int = 422) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Intake:
    """Accepts photographs; safe to use from several threads."""

    database: Database
    files: PhotographFiles
    work: GradingWork

    def submit(self, submissions: Sequence[Submission], *, sender: str) -> list[Outcome]:
        """Accept photographs.

        Args:
            submissions: Their incoming files are kept or removed.
            sender: Name of the user.

        Raises:
            QueueFull: If there is no place for all that are new.
        """
        try:
            examined = [self._examine(submission) for submission in submissions]
            return self._keep(submissions, examined, sender)
        finally:
            for submission in submissions:
                submission.incoming.discard()

    def _examine(self, submission: Submission) -> Facts | Outcome:
        """Return what is known of a photograph, or why it is refused."""
        submission.incoming.end()
        try:
            return facts_of(submission)
        except _Refused as problem:
            name = shown_name(submission.name)
            return Outcome(name=name, status="refused", error=str(problem), code=problem.code)

    def _keep(
        self, submissions: Sequence[Submission], examined: Sequence[Facts | Outcome], sender: str
    ) -> list[Outcome]:
        hashes = {facts.sha256 for facts in examined if isinstance(facts, Facts)}
        with self.database.reading() as session:
            new = {sha256 for sha256 in hashes if find_photograph(session, sha256) is None}
        queue = self.work.queue
        if not queue.reserve(len(new), sender):
            raise QueueFull(self.work.retry_seconds())
        reserved = len(new)
        try:
            for submission in submissions:
                if submission.incoming.sha256 in new:
                    self.files.keep(submission.incoming)
            outcomes: list[Outcome] = []
            with self.database.writing() as session:
                for submission, facts in zip(submissions, examined, strict=True):
                    if isinstance(facts, Facts):
                        outcomes.append(_accept(session, submission, facts, sender))
                    else:
                        outcomes.append(facts)
            for outcome in outcomes:
                if outcome.status == "accepted" and outcome.sha256 is not None:
                    queue.put(outcome.sha256, sender)
                    reserved -= 1
        finally:
            queue.release(reserved, sender)
        return outcomes


def _accept(session: Session, submission: Submission, facts: Facts, sender: str) -> Outcome:
    """Add a photograph unless it is there; where it is, compare what its sender says of it."""
    photograph = find_photograph(session, facts.sha256)
    if photograph is None:
        photograph, is_new = add_photograph(session, facts, sender=sender), True
    elif differences := _differences(photograph, submission, facts):
        return Outcome(
            name=facts.name,
            status="refused",
            sha256=facts.sha256,
            error=(
                f"{facts.name}: expected the {' and '.join(differences)} with which this photograph was accepted "
                "before, got others. Nothing was changed; ask whoever runs the service."
            ),
            code=409,
        )
    else:
        is_new = False
    return Outcome(
        name=facts.name,
        status="accepted" if is_new else "known",
        code=202 if is_new else 200,
        sha256=facts.sha256,
        state=photograph.state,
        case=case_of(session, photograph).uid,
    )


def _differences(photograph: Photograph, submission: Submission, facts: Facts) -> list[str]:
    """Return what the sender says now that contradicts what the photograph was accepted with."""
    return [
        shown
        for name, shown in (("patient", "patient"), ("eye", "eye"), ("taken", "time taken"))
        if getattr(submission, name) is not None and getattr(facts, name) != getattr(photograph, name)
    ]


def facts_of(submission: Submission) -> Facts:
    """Return what is known of a photograph: by its file, and by its sender where the file says nothing.

    Raises:
        _Refused: If it is no picture that can be read, or the sender contradicts the file.
    """
    incoming, name = submission.incoming, shown_name(submission.name)
    if submission.limit is not None:
        words = f"{name}: expected a photograph of at most {submission.limit} bytes, got more. Export it smaller."
        raise _Refused(words, 413)
    kind = kind_of(incoming.head, submission.name)
    if kind not in READABLE:
        raise _Refused(_kind_words(name, kind, incoming.size), 415)
    header = _header_of(incoming.path, kind)
    values: dict[str, Any] = known_fields(header)
    stated = _stated(submission, name)
    for key, value in stated.items():
        if key in ("patient", "eye") and values.get(key) is not None and values[key] != value:
            raise _Refused(
                f"{name}: expected the {key} that the file itself names, got another. Leave the {key} out, or send the "
                "right file."
            )
    values |= {key: value for key, value in stated.items() if value is not None}
    return Facts(sha256=incoming.sha256, name=name, size=incoming.size, kind=kind, **_known(values))


_FACTS: Final = (
    "source", "patient", "patient_raw", "eye", "taken", "study_uid", "series_uid", "sop_uid", "accession",
)  # fmt: skip
"""Fields of `Facts` that the file or the sender names."""


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values.get(key) for key in _FACTS}


def _kind_words(name: str, kind: str | None, size: int) -> str:
    if size == 0:
        return f"{name}: expected a photograph, got an empty file (0 bytes). Copy it again from the camera."
    if kind is not None:
        return convert_words(name, kind)
    return f"{name}: expected {EXPECTED}, got something else. Export the photograph again."


def _stated(submission: Submission, name: str) -> dict[str, Any]:
    """Return what the sender says, checked.

    Raises:
        _Refused: If an eye or a time is none.
    """
    values: dict[str, Any] = {}
    if submission.patient is not None and submission.patient.strip():
        patient, raw = clean_identifier(submission.patient)
        if patient is not None and len(patient) > LONGEST_IDENTIFIER:
            raise _Refused(f"{name}: expected a patient of at most {LONGEST_IDENTIFIER} letters, got more. Shorten it.")
        if patient is not None and (is_placeholder(patient) or is_filling(patient)):
            values["patient_raw"] = raw or patient
        elif patient is not None:
            values |= {"patient": patient, "patient_raw": raw}
    if submission.eye:
        if submission.eye not in EYES:
            raise _Refused(f"{name}: expected the eye left or right, got {submission.eye[:20]!r}. Correct the field.")
        values["eye"] = submission.eye
    if submission.taken:
        taken = checked_time(submission.taken)
        if taken is None or len(taken) < len("2026-01-31"):
            raise _Refused(
                f"{name}: expected the time taken as 2026-01-31 or 2026-01-31T09:30:00, got {submission.taken[:40]!r}. "
                "Correct the field."
            )
        values["taken"] = taken
    return values


def _header_of(path: Path, kind: str) -> dict[str, str | None]:
    """Return what a file says of its photograph, without decoding a pixel."""
    if kind != "DICOM":
        return {"taken": _exif_time(path, kind)}
    return dict(read_header(path).header())


def _exif_time(path: Path, kind: str) -> str | None:
    reader = _EXIF_READERS.get(kind)
    if reader is None:
        return None
    try:
        with QUIET, warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")
            return exif_time(reader(file).getexif())
    except Exception:  # Pillow raises nearly anything on damaged files; grading says what is wrong with it
        return None


def shown_name(name: str) -> str:
    """Return what a photograph is called: the last part of the sender's name, without signs that no line may have."""
    last = PurePath(name.replace("\\", "/")).name
    shown = "".join(sign for sign in last if sign.isprintable()).strip()
    return (shown or "photograph")[-LONGEST_NAME:]
