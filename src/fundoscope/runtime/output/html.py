"""A report for people: self-contained HTML that opens offline and prints on A4, by patient, eye and photograph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

import jinja2

from fundoscope.decide.conformal import UNITS
from fundoscope.decide.referral import DECISION_WORDS
from fundoscope.grades import GRADE_NAMES, GRADES, REFERABLE
from fundoscope.pages import environment, number_words, stored_interval_words, write_page
from fundoscope.parallel import in_order
from fundoscope.runtime.answers import PatientAnswer, Row, answer_patients
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.inputs import Listed
from fundoscope.runtime.output.illustration import Illustration, illustrate

PHOTOGRAPHS_PER_PAGE: Final = 200
"""A page holds its pictures itself, about 0.1 MB each; beyond this many the report is split."""

EVALUATION_LINES: Final = 24
"""Figures of a release shown at most; all of them are in its model card."""

QUALITY_PARTS: Final = ("field_size", "sharpness", "exposure", "contrast", "vessels")


@dataclass(frozen=True, slots=True)
class Shown:
    """A photograph as the page shows it."""

    number: int
    row: Row
    illustration: Illustration | None
    """None where there is no picture, or where the file has changed since it was graded."""
    description: str | None = None
    """In clinical words what the photograph was found to be like, where the release has such words."""


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the report."""

    name: str
    patients: tuple[PatientAnswer, ...]


def write_report(
    grader: Grader, photographs: Sequence[Listed], rows: Sequence[Row], folder: Path | str
) -> tuple[Path, ...]:
    """Write `index.html`, and `page-2.html`... where there are many photographs.

    The pictures are read again: a table that an interrupted run left half done gives the same report.

    Args:
        grader: The release that graded them.
        photographs: What was graded.
        rows: The predictions table's rows, one for each photograph, None for blank.
        folder: Made where absent.

    Returns:
        The files written, `index.html` first.
    """
    answers = answer_patients(rows)
    pages = _paged(answers)
    template = _templates().get_template("report.html.jinja")
    shared = _about_release(grader) | {"pages": pages, "counts": _counts(answers), "total": len(rows)}
    written = []
    for page in pages:
        shown = {each.number: each for each in _show(grader, photographs, rows, page)}
        written.append(write_page(Path(folder) / page.name, template, page=page, shown=shown, **shared))
    return tuple(written)


def _paged(answers: Sequence[PatientAnswer]) -> list[Page]:
    """Patients in order, none of them torn apart; a page may exceed the limit by one patient's photographs."""
    groups: list[list[PatientAnswer]] = [[]]
    count = 0
    for answer in answers:
        if count >= PHOTOGRAPHS_PER_PAGE:
            groups.append([])
            count = 0
        groups[-1].append(answer)
        count += sum(len(eye.photographs) for eye in answer.eyes)
    names = ["index.html", *(f"page-{number}.html" for number in range(2, len(groups) + 1))]
    return [Page(name, tuple(group)) for name, group in zip(names, groups, strict=True)]


def _show(grader: Grader, photographs: Sequence[Listed], rows: Sequence[Row], page: Page) -> Iterator[Shown]:
    overlaid, _ = grader.opened.heatmap_state

    def show(number: int) -> Shown:
        reading, pixels = grader.examine(photographs[number].path, photographs[number].fellow)
        unchanged = pixels is not None and reading.sha256 == rows[number]["sha256"]
        drawn = pixels if unchanged else None
        illustration = None if drawn is None else illustrate(drawn, reading, overlaid=overlaid)
        return Shown(number, rows[number], illustration, _description(grader, rows[number]))

    numbers = [number for answer in page.patients for eye in answer.eyes for number in eye.photographs]
    return in_order(show, numbers, threads=grader.threads)


def _description(grader: Grader, row: Row) -> str | None:
    """Of the prototype that matched best, where the head compares with prototypes; else of the grade."""
    release = grader.opened.release
    if not release.descriptions or row["grade"] is None:
        return None
    if release.head != "prototype":
        return release.descriptions[int(row["grade"])]
    return max(enumerate(release.descriptions), key=lambda each: float(row[f"raw{each[0]}"]))[1]


def _counts(answers: Sequence[PatientAnswer]) -> dict[str, int]:
    return {decision: sum(answer.decision == decision for answer in answers) for decision in DECISION_WORDS}


def _about_release(grader: Grader) -> dict[str, Any]:
    opened = grader.opened
    return {
        "release": opened.release,
        "digest": opened.digest,
        "threshold": opened.operating_point.threshold,
        "gate": opened.gate.to_dict(),
        "grade_sets": opened.grade_sets,
        "heatmap_shown": opened.heatmap_state[0],
        "heatmap_words": opened.heatmap_state[1],
        "promise": UNITS[opened.grade_sets.thresholds.unit] if opened.grade_sets else "",
        "evaluation": list(figures(opened.release.evaluation))[:EVALUATION_LINES],
    }


def figures(evaluation: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A release's figures as name and words; an interval is one figure, other nesting is spelt out in the name."""
    for key, value in evaluation.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            if {"estimate", "low", "high"} <= set(value):
                yield name, stored_interval_words(value)
            else:
                yield from figures(value, f"{name}: ")
        elif isinstance(value, bool | int | str):
            yield name, str(value)
        elif isinstance(value, float):
            yield name, number_words(value)


def _templates() -> jinja2.Environment:
    return environment(
        Path(__file__).parent / "templates",
        decision_words=DECISION_WORDS,
        grade_names=GRADE_NAMES,
        grades=range(GRADES),
        referable=REFERABLE,
        quality_parts=QUALITY_PARTS,
        file_name=lambda image: PurePath(image).name,
        mean_grade=lambda row: sum(grade * row[f"p{grade}"] for grade in range(GRADES)),
    )
