"""What a TIFF file's directories say: how many pictures it holds, of which kind, and whether they are all there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MOST_PAGES: Final = 10_000
"""Directories after which no more are read."""

MOST_VALUES: Final = 100_000
"""Values of one tag of which no more are read."""

REDUCED, MASK = 1, 4
"""Bits of NewSubfileType (TIFF 6.0, section 8)."""

_SIZES: Final = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
"""Struct's letters of the types that are read: whole numbers and bytes."""

_TYPE_BYTES: Final = {1: 1, 3: 2, 4: 4, 7: 1, 13: 4, 16: 8, 18: 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One directory: a picture, a reduced copy of one, or a mask."""

    tags: dict[int, tuple[int, ...]]
    """Whole numbers by tag."""
    index: int | None
    """Its number in the chain of directories; None for one below another."""
    complete: bool
    """Whether all its pixels lie within the file."""

    def first(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return self.tags.get(tag, (default,))[0]

    @property
    def is_picture(self) -> bool:
        """Whether it is marked neither as a reduced copy nor as a mask."""
        return not self.first(254, 0) & (REDUCED | MASK) and self.first(255, 1) != 2

    @property
    def bits(self) -> int:
        """Bits of a channel."""
        return max(self.tags.get(258, (1,)))

    @property
    def compression(self) -> int:
        """TIFF's number of the compression."""
        return self.first(259, 1)


def read_pages(data: bytes) -> list[Page]:
    """Read the directories of a TIFF file, those below others behind them; of a damaged file what can be read."""
    if len(data) < 16:
        return []
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    reader = _Reader(data, order, big=big)
    start = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
    pages = list(reader.chain(start))
    below = [offset for page in pages for offset in page.tags.get(330, ())]
    return pages + [page for offset in below for page in reader.chain(offset, below=True)]


class _Reader:
    """Directories of one file, each read once."""

    def __init__(self, data: bytes, order: str, *, big: bool) -> None:
        self.data = data
        self.order = order
        self.big = big
        self.read: set[int] = set()

    def chain(self, offset: int, *, below: bool = False) -> Iterator[Page]:
        """Yield a directory and those that follow it."""
        index = 0
        while offset and offset not in self.read and len(self.read) < MOST_PAGES:
            self.read.add(offset)
            try:
                tags, offset = self._directory(offset)
            except struct.error:
                return
            yield Page(tags=tags, index=None if below else index, complete=self._is_complete(tags))
            index += 1

    def _directory(self, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
        """Return a directory's whole numbers by tag, and where the next directory lies."""
        count_type, entry_bytes, next_type = ("Q", 20, "Q") if self.big else ("H", 12, "I")
        (count,) = struct.unpack_from(self.order + count_type, self.data, offset)
        first = offset + struct.calcsize(count_type)
        end = first + count * entry_bytes
        (following,) = struct.unpack_from(self.order + next_type, self.data, end) if end <= len(self.data) else (0,)
        count = min(count, (len(self.data) - first) // entry_bytes)
        entries = (self._entry(first + number * entry_bytes) for number in range(count))
        return {tag: values for tag, values in entries if values}, following

    def _entry(self, at: int) -> tuple[int, tuple[int, ...]]:
        tag, kind = struct.unpack_from(f"{self.order}HH", self.data, at)
        number_type = "Q" if self.big else "I"
        (count,) = struct.unpack_from(self.order + number_type, self.data, at + 4)
        place = at + 4 + struct.calcsize(number_type)
        if kind not in _SIZES or count > MOST_VALUES:
            return tag, ()
        if count * _TYPE_BYTES[kind] > struct.calcsize(number_type):
            (place,) = struct.unpack_from(self.order + number_type, self.data, place)
        return tag, struct.unpack_from(f"{self.order}{count}{_SIZES[kind]}", self.data, place)

    def _is_complete(self, tags: dict[int, tuple[int, ...]]) -> bool:
        for places, sizes in ((273, 279), (324, 325)):  # strips, tiles
            ends = [place + size for place, size in zip(tags.get(places, ()), tags.get(sizes, ()), strict=False)]
            if ends:
                return max(ends) <= len(self.data)
        return False
