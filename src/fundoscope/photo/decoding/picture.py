"""From the bytes of a JPEG, PNG, TIFF, BMP or WebP file to upright 8-bit RGB in sRGB, or one line that says why not."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from fundoscope.arrays import Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.decoding.colour import profile_of, to_srgb
from fundoscope.photo.decoding.header import QUIET, checked_time
from fundoscope.photo.decoding.jpeg import count_pictures, decode_colour, read_frame
from fundoscope.photo.decoding.tiff import Page, read_pages

_TURNS: Final[dict[int, Callable[[Photo], Photo]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: np.rot90,
}
"""EXIF orientation to what makes the picture upright."""

_ON_ITS_SIDE: Final = (5, 6, 7, 8)

DAMAGE: Final = (
    "The file's picture data are damaged (the decoder says: {warning}): part of the picture may show what the camera "
    "did not see. Copy it again from the camera."
)
"""Note on a JPEG that can be decoded all the same."""

LEAST_WHITE: Final = 2**14
"""Value that some pixel of a 16-bit picture must reach: below it, 14 or fewer bits may be stored in 16."""

TIFF_COMPRESSIONS: Final = {
    1: "not compressed", 2: "CCITT", 3: "fax", 4: "fax", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "deflate",
    32773: "PackBits", 32946: "deflate",
}  # fmt: skip
"""Compressions of TIFF that are decoded here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A decoded picture and what its file says of it."""

    pixels: Photo
    width: int
    """Of the whole picture in the file, upright, in px."""
    height: int
    reduced: int
    taken: str | None
    notes: tuple[str, ...]
    """Sentences about what was done to the pixels."""
    orientation: int
    """How the camera wrote the picture that is upright here: EXIF's number, 1 to 8."""
    camera: str | None
    """Make and model, where the file names them."""


@dataclass(slots=True)
class _Opened:
    """A picture whose header was read."""

    picture: ImageFile.ImageFile
    exif: Image.Exif
    profile: bytes | None
    note: str | None
    deep: bool
    """Whether it has 16 bits a channel."""
    orientation: int
    """EXIF's, before anything was turned."""


Plugin = Callable[[io.BytesIO], ImageFile.ImageFile]


def decode_picture(
    data: bytes, path: str, kind: str, plugin: Plugin, *, target_px: int | None, max_pixels: int
) -> Decoded:
    """Decode a picture.

    Args:
        data: The file.
        path: Its name, for messages.
        kind: JPEG, PNG, TIFF, BMP or WEBP.
        plugin: Pillow's reader of the kind.
        target_px: As `read.read_photo` says.
        max_pixels: Most pixels that are decoded.

    Raises:
        UnreadablePhotograph: If it is too large, damaged, of a kind that is not decoded, or not one picture; the time
            of the photograph, if it is known, is in the error's `header`.
    """
    taken = None
    pages = read_pages(data) if kind == "TIFF" else []
    try:
        _check_kind(data, path, kind, pages)
        # Odd metadata are worth a warning to Pillow and none to a clinic.
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _first_picture(data, plugin, pages)
            width, height = image.size
            check_pixels(width, height, path, max_pixels)
            opened = _open(image, data, kind, pages)
            taken = exif_time(opened.exif)
            _check_single(image, data, path, pages)
        with opened.picture as picture:
            reduced = _draft(picture, target_px)
            pixels, warning = decode_colour(data, picture.size) if picture.format == "JPEG" else (None, None)
            if pixels is None:
                picture.load()
            # Asked after loading: a TIFF is turned upright while it is loaded.
            turn = picture.getexif().get(ExifTags.Base.Orientation, 1)
            pixels, note = _to_srgb_pixels(opened, path, pixels)
    except UnreadablePhotograph as problem:
        raise UnreadablePhotograph(str(problem), header={"taken": taken}) from problem
    except MemoryError:
        raise UnreadablePhotograph(
            f"{path}: expected a picture that fits into memory, this one does not. Export it smaller.",
            header={"taken": taken},
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise UnreadablePhotograph(_failure(data, path, kind, pages), header={"taken": taken}) from error
    on_its_side = turn in _ON_ITS_SIDE
    damage = None if warning is None else DAMAGE.format(warning=warning.rstrip("."))
    return Decoded(
        pixels=np.ascontiguousarray(_TURNS[turn](pixels)) if turn in _TURNS else pixels,
        width=height if on_its_side else width,
        height=width if on_its_side else height,
        reduced=reduced,
        taken=taken,
        notes=tuple(sentence for sentence in (opened.note, note, damage) if sentence),
        orientation=opened.orientation,
        camera=camera_name(opened.exif.get(ExifTags.Base.Make), opened.exif.get(ExifTags.Base.Model)),
    )


def camera_name(make: object, model: object) -> str | None:
    """Return a camera's name from what a file says of its make and model; a model that begins with the make says both.

    Example:
        >>> camera_name("Topcon ", "TRC-NW400")
        'Topcon TRC-NW400'
    """
    words = [" ".join(part.replace("\0", " ").split()) if isinstance(part, str) else "" for part in (make, model)]
    if words[0] and words[1].lower().startswith(words[0].lower()):
        words = words[1:]
    name = " ".join(filter(None, words))
    return "".join(sign for sign in name if sign.isprintable()) or None


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


def _check_kind(data: bytes, path: str, kind: str, pages: list[Page]) -> None:
    """Refuse intact files of a kind that is not decoded, or not decoded right."""
    if kind == "JPEG":
        frame = read_frame(data)
        if frame is not None and frame.unsupported:
            raise UnreadablePhotograph(_unsupported(path, kind, frame.unsupported))
    for page in pages:
        if page.is_picture and page.bits == 16 and page.first(284, 1) == 2:
            raise UnreadablePhotograph(_unsupported(path, kind, "a TIFF of 16 bits with each colour in a plane"))
        white = min(page.first(281, 65535), page.first(341, 65535))
        if page.is_picture and page.bits == 16 and white < LEAST_WHITE:
            raise UnreadablePhotograph(_shallow(path, f"a file that says that its white is {white}"))


def _first_picture(data: bytes, plugin: Plugin, pages: list[Page]) -> ImageFile.ImageFile:
    """Open a file at its first page that is no reduced copy."""
    picture = plugin(io.BytesIO(data))
    index = next((page.index for page in pages if page.is_picture), 0)
    if index and isinstance(picture, TiffImageFile):
        picture.seek(index)
    return picture


def _open(picture: ImageFile.ImageFile, data: bytes, kind: str, pages: list[Page]) -> _Opened:
    exif = picture.getexif()
    profile, note = profile_of(picture, exif, data)
    bits = next((page.bits for page in pages if page.is_picture), data[24] if kind == "PNG" else 8)
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return _Opened(
        picture=picture,
        exif=exif,
        profile=profile,
        note=note,
        deep=bits == 16,
        orientation=orientation if orientation in _TURNS else 1,
    )


def _check_single(picture: ImageFile.ImageFile, data: bytes, path: str, pages: list[Page]) -> None:
    """Refuse a file of several pictures: of which of them would the answer be?"""
    count = sum(page.is_picture for page in pages)
    what = "pages"
    if picture.format == "JPEG":
        count, what = count_pictures(data, picture.info.get("mp"), picture.info.get("mpoffset")), "pictures"
    elif not pages:
        count, what = int(getattr(picture, "n_frames", 1)), "frames"
    if count > 1:
        raise UnreadablePhotograph(
            f"{path}: expected one picture, got a file of {count} {what}. Export each as a file of its own."
        )
    if pages and all(page.index is None for page in pages if page.is_picture) and count:
        raise UnreadablePhotograph(
            f"{path}: expected one picture, got a preview before the picture itself, as cameras' own formats have. "
            "Export it as JPEG."
        )


def _failure(data: bytes, path: str, kind: str, pages: list[Page]) -> str:
    """The sentence for a file that no decoder read: it is damaged, or whole and of an uncommon kind."""
    full = [page for page in pages if page.is_picture and page.complete]
    if full:
        compression = TIFF_COMPRESSIONS.get(full[0].compression)
        if compression is None:
            return _unsupported(path, kind, f"a TIFF of compression {full[0].compression}")
        if full[0].compression == 1:
            channels = full[0].first(277, 1)
            return _unsupported(path, kind, f"a TIFF of {channels} x {full[0].bits} bits a pixel")
    if kind == "BMP" and len(data) >= int.from_bytes(data[2:6], "little") > 54:
        bits, method = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
        return _unsupported(path, kind, f"a bitmap of {bits} bits a pixel and compression {method}")
    return (
        f"{path}: expected a whole {kind} picture, got one that is damaged or truncated. Copy it again from the camera."
    )


def _unsupported(path: str, kind: str, came: str) -> str:
    return (
        f"{path}: expected a {kind} picture of a common kind, got {came}, which cannot be read here. Export it as JPEG."
    )


def _shallow(path: str, came: str) -> str:
    return (
        f"{path}: expected 16 bits a channel that reach white (65535), got {came}: 10, 12 or 14 bits may be stored in "
        "them. Export it with 8 bits."
    )


def _draft(picture: ImageFile.ImageFile, target_px: int | None) -> int:
    """Let a JPEG be decoded reduced, keeping its shortest side at least at the target."""
    if target_px is None or picture.format != "JPEG":
        return 1
    before = picture.size[0]
    # Pillow's draft keeps both sides at least as long as asked for.
    picture.draft(None, (target_px, target_px))  # None keeps the mode
    return max(1, round(before / picture.size[0]))


def _to_srgb_pixels(opened: _Opened, path: str, decoded: Photo | None) -> tuple[Photo, str | None]:
    """Pixels in sRGB, of the picture or of what was decoded already, and a sentence if its colours were changed."""
    if decoded is not None and opened.profile is None:
        return decoded, None
    rgb, note = _to_rgb(opened, path) if decoded is None else to_srgb(Image.fromarray(decoded), opened.profile)
    return np.asarray(rgb), note


def _to_rgb(opened: _Opened, path: str) -> tuple[Image.Image, str | None]:
    """Eight-bit RGB in sRGB whatever the mode, and a sentence if its colours were changed."""
    picture: Image.Image = opened.picture
    if picture.mode == "F":
        raise UnreadablePhotograph(
            f"{path}: expected whole-number pixels, got floating-point ones, whose white is not known. "
            "Export it with 8 or 16 bits."
        )
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return to_srgb(Image.fromarray(_eight_bits(np.asarray(picture), path)), opened.profile)
    if picture.has_transparency_data:
        opaque = picture.convert("RGBA")
        rgb, note = to_srgb(opaque.convert("RGB"), opened.profile)
        rgb.putalpha(opaque.getchannel("A"))
        laid = Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), rgb).convert("RGB")
        return _deep_enough(laid, opened, path), note
    plain = picture if picture.mode in ("L", "CMYK", "LAB") else picture.convert("RGB")
    rgb, note = to_srgb(plain, opened.profile)
    return _deep_enough(rgb, opened, path), note


def _deep_enough(rgb: Image.Image, opened: _Opened, path: str) -> Image.Image:
    """Refuse colours of 16 bits, cut to 8 by Pillow, whose brightest value may be the white of fewer bits."""
    brightest = int(np.asarray(rgb).max()) if opened.deep else 255
    if 0 < brightest < LEAST_WHITE // 256:
        raise UnreadablePhotograph(_shallow(path, f"no value above {256 * brightest + 255}"))
    return rgb


def _eight_bits(values: Integer[np.ndarray, "height width"], path: str) -> UInt8[np.ndarray, "height width"]:
    """16-bit grey to 8 bits: 65535 is white."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535:
        raise UnreadablePhotograph(
            f"{path}: expected at most 16 bits a pixel, got values from {low} to {high}. Export it with 8 or 16 bits."
        )
    if 0 < high < LEAST_WHITE:
        raise UnreadablePhotograph(_shallow(path, f"no value above {high}"))
    return np.asarray((values.astype(np.uint32) + 128) // 257, dtype=np.uint8)


def exif_time(exif: Image.Exif) -> str | None:
    """EXIF's time of the photograph as ISO 8601."""
    text = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    time = re.match(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", text) if isinstance(text, str) else None
    return None if time is None else checked_time(f"{time[1]}-{time[2]}-{time[3]}T{time[4]}")
