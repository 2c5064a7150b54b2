"""What a release answers: the interface between a task and everything that grades, writes tables and reports.

A `Task` knows what is common to all releases of its kind: names of labels and heads, what raw output means, how
photographs are combined to eyes and patients, and the words for people. `Task.answerer` reads one release's calibration
and operating points and returns an `Answerer`, which turns the output of the network into an `Answer`: columns of the
predictions table, and words.

To add a task: a module beside this one, its entry in `tasks.TASKS`, and its texts in the catalogue (`language`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Shaped

from fundoscope.arrays import RawOutput
from fundoscope.decide.neighbours import Neighbours
from fundoscope.errors import BadRelease
from fundoscope.photo.quality import Gate
from fundoscope.records import is_number
from fundoscope.runtime.description import Release
from fundoscope.runtime.language.texts import IN_ENGLISH, Texts
from fundoscope.runtime.tasks.follow_up import NextStep

Row = Mapping[str, Any]
"""A row of the predictions table, None for blank."""

Cell = str | int | float | None
"""A value of the predictions table."""

Table = dict[str, Shaped[np.ndarray, " photo"]]
"""Columns of the predictions table, by name."""

Refusal = Callable[[str, str, object], BadRelease]
"""Called as `refuse(key, expected, got)`."""

Tone = Literal["alert", "clear", "unknown"]
"""How a decision is coloured: someone should act, nobody need, or it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionWords:
    """One of a task's decisions; its name and meaning for people are texts of the catalogue (`language`)."""

    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWords:
    """What a task says of itself; the texts of its reports are in the catalogue (`language`), by the task's name."""

    decisions: Mapping[str, DecisionWords]
    """Every decision about a photograph, an eye or a patient, in the order in which they are counted."""
    intended_use: str
    """Sentence that a new release starts with."""
    limits: tuple[str, ...]
    """Sentences that hold for every release of the task."""
    explained: tuple[str, ...]
    """Decisions about a photograph beside which its heatmap may be shown. A heatmap is scaled to its own maximum, so it
    must not be shown beside a decision that nothing was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an answer is made from: the network's output for one photograph, and what was known before."""

    raw: RawOutput
    """The head's output, of shape (1, outputs)."""
    features: Float32[np.ndarray, " feature"]
    quality: str | None
    """One of `grades.QUALITY_NAMES`."""
    gradable: bool


@runtime_checkable
class Answer(Protocol):
    """A task's answer to one photograph."""

    @property
    def decision(self) -> str:
        """One of `TaskWords.decisions`."""

    @property
    def probabilities(self) -> tuple[float, ...] | None:
        """One for each label; None where the network was not run."""

    def columns(self) -> dict[str, Cell]:
        """Return the task's columns of the predictions table, in order; None is blank."""

    def words(self) -> str:
        """Return the answer in one line."""

    def brief(self) -> str:
        """Return the answer in a word or two; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer for a photograph, an eye or a patient."""

    decision: str
    labels: tuple[str, ...] | None = None
    """Labels that were found; None where the task's decision says all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A probability as the report draws it."""

    label: str
    probability: float
    """In [0, 1]."""
    chosen: bool = False
    """Printed bold."""
    alert: bool = False
    """Drawn in the colour of what someone should act on."""
    threshold: float | None = None
    """Where a mark stands."""
    total: bool = False
    """A sum of bars above it."""

    @property
    def words(self) -> str:
        """The probability in percent, told apart from the threshold, and from 0 and 100 where it is neither."""
        if self.threshold is not None:
            return percent_apart(self.probability, self.threshold)
        if 0 < self.probability < LEAST_SHOWN:
            return "< 1 %"
        return "> 99 %" if 1 - LEAST_SHOWN < self.probability < 1 else percent(self.probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """One photograph's answer as the report shows it."""

    heading: str
    brief: str
    """For the list of patients."""
    sentences: tuple[str, ...] = ()
    caution: str = ""
    """Before the bars."""
    bars: tuple[Bar, ...] = ()
    """Empty where the network was not run."""
    note: str = ""
    """After the bars."""


class Answerer(ABC):
    """How one release answers: its task with its labels, calibration and operating points."""

    @property
    @abstractmethod
    def unanswered(self) -> Answer:
        """The answer to a photograph that could not be read, or shows no retina."""

    @abstractmethod
    def answer(self, evidence: Evidence) -> Answer:
        """Return the answer to one photograph. One that is not gradable has probabilities, but no decision."""

    @abstractmethod
    def present(self, row: Row, texts: Texts = IN_ENGLISH) -> Presentation:
        """Return a row of the predictions table as the report shows it, in the language of its texts."""

    @abstractmethod
    def console(self, row: Row) -> dict[str, str]:
        """Return a row's answer as the terminal shows it, by the title of the column; blank where there is none."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Return calibration and operating points in words, by name."""

    def promises(self, texts: Texts = IN_ENGLISH) -> tuple[tuple[str, str], ...]:
        """Return what the report says of the answers' guarantees, as (title, text)."""
        return ()

    @property
    def dtypes(self) -> dict[str, str]:
        """Types of the columns that pandas would not infer, where some are blank."""
        return {}


class Task(ABC):
    """A kind of question that releases answer."""

    name: ClassVar[str]
    """What `task` in `release.json` holds."""
    kind: ClassVar[Literal["grade", "classes", "signs"]]
    """What a network is trained on for it."""
    heads: ClassVar[tuple[str, ...]]
    """Heads that a release may have."""
    labels: ClassVar[tuple[str, ...] | None] = None
    """The labels of every release; None: each release has its own."""
    requires_field: ClassVar[bool] = True
    """Whether a picture without a circular field of view is no photograph that can be answered."""
    gate: ClassVar[Gate] = Gate()
    """What counts as gradable in a new release."""
    words: ClassVar[TaskWords]

    @abstractmethod
    def outputs(self, head: str, labels: Sequence[str]) -> int:
        """Return the number of raw outputs of a head."""

    @abstractmethod
    def answerer(self, release: Release, refuse: Refusal, *, neighbours: Neighbours | None = None) -> Answerer:
        """Read a release's calibration and operating points.

        Raises:
            BadRelease: If this version cannot run one of them (made by `refuse`).
        """

    @abstractmethod
    def decisions(self, head: str, raw: RawOutput) -> Shaped[np.ndarray, "photo ..."]:
        """Return the likeliest answers before calibration, by which an exported graph is compared with its origin."""

    @abstractmethod
    def table(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> Table:
        """Return the task's columns before calibration, as a training run writes them.

        Args:
            head: One of `heads`.
            raw: Raw outputs.
            labels: What they stand for.
            column: The manifest's column that is answered, where the task leaves it open.
        """

    @abstractmethod
    def likeliest(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> Answer:
        """Return the likeliest answer to a photograph before calibration; arguments as of `table`, `raw` of one row."""

    @abstractmethod
    def of_photograph(self, row: Row) -> Finding:
        """Return what a row of the predictions table says."""

    @abstractmethod
    def of_eye(self, photographs: Sequence[Finding]) -> Finding:
        """Return the answer for an eye, from those for its photographs."""

    @abstractmethod
    def of_patient(self, eyes: Sequence[Finding]) -> Finding:
        """Return the answer for a patient, from those for the eyes."""

    def severity(self, row: Row) -> int:
        """Return how severe the answer to a photograph is, by which a report sorts patients of one decision."""
        return 0

    def is_urgent(self, row: Row) -> bool:
        """Return whether a report sets a photograph apart because its patient must be seen soon."""
        return False

    def next_step(self, decision: str, eyes: Sequence[Finding], rows: Sequence[Row]) -> NextStep | None:
        """Return what happens next with a patient; None where the task has no rule for it.

        Args:
            decision: The patient's, from `of_patient`.
            eyes: The answers for the eyes.
            rows: All of the patient's rows.
        """
        return None

    def patient_columns(self, rows: Sequence[Row]) -> dict[str, Cell]:
        """Return the task's columns of a table of patients, from the rows of a patient or of an eye."""
        return {}

    def check(self, release: Release, refuse: Refusal) -> None:
        """Check a release's head and labels, and that descriptions are of all labels.

        Raises:
            BadRelease: If one does not suit the task (made by `refuse`).
        """
        if release.head not in self.heads:
            raise refuse("head", f"one of {', '.join(self.heads)}", release.head)
        if self.labels is not None and len(release.labels) != len(self.labels):
            raise refuse("labels", f"the names of {len(self.labels)} grades", release.labels)
        if not release.labels or len(set(release.labels)) != len(release.labels):
            raise refuse("labels", "names, each only once", release.labels)
        if len(release.descriptions) not in (0, len(release.labels)):
            raise refuse("descriptions", f"texts of {len(release.labels)} labels, or none", release.descriptions)


LEAST_SHOWN: Final = 0.005
"""What a whole number of percent would show as 0."""


TEMPERATURES: Final = (0.001, 1000.0)
"""Least and greatest temperature of a release: beyond them all answers are certain, or none is."""


def checked_temperature(value: object, key: str, refuse: Refusal) -> float:
    """Return a temperature, or a regression's standard deviation in grades, as `release.json` has it.

    Raises:
        BadRelease: If it is no number within `TEMPERATURES`.
    """
    low, high = TEMPERATURES
    if not (is_number(value) and low <= value <= high):
        raise refuse(key, f"a number from {low:g} to {high:g}", value)
    return float(value)


def percent(share: float) -> str:
    """Return a share as whole percent."""
    return f"{100 * share:.0f} %"


def percent_apart(share: float, other: float) -> str:
    """Return a share in percent, with so many decimals as are needed to tell it from another; at most four."""
    for decimals in range(5):
        words = f"{100 * share:.{decimals}f} %"
        if share == other or words != f"{100 * other:.{decimals}f} %":
            break
    return words


CANNOT_ASSESS: Final = "cannot assess"
"""The decision of tasks other than grading about what is not gradable."""


def is_blank(value: object) -> bool:
    """Return whether a cell holds nothing: None, or the NaN that a blank becomes in a table that was read."""
    return value is None or value != value


def union(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return all labels that were found, each once, in the order of their first finding."""
    return tuple(dict.fromkeys(label for finding in findings for label in finding.labels or ()))


def refuse_grading_only(release: Release, refuse: Refusal) -> None:
    """Refuse what only releases that grade retinopathy may have.

    Raises:
        BadRelease: If the release votes by neighbours or has sets of grades (made by `refuse`).
    """
    for key, value in (("neighbours", release.neighbours), ("conformal", release.conformal)):
        if value:
            raise refuse(key, f"empty for the task {release.task}", sorted(value))
