"""STOW-RS: photographs that archives and gateways send by DICOM's web protocol (PS3.18, 10.5).

    POST /dicom-web/studies           photographs of any study
    POST /dicom-web/studies/STUDY     photographs of this study

The answer, a DICOM dataset as JSON, lists each object that was sent: as stored, or as failed with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from python_multipart.multipart import parse_options_header
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.api.multipart import MultipartReader, Part
from fundoscope.service.api.schemas import faults
from fundoscope.service.dicom.instances import OUT_OF_RESOURCES, Instance, Stored, store_instance
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account
from fundoscope.service.work.intake import QueueFull

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LOGGER: Final = logging.getLogger("fundoscope.service")

ANSWER: Final = "application/dicom+json"
OBJECT: Final = b"application/dicom"

PREFIX: Final = "/dicom-web/studies"

UPLOADS: Final = frozenset({PREFIX, f"{PREFIX}/"})
"""Paths to which photographs are sent; what begins with the last, too."""

LONGEST_WARNING: Final = 500
"""Letters of the header that says why objects were not stored."""

Study = Annotated[str, Path(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=64, description="Study instance UID.")]
Sender = Annotated[Account, Depends(Requires(Role.submit))]

BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {'multipart/related; type="application/dicom"': {"schema": {"type": "string", "format": "binary"}}},
    }
}

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {ANSWER: {}}, "description": "All objects are stored."},
    202: {"content": {ANSWER: {}}, "description": "Some objects failed."},
    409: {"content": {ANSWER: {}}, "description": "All objects failed."},
    **faults(400, 401, 403, 408, 413, 415, 422, 429),
}

router = APIRouter(prefix=PREFIX, tags=["DICOM"])


@dataclass(slots=True)
class Objects(MultipartReader):
    """DICOM objects that arrive."""

    media_type: ClassVar[bytes] = b"multipart/related"
    media_words: ClassVar[str] = (
        'expected multipart/related; type="application/dicom", got another type. Send DICOM files, each as a part.'
    )

    def begin(self, headers: Mapping[bytes, bytes]) -> Part:
        """Return the part of an object. Raises as `MultipartReader.begin`."""
        kind, _ = parse_options_header(headers.get(b"content-type", OBJECT))
        if kind != OBJECT:
            raise HTTPException(415, "part: expected application/dicom, got another type. Send DICOM files only.")
        return self.begin_file("", "")


@router.post("", response_class=Response, responses=RESPONSES, openapi_extra=BODY)
async def store(request: Request, parts: Parts, account: Sender) -> Response:
    """Store photographs of any study.

    An object is stored when it lies on the disk and will be answered; sending it again changes nothing. Objects that
    are no photographs fail by 0122, those that are damaged by C000, and those for which there is no place by A700.
    """
    return await _store(request, parts, account, study=None)


@router.post("/{study}", response_class=Response, responses=RESPONSES, openapi_extra=BODY)
async def store_study(request: Request, study: Study, parts: Parts, account: Sender) -> Response:
    """Store photographs of one study; objects of another fail by A900."""
    return await _store(request, parts, account, study=study)


async def _store(request: Request, service: Service, account: Account, *, study: str | None) -> Response:
    objects = Objects(service.settings)
    try:
        await objects.read(request)
        outcomes = await run_in_threadpool(_store_all, objects, service, account.name, study)
    finally:
        await run_in_threadpool(objects.discard)
    stored = sum(outcome.succeeded for outcome in outcomes)
    status = 200 if stored == len(outcomes) else 202 if stored else 409
    return JSONResponse(
        answer(outcomes).to_json_dict(), status_code=status, headers=dict(_warnings(outcomes)), media_type=ANSWER
    )


def _store_all(objects: Objects, service: Service, sender: str, study: str | None) -> list[Stored]:
    """Accept each object by itself, so that none is lost because of another.

    Raises:
        HTTPException: 429 if there is no place for the first one that needs it and none was accepted.
    """
    expected, limit = Instance(study_uid=study or ""), service.settings.upload_bytes
    outcomes: list[Stored] = []
    for part in objects.files:
        assert part.incoming is not None
        try:
            outcome = store_instance(
                service.intake,
                part.incoming,
                sender=sender,
                expected=expected,
                limit=limit if part.is_too_large else None,
            )
        except QueueFull as problem:
            if not any(earlier.succeeded for earlier in outcomes):
                seconds = str(problem.retry_seconds)
                raise HTTPException(429, str(problem), headers={"Retry-After": seconds}) from None
            outcome = Stored(OUT_OF_RESOURCES, Instance(), str(problem))
        except (OSError, SQLAlchemyError) as problem:
            LOGGER.error("STOW-RS: a photograph could not be kept (%s)", type(problem).__name__)
            outcome = Stored(OUT_OF_RESOURCES, Instance(), "photograph: could not be kept. Send it again later.")
        outcomes.append(outcome)
    return outcomes


def answer(outcomes: Sequence[Stored]) -> Dataset:
    """Return the dataset that says what became of objects (PS3.18, table I.1-1)."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    items: dict[str, list[Dataset]] = {
        "ReferencedSOPSequence": [],
        "FailedSOPSequence": [],
        "OtherFailuresSequence": [],
    }
    for outcome in outcomes:
        item, instance = Dataset(), outcome.instance
        is_named = bool(instance.class_uid and instance.uid)
        if is_named:
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.class_uid, instance.uid
        if not outcome.succeeded:
            item.FailureReason = outcome.status
        failed = "FailedSOPSequence" if is_named else "OtherFailuresSequence"
        items["ReferencedSOPSequence" if outcome.succeeded else failed].append(item)
    dataset = Dataset()
    for name, group in items.items():
        if group:
            setattr(dataset, name, Items(group))
    return dataset


def _warnings(outcomes: Sequence[Stored]) -> Iterator[tuple[str, str]]:
    """Yield the header that says in words why objects failed, once for each reason."""
    sentences = " ".join(dict.fromkeys(outcome.sentence for outcome in outcomes if outcome.sentence))
    if sentences:
        printable = "".join(sign if " " <= sign <= "~" and sign not in '"\\' else "?" for sign in sentences)
        yield "Warning", f'299 fundoscope "{printable[:LONGEST_WARNING]}"'
