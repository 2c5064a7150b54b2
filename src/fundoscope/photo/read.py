"""From a file to an upright 8-bit RGB photograph, or one line that says why not.

The file is read once: what is hashed is what is decoded. Its size is known from its header before
anything is decoded, and a JPEG is decoded no larger than is needed.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fundoscope.arrays import Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.dicom import read_dicom
from fundoscope.photo.header import QUIET, is_dicom, read_header
from fundoscope.photo.kinds import HEAD_BYTES, READABLE, convert_words, kind_of

PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom")
"""Names that a folder is searched for; what a file really is, its first bytes say."""

_READERS: Final[dict[str, tuple[tuple[bytes, ...], Callable[[io.BytesIO], ImageFile.ImageFile]]]] = {
    "JPEG": ((b"\xff\xd8\xff",), JpegImageFile),
    "PNG": ((b"\x89PNG\r\n\x1a\n",), PngImageFile),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImageFile),
    "BMP": ((b"BM",), BmpImageFile),
    "WEBP": ((b"RIFF",), WebPImageFile),
}

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what makes the picture upright."""

_ON_ITS_SIDE: Final = {_TURNS[orientation] for orientation in (5, 6, 7, 8)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a file may be; both are checked before anything is decoded."""

    max_pixels: int = 200_000_000
    """Width times height, in px."""
    max_bytes: int = 512 * 2**20


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """A decoded photograph and what its file says of it."""

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
    patient: str | None = None
    """DICOM's PatientID, and what else its header says (`photo.header.Header`)."""
    patient_raw: str | None = None
    issuer: str | None = None
    eye: str | None = None
    """left or right, as DICOM says."""
    taken: str | None = None
    """When, ISO 8601, as DICOM or EXIF says."""
    study_uid: str | None = None
    sop_uid: str | None = None


def read_photo(path: Path | str, *, target_px: int | None = None, limits: Limits = LIMITS) -> Photograph:
    """Read a photograph: JPEG, PNG, TIFF, BMP, WebP or single-frame DICOM.

    Of a TIFF of many pages or an animation the first picture is read; DICOM files of many frames are refused.

    Args:
        path: The file. Its name does not matter, only what is in it.
        target_px: Shortest side that is still needed; a JPEG is decoded at the smallest of 1, 1/2,
            1/4 and 1/8 that keeps it. None: whole.
        limits: What is refused as too large.

    Returns:
        Upright RGB. Grey is repeated, CMYK converted, transparency laid on black, 16 bits cut to 8.

    Raises:
        UnreadablePhotograph: If the file is absent, empty, too large, truncated or no picture of these. What its header
            says all the same is in the error's `header`.
    """
    data = _bytes_of(path, limits)
    if is_dicom(data):
        return _read_dicom(data, str(path), limits)
    return _read_picture(data, str(path), target_px, limits)


def _read_dicom(data: bytes, path: str, limits: Limits) -> Photograph:
    header: dict[str, Any] = read_header(data).to_dict()
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
                header=read_header(path).to_dict(),
            )
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UnreadablePhotograph(f"{path}: expected a photograph, there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise UnreadablePhotograph(f"{path}: expected a photograph, got a folder. Name the files in it.") from None
    except OSError as error:
        raise UnreadablePhotograph(f"{path}: cannot be read: {error.strerror}. Check its permissions.") from None
    if not data:
        raise UnreadablePhotograph(
            f"{path}: expected a photograph, got an empty file (0 bytes). Copy it again from the camera."
        )
    return data


def _read_picture(data: bytes, path: str, target_px: int | None, limits: Limits) -> Photograph:
    name, plugin = _plugin_of(data, path)
    taken = None
    try:
        # Odd metadata are worth a warning to Pillow and none to a clinic.
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = plugin(io.BytesIO(data))
            width, height = picture.size
            check_pixels(width, height, path, limits.max_pixels)
            taken = _when(picture.getexif())
        with picture:
            reduced = _draft(picture, target_px)
            picture.load()
            # Asked after loading: a TIFF is turned upright while it is loaded.
            turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
            rgb = _to_rgb(picture, path)
    except UnreadablePhotograph as problem:
        raise UnreadablePhotograph(str(problem), header={"taken": taken}) from problem
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise UnreadablePhotograph(
            f"{path}: expected a whole {name} picture, got one that is damaged or truncated "
            f"({error or type(error).__name__}). Copy it again from the camera.",
            header={"taken": taken},
        ) from error
    on_its_side = turn in _ON_ITS_SIDE
    return Photograph(
        pixels=np.asarray(rgb if turn is None else rgb.transpose(turn)),
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        format=name,
        width=height if on_its_side else width,
        height=width if on_its_side else height,
        reduced=reduced,
        taken=taken,
    )


def _plugin_of(data: bytes, path: str) -> tuple[str, Callable[[io.BytesIO], ImageFile.ImageFile]]:
    """Which of Pillow's readers the file's first bytes call for.

    The readers are called as they are: `Image.open` would put its own limit on pixels, which is the
    whole process's, before ours.
    """
    kind = kind_of(data[:HEAD_BYTES], path)
    if kind is not None and kind not in READABLE:
        raise UnreadablePhotograph(convert_words(path, kind))
    for name, (starts, plugin) in _READERS.items():
        if data.startswith(starts) and (name != "WEBP" or data[8:12] == b"WEBP"):
            return name, plugin
    raise UnreadablePhotograph(
        f"{path}: expected a JPEG, PNG, TIFF, BMP, WebP or DICOM picture, got something else "
        f"(it begins with {data[:8]!r}). Export the photograph again."
    )


def check_pixels(width: int, height: int, path: str, max_pixels: int) -> None:
    """Refuse a header that promises more pixels than may be decoded.

    Raises:
        UnreadablePhotograph: If it does; the message names both numbers.
    """
    if width * height > max_pixels:
        raise UnreadablePhotograph(
            f"{path}: expected at most {max_pixels / 1e6:.0f} megapixels, got {width} x {height} "
            f"({width * height / 1e6:.0f} megapixels). Export it smaller."
        )


def _draft(picture: ImageFile.ImageFile, target_px: int | None) -> int:
    """Let a JPEG be decoded reduced, keeping its shortest side at least at the target."""
    if target_px is None or picture.format != "JPEG":
        return 1
    before = picture.size[0]
    # Pillow's draft keeps both sides at least as long as asked for.
    picture.draft(None, (target_px, target_px))  # None keeps the mode
    return max(1, round(before / picture.size[0]))


def _to_rgb(picture: Image.Image, path: str) -> Image.Image:
    """Eight-bit RGB whatever the mode."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(np.asarray(picture), path)).convert("RGB")
    if picture.mode == "F":
        raise UnreadablePhotograph(
            f"{path}: expected whole-number pixels, got floating-point ones, whose white is not known. "
            "Export it with 8 or 16 bits."
        )
    if picture.has_transparency_data:
        opaque = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), opaque).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(values: Integer[np.ndarray, "height width"], path: str) -> UInt8[np.ndarray, "height width"]:
    """16-bit grey to 8 bits: 65535 is white."""
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise UnreadablePhotograph(
            f"{path}: expected at most 16 bits a pixel, got values from {values.min()} to {values.max()}. "
            "Export it with 8 or 16 bits."
        )
    return np.asarray((values.astype(np.uint32) + 128) // 257, dtype=np.uint8)


def _when(exif: Image.Exif) -> str | None:
    """EXIF's time of the photograph as ISO 8601."""
    text = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    found = re.match(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", text) if isinstance(text, str) else None
    if found is None or found[1] == "0000":
        return None
    return f"{found[1]}-{found[2]}-{found[3]}T{found[4]}"
