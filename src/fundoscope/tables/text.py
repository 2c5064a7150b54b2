"""Text files of any usual encoding, as text. What is no text is refused."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Final

from fundoscope.errors import BadTable
from fundoscope.tables.notes import note

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, and the encodings that they stand for; UTF-16's begins as one of UTF-32's does."""

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
"""Bytes of no text in Windows-1252."""

WINDOWS: Final = "cp1252"

_WORKBOOK: Final = b"PK\x03\x04"
_OLD_WORKBOOK: Final = b"\xd0\xcf\x11\xe0"


def read_text(path: Path, *, kind: str = "CSV table") -> str:
    """Return a file's text: UTF-8, UTF-16 or UTF-32 with a byte order mark, UTF-8 without, else Windows-1252.

    Of the last a note says so and how the first such word is read.

    Args:
        path: The file.
        kind: What is expected of it; messages say it.

    Raises:
        BadTable: If it is empty or no text.
        OSError: If it cannot be read.
    """
    data = path.read_bytes()
    if not data.strip():
        raise BadTable(f"{path}: expected a {kind}, got an empty file. Write it again.")
    if data.startswith((_WORKBOOK, _OLD_WORKBOOK)):
        raise BadTable(f"{path}: expected a {kind}, got an Excel workbook. Name it .xlsx, or save it as CSV UTF-8.")
    text = _decoded(data, path, kind)
    if "\0" in text:
        raise BadTable(f"{path}: expected a {kind}, got binary data. If it is a table, save it again as CSV UTF-8.")
    if not text.strip():
        raise BadTable(f"{path}: expected a {kind}, got an empty file. Write it again.")
    return text


def _decoded(data: bytes, path: Path, kind: str) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        # Read as Windows-1252, a table with a byte order mark of another encoding would be nonsense.
        text = None if encoding != "utf-8" or _CONTROL.search(data) else _as_windows(data)
        if text is None:
            raise BadTable(
                f"{path}: expected a {kind} in UTF-8, got byte {data[error.start]:#04x} at {error.start}. If it is a "
                "table, save it again as CSV UTF-8."
            ) from None
        word = re.search(r"[^\s,;\t\"]*[^\x00-\x7f][^\s,;\t\"]*", text)
        note(
            f"{path}: not in UTF-8, read as Windows-1252 ({word[0] if word else ''!r}). If letters are wrong, save it "
            "again as CSV UTF-8."
        )
        return text


def _as_windows(data: bytes) -> str | None:
    try:
        return data.decode(WINDOWS)
    except UnicodeDecodeError:
        return None
