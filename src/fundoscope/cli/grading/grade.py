"""`fundoscope grade`: photographs in; a table, a report and an answer for every patient out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from fundoscope.cli.console import answers, interruptible, print_json, print_text, printable, say_written, troubles
from fundoscope.cli.layout import fitted
from fundoscope.cli.progress import progress
from fundoscope.errors import BadRequest
from fundoscope.grades import EYES, NOT_A_DEVICE

if TYPE_CHECKING:
    from fundoscope.runtime.answers import PatientAnswer
    from fundoscope.runtime.grader import Grader
    from fundoscope.runtime.listing.inputs import Listing
    from fundoscope.runtime.output.dicom.export import DicomReports
    from fundoscope.runtime.output.summaries import Summaries
    from fundoscope.runtime.release import OpenRelease
    from fundoscope.runtime.tasks.follow_up import NextStep
    from fundoscope.runtime.tasks.task import Finding, Task

SHOWN_ROWS = 30
"""Photographs, and patients, listed one by one on the console: of more, the worst ones; the others are counted."""

STYLES = {"alert": "bold red", "clear": "green", "unknown": "bold magenta"}
"""How a decision is printed, by its tone."""

SHOWN_NAMES = 3
"""Placeholders named at most."""

INDEX = "index.html"
"""First page of a report."""


class Backend(StrEnum):
    """Inference backends."""

    onnxruntime = "onnxruntime"
    openvino = "openvino"


class Language(StrEnum):
    """Languages of reports (`runtime.language.texts.LANGUAGES`)."""

    en = "en"
    es = "es"


ByBackend = Annotated[
    Backend,
    typer.Option(
        help="Inference backend: onnxruntime or openvino. OpenVINO is used only if it reproduces the "
        "release's reference outputs."
    ),
]


def grade(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH...", help="Photographs, or folders of them.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Table to write: .csv, .parquet or .jsonl. Can be interrupted.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for a report to look at and print (HTML).")] = None,
    lang: Annotated[Language, typer.Option(help="Language of the report.")] = Language.en,
    patients: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table of patients to write, with the next step. One row each, worst first."),
    ] = None,
    dicom_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for DICOM reports. One structured report for each study of DICOM photographs, with the "
            "heatmaps that may be shown. Needs the extra dicom.",
        ),
    ] = None,
    de_identify: Annotated[
        bool,
        typer.Option(
            "--de-identify", help="Replace patient, study and identifiers in DICOM reports, and remove all dates."
        ),
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="Table that says which patient and eye each photograph is of.")
    ] = None,
    release: Annotated[
        Path | None, typer.Option(help="Release to grade with: a folder or .zip. Default: the one that ships.")
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a commissioned site, to retouch its dust. Dust on its camera's sensor is retouched "
            "before grading. If it is a commissioned copy of a release, that is graded with."
        ),
    ] = None,
    features: Annotated[
        bool, typer.Option("--features", help="Also write each photograph's features beside the table.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Write over tables or a report that exist. Files that the run reads are never written over.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Photographs worked on side by side. Default: one for each core.")
    ] = None,
    backend: ByBackend = Backend.onnxruntime,
) -> None:
    """Grade diabetic retinopathy in photographs of the retina, or answer another release's task.

    Exit status: 0 all photographs were graded or found ungradable, 1 some could not be read, 2 nothing could be done,
    70 a fault in the program.
    """
    if features and out is None:
        raise BadRequest("--features: expected --out beside it, got none. Name the table that they belong to.")
    if lang is not Language.en and report is None:
        raise BadRequest(f"--lang {lang.value}: expected --report beside it, got none. Name the report's folder.")
    if de_identify and dicom_out is None:
        raise BadRequest("--de-identify: expected --dicom-out beside it, got none. Name the folder of the reports.")
    from fundoscope.runtime.grader import Grader
    from fundoscope.runtime.listing.inputs import list_photographs
    from fundoscope.runtime.output.dicom.export import DicomReports
    from fundoscope.runtime.output.summaries import Summaries

    listing = list_photographs(paths or [], manifest=manifest)
    for sentence in (*listing.notes, *listing.troubles):
        print_text(sentence, to=troubles)
    if site is None:
        grader = Grader.open(release, threads=threads, backend=backend.value)
        say_of_unused_map(grader.opened)
    else:
        grader = _open_at(site, release, threads=threads, backend=backend)
    if grader.opened.release.eyes == 2 and (
        alone := sum(photograph.fellow is None for photograph in listing.photographs)
    ):
        print_text(
            f"{grader.opened.name} grades an eye together with its fellow: {alone} of {len(listing.photographs)} "
            "photographs have none in a manifest (by patient and eye) and are graded without.",
            to=troubles,
        )
    files = [photograph.path for photograph in listing.photographs]
    dicom = None if dicom_out is None else DicomReports(folder=dicom_out, paths=files, de_identify=de_identify)
    with interruptible(_how_to_continue(out)):
        summaries = Summaries(report=report, language=lang.value, patients=patients, dicom=dicom)
        rows = _grade(grader, listing, out, summaries, features=features, replace=replace)
    written = [*([out] if out else []), *([patients] if patients else []), *([report / INDEX] if report else [])]
    _answer(grader, rows, written=written, dicom=dicom, as_json=as_json)
    if listing.troubles or (dicom and dicom.refused) or any(row["status"] == "unreadable" for row in rows):
        raise typer.Exit(1)


def say_of_unused_map(opened: OpenRelease) -> None:
    """Print that a copy was commissioned for retouched photographs, where these are not."""
    from fundoscope.photo.artefacts.dust_map import DUST_MAP

    if DUST_MAP in opened.release.files:
        print_text(
            f"Note: {opened.path} was commissioned with photographs retouched by its {DUST_MAP}, and these are not: "
            f"what it guarantees does not hold for them. To have them retouched, grade with --site {opened.path}.",
            to=troubles,
        )


def _open_at(folder: Path, release: Path | None, *, threads: int | None, backend: Backend) -> Grader:
    """Open a release for a site, and print what is to be known of its commissioning."""
    from fundoscope.clinic.commissioning.site import check_site, open_site
    from fundoscope.runtime.grader import Grader

    site = open_site(folder)
    meant = folder if release is None and site.release is not None else release
    grader = Grader.open(meant, threads=threads, backend=backend.value, dust=site.dust)
    for sentence in check_site(site, grader.opened):
        print_text(f"Note: {sentence}", to=troubles)
    return grader


def _grade(
    grader: Grader, listing: Listing, out: Path | None, summaries: Summaries, *, features: bool, replace: bool
) -> list[dict[str, Any]]:
    from fundoscope.runtime.batch import grade_to_rows, grade_to_table, rows_of
    from fundoscope.runtime.destinations import Inputs, Rules

    rules = Rules(inputs=Inputs.of(listing.tables), replace=replace)
    with progress() as show:

        def advance(done: int, _row: dict[str, Any]) -> None:
            show("grading", done, len(listing.photographs))

        if out is None:
            return grade_to_rows(grader, listing.photographs, summaries=summaries, rules=rules, progress=advance)
        frame = grade_to_table(
            grader, listing.photographs, out, features=features, summaries=summaries, rules=rules, progress=advance
        )
        return rows_of(frame)


def _how_to_continue(out: Path | None) -> str:
    if out is None:
        return "With --out TABLE a run can be interrupted and continued."
    return f"What is done is kept beside {out}: give the same command again to continue."


def _answer(
    grader: Grader,
    rows: list[dict[str, Any]],
    *,
    written: Sequence[Path],
    dicom: DicomReports | None = None,
    as_json: bool,
) -> None:
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
