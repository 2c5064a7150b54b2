from __future__ import annotations

import io
import tracemalloc
import zlib

import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    OphthalmicPhotography8BitImageStorage,
    generate_uid,
)

from fundoscope.photo.decoding.header import Header, is_dicom, read_header

SOP = generate_uid(entropy_srcs=["header"])


def dicom(*, syntax=ExplicitVRLittleEndian, **tags) -> bytes:
    """A DICOM file with an empty picture."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = SOP
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = OphthalmicPhotography8BitImageStorage, SOP
    for name, value in tags.items():
        setattr(made, name, value)
    made.PixelData = bytes(2)
    made["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def meta_end(data: bytes) -> int:
    """Where the data set begins: the first element of the meta information has its length."""
    return 144 + int.from_bytes(data[140:144], "little")


def coded(keyword: str, code: str) -> Sequence:
    item = Dataset()
    item.CodeValue = code
    outer = Dataset()
    setattr(outer, keyword, Sequence([item]))
    return Sequence([outer])


def test_the_header_names_patient_eye_time_and_identifiers():
    header = read_header(
        dicom(
            PatientID="0042",
            IssuerOfPatientID="North",
            ImageLaterality="R",
            ContentDate="20190304",
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.4",
            AccessionNumber=" A-1 ",
            HorizontalFieldOfView=45.0,
            PupilDilated="NO",
            BurnedInAnnotation="YES",
        )
    )

    assert header == Header(
        patient="0042", issuer="North", eye="right", taken="2019-03-04", study_uid="1.2.3", series_uid="1.2.4",
        sop_uid=SOP, accession="A-1", horizontal_field="45", pupil_dilated="no", burned_in="yes",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "meaning", "position"),
    [
        ("111900", "Macula centrada", "Macula centered"),
        ("111901", "", "Disc centered"),
        ("410434001", "Diabetic Retinopathy Study field 2", "Diabetic Retinopathy Study field 2"),
        ("99", " own\nwords ", "own\\nwords"),
        ("", "", None),
    ],
)
def test_the_position_of_the_field_is_named_by_its_code_or_in_the_files_words(code, meaning, position):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning

    assert read_header(dicom(RelativeImagePositionCodeSequence=Sequence([item]))).position == position


@pytest.mark.parametrize("angle", [0.0, -45.0, 400.0, float("nan")])
def test_an_angle_that_is_none_is_not_kept(angle):
    assert read_header(dicom(HorizontalFieldOfView=angle)).horizontal_field is None


@pytest.mark.parametrize(
    ("written", "patient", "raw"),
    [
        (" 0042", "0042", " 0042"),
        ("0042", "0042", None),
        ("042", "042", None),  # stored with a blank to an even length, which is not part of the name
        ("0042  ", "0042", "0042  "),
        ("A\\B", "A\\B", None),
        ("0042\r7", "0042\\r7", None),
        ("   ", None, "   "),
    ],
)
def test_blanks_around_a_patients_name_mean_nothing_and_are_kept_apart(written, patient, raw):
    header = read_header(dicom(PatientID=written))

    assert header.patient == patient
    assert (header.patient_raw or "").rstrip() == (raw or "").rstrip()
    assert (header.patient_raw is None) == (raw is None)


def test_names_that_differ_only_in_bytes_without_a_sign_stay_two_patients():
    names = []
    for byte in (b"\xfc", b"\xf6"):
        data = dicom(PatientID="M?ller", SpecificCharacterSet="ISO_IR 192").replace(b"M?ller", b"M" + byte + b"ller")
        names.append(read_header(data).patient)

    assert names == ["M\\xfcller", "M\\xf6ller"]


@pytest.mark.parametrize(
    ("tags", "eye"),
    [
        ({"Laterality": "L"}, "left"),
        ({"ImageLaterality": "B"}, None),
        ({"ImageLaterality": "L", "Laterality": "R"}, "left"),
        ({"ImageLaterality": "B", "Laterality": "R"}, None),
        ({"ImageLaterality": "", "Laterality": "R"}, "right"),
        ({"AnatomicRegionSequence": coded("AnatomicRegionModifierSequence", "24028007")}, "right"),
        ({"AnatomicRegionSequence": coded("AnatomicRegionModifierSequence", "G-A101")}, "left"),
        (
            {
                "ImageLaterality": "R",
                "AnatomicRegionSequence": coded("AnatomicRegionModifierSequence", "7771000"),
            },
            None,
        ),
    ],
)
def test_the_eye_is_one_that_all_elements_of_the_image_agree_on_before_that_of_its_series(tags, eye):
    assert read_header(dicom(**tags)).eye == eye


def groups(*sides):
    """Functional groups of frames, one for each side."""
    items = []
    for side in sides:
        frame, group = Dataset(), Dataset()
        frame.FrameLaterality = side
        group.FrameAnatomySequence = Sequence([frame])
        items.append(group)
    return Sequence(items)


def test_the_eye_of_a_file_of_several_frames_is_read():
    assert read_header(dicom(SharedFunctionalGroupsSequence=groups("L"))).eye == "left"
    assert read_header(dicom(PerFrameFunctionalGroupsSequence=groups("L", "L"))).eye == "left"
    assert read_header(dicom(PerFrameFunctionalGroupsSequence=groups("L", "R"))).eye is None
    assert read_header(dicom(PerFrameFunctionalGroupsSequence=groups("L"), Laterality="R")).eye == "left"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_file_without_preamble_or_meta_information_is_read(syntax):
    data = dicom(PatientID="0042", ImageLaterality="L", syntax=syntax)

    for bare in (data[132:], data[meta_end(data) :]):
        assert is_dicom(bare)
        assert (read_header(bare).patient, read_header(bare).eye) == ("0042", "left")


def test_what_stands_before_the_damage_is_read():
    data = dicom(PatientID="0042", ImageLaterality="L", StudyInstanceUID="1.2.3", Rows=7)
    at = data.index(b"\x28\0\x10\0US")  # Rows: a value representation that does not exist
    damaged = data[: at + 4] + b"\xff\xff" + data[at + 6 :]

    assert read_header(damaged).patient == "0042"
    assert read_header(damaged).eye == "left"
    assert read_header(data[: data.index(b"\x20\0\x62\0") + 9]).patient == "0042"


def test_damaged_meta_information_does_not_hide_the_header():
    data = dicom(PatientID="0042", ImageLaterality="L")
    for at in range(132, meta_end(data)):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]

        assert (read_header(damaged).patient, read_header(damaged).eye) == ("0042", "left"), at


def test_a_deflated_header_is_read_without_inflating_what_follows():
    """The pixels inflate to 300 MB; were they inflated, memory would show it."""
    plain = dicom(PatientID="0042", ImageLaterality="L")
    head, end = plain[: meta_end(plain)], meta_end(plain)
    deflated = head.replace(b"\x14\0001.2.840.10008.1.2.1\0", b"\x16\0001.2.840.10008.1.2.1.99")
    deflated = deflated[:140] + (len(deflated) - 144).to_bytes(4, "little") + deflated[144:]
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = squeezed.compress(plain[end:]) + b"".join(squeezed.compress(bytes(10**7)) for _ in range(30))

    tracemalloc.start()
    header = read_header(deflated + body + squeezed.flush())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (header.patient, header.eye) == ("0042", "left")
    assert peak < 50e6


@pytest.mark.parametrize("data", [b"", b"no DICOM file at all", bytes(200), b"\x08\0", bytes(128) + b"DICM"])
def test_of_other_bytes_nothing_is_said(data):
    assert read_header(data) == Header()
