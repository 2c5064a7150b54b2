"""DICOM reports of a run: one structured report for each study, with the heatmaps that may be shown.

    FOLDER/STUDY_UID/report.dcm
    FOLDER/STUDY_UID/heatmap-1.dcm ...

A study of which no report can be written costs the others nothing; sentences say which, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fundoscope.arrays import Photo
from fundoscope.errors import MissingExtra
from fundoscope.files import replacing
from fundoscope.photo.decoding.header import quiet
from fundoscope.photo.illustration import Illustration
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.destinations import Rules, try_folder
from fundoscope.runtime.output.dicom.heatmap import capture, draw_heatmap
from fundoscope.runtime.output.dicom.identity import Identity, RemovedIdentity
from fundoscope.runtime.output.dicom.report import Graded, write_study
from fundoscope.runtime.output.dicom.sources import Studies, Study, gather_studies
from fundoscope.runtime.output.names import without_files
from fundoscope.runtime.output.pictures import Pictures, illustrate_answered
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Row

if TYPE_CHECKING:
    from fundoscope.runtime.grader import Grader

OPTION: Final = "--dicom-out"

REPORT: Final = "report.dcm"
HEATMAPS: Final = "heatmap-*.dcm"

Patients = Mapping[int, tuple[int, ...]]
"""Numbers of all rows of the same patient, by the number of each row whose patient is known."""


@dataclass(kw_only=True)
class DicomReports:
    """Where reports are written, of what, and what was written."""

    folder: Path
    paths: Sequence[Path]
    """The photographs of the run, in the order of its rows."""
    de_identify: bool = False
    """Whether patient, study, dates and identifiers are replaced."""
    written: list[Path] = field(default_factory=list)
    """Files, filled by `write`."""
    notes: list[str] = field(default_factory=list)
    """Sentences on photographs and heatmaps that are in no report, filled by `write`."""
    refused: list[str] = field(default_factory=list)
    """Sentences on studies without a report, filled by `write`."""

    @cached_property
    def studies(self) -> Studies:
        """What the photographs' files say of studies, read once."""
        return gather_studies(self.paths)

    def try_out(self, opened: OpenRelease) -> None:
        """Refuse what could not be written after grading.

        Raises:
            MissingExtra: If highdicom is not installed.
            BadRelease: If the release does not grade retinopathy: there are no codes for what it answers.
            BadRequest: If nothing can be written into the folder.
        """
        if find_spec("highdicom") is None:
            raise MissingExtra(OPTION, "dicom")
        _ = opened.grading
        try_folder(self.folder, OPTION)

    def check(self, rules: Rules) -> None:
        """Refuse to write over reports, unless that was asked for. Raises as `destinations.Rules.check_file`."""
        if self.de_identify:
            return  # Under names that nothing has yet.
        for study in self.studies.studies:
            folder = self.folder / study.uid
            for file in sorted({folder / REPORT, *folder.glob(HEATMAPS)}):
                rules.check_file(file, OPTION)

    def write(
        self,
        grader: Grader,
        rows: Sequence[Row],
        *,
        pictures: Pictures | None = None,
        writing: Callable[[Sequence[Path]], None] | None = None,
    ) -> None:
        """Write the reports; arguments as of `summaries.Summaries.write`."""
        identity = RemovedIdentity() if self.de_identify else Identity()
        patients = _patients(rows, grader)
        for study in self.studies.studies:
            fault = study.fault(without_identity=self.de_identify) or _contradiction(study, patients)
            files: dict[Path, Any] = {}
            if fault is None:
                try:
                    files = self._objects(study, grader, rows, patients, identity, pictures)
                except Exception as problem:
                    # One study's fault, whatever it is, must not cost the others their reports.
                    words = f"{type(problem).__name__}: {problem}".splitlines()[0]
                    fault = (
                        f"study {study.uid}: expected a report, got a fault in the program ({words}). No report is "
                        "written of it. Please report the fault."
                    )
            if fault is not None:
                self.refused.append(fault)
                continue
            self.notes += self._dropped(study)
            if writing is not None:
                writing(list(files))
            self._save(files)
        self.notes += _left_out(self.studies)

    def _dropped(self, study: Study) -> list[str]:
        """Return a sentence on identifiers of a study that its report does not have."""
        if self.de_identify or not study.dropped():
            return []
        names = " and ".join(study.dropped())
        return [f"study {study.uid}: {names} left out of its report: too long for DICOM, or several."]

    def _objects(
        self,
        study: Study,
        grader: Grader,
        rows: Sequence[Row],
        patients: Patients,
        identity: Identity,
        pictures: Pictures | None,
    ) -> dict[Path, Any]:
        """Return the objects of a study, by the files that they go into, the report last."""
        from pydicom.uid import generate_uid

        graded = _graded(study, rows, patients, grader, [self.paths[number] for number in study.numbers])
        drawn = self._heatmaps(graded, grader, identity, pictures)
        series_uid = str(generate_uid(prefix=None))
        folder = self.folder / identity.uid(study.uid)
        with quiet():
            captures = {
                place: capture(
                    pixels,
                    study.sources[place],
                    study,
                    identity,
                    series_uid=series_uid,
                    number=number,
                    eye=graded.rows[place]["eye"],
                )
                for number, (place, pixels) in enumerate(drawn.items(), start=1)
            }
            report = write_study(graded, grader.opened, identity, captures)
            files: dict[Path, Any] = {
                folder / f"heatmap-{number}.dcm": image for number, image in enumerate(captures.values(), start=1)
            }
            files[folder / REPORT] = report
            for dataset in files.values():
                identity.finish(dataset)
        return files

    def _heatmaps(
        self, graded: Graded, grader: Grader, identity: Identity, pictures: Pictures | None
    ) -> dict[int, Photo]:
        """Return photographs under the heatmaps that may be shown, by their places in the study."""
        drawn = {}
        for place, (source, row) in enumerate(zip(graded.study.sources, graded.rows, strict=True)):
            if not source.can_be_referenced or not grader.opened.shows_heatmap(str(row["decision"])):
                continue
            path = self.paths[source.number]
            if identity.is_removed and source.burned_in != "NO":
                self.notes.append(
                    f"{path}: heatmap not written: the file does not say that no text is burned into the photograph "
                    "(BurnedInAnnotation NO), and such text might name the patient."
                )
                continue
            illustration = _illustration(path, row, grader, pictures)
            pixels = None if illustration is None else draw_heatmap(illustration)
            if pixels is not None:
                drawn[place] = pixels
        return drawn

    def _save(self, files: dict[Path, Any]) -> None:
        """Write the objects of a study, and remove the heatmaps of a report that it replaces."""
        folder = next(iter(files)).parent
        for path, dataset in files.items():
            with replacing(path) as fresh, quiet():
                dataset.save_as(fresh, enforce_file_format=True)
            self.written.append(path)
        for path in folder.glob(HEATMAPS):
            if path not in files:
                path.unlink()


def _contradiction(study: Study, patients: Patients) -> str | None:
    """Return why no report can be written of a study whose photographs the manifest gives to several patients."""
    if len({patients[number] for number in study.numbers if number in patients}) <= 1:
        return None
    return (
        f"study {study.uid}: expected photographs of one patient, got several in the manifest. No report is written of "
        "it: correct the manifest, and grade it again."
    )


def _patients(rows: Sequence[Row], grader: Grader) -> Patients:
    """Return the numbers of all rows of the same patient, by the number of each row whose patient is known."""
    answers = answer_patients(rows, grader.opened.task)
    known = [answer.photographs for answer in answers if answer.patient is not None]
    return {number: numbers for numbers in known for number in numbers}


def _graded(study: Study, rows: Sequence[Row], patients: Patients, grader: Grader, paths: Sequence[Path]) -> Graded:
    """Return a study with its answers: its photographs are of one patient, whatever their files lack.

    The patient's answer counts all photographs of the study, and those of the patient's other studies in the run.
    """
    others = {other for number in study.numbers for other in patients.get(number, ())} - set(study.numbers)
    task = grader.opened.task
    named = [{**rows[number], "reason": without_files(rows[number]["reason"], paths)} for number in study.numbers]
    own = [_of_one(row, study) for row in named]
    (answer,) = answer_patients(own, task)
    (overall,) = answer_patients([*own, *(_of_one(rows[number], study) for number in sorted(others))], task)
    return Graded(study=study, rows=own, answer=answer, overall=overall, program=grader.program)


def _of_one(row: Row, study: Study) -> dict[str, Any]:
    return {**row, "source": None, "patient": study.uid}


def _illustration(path: Path, row: Row, grader: Grader, pictures: Pictures | None) -> Illustration | None:
    """Return the picture that was kept while grading, else that of the photograph read again, if it is unchanged."""
    if pictures is not None and (kept := pictures.find(row)) is not None:
        return kept
    reading, pixels = grader.examine(path)
    if pixels is None or reading.sha256 != row["sha256"]:
        return None
    return illustrate_answered(grader.opened, reading, pixels, str(row["decision"]))


def _left_out(studies: Studies) -> Iterator[str]:
    """Yield sentences on photographs that are in no report."""
    if studies.not_dicom:
        yield (
            f"{studies.not_dicom} photograph{_s(studies.not_dicom)} in no DICOM report: only DICOM files say which "
            "study a report belongs to."
        )
    if studies.without_study:
        yield (
            f"{studies.without_study} DICOM photograph{_s(studies.without_study)} in no report: without a valid "
            "StudyInstanceUID. Export them again."
        )


def _s(count: int) -> str:
    return "" if count == 1 else "s"
