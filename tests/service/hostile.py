"""Uploads that somebody might send who means no good, or whose disk is broken: some fifty kinds, several of each.

A kind is a function that gets a generator and a good photograph, and yields requests.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

BOUNDARY = "----boundary"
CRLF = b"\r\n"


@dataclass(frozen=True)
class Upload:
    """A request to `/api/photographs`."""

    body: bytes
    content_type: str = f"multipart/form-data; boundary={BOUNDARY}"
    headers: dict[str, str] = field(default_factory=dict)


def part(content: bytes, *, name: str = "photographs", file: str | None = "a.jpg", extra: bytes = b"") -> bytes:
    """Return one part of a form."""
    shown = b"" if file is None else b'; filename="' + file.encode("utf-8", "surrogatepass") + b'"'
    head = b'Content-Disposition: form-data; name="' + name.encode() + b'"' + shown
    return b"--" + BOUNDARY.encode() + CRLF + head + CRLF + extra + CRLF + content + CRLF


def form(*parts: bytes, end: bytes = b"--" + BOUNDARY.encode() + b"--\r\n") -> bytes:
    """Return a form."""
    return b"".join(parts) + end


def sent(content: bytes, **options) -> Upload:
    """Return a form of one photograph."""
    return Upload(form(part(content, **options)))


Kind = Callable[[np.random.Generator, bytes], Iterator[Upload]]
KINDS: dict[str, Kind] = {}


def kind(function: Kind) -> Kind:
    """Enter a kind under its name."""
    KINDS[function.__name__] = function
    return function


def encoded(photo: bytes, format: str, **options) -> bytes:
    """Return a photograph in another format."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(buffer, format=format, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(more) + png_chunk(b"IDAT", data)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """Return a DICOM element with an explicit value representation."""
    head = struct.pack("<HH", group, number) + vr
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return head + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def dicom(*elements: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    """Return a DICOM file."""
    meta = element(2, 2, b"UI", b"1.2.840.10008.5.1.4.1.1.77.1.5.1") + element(2, 0x10, b"UI", syntax)
    length = element(2, 0, b"UL", struct.pack("<I", len(meta)))
    return b"\0" * 128 + b"DICM" + length + meta + b"".join(elements)


def us(group: int, number: int, value: int) -> bytes:
    return element(group, number, b"US", struct.pack("<H", value))


def image_elements(rows: int, columns: int, pixels: bytes) -> tuple[bytes, ...]:
    return (
        us(0x28, 2, 3),
        element(0x28, 4, b"CS", b"RGB "),
        us(0x28, 6, 0),
        us(0x28, 0x10, rows),
        us(0x28, 0x11, columns),
        us(0x28, 0x100, 8),
        us(0x28, 0x101, 8),
        us(0x28, 0x102, 7),
        us(0x28, 0x103, 0),
        element(0x7FE0, 0x10, b"OW", pixels),
    )


@kind
def nothing_at_all(rng, photo):
    yield sent(b"")
    yield Upload(b"")
    yield Upload(form())


@kind
def random_bytes(rng, photo):
    for size in (1, 7, 128, 5000, 200_000):
        yield sent(rng.bytes(size))


@kind
def truncated_jpeg(rng, photo):
    for share in (0.01, 0.1, 0.3, 0.6, 0.9, 0.99):
        yield sent(photo[: int(len(photo) * share)])


@kind
def damaged_jpeg(rng, photo):
    for _ in range(8):
        data = bytearray(photo)
        for at in rng.integers(2, len(data), size=30):
            data[at] = int(rng.integers(256))
        yield sent(bytes(data))


@kind
def jpeg_of_an_impossible_size(rng, photo):
    at = photo.index(b"\xff\xc0")
    for height, width in ((65535, 65535), (0, 0), (1, 65535), (65535, 1)):
        yield sent(photo[: at + 5] + struct.pack(">HH", height, width) + photo[at + 9 :])


@kind
def jpeg_with_endless_markers(rng, photo):
    yield sent(b"\xff\xd8" + b"\xff\xfe\x00\x02" * 100_000)
    yield sent(b"\xff\xd8" + b"\xff" * 300_000)


@kind
def jpeg_with_a_damaged_exif(rng, photo):
    for content in (
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x90\x03" * 500,
        b"Exif\0\0",
    ):
        yield sent(photo[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + photo[2:])


@kind
def jpeg_with_a_damaged_colour_profile(rng, photo):
    for content in (rng.bytes(3000), b"\0" * 128, b"\xff\xff\xff\xffacsp" * 100):
        segment = b"ICC_PROFILE\0\x01\x01" + content
        yield sent(photo[:2] + b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment + photo[2:])


@kind
def png_bomb(rng, photo):
    zeros = zlib.compress(b"\0" * 30_000_000, 9)
    for width, height in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (14_000, 14_000), (0, 10)):
        yield sent(png(width, height, zeros), file="a.png")


@kind
def png_with_a_text_bomb(rng, photo):
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 50_000_000, 9))
    yield sent(png(10, 10, zlib.compress(b"\0" * 310), text), file="a.png")
    yield sent(png(10, 10, zlib.compress(b"\0" * 310), *[text] * 5), file="a.png")


@kind
def png_with_a_profile_bomb(rng, photo):
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(b"\0" * 50_000_000, 9))
    yield sent(png(64, 64, zlib.compress(b"\0" * (64 * 193)), profile), file="a.png")


@kind
def truncated_png(rng, photo):
    data = encoded(photo, "PNG")
    for share in (0.0005, 0.01, 0.5, 0.99):
        yield sent(data[: int(len(data) * share) + 9], file="a.png")


@kind
def damaged_png(rng, photo):
    data = encoded(photo, "PNG")
    for _ in range(4):
        at = int(rng.integers(40, len(data) - 20))
        yield sent(data[:at] + rng.bytes(8) + data[at + 8 :], file="a.png")


@kind
def truncated_tiff(rng, photo):
    data = encoded(photo, "TIFF")
    for share in (0.0001, 0.3, 0.9):
        yield sent(data[: int(len(data) * share) + 8], file="a.tif")


@kind
def tiff_that_leads_to_itself(rng, photo):
    entry = struct.pack("<HHII", 256, 4, 1, 10)
    for next_at in (8, 0xFFFFFFFF, 9):
        yield sent(b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", next_at), file="a.tif")


@kind
def tiff_of_an_impossible_size(rng, photo):
    for width, height in ((4_000_000_000, 4_000_000_000), (100_000, 100_000)):
        entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 8)]
        data = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in entries)
        yield sent(b"II*\0" + struct.pack("<IH", 8, len(entries)) + data + b"\0\0\0\0", file="a.tif")


@kind
def tiff_with_a_deflate_bomb(rng, photo):
    strip = zlib.compress(b"\0" * 40_000_000, 9)
    entries = [(256, 4, 8), (257, 4, 8), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, 200), (279, 4, len(strip))]
    data = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + data + b"\0\0\0\0"
    yield sent(head.ljust(200, b"\0") + strip, file="a.tif")


@kind
def truncated_bmp_and_webp(rng, photo):
    for format in ("BMP", "WEBP"):
        data = encoded(photo, format)
        for share in (0.01, 0.5, 0.9):
            yield sent(data[: int(len(data) * share) + 20])


@kind
def bmp_of_an_impossible_size(rng, photo):
    for width, height in ((2**31 - 1, 2**31 - 1), (-1, 5), (5, -(2**31)), (0, 0)):
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        yield sent(b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + header + b"\0" * 300, file="a.bmp")


@kind
def webp_of_a_wrong_length(rng, photo):
    data = encoded(photo, "WEBP")
    for size in (0, 1, 2**32 - 1):
        yield sent(data[:4] + struct.pack("<I", size) + data[8:])


@kind
def animation(rng, photo):
    frames = [Image.new("RGB", (64, 64), (number * 20, 0, 0)) for number in range(5)]
    for format in ("WEBP", "PNG", "TIFF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, format=format, save_all=True, append_images=frames[1:])
        yield sent(buffer.getvalue())


@kind
def picture_of_another_kind(rng, photo):
    yield sent(encoded(photo, "GIF"))
    yield sent(encoded(photo, "PPM"))
    yield sent(b"\0\0\0\x18ftypheic" + rng.bytes(500))
    yield sent(b"\0\0\0\x0cjP  \r\n\x87\n" + rng.bytes(500))


@kind
def no_picture_under_the_name_of_one(rng, photo):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("../../evil.jpg", b"\0" * 10_000_000)
    yield sent(archive.getvalue(), file="a.jpg")
    yield sent(b"%PDF-1.7\n" + rng.bytes(500), file="a.jpg")
    yield sent(b"#!/bin/sh\nrm -rf /\n", file="a.jpg")
    yield sent(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", file="a.jpg")
    yield sent(b"\x7fELF" + rng.bytes(500), file="a.jpg")
    yield sent(b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", file="a.png")


@kind
def two_kinds_in_one_file(rng, photo):
    yield sent(photo + b"<script>alert(1)</script>")
    yield sent(photo + encoded(photo, "PNG"))
    yield sent(b"GIF89a" + photo)


@kind
def tiny_picture(rng, photo):
    for size in ((1, 1), (1, 3000), (3000, 1), (2, 2)):
        buffer = io.BytesIO()
        Image.new("RGB", size).save(buffer, format="PNG")
        yield sent(buffer.getvalue())


@kind
def name_that_is_a_path(rng, photo):
    for name in (
        "../../../../tmp/evil.jpg", "/etc/passwd", "..\\..\\evil.jpg", "C:\\evil.jpg", "....//evil", "file:///etc/passwd",
        ".", "..", "~/.ssh/authorized_keys", "%2e%2e%2fevil", "a/../../b.jpg", "\\\\server\\share\\evil.jpg",
    ):  # fmt: skip
        yield sent(photo + name.encode(), file=name)


@kind
def name_that_is_strange(rng, photo):
    for name in (
        "", " ", "a" * 10_000, "\u202egpj.exe", "CON", "a\tb", "<script>alert(1)</script>.jpg",
        "'; DROP TABLE photographs;--",
        "{{7*7}}", "${jndi:ldap://x}", "\ud800.jpg", "名.jpg", "a;b=c", "-rf",
    ):  # fmt: skip
        yield sent(photo + name.encode("utf-8", "surrogatepass"), file=name)


@kind
def name_with_a_zero_or_a_line_end(rng, photo):
    yield sent(photo + b"0", file="a\0.jpg")
    yield sent(photo + b"1", file="a\r\nX-Injected: 1\r\n.jpg")
    yield sent(photo + b"2", file='a"b.jpg')


@kind
def name_in_another_encoding(rng, photo):
    for value in (
        b"filename*=utf-8''..%2f..%2fevil.jpg",
        b"filename*=nonsense''x",
        b'filename="\xff\xfe.jpg"',
        b"filename=",
    ):
        head = b'Content-Disposition: form-data; name="photographs"; ' + value
        yield Upload(form(b"--" + BOUNDARY.encode() + CRLF + head + CRLF * 2 + photo + CRLF))


@kind
def field_that_is_strange(rng, photo):
    for name, value in (
        ("patient", b"\0"), ("patient", b"a" * 100_000), ("patient", b"\xff\xfe"), ("patient", b"a\r\nb"),
        ("eye", b"third"), ("eye", b"LEFT" * 1000), ("taken", b"yesterday"), ("taken", b"9999-99-99"),
        ("taken", b"2026-02-30"), ("taken", b"-1"), ("patient", "\u202e\ud800".encode("utf-8", "surrogatepass")),
        ("eye", b""), ("patient", b"' OR 1=1"), ("taken", b"2026-01-01T00:00:00" + b"0" * 500),
    ):  # fmt: skip
        yield Upload(form(part(value, name=name, file=None), part(photo + value, file="a.jpg")))


@kind
def field_that_nobody_asked_for(rng, photo):
    for name in ("path", "__proto__", "sha256", "folder", "release", "", "a" * 5000):
        yield Upload(form(part(b"../../etc", name=name, file=None), part(photo + name.encode())))


@kind
def file_under_another_field(rng, photo):
    for name in ("patient", "eye", "file", "../photographs"):
        yield Upload(form(part(photo, name=name)))


@kind
def more_photographs_than_are_allowed(rng, photo):
    yield Upload(form(*(part(photo + str(number).encode()) for number in range(40))))
    yield Upload(form(*(part(b"", file=f"{number}.jpg") for number in range(3000))))


@kind
def more_fields_than_are_allowed(rng, photo):
    yield Upload(form(*(part(b"x", name="patient", file=None) for _ in range(5000)), part(photo)))


@kind
def photograph_that_is_too_large(rng, photo):
    yield sent(photo + b"\0" * (3 * 2**20))
    yield sent(b"\0" * (3 * 2**20))


@kind
def request_that_is_too_large(rng, photo):
    yield Upload(form(*(part(bytes(2**20 - 1000), file=f"{number}.jpg") for number in range(12))))


@kind
def wrong_length(rng, photo):
    for length in ("-1", "abc", "0x10", "1e9", "99999999999999999999999", "1,1"):
        yield Upload(form(part(photo)), headers={"Content-Length": length})


@kind
def no_form(rng, photo):
    for content_type in (
        "application/json", "image/jpeg", "text/plain", "", "multipart/mixed; boundary=x", "multipart/form-data",
        "multipart/form-data; boundary=", f"multipart/form-data; boundary={'b' * 5000}",
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=\xff", "application/dicom",
    ):  # fmt: skip
        yield Upload(photo, content_type=content_type)


@kind
def another_boundary(rng, photo):
    yield Upload(form(part(photo)), content_type="multipart/form-data; boundary=another")
    yield Upload(form(part(photo)), content_type=f"multipart/form-data; boundary={BOUNDARY}x")
    yield Upload(form(part(photo)), content_type=f'multipart/form-data; boundary="{BOUNDARY}')


@kind
def form_that_ends_too_early(rng, photo):
    data = form(part(photo))
    for at in (10, 60, 100, 500, len(data) // 2, len(data) - 3, len(data) - len(BOUNDARY) - 8):
        yield Upload(data[:at])


@kind
def form_without_an_end(rng, photo):
    yield Upload(form(part(photo), end=b""))
    yield Upload(form(part(photo), end=b"--" + BOUNDARY.encode()))


@kind
def form_with_something_after_its_end(rng, photo):
    yield Upload(form(part(photo)) + rng.bytes(5000))
    yield Upload(form(part(photo)) + form(part(photo + b"x")))


@kind
def part_with_damaged_headers(rng, photo):
    start = b"--" + BOUNDARY.encode() + CRLF
    for head in (
        b"", b"Content-Disposition", b"Content-Disposition:", b": x", b"Content-Disposition: form-data",
        b"Content-Disposition: form-data; name", b"Content-Disposition: attachment; filename=a", b"\0\0\0",
        b"\xff" * 50, b'Content-Disposition: form-data; name="photographs',
        b"Content-Disposition: form-data; name=photographs; name=x",
    ):  # fmt: skip
        yield Upload(form(start + head + CRLF * 2 + photo + CRLF))


@kind
def part_with_huge_headers(rng, photo):
    yield sent(photo, extra=b"X-A: " + b"a" * 500_000 + CRLF)
    yield sent(photo, extra=b"".join(b"X-%d: a\r\n" % number for number in range(20_000)))
    yield Upload(b"--" + BOUNDARY.encode() + CRLF + b"X" * 1_000_000)


@kind
def part_with_a_type_of_its_own(rng, photo):
    yield sent(photo, extra=b"Content-Transfer-Encoding: base64\r\n")
    yield sent(photo, extra=b"Content-Type: multipart/mixed; boundary=inner\r\n")
    yield sent(photo, extra=b"Content-Type: application/x-python-pickle\r\n")


@kind
def body_that_is_packed(rng, photo):
    for encoding in ("gzip", "br", "deflate", "nonsense"):
        yield Upload(zlib.compress(b"\0" * 10_000_000, 9), headers={"Content-Encoding": encoding})


@kind
def dicom_without_pixels(rng, photo):
    yield sent(dicom(), file="a.dcm")
    yield sent(dicom(element(0x10, 0x20, b"LO", b"P1")), file="a.dcm")
    yield sent(b"\0" * 128 + b"DICM", file="a.dcm")
    yield sent(b"\0" * 128 + b"DICM" + rng.bytes(2000), file="a.dcm")


@kind
def dicom_of_an_impossible_size(rng, photo):
    for rows, columns in ((65535, 65535), (0, 0), (1000, 1000), (1, 1)):
        yield sent(dicom(*image_elements(rows, columns, b"\0" * 300)), file="a.dcm")


@kind
def dicom_with_wrong_lengths(rng, photo):
    for length in (0xFFFFFFFF, 0x7FFFFFFF, 5):
        broken = struct.pack("<HH", 0x10, 0x20) + b"UN\0\0" + struct.pack("<I", length) + b"P1"
        yield sent(dicom(broken), file="a.dcm")


@kind
def dicom_that_is_deflated_to_a_bomb(rng, photo):
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = packer.compress(element(0x10, 0x20, b"LO", b"P1") + b"\0" * 60_000_000) + packer.flush()
    yield sent(dicom(data, syntax=b"1.2.840.10008.1.2.1.99"), file="a.dcm")


@kind
def dicom_of_a_syntax_that_is_none(rng, photo):
    for syntax in (b"1.2.3.4.", b"../../x ", b"", b"\xff" * 64):
        yield sent(dicom(*image_elements(4, 4, b"\0" * 48), syntax=syntax), file="a.dcm")


@kind
def dicom_with_deep_sequences(rng, photo):
    inner = b""
    for _ in range(400):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        inner = element(0x8, 0x1140, b"SQ", item)
    yield sent(dicom(inner), file="a.dcm")
    endless = (
        struct.pack("<HH", 0x8, 0x1140) + b"SQ\0\0\xff\xff\xff\xff" + struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1)
    ) * 3000
    yield sent(dicom(endless), file="a.dcm")


@kind
def dicom_with_names_that_are_strange(rng, photo):
    pixels = image_elements(64, 64, bytes(64 * 64 * 3))
    for value in (b"../../etc/passwd", b"\x1b[2J\x07", b"a\\b\\c\\d", b"\xff\xfe\xfd ", b"<script>x</script>"):
        padded = value + b" " * (len(value) % 2)
        yield sent(dicom(element(0x10, 0x20, b"LO", padded), element(0x20, 0xD, b"UI", padded), *pixels), file="a.dcm")


@kind
def truncated_dicom(rng, photo):
    data = dicom(element(0x10, 0x20, b"LO", b"P1"), *image_elements(64, 64, bytes(64 * 64 * 3)))
    for at in (130, 140, 200, 300, len(data) // 2, len(data) - 1):
        yield sent(data[:at], file="a.dcm")
