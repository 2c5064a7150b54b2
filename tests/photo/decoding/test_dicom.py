from __future__ import annotations

import io
import sys
import time
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
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
from fundoscope.photo.decoding.colour import ADOBE_EXPONENT, ADOBE_PRIMARIES, matrix_profile
from fundoscope.photo.decoding.dicom_bytes import deflated_part
from fundoscope.photo.read import Limits, read_photo

ADOBE = matrix_profile(ADOBE_PRIMARIES, exponent=ADOBE_EXPONENT, name="Adobe RGB (1998)")


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
        ({"AcquisitionDateTime": "99991231235959", "StudyDate": "20190304"}, None, "2019-03-04"),
        ({"StudyDate": "20190230"}, None, None),
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


def test_frames_that_the_header_does_not_count_are_refused(tmp_path, retina):
    path = saved(dataset(retina.shape, PixelData=retina.tobytes() * 2), tmp_path / "eye.dcm")

    with pytest.raises(
        UnreadablePhotograph, match=r"expected a single photograph, got pixels for 2\. Export one frame"
    ):
        read_photo(path)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_a_compressed_picture_larger_than_its_header_says_is_refused_before_it_is_decoded(tmp_path, retina, kind):
    syntax = JPEGBaseline8Bit if kind == "JPEG" else JPEG2000Lossless
    made = dataset((8, 8, 3), kind="YBR_FULL" if kind == "JPEG" else "RGB", syntax=syntax)
    made.PixelData = compressed(retina, kind, **({"no_jp2": True, "mct": 0} if kind == "JPEG2000" else {}))
    made["PixelData"].is_undefined_length = True

    with pytest.raises(
        UnreadablePhotograph, match="expected a picture of 8 x 8 as its header says, got one of 144 x 96"
    ):
        read_photo(saved(made, tmp_path / "eye.dcm"))


def deflated(made, path):
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return saved(made, path)


def test_a_deflated_file_is_read(tmp_path, retina):
    path = deflated(dataset(retina.shape, PixelData=retina.tobytes()), tmp_path / "eye.dcm")

    np.testing.assert_array_equal(read_photo(path).pixels, retina)


@pytest.mark.parametrize("filler", [bytes(8), b"\x10\0\x20\0LO\0\0"], ids=["zeros", "patients"])
def test_a_small_file_of_millions_of_elements_is_refused_at_once(tmp_path, retina, filler):
    path = deflated(dataset(retina.shape, PixelData=retina.tobytes()), tmp_path / "bomb.dcm")
    data = path.read_bytes()
    meta = data[: len(data) - len(deflated_part(data))]
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(meta + squeezed.compress(filler * 8_000_000) + squeezed.flush())

    before = time.process_time()
    with pytest.raises(UnreadablePhotograph, match="a file that is damaged"):
        read_photo(path)
    assert time.process_time() - before < 10


def test_a_deflated_file_is_not_inflated_beyond_the_limit(tmp_path, retina):
    """160 MiB of zeros behind 96 rows: 160 kB that an unbounded reader would inflate to any size."""
    path = deflated(dataset(retina.shape, PixelData=bytes(160 * 2**20)), tmp_path / "bomb.dcm")
    assert path.stat().st_size < 2**20

    tracemalloc.start()
    with pytest.raises(
        UnreadablePhotograph, match="deflated DICOM file of at most 128 MiB when it is inflated, got more"
    ):
        read_photo(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 32 * 2**20


def test_deep_colours_take_few_bytes_a_pixel(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (900, 1200, 3), dtype=np.uint16)
    made = dataset(deep.shape, BitsAllocated=16, BitsStored=16, HighBit=15, PixelData=deep.tobytes())
    path = saved(made, tmp_path / "eye.dcm")

    tracemalloc.start()
    pixels = read_photo(path).pixels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert np.abs(pixels.astype(int) - np.rint(deep / 257)).max() == 0
    assert peak / (900 * 1200) < 36


def test_twelve_bits_in_sixteen_are_refused_unless_the_file_says_so(tmp_path, retina):
    deep = (retina.astype(np.uint16) * 257) >> 4
    tags = {"BitsAllocated": 16, "HighBit": 15, "PixelData": deep.tobytes()}

    told = read_photo(saved(dataset(retina.shape, BitsStored=12, **tags | {"HighBit": 11}), tmp_path / "told.dcm"))

    assert np.abs(told.pixels.astype(int) - retina).max() <= 1
    with pytest.raises(UnreadablePhotograph, match=r"reach white \(65535\), got no value above \d+: 10, 12 or 14 bits"):
        read_photo(saved(dataset(retina.shape, BitsStored=16, **tags), tmp_path / "untold.dcm"))


GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)


def shown(path, values, **tags):
    """Grey levels of a monochrome file."""
    tags = {"kind": "MONOCHROME2", "PixelData": values.tobytes(), **tags}
    read = read_photo(saved(dataset(values.shape, **tags), path))
    return read.pixels[..., 0].ravel().astype(float), read.notes


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # PS3.3, C.11.2.1.2: centre 100 and width 51.
        (None, lambda x: np.clip((x - 99.5) / 50 + 0.5, 0, 1)),
        ("LINEAR_EXACT", lambda x: np.clip((x - 100) / 51 + 0.5, 0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 100) / 51))),
    ],
)
def test_the_window_of_a_grey_picture_is_applied_and_noted(tmp_path, function, expected):
    tags = {"WindowCenter": 100, "WindowWidth": 51} | ({"VOILUTFunction": function} if function else {})

    levels, notes = shown(tmp_path / "eye.dcm", GREY, **tags)

    np.testing.assert_allclose(levels, 255 * expected(np.arange(256)), atol=0.51)
    assert notes == ("Grey levels are shown by the window 100 / 51 in the file.",)


def test_a_window_is_over_the_values_of_the_modality_and_the_first_of_several_counts(tmp_path):
    """Stored 0 to 255 mean -100 to 410; of them 0 to 100 are shown."""
    tags = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": [50.5, 9], "WindowWidth": [101, 9]}

    levels, _ = shown(tmp_path / "eye.dcm", GREY, **tags)

    np.testing.assert_allclose(levels, 255 * np.clip((2.0 * np.arange(256) - 100) / 100, 0, 1), atol=0.51)


def test_an_inverted_picture_is_inverted_after_its_window(tmp_path):
    tags = {"WindowCenter": 100, "WindowWidth": 51}

    plain, _ = shown(tmp_path / "plain.dcm", GREY, **tags)
    inverted, _ = shown(tmp_path / "inverted.dcm", GREY, kind="MONOCHROME1", **tags)

    np.testing.assert_array_equal(inverted, 255 - plain)


def test_a_window_over_everything_and_a_plain_rescale_change_nothing(tmp_path):
    whole, notes = shown(tmp_path / "whole.dcm", GREY, WindowCenter=128, WindowWidth=256)
    rescaled, _ = shown(tmp_path / "rescaled.dcm", GREY, RescaleSlope=4, RescaleIntercept=-7)
    falling, _ = shown(tmp_path / "falling.dcm", GREY, RescaleSlope=-1, RescaleIntercept=255)

    np.testing.assert_array_equal(whole, np.arange(256))
    np.testing.assert_array_equal(rescaled, np.arange(256))
    np.testing.assert_array_equal(falling, 255 - np.arange(256))
    assert notes == ()


def test_signed_values_are_shown_from_the_lowest_to_the_highest(tmp_path):
    values = (np.arange(256) * 256 - 32768).astype(np.int16).reshape(8, 32)

    levels, _ = shown(tmp_path / "eye.dcm", values, BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=1)

    np.testing.assert_allclose(levels, np.arange(256) * 256 / 257, atol=0.51)


def test_a_table_for_display_is_looked_up(tmp_path):
    item = pydicom.Dataset()
    item.LUTDescriptor = [256, 0, 16]
    item.LUTData = (257 * np.arange(255, -1, -1)).astype("<u2").tobytes()
    made = {"VOILUTSequence": pydicom.Sequence([item])}

    levels, notes = shown(tmp_path / "eye.dcm", GREY, **made)

    np.testing.assert_array_equal(levels, 255 - np.arange(256))
    assert notes == ("Grey levels are shown by the table in the file.",)


@pytest.mark.parametrize("tags", [{"WindowWidth": 0}, {"WindowWidth": 50, "VOILUTFunction": "BENT"}])
def test_a_window_that_shows_nothing_is_refused(tmp_path, tags):
    with pytest.raises(UnreadablePhotograph, match="expected a window to show grey levels by, got width"):
        shown(tmp_path / "eye.dcm", GREY, WindowCenter=100, **tags)


def test_a_window_on_colours_is_refused_unless_it_covers_them(tmp_path, retina):
    whole = dataset(retina.shape, PixelData=retina.tobytes(), WindowCenter=127, WindowWidth=255)
    part = dataset(retina.shape, PixelData=retina.tobytes(), WindowCenter=60, WindowWidth=80)

    np.testing.assert_array_equal(read_photo(saved(whole, tmp_path / "whole.dcm")).pixels, retina)
    with pytest.raises(UnreadablePhotograph, match=r"expected no window on a colour picture, got the window 60 / 80"):
        read_photo(saved(part, tmp_path / "part.dcm"))


@pytest.mark.parametrize("tags", [{"ICCProfile": ADOBE}, {"ColorSpace": "ADOBERGB"}])
def test_the_colours_of_a_dicom_file_become_srgb(tmp_path, tags):
    orange = np.full((8, 8, 3), (180, 90, 40), np.uint8)
    read = read_photo(saved(dataset(orange.shape, PixelData=orange.tobytes(), **tags), tmp_path / "eye.dcm"))

    assert np.abs(read.pixels.astype(int) - (205, 90, 31)).max() <= 1  # as tests/photo/test_colour.py
    assert read.notes[0].startswith("Colours were converted to sRGB from Adobe RGB")


def test_an_uncommon_compression_is_named_and_not_called_damaged(tmp_path, retina):
    made = dataset(retina.shape, syntax=MPEG2MPML, PixelData=encapsulate([bytes(64)]))
    made["PixelData"].is_undefined_length = True

    with pytest.raises(UnreadablePhotograph, match=r"got MPEG2 Main Profile .*, which cannot be read here\. Export it"):
        read_photo(saved(made, tmp_path / "eye.dcm"))


def test_reasons_are_words_of_our_own_whatever_is_damaged_in_a_dicom_file(tmp_path, retina):
    path = saved(dataset(retina.shape, PixelData=retina.tobytes()), tmp_path / "eye.dcm")
    data = path.read_bytes()
    rng = np.random.default_rng(5)
    reasons = set()
    for _ in range(80):
        broken = bytearray(data[: rng.integers(140, len(data))] if rng.random() < 0.5 else data)
        for at in rng.integers(132, min(len(broken), 900), 4):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_photo(path)
        except UnreadablePhotograph as problem:
            reasons.add(str(problem).removeprefix(f"{path}: "))

    assert len(reasons) > 1
    assert [reason for reason in reasons if not reason.startswith("expected ")] == []
    assert not [reason for reason in reasons if "()" in reason or "Error" in reason or "decoder" in reason]
