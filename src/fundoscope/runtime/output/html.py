"""A report for people: self-contained HTML that opens offline and prints on A4, by patient, eye and photograph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final

import jinja2

from fundoscope.pages import environment, number_words, stored_interval_words, write_page
from fundoscope.parallel import in_order
from fundoscope.photo.illustration import Illustration
from fundoscope.runtime.answers import PatientAnswer, answer_patients, notes_on, worst_first
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.language.texts import LANGUAGES, Texts
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.runtime.output import patients
from fundoscope.runtime.output.pictures import Pictures, illustrate_answered
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Finding, Presentation, Row, Task, Tone

PHOTOGRAPHS_PER_PAGE: Final = 200
"""A page holds its pictures itself, about 0.1 MB each; beyond this many the report is split."""

PAGE: Final = re.compile(r"page-([2-9]|[1-9]\d+)\.html")
"""Name of every page but the first."""

OWN: Final = b"fundoscope"
"""What stands in every page of a report."""

SYMBOLS: Final[dict[Tone, str]] = {"alert": "▲", "clear": "●", "unknown": "◆"}
"""Beside each decision, so that none is known by its colour alone."""

MARGIN_SIGNS: Final = (32, 12)
"""Signs of a long name's beginning and end in the margin of a printed page."""

QUALITY_PARTS: Final = ("field_size", "sharpness", "exposure", "contrast", "vessels")


SCREEN: Final = "report.css"
PAPER: Final = "paper.css"
"""Styles of a report: for browsers, which also print it, and for PDF files."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A photograph as the page shows it."""

    number: int
    row: Row
    illustration: Illustration | None
    """None where there is no picture, or where the file has changed since it was graded."""
    answer: Presentation
    finding: Finding
    """The answer for this photograph alone."""


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the report."""

    name: str
    patients: tuple[PatientAnswer, ...]


def write_report(
    grader: Grader,
    photographs: Sequence[Listed],
    rows: Sequence[Row],
    folder: Path | str,
    *,
    language: str = "en",
    pictures: Pictures | None = None,
    writing: Callable[[Sequence[Path]], None] | None = None,
) -> tuple[Path, ...]:
    """Write `index.html`, worst patients first, and `page-2.html`... where there are many; those of an earlier one go.

    The table of patients, `patients.csv`, lies beside them.

    Args:
        grader: The release that graded them.
        photographs: What was graded.
        rows: The predictions table's rows, one for each photograph, None for blank.
        folder: Made where absent.
        language: One of `language.texts.LANGUAGES`.
        pictures: Those kept while grading; a photograph without one is read again, so that a table that an interrupted
            run left half done gives the same report.
        writing: Called with the files before the first is written.

    Returns:
        The pages written, `index.html` first.
    """
    texts = LANGUAGES[language]
    answers, shared = _about_report(grader, rows, texts)
    pages = _paged(answers)
    template = _templates().get_template("report.html.jinja")
    written = []
    table = Path(folder) / patients.NAME
    if writing is not None:
        writing([*(Path(folder) / page.name for page in pages), table])
    for page in pages:
        shown = _shown_on(page, grader, photographs, rows, pictures, texts)
        path = Path(folder) / page.name
        written.append(write_page(path, template, page=page, pages=pages, shown=shown, style=SCREEN, **shared))
    patients.write_patients(table, rows, grader.opened.task)
    _remove_pages_beyond(len(pages), Path(folder))
    return tuple(written)


def paper_page(grader: Grader, photographs: Sequence[Listed], rows: Sequence[Row], *, language: str = "en") -> str:
    """Return the report on all patients as one page of HTML, in the style from which `pdf.to_pdf` makes a PDF file.

    Args:
        grader: The release that graded them.
        photographs: What was graded.
        rows: The predictions table's rows, one for each photograph, None for blank.
        language: One of `language.texts.LANGUAGES`.
    """
    texts = LANGUAGES[language]
    answers, shared = _about_report(grader, rows, texts)
    page = Page("index.html", tuple(answers))
    shown = _shown_on(page, grader, photographs, rows, None, texts)
    template = _templates().get_template("report.html.jinja")
    return template.render(page=page, pages=[page], shown=shown, style=PAPER, **shared)


def shortened(name: str) -> str:
    """Return a name that fits into the margin of a printed page: beginning and end of a long one."""
    return name if len(name) <= sum(MARGIN_SIGNS) else f"{name[: MARGIN_SIGNS[0]]}…{name[-MARGIN_SIGNS[1] :]}"


def css_string(text: str) -> str:
    """Return a text for use between quotes in a style sheet: all but letters, digits and blanks is escaped."""
    return "".join(sign if sign.isalnum() or sign == " " else f"\\{ord(sign):x} " for sign in text)


def _remove_pages_beyond(count: int, folder: Path) -> None:
    """Remove the pages of an earlier, longer report, which would pass for pages of this one."""
    for page in folder.glob("page-*.html"):
        number = PAGE.fullmatch(page.name)
        if number and int(number[1]) > count and OWN in page.read_bytes():
            page.unlink()


def _paged(answers: Sequence[PatientAnswer]) -> list[Page]:
    """Divide patients into pages, in order and none of them torn apart; a page may exceed the limit by one patient."""
    groups: list[list[PatientAnswer]] = [[]]
    count = 0
    for answer in answers:
        if count >= PHOTOGRAPHS_PER_PAGE:
            groups.append([])
            count = 0
        groups[-1].append(answer)
        count += len(answer.photographs)
    names = ["index.html", *(f"page-{number}.html" for number in range(2, len(groups) + 1))]
    return [Page(name, tuple(group)) for name, group in zip(names, groups, strict=True)]


def _about_report(grader: Grader, rows: Sequence[Row], texts: Texts) -> tuple[list[PatientAnswer], dict[str, Any]]:
    """Return the patients' answers, the worst first, and what all pages of a report show alike."""
    task = grader.opened.task
    answers = worst_first(answer_patients(rows, task), rows, task)
    shared = _about_release(grader, texts) | _about_patients(answers, rows, task, texts)
    return answers, shared | {"total": len(rows), "report_date": datetime.now(UTC).date().isoformat()}


def _shown_on(
    page: Page,
    grader: Grader,
    photographs: Sequence[Listed],
    rows: Sequence[Row],
    pictures: Pictures | None,
    texts: Texts,
) -> dict[int, Shown]:
    """Return the photographs of a page, by their number."""
    numbers = [number for answer in page.patients for number in answer.photographs]
    illustrations = _illustrate(grader, photographs, rows, numbers, pictures)
    return {
        number: _shown(number, rows[number], illustration, grader.opened, texts)
        for number, illustration in zip(numbers, illustrations, strict=True)
    }


def _illustrate(
    grader: Grader,
    photographs: Sequence[Listed],
    rows: Sequence[Row],
    numbers: Sequence[int],
    pictures: Pictures | None,
) -> Iterator[Illustration | None]:
    """Yield the pictures of photographs: those that were kept, and the others drawn from their files, if unchanged."""

    def illustration(number: int) -> Illustration | None:
        row, listed = rows[number], photographs[number]
        if pictures is not None and (kept := pictures.find(row)) is not None:
            return kept
        reading, pixels = grader.examine(listed.path, listed.fellow)
        if pixels is None or reading.sha256 != row["sha256"]:
            return None
        decision = grader.opened.task.of_photograph(row).decision
        return illustrate_answered(grader.opened, reading, pixels, decision)

    return in_order(illustration, numbers, threads=grader.threads)


def _shown(number: int, row: Row, illustration: Illustration | None, opened: OpenRelease, texts: Texts) -> Shown:
    answer = opened.answerer.present(row, texts)
    return Shown(number, row, illustration, answer, opened.task.of_photograph(row))


def _about_patients(answers: Sequence[PatientAnswer], rows: Sequence[Row], task: Task, texts: Texts) -> dict[str, Any]:
    """Return what a page shows of patients, functions of an answer where it depends on one."""

    def is_urgent(answer: PatientAnswer) -> bool:
        return any(task.is_urgent(rows[number]) for number in answer.photographs)

    def days(answer: PatientAnswer) -> str:
        dates = sorted({str(rows[number]["taken"])[:10] for number in answer.photographs if rows[number]["taken"]})
        if len(dates) > 1:
            return texts("days.between", first=dates[0], last=dates[-1])
        return texts("days.on", day=dates[0]) if dates else texts("days.unknown")

    counts = {decision: sum(answer.decision == decision for answer in answers) for decision in task.words.decisions}
    return {
        "counts": counts,
        "has_next_step": any(answer.next_step is not None for answer in answers),
        "is_urgent": is_urgent,
        "urgent_count": sum(map(is_urgent, answers)),
        "days": days,
        "notes": lambda answer: list(notes_on(rows, answer.eyes, texts)),
        "next_step": lambda answer: next_step_words(answer, texts),
    }


def next_step_words(answer: PatientAnswer, texts: Texts) -> str:
    """Return what happens next with a patient, as a sentence or two; empty where the task has no rule for it."""
    step = answer.next_step
    if step is None:
        return ""
    interval = texts.interval(*step.months)
    eyes = texts.listed([texts.eye("eye.object", eye) for eye in step.eyes]) if step.eyes else ""
    if step.action == "refer":
        referral = texts("next.refer", interval=interval)
        return f"{referral} {texts('next.also', eyes=eyes)}" if eyes and answer.patient is not None else referral
    if step.action == "rescreen":
        return texts("next.rescreen", interval=interval)
    # Of an unknown patient's photograph that has an answer it is only the name that is missing.
    is_unanswered = any(eye.eye in step.eyes and eye.eye not in answer.missing for eye in answer.eyes)
    if answer.patient is None and not is_unanswered:
        return texts("next.unknown_patient")
    return texts("next.photograph", eyes=eyes)


def _about_release(grader: Grader, texts: Texts) -> dict[str, Any]:
    opened = grader.opened
    return {
        "release": opened.release,
        "digest": opened.digest,
        "texts": texts,
        "task": opened.task,
        "promises": opened.answerer.promises(texts),
        "explained": ", ".join(texts(f"{opened.task.name}.{decision}") for decision in opened.task.words.explained),
        "gate": opened.gate.to_dict(),
        "heatmap_shown": opened.heatmap_state[0],
        "heatmap_words": opened.heatmap_state[1],
        "evaluation": list(figures(opened.release.evaluation)),
    }


def figures(evaluation: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield a release's figures as name and words; an interval is one figure, other nesting goes into the name."""
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
        symbols=SYMBOLS,
        quality_parts=QUALITY_PARTS,
        css_string=css_string,
        shortened=shortened,
        long_name=sum(MARGIN_SIGNS),
        file_name=lambda image: PurePath(image).name,
    )
