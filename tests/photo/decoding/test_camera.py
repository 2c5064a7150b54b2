"""The camera that a file names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundoscope.photo.decoding.camera import MAKE, MODEL, read_camera

PIXELS = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "PNG"])
def test_make_and_model_are_read_from_exif(tmp_path: Path, kind):
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = "Topcon ", "TRC-NW400"
    Image.fromarray(PIXELS).save(tmp_path / "a", kind, exif=exif)

    assert read_camera(tmp_path / "a") == "Topcon TRC-NW400"


def test_make_and_model_are_read_from_a_dicom_file(tmp_path: Path):
    pydicom = pytest.importorskip("pydicom", reason="needs the dicom extra")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Zeiss", "Zeiss Clarus 500"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)

    assert read_camera(tmp_path / "a.dcm") == "Zeiss Clarus 500"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff broken", b"no picture at all" * 100])
def test_a_file_that_names_no_camera_or_is_damaged_has_none(tmp_path: Path, data):
    (tmp_path / "a").write_bytes(data)

    assert read_camera(tmp_path / "a") is None
    assert read_camera(tmp_path / "absent") is None
