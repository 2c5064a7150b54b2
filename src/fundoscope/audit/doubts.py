"""Photographs whose grade an audit doubts, read from its `audit.json`, the most doubtful first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from fundoscope.audit.audit import SCHEMA
from fundoscope.audit.report import ANSWER_FILE
from fundoscope.errors import BadTable
from fundoscope.records import parse_record

PROBABLE: Final = "probably wrong"
CONTRADICTED: Final = "contradicted"
UNLIKELY: Final = "unlikely"
SUSPICIONS: Final = (PROBABLE, CONTRADICTED, UNLIKELY)
"""How doubtful a grade is, the most doubtful first: wrong by confident learning; contradicted by another label; only
unlikely by the predictions."""

GRADE_CHECKS: Final = MappingProxyType(
    {
        "contradicting-grade": "the same picture is listed with another grade",
        "one-eye-two-grades": "another photograph of the same eye has a grade more than one apart",
        "two-labels": "a second label of the photograph is more than one grade apart",
        "grade-falls-between-visits": "the grade of the eye falls from one visit to the next",
    }
)
"""Checks of an audit that doubt a grade, and why, where its evidence has no more of it."""

OTHER_CHECKS: Final = ("contradicting-eye", "contradicting-dme", "contradicting-label", "wrong-eye", "not-a-fundus")
"""Checks that doubt something else of a photograph than its grade."""


class _Reason(NamedTuple):
    image: str
    suspicion: str
    grade: int | None
    """The grade that is doubted; None: the evidence does not say."""
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A photograph whose grade is doubted."""

    image: str
    """As the audit names it."""
    suspicion: str
    """One of `SUSPICIONS`: the gravest."""
    grade: int | None
    """The grade that was doubted; None where the audit does not say it."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What an audit says of labels."""

    manifests: tuple[tuple[str, int], ...]
    """Name of each manifest that was audited, and how many photographs it had."""
    grades: tuple[Doubt, ...]
    """Photographs whose grade is doubted, the most doubtful first."""
    others: Mapping[str, int]
    """Photographs of each check that doubts something else."""


def read_doubts(path: Path | str) -> Doubts:
    """Read the doubts from the folder of an audit's report, or from its `audit.json`.

    Raises:
        BadTable: If there is none, or it is not as `fundoscope audit --report` writes it.
    """
    place = Path(path)
    file = place / ANSWER_FILE if place.is_dir() else place
    try:
        answer = parse_record(file.read_bytes())
    except OSError as problem:
        raise BadTable(
            f"{file}: expected the report of an audit, got: {problem.strerror}. Make it with fundoscope audit MANIFEST "
            "--report FOLDER."
        ) from None
    except ValueError as problem:
        raise BadTable(f"{file}: expected an audit in JSON, got {problem}. Make the report again.") from None
    schema = answer.get("schema") if isinstance(answer, dict) else None
    if schema != SCHEMA:
        raise BadTable(f"{file}: expected an audit of the schema {SCHEMA}, got {schema!r:.60}. Make the report again.")
    try:
        return _doubts(answer)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadTable(f"{file}: expected an audit as it was written, got a changed one. Make the report again.") from (
            None
        )


def _doubts(answer: dict[str, Any]) -> Doubts:
    images: dict[str, set[str]] = {}
    for finding in answer["findings"]:  # a check may find several things
        images.setdefault(str(finding["check"]), set()).update(map(str, finding["images"]))
    reasons = [*_suspects(answer["suspects"]), *_findings(answer["findings"])]
    by_image: dict[str, list[_Reason]] = {}
    # A stable sort: within one suspicion the order stays the audit's.
    for reason in sorted(reasons, key=lambda reason: SUSPICIONS.index(reason.suspicion)):
        by_image.setdefault(reason.image, []).append(reason)
    return Doubts(
        manifests=tuple((str(entry["manifest"]), int(entry["photographs"])) for entry in answer["manifests"]),
        grades=tuple(
            Doubt(
                image=image,
                suspicion=mine[0].suspicion,
                grade=next((reason.grade for reason in mine if reason.grade is not None), None),
                reasons=tuple(dict.fromkeys(reason.words for reason in mine)),
            )
            for image, mine in by_image.items()
        ),
        others={check: len(images[check]) for check in OTHER_CHECKS if images.get(check)},
    )


def _suspects(suspects: list[dict[str, Any]]) -> Iterator[_Reason]:
    for suspect in suspects:
        suspicion = PROBABLE if suspect["issue"] is True else UNLIKELY
        yield _Reason(str(suspect["image"]), suspicion, int(suspect["given"]), str(suspect["why"]))


def _findings(findings: list[dict[str, Any]]) -> Iterator[_Reason]:
    for finding in findings:
        check = str(finding["check"])
        if check not in GRADE_CHECKS:
            continue
        explained = set()
        for reason in _evidence(check, finding["evidence"]):
            explained.add(reason.image)
            yield reason
        for image in map(str, finding["images"]):
            if image not in explained:  # the evidence is written out for the first of them only
                yield _Reason(image, CONTRADICTED, None, GRADE_CHECKS[check])


def _evidence(check: str, evidence: dict[str, Any]) -> Iterator[_Reason]:
    """Yield what a finding's evidence says of single photographs."""
    if check == "contradicting-grade":
        for group in evidence["groups"]:
            grades = " and ".join(sorted({str(row["grade"]) for row in group}))
            for row in group:
                words = f"the same picture is listed with the grades {grades}"
                yield _Reason(str(row["image"]), CONTRADICTED, int(row["grade"]), words)
    elif check == "one-eye-two-grades":
        for pair in evidence["pairs"]:
            names, grades = (pair["first"], pair["second"]), pair["grades"]
            for image, grade, other in zip(names, grades, grades[::-1], strict=True):
                words = f"another photograph of the same eye has grade {other}"
                yield _Reason(str(image), CONTRADICTED, int(grade), words)
    elif check == "grade-falls-between-visits":
        for fall in evidence["falls"]:
            before, after = fall["before"], fall["after"]
            words = f"the grade of the eye falls from {before['grade']} to {after['grade']} from one visit to the next"
            for image in (*before["images"], *after["images"]):
                yield _Reason(str(image), CONTRADICTED, None, words)
