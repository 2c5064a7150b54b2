"""Colours as every photograph has them here: sRGB. What a file says of its own colours is converted by LittleCMS.

A file may name its colours by an ICC profile (JPEG, PNG, TIFF, WebP, BMP, DICOM), by gamma and primaries (PNG), or by
a word of its camera (EXIF). A profile that means sRGB leaves every pixel as it is.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float64, Shaped
from PIL import ExifTags, Image, ImageCms

SRGB_LEVELS: Final = 3
"""Grey levels by which a profile may differ from sRGB anywhere and still mean sRGB."""

SRGB_GAMMA: Final = 0.45455
"""PNG's gAMA of files that mean sRGB, within half a hundredth."""

SRGB_PRIMARIES: Final = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue in x and y, as PNG's cHRM has them."""

ADOBE_PRIMARIES: Final = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_EXPONENT: Final = 563 / 256
"""Adobe RGB (1998), 4.3."""

D50: Final = (0.9642, 1.0, 0.8249)
"""White of all profiles (ICC.1, 6.3.4.3)."""

BRADFORD: Final = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
"""Cone responses, by which colours are adapted to another white (ICC.1, annex E)."""

NAME_LENGTH: Final = 60
"""Letters of a profile's name that are shown."""

SPACES: Final = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}
"""Pillow's modes and the colour spaces of profiles for them."""

UNUSABLE: Final = "The colour profile in the file is damaged or is not for its pixels: colours are shown as sRGB."
UNCONVERTIBLE: Final = "The file says in a way that is not known here which colours it has: they are shown as sRGB."


@dataclass(frozen=True, slots=True)
class _Conversion:
    """How pixels of one mode become sRGB; both None where they are sRGB."""

    transform: ImageCms.ImageCmsTransform | None
    note: str | None


def to_srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Return a picture as 8-bit RGB in sRGB, and a sentence if its colours were changed or could not be.

    Args:
        picture: 8 bits a channel: grey, RGB, CMYK or Lab.
        profile: The ICC profile of its colours; None for sRGB, or for what is usual in the mode.
    """
    if profile is None and picture.mode != "LAB":
        return picture.convert("RGB"), None
    conversion = _conversion(profile, picture.mode)
    transform = conversion.transform
    if transform is None and picture.mode == "LAB":
        transform = _conversion(None, "LAB").transform
    converted = None if transform is None else ImageCms.applyTransform(picture, transform)
    return converted or picture.convert("RGB"), conversion.note


@lru_cache(maxsize=16)
def _conversion(profile: bytes | None, mode: str) -> _Conversion:
    """How colours of a profile become sRGB; made once for all photographs of a camera."""
    try:
        source = _lab() if profile is None else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES.get(mode):
            return _Conversion(None, UNUSABLE)
        transform = ImageCms.buildTransform(
            source,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if _means_srgb(transform, mode):
            return _Conversion(None, None)
        return _Conversion(transform, None if profile is None else _converted_words(source))
    except Exception:  # Pillow raises its own error, OSError or TypeError on damaged profiles
        return _Conversion(None, UNUSABLE)


def _lab() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))


def _means_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves colours from all over the cube, or all greys, nearly as they are."""
    if mode not in ("RGB", "L"):
        return False
    levels = np.arange(256) if mode == "L" else np.linspace(0, 255, 18).round()
    axes = np.meshgrid(*[levels] * len(mode), indexing="ij")
    colours = np.stack(axes, axis=-1).astype(np.uint8).reshape(1, -1, len(mode)).squeeze(axis=2 if mode == "L" else ())
    picture = Image.fromarray(colours)
    converted = ImageCms.applyTransform(picture, transform)
    if converted is None:
        return False
    change = np.asarray(converted).astype(int) - np.asarray(picture.convert("RGB"))
    return bool(np.abs(change).max() <= SRGB_LEVELS)


def _converted_words(source: ImageCms.ImageCmsProfile) -> str:
    try:
        name = "".join(sign for sign in ImageCms.getProfileDescription(source) if sign.isprintable()).strip()
    except Exception:  # as `_conversion`
        name = ""
    return f"Colours were converted to sRGB from {name[:NAME_LENGTH] or 'the profile in the file'}."


def profile_of(picture: Image.Image, exif: Image.Exif, data: bytes) -> tuple[bytes | None, str | None]:
    """Return the ICC profile of a picture's colours, also where the file names them otherwise; None for sRGB.

    Args:
        picture: As Pillow opened it.
        exif: Its EXIF.
        data: The file.

    Returns:
        The profile, and a sentence if the file names colours in a way that cannot be followed.
    """
    embedded = picture.info.get("icc_profile")
    if isinstance(embedded, bytes) and embedded:
        return embedded, None
    if picture.format == "PNG":
        return _of_png(picture)
    if picture.format == "BMP":
        return _of_bitmap(data), None
    return _of_camera(exif), None


def _of_png(picture: Image.Image) -> tuple[bytes | None, str | None]:
    """Of gamma and primaries; a file that says sRGB as well means sRGB (PNG, 4.3)."""
    gamma, primaries = picture.info.get("gamma"), picture.info.get("chromaticity")
    if "srgb" in picture.info or (gamma is None and primaries is None):
        return None, None
    gamma, primaries = gamma or SRGB_GAMMA, primaries or SRGB_PRIMARIES
    usual_gamma = abs(gamma - SRGB_GAMMA) <= 0.005
    if usual_gamma and np.allclose(primaries, SRGB_PRIMARIES, atol=0.005):
        return None, None
    if picture.mode not in ("RGB", "RGBA", "P"):
        return None, UNCONVERTIBLE
    try:
        return matrix_profile(primaries, exponent=1 / gamma, name="the PNG file's gamma and primaries"), None
    except (ValueError, ArithmeticError, struct.error, np.linalg.LinAlgError):
        return None, UNUSABLE


def _of_bitmap(data: bytes) -> bytes | None:
    """The profile within a bitmap of the fifth version."""
    if len(data) < 138 or int.from_bytes(data[14:18], "little") != 124 or data[70:74] != b"DEBM":
        return None
    offset, size = struct.unpack_from("<II", data, 126)
    return data[14 + offset : 14 + offset + size]


def _of_camera(exif: Image.Exif) -> bytes | None:
    """Of the words by which cameras say Adobe RGB: no standard colour space, and a file name's rule R03 (DCF 2.0)."""
    photo = exif.get_ifd(ExifTags.IFD.Exif)
    rule = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    rule = rule.decode("ascii", "replace") if isinstance(rule, bytes) else rule
    adobe = photo.get(ExifTags.Base.ColorSpace) == 2 or (isinstance(rule, str) and rule.startswith("R03"))
    return matrix_profile(ADOBE_PRIMARIES, exponent=ADOBE_EXPONENT, name="Adobe RGB (EXIF)") if adobe else None


@lru_cache(maxsize=16)
def matrix_profile(primaries: tuple[float, ...], *, exponent: float, name: str) -> bytes:
    """Make an ICC profile of three primaries and one gamma (ICC.1:2010, 8.3).

    Args:
        primaries: White, red, green and blue in x and y.
        exponent: Light is a pixel's value to this power.
        name: What the profile is called.

    Raises:
        ValueError: If the primaries are none.
    """
    if not (0.2 <= exponent <= 10) or min(primaries[1::2]) <= 0:
        raise ValueError(f"primaries must have a positive y and exponent lie in [0.2, 10], got {primaries}, {exponent}")
    columns = _adapted(np.array(primaries, np.float64).reshape(4, 2))
    gamma = b"para" + bytes(4) + struct.pack(">HH", 0, 0) + _fixed(exponent)
    text = name.encode("utf-16-be")
    words = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    entries = {b"desc": words, b"cprt": words, b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50)}
    for letter, column in zip("rgb", columns.T, strict=True):
        entries[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + _fixed(*column)
        entries[f"{letter}TRC".encode()] = gamma
    at = 128 + 4 + 12 * len(entries)
    table, body = struct.pack(">I", len(entries)), b""
    for tag, content in entries.items():
        table += tag + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s", at + len(body), b"", 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"", b"acsp")
    return head + bytes(28) + _fixed(*D50) + bytes(128 - 80) + table + body


def _adapted(places: Float64[np.ndarray, "4 2"]) -> Float64[np.ndarray, "3 3"]:
    """Red, green and blue as columns of XYZ, whose sum is the white of all profiles."""
    colours = np.column_stack([places[:, 0], places[:, 1], 1 - places.sum(axis=1)]) / places[:, 1:]
    white, matrix = colours[0], colours[1:].T
    matrix = matrix * np.linalg.solve(matrix, white)
    bradford = np.array(BRADFORD)
    gains = (bradford @ np.array(D50)) / (bradford @ white)
    return np.asarray(np.linalg.inv(bradford) @ np.diag(gains) @ bradford @ matrix)


def _fixed(*values: float | Shaped[np.ndarray, ""]) -> bytes:
    """Numbers as ICC profiles store them: 16 bits before the point and 16 after."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))
