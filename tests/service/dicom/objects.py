"""DICOM photographs for the tests of the service, and programs that send them."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

from fundoscope.painting import RetinaSpec, paint_retina

DCMTK = Path("/usr/bin/storescu")
"""Debian's, not the one that pynetdicom installs."""


def photograph(*, seed: int = 0, side_px: int = 96, eye: str = "R", **elements: object) -> FileDataset:
    """Return an ophthalmic photograph of a painted retina."""
    pixels = paint_retina(RetinaSpec(side_px=side_px, framing="cropped"), rng=np.random.default_rng(seed)).photo
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values = {
        "SOPClassUID": OphthalmicPhotography8BitImageStorage, "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.826.0.1.5", "SeriesInstanceUID": "1.2.826.0.1.5.1", "Modality": "OP",
        "PatientID": "MRN-1", "PatientName": "Meier^Anna", "StudyDate": "20260314", "StudyTime": "101112",
        "AcquisitionDateTime": "20260314101112", "ImageLaterality": eye,
        "ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR"],
        "Rows": pixels.shape[0], "Columns": pixels.shape[1], "SamplesPerPixel": 3, "PlanarConfiguration": 0,
        "PhotometricInterpretation": "RGB", "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
        "PixelRepresentation": 0, "BurnedInAnnotation": "NO", "PixelData": pixels.tobytes(),
    } | elements  # fmt: skip
    for name, value in values.items():
        setattr(made, name, value)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    return made


def data_of(dataset: Dataset) -> bytes:
    """Return an object as a file has it."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def storescu(
    *files: Path, port: int, calling: str = "CAMERA", called: str = "FUNDOSCOPE"
) -> subprocess.CompletedProcess:
    """Send files by DCMTK."""
    command = [str(DCMTK), "-v", "-aet", "CAMERA", "-aec", called, "127.0.0.1", str(port), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def uid_of(path: Path) -> str:
    """Return the SOP instance UID of a file."""
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
