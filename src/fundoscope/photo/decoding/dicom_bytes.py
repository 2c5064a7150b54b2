"""The bytes of a DICOM file before they are parsed: inflated where they are deflated, and parsed within limits."""

from __future__ import annotations

import io
import zlib
from typing import Final

PREAMBLE_BYTES: Final = 128
"""Before the letters DICM (PS3.10, 7.1)."""

MOST_READS: Final = 200_000
"""Reads that parsing a file may take, two or three an element: a small file may inflate to millions of empty ones."""

_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_EXPLICIT: Final = b"1.2.840.10008.1.2.1"
"""Transfer syntaxes (PS3.5, A.2 and A.5)."""


class BoundedReads(io.BytesIO):
    """Bytes to be parsed by pydicom, which takes seconds for a million elements: beyond `MOST_READS` it is ended."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            ValueError: If too many reads were made.
        """
        self.count += 1
        if self.count > MOST_READS:
            raise ValueError("expected a file of fewer elements")
        return super().read(size)


def without_deflation(data: bytes) -> bytes:
    """Return a DICOM file with its data set inflated, as one that says that it is stored so; any other as it is.

    Raises:
        zlib.error: If it cannot be inflated.
    """
    deflated = deflated_part(data)
    if deflated is None:
        return data
    meta = data[: len(data) - len(deflated)].replace(_DEFLATED, _EXPLICIT.ljust(len(_DEFLATED), b"\0"))
    return meta + zlib.decompress(deflated, -zlib.MAX_WBITS)


def deflated_part(data: bytes) -> bytes | None:
    """Return the data set of a file that is deflated, as it is stored; None of any other."""
    begin = PREAMBLE_BYTES + 4
    if data[begin : begin + 8] != b"\x02\0\0\0UL\x04\0":
        return None
    # The first element of the file's meta information says how many bytes of it follow.
    length = int.from_bytes(data[begin + 8 : begin + 12], "little")
    end = begin + 12 + length
    return data[end:] if _DEFLATED in data[begin:end] else None
