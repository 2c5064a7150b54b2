from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.decoding.kinds import HEAD_BYTES, READABLE, kind_of
from fundoscope.photo.read import read_photo

BOXED = {"HEIC": b"heic", "AVIF": b"avif", "camera raw": b"crx "}


def encoded(name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(buffer, name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("TIFF", "TIFF"),
        ("BMP", "BMP"),
        ("WEBP", "WebP"),
        ("GIF", "GIF"),
        ("PPM", "Netpbm"),
        ("JPEG2000", "JPEG 2000"),
        ("AVIF", "AVIF"),
    ],
)
def test_the_kind_of_a_picture_is_known_by_its_first_bytes(written, kind):
    if written in ("JPEG2000", "AVIF") and not features.check({"JPEG2000": "jpg_2000", "AVIF": "avif"}[written]):
        pytest.skip(f"this Pillow cannot write {written}")
    assert kind_of(encoded(written)[:HEAD_BYTES], "file") == kind


@pytest.mark.parametrize("kind", BOXED)
def test_telephones_and_cameras_own_formats_are_known(kind):
    assert kind_of(b"\0\0\0\x18ftyp" + BOXED[kind] + bytes(40), "file.jpg") == kind


def test_an_unknown_brand_is_known_by_what_it_is_compatible_with():
    assert kind_of(b"\0\0\0\x18ftypMiHB\0\0\0\0mif1heic", "file") == "HEIC"
    assert kind_of(b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "film.mp4") is None


@pytest.mark.parametrize("name", ["a.nef", "a.DNG", "a.arw"])
def test_a_cameras_own_format_is_not_taken_for_the_tiff_preview_in_it(tmp_path, name):
    (tmp_path / name).write_bytes(encoded("TIFF"))

    assert kind_of(encoded("TIFF")[:HEAD_BYTES], name) == "camera raw"
    with pytest.raises(UnreadablePhotograph, match=r"got camera raw, which cannot be read here\. Convert"):
        read_photo(tmp_path / name)


@pytest.mark.parametrize("written", ["GIF", "PPM"])
def test_a_picture_that_cannot_be_read_is_named_by_its_kind(tmp_path, written):
    (tmp_path / "eye.jpg").write_bytes(encoded(written))

    with pytest.raises(UnreadablePhotograph, match=r"eye\.jpg: expected a JPEG, .* got (GIF|Netpbm), which"):
        read_photo(tmp_path / "eye.jpg")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"BMI,age,grade\n21.5,60,2\n and more text",
        b"P1 12 34\n",
        b"PK\x03\x04" + bytes(30),
        b"%PDF-1.7\n",
        b"RIFF\0\0\0\0AVI ",
        b"\x7fELF\2\1\1\0\0\0\0\0\0\0",
        bytes(512),
        b"image,patient\na.jpg,P1\n",
    ],
)
def test_what_is_no_picture_is_not_taken_for_one(head):
    assert kind_of(head, "file") is None


def test_the_index_of_a_medium_is_no_photograph():
    meta = b"\2\0\0\0UL\4\0\xb0\0\0\0" + b"\2\0\2\0UI\x14\x001.2.840.10008.1.3.10" + b"\2\0\x10\0UI\x14\x00"

    assert kind_of(bytes(128) + b"DICM" + meta, "DICOMDIR") is None
    assert kind_of(bytes(128) + b"DICM" + meta.replace(b"1.3.10", b"5.1.4."), "DICOMDIR") == "DICOM"
    assert "DICOM" in READABLE
