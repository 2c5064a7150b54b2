from __future__ import annotations

import io
import sys

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    OphthalmicPhotography8BitImageStorage,
    generate_uid,
)

from fundoscope.errors import UnreadablePhotograph
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.read import Limits, read_photo


@pytest.fixture(scope="module")
def retina():
    # Even sides: 4:2:2 has one colour for two pixels.
    photo = paint_retina(RetinaSpec(side_px=96, grade=2, framing="cropped"), rng=np.random.default_rng(3)).photo
    assert photo.shape == (96, 144, 3)
    return photo


def dataset(shape, *, kind="RGB", syntax=ExplicitVRLittleEndian, **tags):
    """An ophthalmic photograph without its pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["fundoscope"])
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = shape[:2]
    made.SamplesPerPixel = shape[2] if len(shape) == 3 else 1
    made.PhotometricInterpretation = kind
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def saved(made, path):
    made.save_as(path, enforce_file_format=True)
    return path


def compressed(photo, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, format=kind, **options)
    return encapsulate([buffer.getvalue()])


def difference(read, photo):
    return np.abs(read.pixels.astype(int) - photo).mean()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_uncompressed_rgb_is_read_to_the_last_bit(tmp_path, retina, syntax):
    path = saved(dataset(retina.shape, syntax=syntax, PixelData=retina.tobytes()), tmp_path / "eye.dcm")

    read = read_photo(path, target_px=20)

    assert (read.format, read.width, read.height, read.reduced) == ("DICOM", 144, 96, 1)
    np.testing.assert_array_equal(read.pixels, retina)


def test_colours_one_plane_after_the_other_are_read(tmp_path, retina):
    made = dataset(retina.shape, PixelData=np.ascontiguousarray(retina.transpose(2, 0, 1)).tobytes())
    made.PlanarConfiguration = 1

    np.testing.assert_array_equal(read_photo(saved(made, tmp_path / "eye.dcm")).pixels, retina)


def test_uncompressed_ybr_full_becomes_rgb(tmp_path, retina):
    ybr = convert_color_space(retina, "RGB", "YBR_FULL")
    path = saved(dataset(retina.shape, kind="YBR_FULL", PixelData=ybr.tobytes()), tmp_path / "eye.dcm")

    assert difference(read_photo(path), retina) < 1.5


def test_uncompressed_ybr_full_422_becomes_rgb(tmp_path, retina):
    ybr = convert_color_space(retina, "RGB", "YBR_FULL")
    pairs = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=2)
    made = dataset(retina.shape, kind="YBR_FULL_422", PixelData=np.ascontiguousarray(pairs).tobytes())

    assert difference(read_photo(saved(made, tmp_path / "eye.dcm")), retina) < 3


@pytest.mark.parametrize(("kind", "subsampling"), [("YBR_FULL_422", 1), ("YBR_FULL", 0)])
def test_baseline_jpeg_is_read(tmp_path, retina, kind, subsampling):
    made = dataset(retina.shape, kind=kind, syntax=JPEGBaseline8Bit)
    made.PixelData = compressed(retina, "JPEG", quality=95, subsampling=subsampling)
    made["PixelData"].is_undefined_length = True

    assert difference(read_photo(saved(made, tmp_path / "eye.dcm")), retina) < 3


@pytest.mark.parametrize("kind", ["RGB", "YBR_RCT"])
def test_jpeg_2000_is_read(tmp_path, retina, kind):
    made = dataset(retina.shape, kind=kind, syntax=JPEG2000Lossless)
    made.PixelData = compressed(retina, "JPEG2000", no_jp2=True, mct=int(kind == "YBR_RCT"))
    made["PixelData"].is_undefined_length = True

    np.testing.assert_array_equal(read_photo(saved(made, tmp_path / "eye.dcm")).pixels, retina)


def lossless(path, target):
    gdcm = pytest.importorskip("gdcm", reason="needs python-gdcm, the [dicom] extra")
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(target).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return target


def test_lossless_jpeg_is_read_with_the_extra(tmp_path, retina):
    plain = saved(dataset(retina.shape, PixelData=retina.tobytes()), tmp_path / "plain.dcm")

    np.testing.assert_array_equal(read_photo(lossless(plain, tmp_path / "eye.dcm")).pixels, retina)


def test_without_the_extra_lossless_jpeg_names_it(tmp_path, retina, monkeypatch):
    plain = saved(dataset(retina.shape, PixelData=retina.tobytes()), tmp_path / "plain.dcm")
    path = lossless(plain, tmp_path / "eye.dcm")
    decoder = pydicom.pixels.get_decoder(JPEGLosslessSV1)
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"gdcm": ("gdcm>=3.0.10",)})
    monkeypatch.setitem(sys.modules, "gdcm", None)

    with pytest.raises(UnreadablePhotograph, match=r"eye\.dcm: .*JPEG Lossless.*pip install 'fundoscope\[dicom\]'"):
        read_photo(path)


def test_grey_inverted_grey_and_twelve_bits_become_rgb(tmp_path):
    grey = np.arange(96, dtype=np.uint8).reshape(8, 12) * 2
    plain = saved(dataset(grey.shape, kind="MONOCHROME2", PixelData=grey.tobytes()), tmp_path / "plain.dcm")
    turned = saved(dataset(grey.shape, kind="MONOCHROME1", PixelData=grey.tobytes()), tmp_path / "turned.dcm")
    deep = dataset(grey.shape, kind="MONOCHROME2", BitsAllocated=16, BitsStored=12, HighBit=11)
    deep.PixelData = (grey.astype(np.uint16) * 16).tobytes()

    np.testing.assert_array_equal(read_photo(plain).pixels, np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_photo(turned).pixels[..., 0], 255 - grey)
    assert np.abs(read_photo(saved(deep, tmp_path / "deep.dcm")).pixels[..., 0].astype(int) - grey).max() <= 1


def test_a_palette_is_looked_up(tmp_path):
    indices = np.tile(np.arange(4, dtype=np.uint8), (4, 1))
    made = dataset(indices.shape, kind="PALETTE COLOR", PixelData=indices.tobytes())
    table = np.array([0, 100, 200, 255], np.uint16)
    for colour, factor in (("Red", 257), ("Green", 128), ("Blue", 0)):
        setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(made, f"{colour}PaletteColorLookupTableData", (table * factor).astype(np.uint16).tobytes())

    pixels = read_photo(saved(made, tmp_path / "eye.dcm")).pixels

    assert pixels[0, :, 0].tolist() == [0, 100, 200, 255]
    assert pixels[0, :, 2].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("tags", "eye", "taken"),
    [
        ({"ImageLaterality": "L", "AcquisitionDateTime": "20190304101112.5+0100"}, "left", "2019-03-04T10:11:12"),
        ({"Laterality": "R", "AcquisitionDateTime": "20190304101112-0500"}, "right", "2019-03-04T10:11:12"),
        ({"ImageLaterality": "B", "StudyDate": "20190304"}, None, "2019-03-04"),
        ({"ContentDate": "20190304", "ContentTime": "070809.1"}, None, "2019-03-04T07:08:09"),
        ({}, None, None),
    ],
)
def test_patient_eye_and_time_come_from_the_tags(tmp_path, retina, tags, eye, taken):
    path = saved(dataset(retina.shape, PixelData=retina.tobytes(), PatientID="0007", **tags), tmp_path / "eye.dcm")

    read = read_photo(path)

    assert (read.patient, read.eye, read.taken) == ("0007", eye, taken)


def test_many_frames_no_pixels_and_too_many_pixels_are_refused(tmp_path, retina):
    frames = dataset(retina.shape, NumberOfFrames=2, PixelData=retina.tobytes() * 2)
    vast = dataset((30_000, 30_000, 3), PixelData=bytes(10))

    with pytest.raises(UnreadablePhotograph, match=r"got a DICOM file of 2 frames\. Export one frame"):
        read_photo(saved(frames, tmp_path / "frames.dcm"))
    with pytest.raises(UnreadablePhotograph, match=r"Ophthalmic Photography .* without pixels"):
        read_photo(saved(dataset(retina.shape), tmp_path / "empty.dcm"))
    with pytest.raises(UnreadablePhotograph, match="at most 200 megapixels, got 30000 x 30000"):
        read_photo(saved(vast, tmp_path / "vast.dcm"))
    with pytest.raises(UnreadablePhotograph, match="got 144 x 96"):
        read_photo(
            saved(dataset(retina.shape, PixelData=retina.tobytes()), tmp_path / "eye.dcm"), limits=Limits(max_pixels=99)
        )


@pytest.mark.parametrize("kept", [0.01, 0.03, 0.5, 0.9])
def test_a_truncated_dicom_file_is_refused_with_its_path(tmp_path, retina, kept):
    path = saved(dataset(retina.shape, PixelData=retina.tobytes()), tmp_path / "eye.dcm")
    data = path.read_bytes()
    path.write_bytes(data[: max(140, int(len(data) * kept))])

    with pytest.raises(UnreadablePhotograph, match=r"eye\.dcm: "):
        read_photo(path)
