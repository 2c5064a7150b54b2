"""Results of a case for other systems: a FHIR bundle, and DICOM objects. Made when they are asked for, and not kept."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fundoscope.errors import BadRequest
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.output.dicom.export import DicomReports
from fundoscope.runtime.output.fhir.resources import Bundle, Examination
from fundoscope.runtime.tasks.task import Row
from fundoscope.service.store.files import PhotographFiles


def fhir_bundle(grader: Grader, uid: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the FHIR bundle of a case.

    Args:
        grader: The release that answered all its photographs.
        uid: Identifier of the case, from which the bundle's identifiers are computed.
        rows: The answers.

    Raises:
        BadRelease: If the release does not grade retinopathy: there are no codes for what it answers.
    """
    opened = grader.opened
    _ = opened.grading
    (answer,) = answer_patients(rows, opened.task)
    key = json.dumps(["case", uid])
    return dict(Bundle(Examination(key=key, rows=rows, answer=answer), opened).build())


def dicom_objects(grader: Grader, files: PhotographFiles, rows: Sequence[Row], scratch: Path) -> bytes:
    """Return the DICOM report on a case and the heatmaps that it refers to, zipped.

    Args:
        grader: The release that answered all its photographs.
        files: Where they lie.
        rows: The answers.
        scratch: Folder in which the objects may be made.

    Raises:
        BadRelease: As `fhir_bundle`.
        BadRequest: If there is no report, because no photograph says which study it is of, or because they contradict
            one another.
        MissingExtra: If highdicom is not installed.
    """
    with TemporaryDirectory(dir=scratch, prefix="dicom-") as folder:
        reports = DicomReports(folder=Path(folder), paths=[files.path(row["sha256"]) for row in rows])
        reports.try_out(grader.opened)
        reports.write(grader, rows)
        if not reports.written:
            sentences = reports.refused or reports.notes
            raise BadRequest(" ".join(sentences) or "case: expected DICOM photographs of a study, got none.")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in reports.written:
                archive.write(path, path.relative_to(folder))
        return buffer.getvalue()
