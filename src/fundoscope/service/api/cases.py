"""`/api/cases`: search cases, and read one with its photographs, answer, readings and report."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from fundoscope.errors import MissingExtra
from fundoscope.runtime.output.pdf import NoPdfHere
from fundoscope.service.access.headers import DOCUMENT_POLICY, POLICY
from fundoscope.service.access.identity import Requires
from fundoscope.service.access.roles import Role
from fundoscope.service.access.shadow import refuse_in_shadow
from fundoscope.service.api.photographs import photograph_answer
from fundoscope.service.api.readings import reading_answers
from fundoscope.service.api.schemas import CaseAnswer, CaseDetail, CaseList, CaseSummary, faults
from fundoscope.service.state import Parts, Service
from fundoscope.service.store.accounts import Account
from fundoscope.service.store.cases import find_case, search_cases
from fundoscope.service.store.models import Case
from fundoscope.service.store.photographs import photographs_of
from fundoscope.service.store.shadow import is_shadow
from fundoscope.service.work.answers import rows_of
from fundoscope.service.work.exports import dicom_objects, fhir_bundle
from fundoscope.service.work.pictures import paper_report, report

Uid = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Identifier of the case.")]
State = Literal["pending", "unread", "read", "disagreed", "agreed", "adjudicated"]
Reader = Annotated[Account, Depends(Requires(Role.read))]
FAULTS = faults(401, 403, 404, 422)

MOST_PAGES = 1_000_000

PDF_NAME = 'inline; filename="report.pdf"'

router = APIRouter(prefix="/api/cases", tags=["cases"])


@router.get("", responses=faults(401, 403, 422))
def search(
    parts: Parts,
    account: Reader,
    query: Annotated[str, Query(max_length=100, description="Part of the patient's identifier, or a day.")] = "",
    state: State | None = None,
    page: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
) -> CaseList:
    """Search cases; the most urgent come first, in shadow mode the oldest.

    Cases of open studies are left out for who reads in the study.
    """
    with parts.database.reading() as session:
        result = search_cases(session, query=query, state=state, page=page, hidden_from=account.user_id)
        hides_answers = is_shadow(session)
    cases = [summary_of(case, hides_answers=hides_answers) for case in result.cases]
    return CaseList(cases=cases, total=result.total, page=page, pages=result.pages)


@router.get("/{case}", responses=FAULTS)
def read(case: Uid, parts: Parts, account: Reader) -> CaseDetail:
    """Read a case."""
    with parts.database.reading() as session:
        found, hides_answers = _case(session, case), is_shadow(session)
        is_shown = found.answer is not None and not hides_answers
        return CaseDetail(
            **summary_of(found, hides_answers=hides_answers).model_dump(),
            study_uid=found.study_uid,
            answer=CaseAnswer.model_validate(found.answer) if is_shown else None,
            photographs=[
                photograph_answer(session, photograph, parts.grader) for photograph in photographs_of(session, found)
            ],
            readings=reading_answers(session, found, account),
        )


@router.get(
    "/{case}/report.html",
    response_class=Response,
    responses={200: {"content": {"text/html": {}}}, **faults(401, 403, 404, 409, 422)},
)
def read_report(case: Uid, parts: Parts, _account: Reader) -> Response:
    """Read the report on a case: one page that holds its pictures itself.

    409 while photographs wait, in shadow mode, and of an answer by a release that is no longer active.
    """
    page = report(parts.grader, parts.files, _rows(parts, case), parts.settings.incoming)
    return Response(page, media_type="text/html", headers={POLICY: DOCUMENT_POLICY})


@router.get(
    "/{case}/report.pdf",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}, **faults(401, 403, 404, 409, 422, 501)},
)
def read_paper_report(case: Uid, parts: Parts, _account: Reader) -> Response:
    """Read the report on a case as a PDF file, A4. 409 as for the page, 501 where this service cannot make one."""
    try:
        document = paper_report(parts.grader, parts.files, _rows(parts, case))
    except (MissingExtra, NoPdfHere) as problem:
        raise HTTPException(501, str(problem)) from problem
    return Response(document, media_type="application/pdf", headers={"Content-Disposition": PDF_NAME})


@router.get("/{case}/fhir.json", response_class=Response, responses=faults(401, 403, 404, 409, 422))
def read_fhir(case: Uid, parts: Parts, _account: Reader) -> Response:
    """Read the answer for a case as a FHIR R4 bundle. 409 as for the report."""
    bundle = fhir_bundle(parts.grader, case, _rows(parts, case))
    return JSONResponse(bundle, media_type="application/fhir+json")


@router.get(
    "/{case}/dicom.zip",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, **faults(401, 403, 404, 409, 422)},
)
def read_dicom(case: Uid, parts: Parts, _account: Reader) -> Response:
    """Read the answer for a DICOM study as a structured report, zipped with the heatmaps that it refers to.

    409 as for the report, 422 where no photograph says which study it is of.
    """
    objects = dicom_objects(parts.grader, parts.files, _rows(parts, case), parts.settings.incoming)
    return Response(objects, media_type="application/zip")


def _rows(parts: Service, uid: str) -> list[dict[str, Any]]:
    """Return the active release's answers to all photographs of a case.

    Raises:
        HTTPException: 404 if there is no such case; 409 while photographs wait, in shadow mode, and where another
            release answered.
    """
    active = parts.grader.opened.name
    with parts.database.reading() as session:
        case = _case(session, uid)
        refuse_in_shadow(session, f"case {uid}")
        rows = None if case.answer is None or case.release is None else rows_of(session, case, case.release)
    if rows is None:
        raise HTTPException(
            409, f"case {uid}: expected answers of {active}, got photographs that wait. Try again later."
        )
    if case.release != active:
        raise HTTPException(
            409,
            f"case {uid}: expected an answer of {active}, got one of {case.release}, which is no longer active and of "
            "which no report can be made. Read the answer itself.",
        )
    return rows


def summary_of(case: Case, *, hides_answers: bool = False) -> CaseSummary:
    """Return a case as a list shows it; in shadow mode without its answer."""
    return CaseSummary(
        id=case.uid,
        patient=case.patient,
        day=case.day,
        state=case.state,
        decision=None if hides_answers else case.decision,
        urgent=None if hides_answers else bool(case.answer and case.answer["urgent"]),
        answer_hidden=hides_answers,
        release=case.release,
        created=case.created,
        changed=case.changed,
    )


def _case(session: Session, uid: str) -> Case:
    case = find_case(session, uid)
    if case is None:
        raise HTTPException(404, f"case {uid}: expected one that is there, got another. Search /api/cases.")
    return case
