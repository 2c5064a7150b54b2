"""From a file to an upright 8-bit RGB photograph, or one line that says why not.

The file is read once: what is hashed is what is decoded. Its size is known from its header before
anything is decoded, and a JPEG is decoded no larger than is needed.
"""

from __future__ import annotations

import errno
import hashlib
import io
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fundoscope.arrays import Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.decoding.dicom import read_dicom
from fundoscope.photo.decoding.header import Header, is_dicom, read_header
from fundoscope.photo.decoding.kinds import EXPECTED, HEAD_BYTES, convert_words, kind_of
from fundoscope.photo.decoding.picture import decode_picture
from fundoscope.photo.decoding.truncation import TRUNCATION_REFUSED

PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom")
"""Names that a folder is searched for; what a file really is, its first bytes say."""

_READERS: Final[dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "WebP": WebPImageFile,
}
"""Pillow's reader of each kind (`decoding.kinds.kind_of`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a file may be; both are checked before anything is decoded."""

    max_pixels: int = 200_000_000
    """Width times height, in px."""
    max_bytes: int = 512 * 2**20


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph(Header):
    """A decoded photograph, beside what its file says of it."""

    pixels: Photo
    path: str
    sha256: str
    """Of the file's bytes."""
    format: str
    """JPEG, PNG, TIFF, BMP, WEBP or DICOM."""
    width: int
    """Of the whole picture in the file, upright, in px."""
    height: int
    reduced: int = 1
    """By how much the picture was reduced while it was decoded: 1, 2, 4 or 8."""
    notes: tuple[str, ...] = ()
    """Sentences about what was done to the pixels, such as colours converted."""
    orientation: int = 1
    """How the camera wrote the picture that is upright here: EXIF's number, 1 to 8; 1: as it is."""
    camera: str | None = None
    """Make and model, where the file names them."""


def read_photo(path: Path | str, *, target_px: int | None = None, limits: Limits = LIMITS) -> Photograph:
    """Read a photograph: JPEG, PNG, TIFF, BMP, WebP or single-frame DICOM.

    Files of several pictures are refused: TIFF pages that are not marked as reduced copies, animations, stereo JPEG,
    DICOM files of many frames.

    Args:
        path: The file. Its name does not matter, only what is in it.
        target_px: Shortest side that is still needed; a JPEG is decoded at the smallest of 1, 1/2,
            1/4 and 1/8 that keeps it. None: whole.
        limits: What is refused as too large.

    Returns:
        Upright RGB in sRGB, converted from the file's colour profile if it has another. Grey is repeated, CMYK
        converted, transparency laid on black, 16 bits cut to 8.

    Raises:
        UnreadablePhotograph: If the file is absent, empty, too large, truncated or not one picture of these. What its
            header says all the same is in the error's `header`.
    """
    data = _bytes_of(path, limits)
    with TRUNCATION_REFUSED:
        if is_dicom(data):
            return _read_dicom(data, str(path), limits)
        return _read_picture(data, str(path), target_px, limits)


def _read_dicom(data: bytes, path: str, limits: Limits) -> Photograph:
    header: dict[str, Any] = read_header(data).header()
    try:
        pixels = read_dicom(data, path, max_pixels=limits.max_pixels)
    except UnreadablePhotograph as problem:
        raise UnreadablePhotograph(str(problem), header=header) from problem
    return Photograph(path=path, sha256=hashlib.sha256(data).hexdigest(), format="DICOM", **pixels, **header)


def _bytes_of(path: Path | str, limits: Limits) -> bytes:
    try:
        state = Path(path).stat()
        if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
            # Reading from it might wait for ever, or never end.
            raise UnreadablePhotograph(f"{path}: expected a photograph, got a pipe or device. Name a file.")
        size = state.st_size
        if size > limits.max_bytes:
            raise UnreadablePhotograph(
                f"{path}: expected a photograph of at most {limits.max_bytes >> 20} MiB, got {size >> 20} MiB. "
                "Export it smaller.",
                header=read_header(path).header(),
            )
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero in the name, which no file has
        raise UnreadablePhotograph(f"{path}: expected a photograph, there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise UnreadablePhotograph(f"{path}: expected a photograph, got a folder. Name the files in it.") from None
    except PermissionError:
        raise UnreadablePhotograph(
            f"{path}: expected a photograph, got a file that you may not read. Check its permissions."
        ) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            why = "a link that leads to itself" if error.errno == errno.ELOOP else "a name that is too long for a file"
            raise UnreadablePhotograph(f"{path}: expected a photograph, got {why}. Check the path.") from None
        raise UnreadablePhotograph(
            f"{path}: expected a photograph, but the disk or network that it lies on fails. "
            "Copy it elsewhere and try again."
        ) from None
    except MemoryError:
        raise UnreadablePhotograph(
            f"{path}: expected a picture that fits into memory, this one does not. Export it smaller."
        ) from None
    if not data:
        raise UnreadablePhotograph(
            f"{path}: expected a photograph, got an empty file (0 bytes). Copy it again from the camera."
        )
    return data


def _read_picture(data: bytes, path: str, target_px: int | None, limits: Limits) -> Photograph:
    name, plugin = _plugin_of(data, path)
    decoded = decode_picture(data, path, name, plugin, target_px=target_px, max_pixels=limits.max_pixels)
    return Photograph(
        pixels=decoded.pixels,
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        format=name,
        width=decoded.width,
        height=decoded.height,
        reduced=decoded.reduced,
        taken=decoded.taken,
        notes=decoded.notes,
        orientation=decoded.orientation,
        camera=decoded.camera,
    )


def _plugin_of(data: bytes, path: str) -> tuple[str, Callable[[io.BytesIO], ImageFile.ImageFile]]:
    """Which of Pillow's readers the file's first bytes call for.

    The readers are called as they are: `Image.open` would put its own limit on pixels, which is the
    whole process's, before ours.
    """
    kind = kind_of(data[:HEAD_BYTES], path)
    if kind in _READERS:
        return kind.upper(), _READERS[kind]
    if kind is not None:
        raise UnreadablePhotograph(convert_words(path, kind))
    raise UnreadablePhotograph(
        f"{path}: expected {EXPECTED}, got something else (it begins with {data[:8].hex(' ')}). "
        "Export the photograph again."
    )
