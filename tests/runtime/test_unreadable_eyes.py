"""A photograph that cannot be read still counts among its patient's eyes."""

from __future__ import annotations

import os

import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    OphthalmicPhotography8BitImageStorage,
    generate_uid,
)

from fundoscope.photo.read import LIMITS
from fundoscope.runtime import grader as grader_module
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.batch import grade_to_rows
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import Listed

SOP = generate_uid(entropy_srcs=["unreadable eyes"])


def save_eye(path, photo, *, eye, pixels=None, syntax=ExplicitVRLittleEndian, **tags):
    """Save a photograph of patient 0042 as DICOM, or what stands in its place."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", OphthalmicPhotography8BitImageStorage)
    meta.MediaStorageSOPInstanceUID = SOP
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, SOP
    made.PatientID, made.ImageLaterality, made.StudyDate, made.StudyInstanceUID = "0042", eye, "20190304", "1.2.3"
    made.Rows, made.Columns = photo.height, photo.width
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    for name, value in tags.items():
        setattr(made, name, value)
    if "EncapsulatedDocument" not in made:
        made.PixelData = photo.tobytes() if pixels is None else pixels
        made["PixelData"].VR = "OB"
    made.save_as(path, enforce_file_format=True)
    return path


CASES = {
    "a transfer syntax that cannot be decoded": {"syntax": JPEGLosslessSV1, "pixels": encapsulate([b"no JPEG"])},
    "a codestream that is no picture": {"syntax": JPEG2000Lossless, "pixels": encapsulate([b"no picture"])},
    "several frames": {"NumberOfFrames": 2},
    "too few pixels": {"pixels": bytes(100)},
    "a PDF": {"SOPClassUID": EncapsulatedPDFStorage, "EncapsulatedDocument": b"%PDF-1.7 "},
    "too many pixels": {"Rows": 60_000, "Columns": 60_000},
    "colours that do not exist": {"PhotometricInterpretation": "PINK"},
    "an unknown transfer syntax": {"syntax": "1.2.3.4.5"},
    "no columns": {"Columns": 0},
}


@pytest.fixture(scope="module")
def grader(tiny_release):
    return Grader.open(tiny_release, threads=2)


@pytest.mark.parametrize("case", CASES)
def test_the_patient_of_a_dicom_file_that_cannot_be_read_is_not_answered_from_the_other_eye(
    grader, retinas, tmp_path, case
):
    photo = Image.open(retinas[0]).convert("RGB")
    good = grader.grade(save_eye(tmp_path / "right.dcm", photo, eye="R"))
    bad = grader.grade(save_eye(tmp_path / "left.dcm", photo, eye="L", **CASES[case]))

    assert (good.status, bad.status) == ("graded", "unreadable")
    assert (bad.patient, bad.eye, bad.taken, bad.study_uid, bad.sop_uid) == ("0042", "left", "2019-03-04", "1.2.3", SOP)
    (answer,) = answer_patients([good.row() | {"decision": "rescreen"}, bad.row()])
    assert answer.decision == "cannot grade"


def test_a_file_too_large_to_be_read_names_its_patient(grader, retinas, tmp_path):
    path = save_eye(tmp_path / "left.dcm", Image.open(retinas[0]).convert("RGB"), eye="L")
    os.truncate(path, LIMITS.max_bytes + 1)  # zeros to the end, which take no room on the disk

    reading = grader.grade(path)

    assert reading.status == "unreadable"
    assert "at most 512 MiB" in reading.reason
    assert (reading.patient, reading.eye) == ("0042", "left")


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_file_names_its_patient(grader, retinas, tmp_path, kept):
    path = save_eye(tmp_path / "left.dcm", Image.open(retinas[0]).convert("RGB"), eye="L")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])

    reading = grader.grade(path)

    assert (reading.status, reading.patient, reading.eye) == ("unreadable", "0042", "left")


def test_a_fault_in_the_program_does_not_lose_the_patient(grader, retinas, tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("a fault")

    monkeypatch.setattr(grader_module, "assess_gradability", broken)

    reading = grader.grade(save_eye(tmp_path / "left.dcm", Image.open(retinas[0]).convert("RGB"), eye="L"))

    assert (reading.status, reading.patient, reading.eye) == ("unreadable", "0042", "left")


def test_a_truncated_jpeg_keeps_its_time(grader, retinas, tmp_path):
    exif = Image.Exif()
    exif[0x0132] = "2019:03:04 10:11:12"
    Image.open(retinas[0]).save(tmp_path / "whole.jpg", exif=exif)
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:4000])

    reading = grader.grade(tmp_path / "torn.jpg")

    assert (reading.status, reading.taken) == ("unreadable", "2019-03-04T10:11:12")


@pytest.mark.parametrize("name", ["ANONYMOUS", "0000", "0", "^", "XXXX", "N/A", "unknown ", "test"])
def test_a_placeholder_for_a_patients_name_joins_no_strangers(grader, retinas, tmp_path, name):
    photo = Image.open(retinas[0]).convert("RGB")
    rows = [
        grader.grade(save_eye(tmp_path / f"{number}.dcm", photo, eye="L", PatientID=name)).row() for number in range(2)
    ]

    answers = answer_patients(rows)

    assert [(row["patient"], row["patient_raw"].strip()) for row in rows] == [(None, name.strip())] * 2
    assert len(answers) == 2
    assert f"Patient named {name.strip()}" in answers[0].notes[0]


def test_one_patient_is_not_two_by_the_blanks_around_the_name(grader, retinas, tmp_path):
    photo = Image.open(retinas[0]).convert("RGB")
    rows = [
        grader.grade(save_eye(tmp_path / f"{eye}.dcm", photo, eye=eye, PatientID=name)).row()
        for eye, name in (("L", " 0042"), ("R", "0042"))
    ]

    assert len(answer_patients(rows)) == 1
    assert [row["patient_raw"] for row in rows] == [" 0042", None]


def test_patients_of_two_institutions_are_two_even_if_named_alike(grader, retinas, tmp_path):
    photo = Image.open(retinas[0]).convert("RGB")
    rows = [
        grader.grade(save_eye(tmp_path / f"{place}.dcm", photo, eye="L", IssuerOfPatientID=place)).row()
        for place in ("North", "South")
    ]

    assert [row["source"] for row in rows] == ["North", "South"]
    assert len(answer_patients(rows)) == 2


def test_a_patient_whom_a_manifest_names_is_not_divided_by_what_the_files_say(grader, retinas, tmp_path):
    photo = Image.open(retinas[0]).convert("RGB")
    path = save_eye(tmp_path / "left.dcm", photo, eye="L", PatientID=" 7 ", IssuerOfPatientID="North")

    rows = grade_to_rows(
        grader, [Listed("l", path, {"patient": "P1"}), Listed("r", retinas[0], {"patient": "P1", "eye": "right"})]
    )

    assert [(row["source"], row["patient"], row["patient_raw"]) for row in rows] == [(None, "P1", None)] * 2
    assert len(answer_patients(rows)) == 1
