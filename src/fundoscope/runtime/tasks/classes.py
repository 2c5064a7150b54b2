"""One class of several, such as a diagnosis or a grade of another scale; classes have no order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Shaped

from fundoscope.arrays import RawOutput
from fundoscope.decide.binary import class_probabilities
from fundoscope.decide.neighbours import Neighbours
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.runtime.description import Release
from fundoscope.runtime.language.texts import IN_ENGLISH, Texts
from fundoscope.runtime.tasks.task import (
    CANNOT_ASSESS,
    Answerer,
    Bar,
    Cell,
    DecisionWords,
    Evidence,
    Finding,
    Presentation,
    Refusal,
    Row,
    Table,
    Task,
    TaskWords,
    checked_temperature,
    is_blank,
    refuse_grading_only,
    union,
)

CLASSIFIED: Final = "classified"
PREDICTED_PREFIX: Final = "predicted_"
"""Before the answered column's name: a prediction must not look like a reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAnswer:
    """The class of one photograph."""

    labels: tuple[str, ...]
    column: str
    """The manifest's column that is answered."""
    probabilities: tuple[float, ...] | None = None
    """Of the classes; they sum to 1."""
    predicted: str | None = None
    """The likeliest class; None where the photograph is not gradable."""

    @property
    def decision(self) -> str:
        """Whether the photograph was classified."""
        return CANNOT_ASSESS if self.predicted is None else CLASSIFIED

    def columns(self) -> dict[str, Cell]:
        """Return `p_CLASS` of all classes, then `predicted_COLUMN`."""
        probabilities = self.probabilities or (None,) * len(self.labels)
        return {
            **{f"p_{label}": probability for label, probability in zip(self.labels, probabilities, strict=True)},
            PREDICTED_PREFIX + self.column: self.predicted,
        }

    def words(self) -> str:
        """Return the class and its probability."""
        if self.predicted is None or self.probabilities is None:
            return self.decision
        return f"{self.column} {self.predicted}, probability {max(self.probabilities):.2f}"

    def brief(self) -> str:
        """Return the class."""
        return self.predicted or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAnswerer(Answerer):
    """How a release answers: the likeliest class, by probabilities at its temperature."""

    labels: tuple[str, ...]
    column: str
    temperature: float
    descriptions: tuple[str, ...] = ()

    @property
    def unanswered(self) -> ClassAnswer:
        """No class."""
        return ClassAnswer(labels=self.labels, column=self.column)

    def answer(self, evidence: Evidence) -> ClassAnswer:
        """Return the probability of each class, and the likeliest."""
        probabilities = class_probabilities(evidence.raw, self.temperature)[0]
        return ClassAnswer(
            labels=self.labels,
            column=self.column,
            probabilities=tuple(float(probability) for probability in probabilities),
            predicted=self.labels[int(probabilities.argmax())] if evidence.gradable else None,
        )

    def present(self, row: Row, texts: Texts = IN_ENGLISH) -> Presentation:
        """Return a bar for each class."""
        predicted = row[PREDICTED_PREFIX + self.column]
        if predicted is None:
            return Presentation(
                heading=texts("classes.heading.none"),
                brief=texts("classes.brief.none"),
                caution=texts("classes.caution"),
            )
        described = dict(zip(self.labels, self.descriptions, strict=False))
        bars = tuple(
            Bar(label=label, probability=row[f"p_{label}"], chosen=label == predicted)
            for label in self.labels
            if row[f"p_{label}"] is not None
        )
        return Presentation(
            heading=texts("classes.heading", column=self.column.capitalize(), name=predicted),
            brief=predicted,
            sentences=(f"{described[predicted]}.",) if predicted in described else (),
            bars=bars,
        )

    def console(self, row: Row) -> dict[str, str]:
        """Return the class and its probability."""
        predicted = row[PREDICTED_PREFIX + self.column]
        words = "" if predicted is None else f"{predicted} {row[f'p_{predicted}']:.2f}"
        return {self.column: words}

    def facts(self) -> dict[str, str]:
        """Return the temperature and classes."""
        return {
            "head": f"softmax, temperature {self.temperature:.3f}",
            "answers": f"{self.column}: {', '.join(self.labels)}",
        }


class Classes(Task):
    """The classes of a column of the manifest."""

    name = "classes"
    kind = "classes"
    heads = ("softmax",)
    words = TaskWords(
        decisions={CLASSIFIED: DecisionWords(tone="clear"), CANNOT_ASSESS: DecisionWords(tone="unknown")},
        intended_use="Research on classifying colour fundus photographs. " + NOT_A_DEVICE,
        limits=("It answers with one of the named classes only, also where a photograph shows none of them.",),
        explained=(CLASSIFIED,),
    )

    def outputs(self, head: str, labels: Sequence[str]) -> int:
        """Return one logit for each class."""
        return len(labels)

    def answerer(self, release: Release, refuse: Refusal, *, neighbours: Neighbours | None = None) -> ClassAnswerer:
        """Read the temperature and the column that is answered."""
        refuse_grading_only(release, refuse)
        if set(release.calibration) != {"temperature"}:
            raise refuse("calibration", "a temperature", sorted(release.calibration))
        if not release.column:
            raise refuse("column", "the name of the column that is answered", release.column)
        return ClassAnswerer(
            labels=tuple(release.labels),
            column=release.column,
            temperature=checked_temperature(release.calibration["temperature"], "calibration.temperature", refuse),
            descriptions=tuple(release.descriptions),
        )

    def decisions(self, head: str, raw: RawOutput) -> Shaped[np.ndarray, "photo ..."]:
        """Return the likeliest class."""
        return np.asarray(raw.argmax(axis=1))

    def table(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> Table:
        """Return probabilities at temperature 1, and the likeliest class."""
        probabilities = class_probabilities(raw, 1.0)
        predicted = [labels[number] for number in probabilities.argmax(axis=1)]
        return {
            **{f"p_{label}": values for label, values in zip(labels, probabilities.T, strict=True)},
            PREDICTED_PREFIX + column: np.array(predicted, dtype=object),
        }

    def likeliest(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> ClassAnswer:
        """Return the likeliest class."""
        probabilities = class_probabilities(raw, 1.0)[0]
        return ClassAnswer(
            labels=tuple(labels),
            column=column,
            probabilities=tuple(float(probability) for probability in probabilities),
            predicted=labels[int(probabilities.argmax())],
        )

    def of_photograph(self, row: Row) -> Finding:
        """Return the class."""
        (predicted,) = (row[column] for column in row if column.startswith(PREDICTED_PREFIX))
        if is_blank(predicted):
            return Finding(decision=CANNOT_ASSESS, labels=())
        return Finding(decision=CLASSIFIED, labels=(str(predicted),))

    def of_eye(self, photographs: Sequence[Finding]) -> Finding:
        """Return the classes of the photographs that could be assessed."""
        classes = union(photographs)
        return Finding(decision=CLASSIFIED if classes else CANNOT_ASSESS, labels=classes)

    def of_patient(self, eyes: Sequence[Finding]) -> Finding:
        """Return the classes of both eyes; not assessed if one of them could not be."""
        complete = all(eye.decision == CLASSIFIED for eye in eyes)
        return Finding(decision=CLASSIFIED if complete else CANNOT_ASSESS, labels=union(eyes))
