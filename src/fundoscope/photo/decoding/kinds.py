"""What a file is, by its first bytes: a picture that can be read, one that cannot, or none. Names say little.

Cameras export JPEG pictures as .jfif, telephones HEIC pictures as .jpg, and archives DICOM files by their UID alone.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from fundoscope.photo.decoding.dicom_kind import stores_no_picture
from fundoscope.photo.decoding.header import is_dicom

HEAD_BYTES: Final = 512
"""Of a file, as many bytes say what it is."""

READABLE: Final = ("JPEG", "PNG", "TIFF", "BMP", "WebP", "DICOM")
"""Kinds of pictures that can be read; `photo.read` has their readers."""

EXPECTED: Final = f"a {', '.join(READABLE[:-1])} or {READABLE[-1]} picture"
"""What messages say was expected."""

_STARTS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\xff\xd8", "JPEG"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"8BPS", "Photoshop"),
    (b"IIRO", "camera raw"),
    (b"IIRS", "camera raw"),
    (b"MMOR", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"FOVb", "camera raw"),
    (b"\0MRM", "camera raw"),
    (b"CMDb", "Heidelberg E2E"),
    (b"FOCT", "Topcon FDA"),
    (b"FAAFOCT", "Topcon FDA"),
    (b"SIMPLE  =", "FITS"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"qoif", "QOI"),
)

_BRANDS: Final = {
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC",
    b"mif1": "HEIC", b"msf1": "HEIC", b"mif2": "HEIC", b"avif": "AVIF", b"avis": "AVIF", b"crx ": "camera raw",
}  # fmt: skip
"""Of files that begin with a box `ftyp`: pictures among them; others are films."""

_BMP_HEADERS: Final = (12, 16, 40, 52, 56, 64, 108, 124)
"""Sizes of the second header of a bitmap; its two letters alone begin words."""

_PORTABLE: Final = re.compile(rb"P[1-6]\r?\n(#[^\n]*\n)*\d+\s+\d+\s")

_RAW_SUFFIXES: Final = (
    ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos", ".nef",
    ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""Names of cameras' own formats. Many of them begin as TIFF does, whose first picture is only a small preview."""

PICTURE_NAMES: Final = (
    ".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".dcm",
    ".dicom", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jxl", ".gif", ".e2e", ".fda",
    ".fds", *_RAW_SUFFIXES,
)  # fmt: skip
"""Suffixes that promise a picture: such a file gets its row even if it holds none, because it may be damaged."""


def kind_of(head: bytes, name: str) -> str | None:
    """Return the kind of picture that a file is; None if it is none.

    Args:
        head: Its first `HEAD_BYTES` bytes.
        name: Its name, by which cameras' own formats differ from TIFF.
    """
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12]) or _compatible(head)
    kind = next((kind for start, kind in _STARTS if head.startswith(start)), None)
    if kind == "TIFF":
        own = head[8:10] == b"CR" or PurePath(name).suffix.lower() in _RAW_SUFFIXES
        return "camera raw" if own else "TIFF"
    if kind is not None:
        return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if _PORTABLE.match(head):
        return "Netpbm"
    if is_dicom(head):
        return None if stores_no_picture(head) else "DICOM"
    return None


def _compatible(head: bytes) -> str | None:
    """Return the kind that a file of an unknown brand says it is compatible with."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = (head[at : at + 4] for at in range(16, length, 4))
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def convert_words(path: object, kind: str) -> str:
    """Return the sentence about a picture of a kind that cannot be read."""
    return f"{path}: expected {EXPECTED}, got {kind}, which cannot be read here. Convert it to JPEG or PNG."
