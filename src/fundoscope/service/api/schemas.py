"""What the service answers as JSON: the schema that is published at `/api/openapi.json`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """Base of all: keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Fault(Schema):
    """Why a request was not met."""

    error: str = Field(description="One sentence: what was expected, what came, what to do.")


def faults(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the part of a route's schema that says which errors it answers."""
    return {code: {"model": Fault} for code in codes}


class PhotographState(StrEnum):
    """States of a photograph (`store.models.STATES`)."""

    accepted = "accepted"
    answered = "answered"
    failed = "failed"


class Submitted(Schema):
    """What became of one photograph of a submission."""

    name: str = Field(description="What the sender called the file.")
    status: Literal["accepted", "known", "refused"] = Field(
        description="accepted: it will be answered; known: it was accepted before; refused: see error."
    )
    sha256: str | None = Field(description="By which it is found; null where it is no photograph.")
    state: str | None = Field(description="accepted while it waits, answered, or failed.")
    case: str | None = Field(description="Identifier of its case.")
    error: str | None = Field(description="Why it is refused.")


class Submission(Schema):
    """What became of the photographs of a submission, in order."""

    photographs: list[Submitted]


class PhotographAnswer(Schema):
    """A photograph and the answer to it."""

    sha256: str
    name: str = Field(description="What the sender called the file.")
    case: str
    state: PhotographState
    received: str
    patient: str | None
    eye: str | None
    taken: str | None
    release: str | None = Field(description="The release that answered; null while it waits.")
    status: str | None = Field(description="graded, ungradable or unreadable; null while it waits.")
    decision: str | None = Field(description="One of the decisions of the release's task; null while it waits.")
    reason: str | None = Field(description="Why it is not graded, or what lowers its quality.")
    faults: list[str] = Field(description="Names of what keeps it from being graded.")
    advice: list[str] = Field(description="What to do while the patient is still there.")
    answer_hidden: bool = Field(
        description="Whether the service runs in shadow mode: the answer is kept, and null here whatever it is. Only "
        "of a file that cannot be read status and reason are told."
    )
    heatmap_shown: bool = Field(description="Whether overlay.png exists.")
    columns: dict[str, Any] | None = Field(description="The row of the predictions table; null for blank.")


class NextStep(Schema):
    """What happens next with a patient."""

    action: Literal["refer", "photograph", "rescreen"]
    months: list[int] = Field(min_length=2, max_length=2)
    eyes: list[str | None]
    interval: str


class EyeAnswer(Schema):
    """The answer for an eye."""

    eye: str | None = Field(description="left, right, or null where it is not known.")
    decision: str
    tone: Literal["alert", "clear", "unknown"]
    labels: list[str] | None
    columns: dict[str, Any] = Field(description="The task's columns: of a grading release the worst grade.")
    photographs: list[str]


class CaseAnswer(Schema):
    """The answer for a patient's examination."""

    decision: str
    tone: Literal["alert", "clear", "unknown"]
    labels: list[str] | None
    urgent: bool
    missing_eyes: list[str | None]
    next_step: NextStep | None
    next_step_words: str
    notes: list[str]
    eyes: list[EyeAnswer]


class EyeReadingAnswer(Schema):
    """A person's grade of an eye."""

    id: int
    case: str
    reader: str
    role: str
    eye: str | None
    grade: int | None
    label: str | None
    agrees: bool | None
    reason: str | None
    shown: bool
    release: str | None
    photographs: list[str]
    created: str


class CaseSummary(Schema):
    """A case in a list."""

    id: str
    patient: str | None
    day: str | None
    state: str
    decision: str | None
    urgent: bool | None = Field(description="null in shadow mode, in which it is not told.")
    answer_hidden: bool = Field(
        description="Whether the service runs in shadow mode: the answer is kept, and null here."
    )
    release: str | None
    created: str
    changed: str


class CaseList(Schema):
    """A page of cases, the most urgent first."""

    cases: list[CaseSummary]
    total: int
    page: int
    pages: int


class CaseDetail(CaseSummary):
    """A case with its photographs, answer and readings."""

    study_uid: str | None
    answer: CaseAnswer | None = Field(description="null while photographs wait, and in shadow mode.")
    photographs: list[PhotographAnswer]
    readings: list[EyeReadingAnswer]


class EyeGradeSent(Schema):
    """A reader's own answer for an eye."""

    eye: Literal["left", "right"] | None
    grade: int | None = Field(default=None, ge=0, le=4, description="null: the reader cannot grade the eye.")
    label: str | None = Field(default=None, max_length=100, description="Where the task has no grades.")
    reason: str | None = Field(default=None, max_length=2000)


class ReadingSent(Schema):
    """A reading of all photographed eyes of a case."""

    case: str = Field(pattern=r"^[0-9a-f]{32}$")
    role: Literal["first", "second", "adjudication"]
    shown: bool = Field(description="Whether the reader saw the answer before grading.")
    grades: list[EyeGradeSent] = Field(min_length=1, max_length=3)


class ReadingList(Schema):
    """Readings, in the order in which they were made."""

    readings: list[EyeReadingAnswer]


class ReleaseAnswer(Schema):
    """A release that answers were made with."""

    name: str
    digest: str
    task: str
    first_used: str
    current: bool
    answers: int


class ReleaseList(Schema):
    """The releases of a service."""

    releases: list[ReleaseAnswer]


class Health(Schema):
    """Whether the process lives."""

    status: Literal["ok"]


class Ready(Schema):
    """Whether photographs are accepted and answered."""

    ready: bool
    release: str
    waiting: int


class LoginSent(Schema):
    """Name and password."""

    name: str = Field(max_length=100)
    password: str = Field(max_length=1024)


class AccountAnswer(Schema):
    """Who sends the request."""

    name: str
    role: str
    csrf: str | None = Field(description="For the header X-CSRF-Token of requests that change something.")
