"""What a run writes beside the predictions table: a report, a table of patients, DICOM reports, FHIR bundles."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from fundoscope.errors import BadRequest
from fundoscope.runtime.destinations import Rules, cannot_write, try_table
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.runtime.output.dicom.export import DicomReports
from fundoscope.runtime.output.fhir.export import FhirBundles
from fundoscope.runtime.output.pictures import Pictures
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Row

if TYPE_CHECKING:
    from fundoscope.runtime.grader import Grader


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """Where they are written."""

    report: Path | None = None
    """Folder of an HTML report, which has a table of patients in it."""
    language: str = "en"
    """Of the report: one of `language.texts.LANGUAGES`."""
    patients: Path | None = None
    """A table of patients by itself: `.csv`, `.parquet` or `.jsonl`."""
    dicom: DicomReports | None = None
    """Structured reports and heatmaps as DICOM objects, one report for each study."""
    fhir: FhirBundles | None = None
    """FHIR bundles, one for each examination."""

    def try_out(self, opened: OpenRelease) -> None:
        """Refuse what could not be written after grading.

        Raises as `destinations.try_table`, `dicom.export.DicomReports.try_out` and `fhir.export.FhirBundles.try_out`.
        """
        for results in (self.dicom, self.fhir):
            if results is not None:
                results.try_out(opened)
        if self.patients is not None:
            try_table(pd.DataFrame({"patient": []}), self.patients, "--patients")

    def check(self, rules: Rules, *, others: Sequence[Path] = ()) -> None:
        """Refuse destinations that must not be written.

        Args:
            rules: What may be written over.
            others: Further files that the same run writes.

        Raises:
            BadRequest: If something lies there that must not be written over, or two of the run's files are one.
        """
        if self.patients is not None:
            if os.path.abspath(self.patients) in {os.path.abspath(path) for path in others}:
                raise BadRequest(
                    f"{self.patients}: expected another file for --patients than the table of photographs, got the "
                    "same. Give --patients another name."
                )
            rules.check_file(self.patients, "--patients")
        if self.report is not None:
            rules.check_report(self.report)
        for results in (self.dicom, self.fhir):
            if results is not None:
                results.check(rules)

    def write(
        self,
        grader: Grader,
        photographs: Sequence[Listed],
        rows: Sequence[Row],
        *,
        pictures: Pictures | None = None,
        writing: Callable[[Sequence[Path]], None] | None = None,
    ) -> None:
        """Write them.

        Args:
            grader: The release that graded.
            photographs: What was graded.
            rows: The predictions table's rows, one for each photograph, None for blank.
            pictures: Those kept while grading; a photograph without one is read again.
            writing: Called with the files before the first of a kind is written.
        """
        if self.patients is not None:
            from fundoscope.runtime.output.patients import write_patients

            if writing is not None:
                writing([self.patients])
            write_patients(self.patients, rows, grader.opened.task)
        if self.report is not None:
            from fundoscope.runtime.output.html import write_report

            write_report(
                grader, photographs, rows, self.report, language=self.language, pictures=pictures, writing=writing
            )
        if self.dicom is not None:
            self.dicom.write(grader, rows, pictures=pictures, writing=writing)
        if self.fhir is not None:
            self.fhir.write(grader, rows, writing=writing)

    def cannot_write(self, problem: OSError) -> BadRequest:
        """Return the error that says which of them cannot be written, and why."""
        folders = {"--dicom-out": self.dicom, "--fhir-out": self.fhir}
        written = [(results.folder, option) for option, results in folders.items() if results is not None]
        of_file = [pair for pair in written if _lies_in(problem.filename, pair[0])]
        if of_file or (written and self.report is None and self.patients is None):
            folder, option = (of_file or written)[0]
            return cannot_write(folder, problem, option)
        if self.report is None or problem.filename == os.fspath(self.patients or ""):
            return cannot_write(self.patients or Path(), problem, "--patients")
        return cannot_write(self.report, problem, "--report")


def _lies_in(file: str | None, folder: Path) -> bool:
    return file is not None and Path(os.path.abspath(folder)) in Path(os.path.abspath(file)).parents


NO_SUMMARIES: Final = Summaries()
