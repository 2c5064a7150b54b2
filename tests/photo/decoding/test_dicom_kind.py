from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    OphthalmicPhotography8BitImageStorage,
    OphthalmicPhotography16BitImageStorage,
    RawDataStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    VLPhotographicImageStorage,
    generate_uid,
)

from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.decoding.dicom_kind import other_kind, stores_no_picture
from fundoscope.photo.folders import ACCOMPANYING, Walk, is_picture
from fundoscope.photo.read import read_photo


def code(value="", meaning=""):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def elements(**values):
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def write(path, sop_class=OphthalmicPhotography8BitImageStorage, *, pixels=True, **values):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    if pixels:
        made.Rows, made.Columns, made.SamplesPerPixel, made.PlanarConfiguration = 64, 64, 3, 0
        made.PhotometricInterpretation = "RGB"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
        made.PixelData = np.full((64, 64, 3), 90, np.uint8).tobytes()
    for name, value in values.items():
        setattr(made, name, value)
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"ChannelDescriptionCodeSequence": [code("405739002", "Red free")]}, "red-free"),
        ({"ChannelDescriptionCodeSequence": [code("414497003")]}, "infrared"),
        ({"ChannelDescriptionCodeSequence": [code("371246006")]}, "green channel"),
        ({"ChannelDescriptionCodeSequence": [code("99", "Fundus autofluorescence")]}, "autofluorescence"),
        ({"LightPathFilterTypeStackCodeSequence": [code("445391002"), code("445465004")]}, "red-free"),
        ({"ImagePathFilterTypeStackCodeSequence": [code("445084008")]}, "blue light"),
        ({"ContrastBolusAgentSequence": [code("350086004")]}, "fluorescein angiography"),
        ({"ContrastBolusAgentSequence": [code("7292004")]}, "indocyanine green angiography"),
        ({"ContrastBolusAgent": "Fluorescein 10 %"}, "fluorescein angiography"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "REDFREE"]}, "red-free"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MONTAGE", "FA"]}, "fluorescein angiography"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "ICG"]}, "indocyanine green angiography"),
    ],
)
def test_what_is_no_colour_photograph_is_refused_by_its_name_and_keeps_its_eye(tmp_path, values, name):
    path = write(tmp_path / "a.dcm", PatientID="7", ImageLaterality="L", **values)

    with pytest.raises(UnreadablePhotograph, match=f"got another kind of picture: {name}") as problem:
        read_photo(path)

    assert problem.value.header["patient"] == "7"
    assert problem.value.header["eye"] == "left"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ChannelDescriptionCodeSequence": [code("414298005", "Full Spectrum")]},
        {"ChannelDescriptionCodeSequence": [code("R-102C0", "Full Spectrum")]},
        {"ChannelDescriptionCodeSequence": [code(value) for value in ("371240000", "371246006", "405738005")]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR"]},
        {"ImageType": ["DERIVED", "SECONDARY"]},
        {"ImageType": ["FA", "RED"]},
        {"LightPathFilterTypeStackCodeSequence": [code("111609", "No filter")]},
        {"ImagePathFilterTypeStackCodeSequence": [code("445169002", "Infrared optical filter")]},
        {"ContrastBolusAgent": ""},
        {"SeriesDescription": "colour and FA"},
    ],
)
def test_a_colour_photograph_is_read(tmp_path, values):
    assert other_kind(elements(**values)) is None
    assert read_photo(write(tmp_path / "a.dcm", **values)).pixels.shape == (64, 64, 3)


@pytest.mark.parametrize(
    "sop_class",
    [
        ComprehensiveSRStorage, KeyObjectSelectionDocumentStorage, GrayscaleSoftcopyPresentationStateStorage,
        EncapsulatedPDFStorage, RawDataStorage, SegmentationStorage, "1.2.840.10008.5.1.4.1.1.88.34",
    ],
)  # fmt: skip
def test_reports_and_documents_in_a_folder_are_passed_over_whatever_their_names(tmp_path, sop_class):
    write(tmp_path / "report.dcm", sop_class, pixels=False)
    write(tmp_path / "IM0001", sop_class, pixels=False)
    write(tmp_path / "photo.dcm")
    walk = Walk(tmp_path)

    assert [path.name for path in walk.photographs()] == ["photo.dcm"]
    assert walk.notes() == [f"{tmp_path}: 2 files passed over: 2 {ACCOMPANYING}."]
    assert not is_picture(tmp_path / "report.dcm")
    with pytest.raises(UnreadablePhotograph, match="expected a DICOM picture, got"):
        read_photo(tmp_path / "report.dcm")


@pytest.mark.parametrize(
    "sop_class",
    [
        OphthalmicPhotography8BitImageStorage, OphthalmicPhotography16BitImageStorage, VLPhotographicImageStorage,
        SecondaryCaptureImageStorage, "1.2.840.10008.5.1.4.1.1.77.1.5.4", "1.2.840.10008.5.1.4.1.1.7.4",
    ],
)  # fmt: skip
def test_classes_of_pictures_are_never_passed_over(tmp_path, sop_class):
    path = write(tmp_path / "photo.dcm", sop_class)

    assert not stores_no_picture(path.read_bytes()[:512])
    assert list(Walk(tmp_path).photographs()) == [path]


def test_a_heatmap_that_was_written_with_a_report_is_no_photograph(tmp_path):
    heatmap = write(tmp_path / "heatmap.dcm", SecondaryCaptureImageStorage, Manufacturer="fundoscope")
    other = write(tmp_path / "photo.dcm", SecondaryCaptureImageStorage, Manufacturer="Camera")

    assert list(Walk(tmp_path).photographs()) == [other]
    assert not is_picture(heatmap)
    with pytest.raises(UnreadablePhotograph, match="expected a photograph, got the heatmap of an earlier report"):
        read_photo(heatmap)
