"""What `fundoscope grade` prints: tables of photographs and patients, or all of it as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from fundoscope.cli.console import answers, print_json, print_text, printable, say_written, troubles
from fundoscope.cli.layout import fitted
from fundoscope.grades import EYES, NOT_A_DEVICE

if TYPE_CHECKING:
    from fundoscope.runtime.answers import PatientAnswer
    from fundoscope.runtime.grader import Grader
    from fundoscope.runtime.output.dicom.export import DicomReports
    from fundoscope.runtime.output.fhir.export import FhirBundles
    from fundoscope.runtime.release import OpenRelease
    from fundoscope.runtime.tasks.follow_up import NextStep
    from fundoscope.runtime.tasks.task import Finding, Task

SHOWN_ROWS = 30
"""Photographs, and patients, listed one by one on the console: of more, the worst ones; the others are counted."""

STYLES = {"alert": "bold red", "clear": "green", "unknown": "bold magenta"}
"""How a decision is printed, by its tone."""

SHOWN_NAMES = 3
"""Placeholders named at most."""


def print_answers(
    grader: Grader,
    rows: list[dict[str, Any]],
    *,
    written: Sequence[Path],
    dicom: DicomReports | None = None,
    fhir: FhirBundles | None = None,
    as_json: bool,
) -> None:
    """Print the answers of a run.

    Args:
        grader: The release that graded.
        rows: Rows of the predictions table.
        written: Tables and the report's first page, as they were written.
        dicom: DICOM reports that were written; None: none were asked for.
        fhir: FHIR bundles, likewise.
        as_json: Whether to print JSON instead of tables.
    """
    from fundoscope.runtime.answers import answer_patients, worst_first

    opened = grader.opened
    patients = [answer for answer in answer_patients(rows, opened.task) if answer.patient is not None]
    if as_json:
        patient_objects = [_patient_as_json(answer) for answer in patients]
        about = {"release": opened.name, "computed_by": grader.program}
        summary: dict[str, Any] = about | {"photographs": rows, "patients": patient_objects}
        if dicom is not None:
            files = [str(path) for path in dicom.written]
            summary["dicom"] = {"written": files, "notes": dicom.notes, "refused": dicom.refused}
        if fhir is not None:
            summary["fhir"] = {"written": [str(path) for path in fhir.written]}
        summary["notice"] = NOT_A_DEVICE
        print_json(summary)
        return
    _print_photographs(rows, opened)
    if patients:
        _print_patients(worst_first(patients, rows, opened.task), opened.task)
    print_text(_counted(rows, patients, opened.task))
    graded = [row for row in rows if row["status"] == "graded"]
    if grader.dust is not None and (spared := sum(row["dust_map"] is None for row in graded)):
        print_text(
            f"{spared} of {len(graded)} graded photographs do not fit the site's dust map and were not retouched."
        )
    if dicom is not None:
        _print_dicom(dicom)
    if fhir is not None:
        count = len(fhir.written)
        print_text(f"FHIR: {count} bundle{'' if count == 1 else 's'} written to {fhir.folder}.")
    say_written(*written)
    print_text(f"Release {opened.name}, computed by {grader.program}. {NOT_A_DEVICE}")


def _print_dicom(dicom: DicomReports) -> None:
    """Print how many DICOM reports and heatmaps were written, and what is in none."""
    from fundoscope.runtime.output.dicom.export import REPORT

    reports = sum(path.name == REPORT for path in dicom.written)
    heatmaps = len(dicom.written) - reports
    print_text(
        f"DICOM: {reports} report{'' if reports == 1 else 's'} and {heatmaps} heatmap{'' if heatmaps == 1 else 's'} "
        f"written to {dicom.folder}."
    )
    for sentence in (*dicom.notes, *dicom.refused):
        print_text(sentence, to=troubles)


def _print_photographs(rows: Sequence[dict[str, Any]], opened: OpenRelease) -> None:
    """Print a table of the photographs, of many only the worst, with the reasons for what is not graded."""
    from fundoscope.runtime.answers import answer_patients, worst_first

    shown = rows
    if len(rows) > SHOWN_ROWS:
        answered = worst_first(answer_patients(rows, opened.task), rows, opened.task)
        numbers = [number for answer in answered for number in answer.photographs]
        shown = [rows[number] for number in numbers[:SHOWN_ROWS]]
    answers.print(fitted(_photograph_table(shown, opened), names=[0]))
    if more := len(rows) - len(shown):
        print_text(
            f"and {more} more photograph{'' if more == 1 else 's'}; a table with all of them: --out TABLE", style="dim"
        )
    unreadable = [row for row in rows if row["status"] == "unreadable"]
    for line in _reasons(shown if shown is rows else unreadable):
        print_text(line)


def _photograph_table(rows: Sequence[dict[str, Any]], opened: OpenRelease) -> Table:
    table = Table(box=None, pad_edge=False)
    titles = list(opened.answerer.console(rows[0])) if rows else []
    for title in ("photograph", "eye", *titles, "decision", "quality"):
        table.add_column(title, justify="right" if title.startswith("P(") else "left")
    names = Counter(Path(row["image"]).name for row in rows)
    for row in rows:
        name = Path(row["image"]).name
        table.add_row(
            printable(name if names[name] == 1 else row["image"]),
            row["eye"] or "",
            *map(printable, opened.answerer.console(row).values()),
            _decision(opened.task.of_photograph(row).decision, opened.task),
            row["quality"] or row["status"],
        )
    return table


def _reasons(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each photograph with a reason; that of an unreadable one names its file."""
    reasons = [(row["image"], row["reason"], row["status"]) for row in rows if row["reason"]]
    return [why if status == "unreadable" else f"{image}: {why}" for image, why, status in reasons]


def _print_patients(patients: Sequence[PatientAnswer], task: Task) -> None:
    """Print a table of the patients, the worst first; of many the worst, and how the others were answered."""
    shown, others = patients[:SHOWN_ROWS], patients[SHOWN_ROWS:]
    answers.print(fitted(_patient_table(shown, task), names=[0]))
    if others:
        counted = _count_words("more patient", [answer.decision for answer in others], task)
        print_text(f"and {counted}; a table with all of them: --patients FILE", style="dim")


def _patient_table(patients: Sequence[PatientAnswer], task: Task) -> Table:
    lists_labels = any(answer.finding.labels is not None for answer in patients)
    has_notes = any(answer.notes for answer in patients)
    columns = ["patient", "answer", *(["found"] if lists_labels else []), "eyes", *(["note"] if has_notes else [])]
    table = Table(*columns, box=None, pad_edge=False)
    for answer in patients:
        eyes = "; ".join(f"{eye.eye or 'eye not stated'}: {eye.decision}" for eye in answer.eyes)
        labels = [printable(", ".join(answer.finding.labels or ()))] if lists_labels else []
        notes = [printable(" ".join(answer.notes))] if has_notes else []
        table.add_row(printable(str(answer.patient)), _decision(answer.decision, task), *labels, eyes, *notes)
    return table


def _counted(rows: Sequence[dict[str, Any]], patients: Sequence[PatientAnswer], task: Task) -> str:
    sentences = [_count_words("photograph", [task.of_photograph(row).decision for row in rows], task)]
    if patients:
        sentences.append(_count_words("patient", [answer.decision for answer in patients], task))
    if doubtful := sum(len({eye.eye for eye in answer.eyes} & set(EYES)) < len(EYES) for answer in patients):
        sentences.append(f"{doubtful} of them with one eye only, or an eye that is not known")
    if unnamed := sum(row["patient"] is None and row["patient_raw"] is not None for row in rows):
        names = sorted({str(row["patient_raw"]) for row in rows if row["patient"] is None and row["patient_raw"]})
        sentences.append(
            f"{unnamed} with a placeholder in place of the patient ({', '.join(names[:SHOWN_NAMES])}), each answered "
            "alone"
        )
    if retouched := sum(bool(row["retouched"]) for row in rows):
        sentences.append(f"specks of the camera's sensor were retouched in {retouched}")
    unreadable = sum(row["status"] == "unreadable" for row in rows)
    if unreadable:
        sentences.append(f"{unreadable} could not be read")
    return ". ".join(sentences) + "."


def _count_words(noun: str, decisions: Sequence[str], task: Task) -> str:
    counts = Counter(decisions)
    plural = "" if len(decisions) == 1 else "s"
    parts = [f"{counts[name]} {name}" for name in task.words.decisions if counts[name]]
    listed = ("; " if any("," in words for words in parts) else ", ").join(parts)
    return f"{len(decisions)} {noun}{plural}: {listed}"


def _patient_as_json(answer: PatientAnswer) -> dict[str, Any]:
    eyes = [
        {"eye": eye.eye, "decision": eye.decision, **_labels_as_json(eye.finding), "photographs": list(eye.photographs)}
        for eye in answer.eyes
    ]
    return {
        "patient": answer.patient,
        "decision": answer.decision,
        **_labels_as_json(answer.finding),
        "notes": list(answer.notes),
        "missing_eyes": [eye or "not stated" for eye in answer.missing],
        "next_step": _next_step_as_json(answer.next_step),
        "eyes": eyes,
    }


def _next_step_as_json(step: NextStep | None) -> dict[str, Any] | None:
    if step is None:
        return None
    eyes = [eye or "not stated" for eye in step.eyes]
    return {"action": step.action, "interval": step.interval, "within_months": step.months[1], "photograph_now": eyes}


def _labels_as_json(finding: Finding) -> dict[str, list[str]]:
    """Return the labels found, where the task has such; a grade's decision says all."""
    return {} if finding.labels is None else {"labels": list(finding.labels)}


def _decision(decision: str, task: Task) -> Text:
    return Text(decision, style=STYLES[task.words.decisions[decision].tone])
