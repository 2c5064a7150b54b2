"""Makers of DICOM photographs and of rows that answer them, and readers of the reports that are written of them."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

from fundoscope.grades import RESCREEN
from fundoscope.photo.decoding.header import quiet
from fundoscope.runtime.output.dicom.export import DicomReports
from fundoscope.runtime.reading import Reading
from fundoscope.runtime.tasks.dr_grade import GradeAnswer

STUDY = "1.2.826.0.1.99.1"

SNOMED = {
    ("right", 1): "769183005", ("right", 2): "769185003", ("right", 3): "769187006", ("right", 4): "770765001",
    ("left", 1): "769184004", ("left", 2): "769186002", ("left", 3): "769188001", ("left", 4): "770766000",
    (None, 1): "312903003", (None, 2): "312904009", (None, 3): "312905005", (None, 4): "59276001",
}  # fmt: skip
"""Typed from the issue, not taken from the program."""

QUESTION = {"right": "71491-5", "left": "71490-7", None: "246112005"}
SIDE = {"right": "24028007", "left": "7771000"}

PERSON = {
    "PatientID": "MRN-4711", "PatientName": "Meier^Anna", "PatientBirthDate": "19510203", "PatientSex": "F",
    "StudyDate": "20260314", "StudyTime": "101112", "AccessionNumber": "ACC-815", "StudyID": "S-816",
    "ReferringPhysicianName": "Doctor^Who", "StudyDescription": "Annual screening of Anna",
}  # fmt: skip


def photograph(path, pixels=None, **elements):
    """Write an ophthalmic photograph; an element that is None is left out."""
    pixels = np.zeros((8, 8, 3), np.uint8) if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel, made.PlanarConfiguration, made.PhotometricInterpretation = 3, 0, "RGB"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.PixelData = pixels.tobytes()
    identifiers = {
        "SOPClassUID": OphthalmicPhotography8BitImageStorage, "SOPInstanceUID": generate_uid(),
        "SeriesInstanceUID": "1.2.826.0.1.99.7", "StudyInstanceUID": STUDY, "Modality": "OP",
    }  # fmt: skip
    with quiet():  # of values that the standard does not allow, which are meant here
        for name, value in {**identifiers, **PERSON, **elements}.items():
            if value is not None:
                setattr(made, name, value)
        made.save_as(path, enforce_file_format=False)
    return path


def row(path, *, eye="right", status="graded", decision=RESCREEN, grade=0, patient="MRN-4711", **changes):
    """Return a row of the predictions table as `Grader` gives it."""
    quality = {"graded": "good", "ungradable": "reject"}.get(status)
    answer = GradeAnswer(
        decision=decision,
        grade=grade if status == "graded" else None,
        probabilities=(0.2,) * 5 if status == "graded" else None,
        p_referable=0.25 if status == "graded" else None,
    )
    reading = Reading(
        image=str(path), path=path, status=status, release="tiny", graded_at="2026-01-01T00:00:00+00:00",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(), reason="", eye=eye, patient=patient, quality=quality,
        answer=answer,
    )  # fmt: skip
    return {**dataclasses.replace(reading, **changes).row()}


def reports(folder, grader, rows, **options):
    """Write the reports of rows, and return what was written with how."""
    made = DicomReports(folder=folder, paths=[Path(row["image"]) for row in rows], **options)
    made.write(grader, rows)
    return made


def groups(report):
    """Return the content items of each measurement group, by its name."""
    measurements = next(item for item in report.ContentSequence if name_of(item) == "126010")
    found = {}
    for group in measurements.ContentSequence:
        label = next(item.TextValue for item in group.ContentSequence if name_of(item) == "112039")
        found[label] = list(group.ContentSequence)
    return found


def name_of(item):
    return item.ConceptNameCodeSequence[0].CodeValue


def values(items, name):
    """Return codes, numbers or texts of the items of that name."""
    return [
        item.ConceptCodeSequence[0].CodeValue if item.ValueType == "CODE"
        else float(item.MeasuredValueSequence[0].NumericValue) if item.ValueType == "NUM"
        else item.TextValue
        for item in items if name_of(item) == name
    ]  # fmt: skip


def conclusions(report):
    return next(item for item in report.ContentSequence if name_of(item) == "C0034375").ContentSequence


def all_codes(dataset):
    return {element.value for element in dataset.iterall() if element.keyword == "CodeValue"}


def check_with_peers(path):
    """Let programs that nobody here wrote read an object; those that are not installed are left out."""
    validator, dump = shutil.which("dciodvfy"), shutil.which("dsrdump", path="/usr/bin")
    if validator:
        complaints = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in complaints.stderr + complaints.stdout, complaints.stderr
    if dump and dcmread(path).Modality == "SR":
        assert subprocess.run([dump, str(path)], capture_output=True, check=False).returncode == 0
