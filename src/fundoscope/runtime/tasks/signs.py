"""Several signs of disease at once, each present or absent whatever the others are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Shaped

from fundoscope.arrays import RawOutput
from fundoscope.decide.binary import sign_probabilities
from fundoscope.decide.neighbours import Neighbours
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.records import is_number
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
from fundoscope.tables.columns import SIGN_PREFIX

PRESENT: Final = "signs present"
ABSENT: Final = "no sign found"

UNCALIBRATED_THRESHOLD: Final = 0.5
"""Probability from which a sign counts as present before a threshold is fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignsAnswer:
    """The signs of one photograph."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...] | None = None
    """That each sign is present, independently of the others."""
    present: tuple[bool, ...] | None = None
    """Whether each sign counts as present; None where the photograph is not gradable."""

    @property
    def present_signs(self) -> tuple[str, ...]:
        """The signs that count as present."""
        flags = self.present or (False,) * len(self.labels)
        return tuple(label for label, is_present in zip(self.labels, flags, strict=True) if is_present)

    @property
    def decision(self) -> str:
        """Whether any sign was found."""
        if self.present is None:
            return CANNOT_ASSESS
        return PRESENT if self.present_signs else ABSENT

    def columns(self) -> dict[str, Cell]:
        """Return `p_SIGN` of all signs, then `sign_SIGN` of all: 1 present, 0 absent, blank where not gradable."""
        probabilities = self.probabilities or (None,) * len(self.labels)
        flags = self.present or (None,) * len(self.labels)
        return {
            **{f"p_{label}": probability for label, probability in zip(self.labels, probabilities, strict=True)},
            **{
                SIGN_PREFIX + label: None if flag is None else int(flag)
                for label, flag in zip(self.labels, flags, strict=True)
            },
        }

    def words(self) -> str:
        """Return every sign's probability, and the decision."""
        probabilities = zip(self.labels, self.probabilities or (), strict=False)
        listed = ", ".join(f"{label} {probability:.2f}" for label, probability in probabilities)
        return f"{listed}: {self.decision}" if listed else self.decision

    def brief(self) -> str:
        """Return the signs found."""
        return "" if self.present is None else ", ".join(self.present_signs) or ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class SignsAnswerer(Answerer):
    """How a release answers: for each sign a temperature and the threshold from which it counts as present."""

    labels: tuple[str, ...]
    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    point: str
    """What the thresholds were chosen for, in words."""
    descriptions: tuple[str, ...] = ()

    @property
    def unanswered(self) -> SignsAnswer:
        """No probabilities."""
        return SignsAnswer(labels=self.labels)

    def answer(self, evidence: Evidence) -> SignsAnswer:
        """Return the probability of each sign, and whether it reaches its threshold."""
        probabilities = sign_probabilities(evidence.raw, self.temperatures)[0]
        flags = tuple(bool(reached) for reached in probabilities >= np.array(self.thresholds))
        return SignsAnswer(
            labels=self.labels,
            probabilities=tuple(float(probability) for probability in probabilities),
            present=flags if evidence.gradable else None,
        )

    def present(self, row: Row, texts: Texts = IN_ENGLISH) -> Presentation:
        """Return a bar for each sign, with the mark of its threshold."""
        signs = _present_signs(row, self.labels)
        assessed = not is_blank(row[SIGN_PREFIX + self.labels[0]])
        described = [
            f"{label}: {description}."
            for label, description in zip(self.labels, self.descriptions, strict=False)
            if label in signs
        ]
        bars = tuple(
            Bar(
                label=label,
                probability=row[f"p_{label}"],
                chosen=label in signs,
                alert=label in signs,
                threshold=threshold,
            )
            for label, threshold in zip(self.labels, self.thresholds, strict=True)
            if not is_blank(row[f"p_{label}"])
        )
        if not assessed:
            return Presentation(
                heading=texts("signs.heading.none"), brief=texts("signs.brief.none"), caution=texts("signs.caution")
            )
        named = ", ".join(signs)
        return Presentation(
            heading=texts("signs.heading", signs=named) if signs else texts("signs.heading.absent"),
            brief=named or texts(f"signs.{ABSENT}"),
            sentences=tuple(described),
            bars=bars,
            note=texts("signs.note") if bars else "",
        )

    def console(self, row: Row) -> dict[str, str]:
        """Return the signs found, with their probabilities."""
        signs = _present_signs(row, self.labels)
        return {"signs": ", ".join(f"{label} {row[f'p_{label}']:.2f}" for label in signs)}

    def facts(self) -> dict[str, str]:
        """Return the temperature and threshold of each sign."""
        numbers = zip(self.labels, self.temperatures, self.thresholds, strict=True)
        return {
            "head": "signs, each by itself",
            "signs": "; ".join(
                f"{label} from {threshold:.3f} (temperature {temperature:.3f})"
                for label, temperature, threshold in numbers
            ),
            "thresholds": self.point,
        }

    @property
    def dtypes(self) -> dict[str, str]:
        """Whole numbers, also where some are blank."""
        return {SIGN_PREFIX + label: "Int64" for label in self.labels}


class Signs(Task):
    """Signs such as haemorrhages or drusen, of which a photograph may show several or none."""

    name = "signs"
    kind = "signs"
    heads = ("signs",)
    words = TaskWords(
        decisions={
            PRESENT: DecisionWords(tone="alert"),
            ABSENT: DecisionWords(tone="clear"),
            CANNOT_ASSESS: DecisionWords(tone="unknown"),
        },
        intended_use="Research on finding signs of disease in colour fundus photographs. " + NOT_A_DEVICE,
        limits=(
            "It looks for the named signs only: it gives no grade and finds no other disease of the eye.",
            "The thresholds keep their sensitivity only on patients like those they were set on.",
        ),
        explained=(PRESENT,),
    )

    def outputs(self, head: str, labels: Sequence[str]) -> int:
        """Return one logit for each sign."""
        return len(labels)

    def answerer(self, release: Release, refuse: Refusal, *, neighbours: Neighbours | None = None) -> SignsAnswerer:
        """Read each sign's temperature and threshold."""
        refuse_grading_only(release, refuse)
        point = release.operating_point
        if not isinstance(point.get("name"), str):
            raise refuse("operating_point.name", "text", point.get("name"))
        return SignsAnswerer(
            labels=tuple(release.labels),
            temperatures=_temperatures(release, refuse),
            thresholds=_thresholds(release, refuse),
            point=point["name"],
            descriptions=tuple(release.descriptions),
        )

    def decisions(self, head: str, raw: RawOutput) -> Shaped[np.ndarray, "photo ..."]:
        """Return which signs are likelier present than absent."""
        return np.asarray(raw > 0)

    def table(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> Table:
        """Return probabilities at temperature 1, and the signs that are likelier present than absent."""
        probabilities = sign_probabilities(raw, (1.0,) * len(labels))
        return sign_columns(labels, probabilities, probabilities >= UNCALIBRATED_THRESHOLD)

    def likeliest(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> SignsAnswer:
        """Return each sign's probability, and whether it is likelier present than absent."""
        probabilities = sign_probabilities(raw, (1.0,) * len(labels))[0]
        return SignsAnswer(
            labels=tuple(labels),
            probabilities=tuple(float(probability) for probability in probabilities),
            present=tuple(bool(probability >= UNCALIBRATED_THRESHOLD) for probability in probabilities),
        )

    def of_photograph(self, row: Row) -> Finding:
        """Return the signs found."""
        columns = [column for column in row if column.startswith(SIGN_PREFIX)]
        labels = tuple(column.removeprefix(SIGN_PREFIX) for column in columns)
        if not columns or any(is_blank(row[column]) for column in columns):
            return Finding(decision=CANNOT_ASSESS, labels=())
        signs = _present_signs(row, labels)
        return Finding(decision=PRESENT if signs else ABSENT, labels=signs)

    def of_eye(self, photographs: Sequence[Finding]) -> Finding:
        """Return all signs found; none if at least one photograph could be assessed."""
        return _combined(photographs, (PRESENT, ABSENT, CANNOT_ASSESS))

    def of_patient(self, eyes: Sequence[Finding]) -> Finding:
        """Return all signs found; none only if every eye could be assessed."""
        return _combined(eyes, (PRESENT, CANNOT_ASSESS, ABSENT))


def sign_name(column: str) -> str:
    """Return a sign's name, from its column in the manifest."""
    return column.removeprefix(SIGN_PREFIX)


def sign_columns(
    labels: Sequence[str], probabilities: Float[np.ndarray, "photo sign"], present: Shaped[np.ndarray, "photo sign"]
) -> Table:
    """Return columns of many photographs: `p_SIGN` of all signs, then `sign_SIGN` of all."""
    return {
        **{f"p_{label}": column for label, column in zip(labels, probabilities.T, strict=True)},
        **{SIGN_PREFIX + label: column.astype(np.int64) for label, column in zip(labels, present.T, strict=True)},
    }


def _present_signs(row: Row, labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(label for label in labels if row[SIGN_PREFIX + label] == 1)


def _combined(findings: Sequence[Finding], order: Sequence[str]) -> Finding:
    """Return the first decision of an order that is among the findings, with all signs that were found."""
    decisions = {finding.decision for finding in findings}
    return Finding(decision=next(decision for decision in order if decision in decisions), labels=union(findings))


def _temperatures(release: Release, refuse: Refusal) -> tuple[float, ...]:
    numbers = _by_sign(release.calibration, "temperatures", "calibration", release, refuse)
    return tuple(
        checked_temperature(numbers[label], f"calibration.temperatures.{label}", refuse) for label in release.labels
    )


def _thresholds(release: Release, refuse: Refusal) -> tuple[float, ...]:
    numbers = _by_sign(release.operating_point, "thresholds", "operating_point", release, refuse)
    for label, number in numbers.items():
        if not (is_number(number) and 0 < number <= 1):
            raise refuse(f"operating_point.thresholds.{label}", "a number above 0 and at most 1", number)
    return tuple(float(numbers[label]) for label in release.labels)


def _by_sign(values: Mapping[str, Any], key: str, section: str, release: Release, refuse: Refusal) -> Mapping[str, Any]:
    """Return the record of numbers that has one for each sign."""
    numbers = values.get(key)
    if not isinstance(numbers, Mapping) or set(numbers) != set(release.labels):
        raise refuse(f"{section}.{key}", f"a number for each of {', '.join(release.labels)}", numbers)
    return numbers
