"""What Pillow does not say of a JPEG file: its process, further pictures behind the first, and its decoder's warnings.

A usual colour JPEG is decoded by simplejpeg, which hands on the warnings of libjpeg-turbo and gives the pixels that
Pillow gives, in a third of the time.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import simplejpeg

from fundoscope.arrays import Photo
from fundoscope.photo.decoding.tiff import read_pages

_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Markers of frame headers (ITU T.81, table B.1; T.87)."""

_DECODED: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Of those, the processes that are decoded: sequential and progressive."""

_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xDA)})

SMALLER: Final = 0.5
"""Share of the first picture's pixels up to which another one is a preview of it."""

_ENTRY_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A JPEG picture's frame header."""

    marker: int
    precision: int
    """Bits of a channel."""
    width: int
    height: int
    channels: int

    @property
    def unsupported(self) -> str | None:
        """What no decoder here reads, in words; None for the usual."""
        if self.marker not in _DECODED:
            return "a lossless or hierarchical JPEG"
        return None if self.precision == 8 else f"a JPEG of {self.precision} bits a channel"


def read_frame(data: bytes) -> Frame | None:
    """Read the first frame header of a JPEG stream; None where there is none."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            if at + 10 > len(data):
                return None
            precision, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            return Frame(marker=marker, precision=precision, width=width, height=height, channels=channels)
        if marker == 0xDA or length < 2:
            return None
        at += 2 + length
    return None


def count_pictures(data: bytes, index: object, offset: object) -> int:
    """Count the pictures in a JPEG file that are no previews of the first one.

    Args:
        data: The file.
        index: Its index of pictures (CIPA DC-007), if it has one.
        offset: Where the index lies in the file.
    """
    first = read_frame(data)
    if not isinstance(index, bytes) or not isinstance(offset, int) or first is None:
        return 1
    pages = read_pages(index)
    places = _places(index, pages[0].tags.get(0xB002, ())) if pages else []
    others = [read_frame(data[place + offset :]) for place in places if place]
    least = SMALLER * first.width * first.height
    return 1 + sum(frame is not None and frame.width * frame.height > least for frame in others)


def decode_colour(data: bytes, size: tuple[int, int]) -> tuple[Photo | None, str | None]:
    """Decode a JPEG of three channels, stored as brightness and colour, without a warning of the decoder.

    Args:
        data: The file.
        size: (width, height) to decode at: the picture's own, or 1/2, 1/4 or 1/8 of it, rounded up.

    Returns:
        The pixels, and None; or None, and what the decoder warns of: None where the picture is of another kind.
    """
    width, height = size
    try:
        _, _, stored, _ = simplejpeg.decode_jpeg_header(data)
        colours = {"YCbCr": "RGB", "Gray": "GRAY"}.get(stored)
        if colours is None:
            return None, None
        pixels = simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width, min_factor=1, strict=True)
    except (ValueError, RuntimeError) as warning:
        return None, str(warning)
    return (pixels if pixels.shape == (height, width, 3) else None), None


def _places(index: bytes, entries: tuple[int, ...]) -> list[int]:
    """Where the pictures begin, from the index; 0 for the first one."""
    order = "<I" if index[:2] == b"II" else ">I"
    table = bytes(value & 0xFF for value in entries)
    return [struct.unpack_from(order, table, at + 8)[0] for at in range(0, len(table) - _ENTRY_BYTES + 1, _ENTRY_BYTES)]
