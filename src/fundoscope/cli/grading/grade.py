"""`fundoscope grade`: photographs in; a table, a report and an answer for every patient out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import interruptible, print_text, troubles
from fundoscope.cli.grading.answers import print_answers
from fundoscope.cli.progress import progress
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.runtime.grader import Grader
    from fundoscope.runtime.listing.inputs import Listing
    from fundoscope.runtime.output.summaries import Summaries
    from fundoscope.runtime.release import OpenRelease

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
            metavar="DIR",
            help="Folder for DICOM reports. One structured report for each study of DICOM photographs, with the "
            "heatmaps that may be shown. Needs the extra dicom.",
        ),
    ] = None,
    fhir_out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for FHIR bundles. One R4 bundle for each examination."),
    ] = None,
    de_identify: Annotated[
        bool,
        typer.Option(
            "--de-identify", help="Name nobody in DICOM and FHIR. Patients and identifiers are replaced, dates removed."
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
    if de_identify and dicom_out is None and fhir_out is None:
        raise BadRequest(
            "--de-identify: expected --dicom-out or --fhir-out beside it, got none. Name a folder for the results."
        )
    from fundoscope.runtime.grader import Grader
    from fundoscope.runtime.listing.inputs import list_photographs
    from fundoscope.runtime.output.dicom.export import DicomReports
    from fundoscope.runtime.output.fhir.export import FhirBundles
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
    fhir = None if fhir_out is None else FhirBundles(folder=fhir_out, paths=files, de_identify=de_identify)
    with interruptible(_how_to_continue(out)):
        summaries = Summaries(report=report, language=lang.value, patients=patients, dicom=dicom, fhir=fhir)
        rows = _grade(grader, listing, out, summaries, features=features, replace=replace)
    written = [*([out] if out else []), *([patients] if patients else []), *([report / INDEX] if report else [])]
    print_answers(grader, rows, written=written, dicom=dicom, fhir=fhir, as_json=as_json)
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
