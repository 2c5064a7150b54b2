"""`/api/photographs`: send photographs, and read the answers to them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from fundoscope.runtime.grader import Grader
from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.access.shadow import refuse_in_shadow
from fundoscope.service.api.schemas import Fault, PhotographAnswer, PhotographState, Submission, Submitted, faults
from fundoscope.service.api.uploads import Upload
from fundoscope.service.state import Parts
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.models import Answer, Case, Photograph
from fundoscope.service.store.photographs import answers_of, case_of, find_photograph, latest_answer
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.work.intake import Outcome, QueueFull
from fundoscope.service.work.pictures import overlay

Hash = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the photograph's bytes.")]

FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photographs"],
                    "properties": {
                        "photographs": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "minItems": 1,
                        },
                        "patient": {"type": "string", "maxLength": 64},
                        "eye": {"type": "string", "enum": ["left", "right"]},
                        "taken": {"type": "string", "description": "2026-01-31 or 2026-01-31T09:30:00"},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}
"""The form in the published schema; it is read by `uploads` while it arrives. Fields may be repeated for each file."""

UNREADABLE: Final = "unreadable"
"""Status of a file without a picture."""

router = APIRouter(prefix="/api/photographs", tags=["photographs"])


@router.post(
    "",
    response_model=Submission,
    status_code=202,
    responses={
        200: {"model": Submission, "description": "All of them were accepted before."},
        207: {"model": Submission, "description": "Some are refused."},
        **faults(400, 401, 403, 408, 429),
        **{code: {"model": Submission | Fault} for code in (409, 413, 415, 422)},
    },
    openapi_extra=FORM,
)
async def submit(
    request: Request, parts: Parts, account: Annotated[Account, Depends(Requires(Role.submit))]
) -> Response:
    """Send photographs: JPEG, PNG, TIFF, BMP, WebP or DICOM.

    Each has its outcome, in order. 202: all are accepted, or known, and will be answered. 200: all are known. 207: some
    are refused, the others accepted. 409, 413, 415, 422: all are refused, the first because it was accepted before as
    of another patient or eye, is too large, is no picture that can be read, or is contradicted by the form's fields.
    429: the queue has no place for all of them, and none is accepted.
    """
    if not parts.work.queue.reserve(1, account.name):
        raise _full(parts.work.retry_seconds())
    parts.work.queue.release(1, account.name)
    upload = Upload(parts.settings)
    try:
        await upload.read(request)
        submissions = upload.submissions()
        outcomes = await run_in_threadpool(parts.intake.submit, submissions, sender=account.name)
    except QueueFull as problem:
        raise _full(problem.retry_seconds) from None
    finally:
        await run_in_threadpool(upload.discard)
    document = Submission(photographs=[_submitted(outcome) for outcome in outcomes])
    return JSONResponse(document.model_dump(), status_code=_status(outcomes))


def _full(seconds: int) -> HTTPException:
    return HTTPException(429, str(QueueFull(seconds)), headers={"Retry-After": str(seconds)})


def _submitted(outcome: Outcome) -> Submitted:
    return Submitted(
        name=outcome.name,
        status=outcome.status,
        sha256=outcome.sha256,
        state=outcome.state,
        case=outcome.case,
        error=outcome.error,
    )


def _status(outcomes: list[Outcome]) -> int:
    codes = {outcome.code for outcome in outcomes}
    if codes <= {200, 202}:
        return max(codes)
    return 207 if codes & {200, 202} else outcomes[0].code


@router.get("/{sha256}", responses=faults(401, 403, 404, 422))
def read(sha256: Hash, parts: Parts, _account: Annotated[Account, Depends(Requires(Role.submit))]) -> PhotographAnswer:
    """Read the answer to a photograph. Who has its hash has had its bytes."""
    with parts.database.reading() as session:
        return photograph_answer(session, _photograph(session, sha256), parts.grader)


@router.get(
    "/{sha256}/overlay.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **faults(401, 403, 404, 409, 422)},
)
def read_overlay(sha256: Hash, parts: Parts, _account: Annotated[Account, Depends(Requires(Role.read))]) -> Response:
    """Read the heatmap of a photograph, a transparent picture to be laid over it.

    404 where none may be shown, 409 in shadow mode.
    """
    with parts.database.reading() as session:
        photograph = _photograph(session, sha256)
        refuse_in_shadow(session, f"photograph {sha256}")
        active = parts.grader.opened.name
        is_current = case_of(session, photograph).release in (None, active)
        answer = answers_of(session, [photograph], active).get(photograph.id) if is_current else None
        if answer is None or not heatmap_shown(parts.grader, answer.status, answer.decision):
            raise HTTPException(
                404,
                f"{photograph.name}: expected an answer beside which a heatmap is shown, got none. Read its answer.",
            )
    picture = overlay(parts.grader, parts.files.path(sha256), answer.row)
    return Response(picture, media_type="image/png")


def heatmap_shown(grader: Grader, status: str, decision: str) -> bool:
    """Return whether a heatmap may be shown beside an answer."""
    return status == "graded" and grader.opened.shows_heatmap(decision)


def _photograph(session: Session, sha256: str) -> Photograph:
    photograph = find_photograph(session, sha256)
    if photograph is None:
        raise HTTPException(404, f"{sha256}: expected a photograph that was accepted, there is none. Send it first.")
    return photograph


def photograph_answer(session: Session, photograph: Photograph, grader: Grader) -> PhotographAnswer:
    """Return a photograph and the answer to it: that by which its case is answered.

    While the case waits, that of the active release, or of an earlier one until the active one has answered. In shadow
    mode there is none, but a file that cannot be read is told of: it is to be sent again.
    """
    case, hides_answers = case_of(session, photograph), is_shadow(session)
    release = case.release or grader.opened.name
    answer = answers_of(session, [photograph], release).get(photograph.id) or latest_answer(session, photograph)
    if hides_answers and answer is not None:
        is_unreadable = answer.status == UNREADABLE
        return _photograph_answer(photograph, case, answer if is_unreadable else None, grader, hides_answers=True)
    return _photograph_answer(photograph, case, answer, grader, hides_answers=hides_answers)


def _photograph_answer(
    photograph: Photograph, case: Case, answer: Answer | None, grader: Grader, *, hides_answers: bool
) -> PhotographAnswer:
    row = None if answer is None else dict(answer.row)
    faults, advice = ([], []) if row is None else (row.pop("faults", []), row.pop("advice", []))
    is_current = answer is not None and answer.release == grader.opened.name
    return PhotographAnswer(
        sha256=photograph.sha256,
        name=photograph.name,
        case=case.uid,
        state=PhotographState(photograph.state),
        received=photograph.received,
        patient=photograph.patient,
        eye=photograph.eye,
        taken=photograph.taken,
        release=None if answer is None else answer.release,
        status=None if answer is None else answer.status,
        decision=None if answer is None or hides_answers else answer.decision,
        reason=None if row is None else row.get("reason"),
        faults=faults,
        advice=advice,
        answer_hidden=hides_answers,
        heatmap_shown=bool(answer and is_current and heatmap_shown(grader, answer.status, answer.decision)),
        columns=None if hides_answers else row,
    )
