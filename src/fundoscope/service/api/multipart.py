"""Multipart requests as they arrive: each file is written to the disk part by part and never held in memory whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from fastapi import HTTPException, Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.files import Incoming

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

LONGEST_VALUE: Final = 1000
"""Bytes of a field."""

LONGEST_BOUNDARY: Final = 70
"""Letters (RFC 2046)."""

OVERHEAD_BYTES: Final = 16 * 1024
"""Of a request, for each photograph beside its bytes."""


def most_bytes(settings: ServiceSettings) -> int:
    """Return the most bytes that a submission may have."""
    return settings.photographs_per_request * (settings.upload_bytes + OVERHEAD_BYTES)


@dataclass(slots=True)
class Part:
    """A part of a request: a field, or a photograph."""

    name: str
    file_name: str | None
    value: bytes = b""
    incoming: Incoming | None = None
    is_too_large: bool = False


@dataclass(slots=True)
class MultipartReader(ABC):
    """The parts of a submission; `discard` removes what of it lies on the disk."""

    media_type: ClassVar[bytes]
    """Content type of the request, without options."""
    media_words: ClassVar[str]
    """Which type was expected, and what to do."""

    settings: ServiceSettings
    files: list[Part] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)
    is_complete: bool = False
    _part: Part | None = None
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _header: tuple[bytes, bytes] = (b"", b"")

    @abstractmethod
    def begin(self, headers: Mapping[bytes, bytes]) -> Part:
        """Return the part that begins.

        Args:
            headers: Its headers, their names in lower case.

        Raises:
            HTTPException: If the request may not have this part.
        """

    async def read(self, request: Request) -> None:
        """Read a request.

        Raises:
            HTTPException: If it is of another type, damaged, or has not between one and the most photographs.
        """
        parser = MultipartParser(self._boundary(request), self._callbacks())
        try:
            async for chunk in request.stream():
                parser.write(chunk)
            parser.finalize()
        except MultipartParseError:
            raise _damaged() from None
        except ClientDisconnect:
            raise HTTPException(400, "request: expected all of it, got a part. Send it again.") from None
        if not self.is_complete:
            raise _damaged()
        if not self.files:
            raise HTTPException(422, "photographs: expected at least one file, got none. Send them as parts.")

    def discard(self) -> None:
        """Remove the photographs that were not kept."""
        for part in self.files:
            if part.incoming is not None:
                part.incoming.discard()

    def begin_file(self, name: str, file_name: str) -> Part:
        """Return the part of a photograph, whose bytes go to the disk.

        Raises:
            HTTPException: If there are too many.
        """
        most = self.settings.photographs_per_request
        if len(self.files) >= most:
            raise HTTPException(413, f"photographs: expected at most {most}, got more. Send fewer at a time.")
        part = Part(name, file_name, incoming=Incoming.begin(self.settings.incoming))
        self.files.append(part)
        return part

    def _boundary(self, request: Request) -> bytes:
        kind, options = parse_options_header(request.headers.get("Content-Type", ""))
        if kind != self.media_type:
            raise HTTPException(415, f"request: {self.media_words}")
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= LONGEST_BOUNDARY:
            raise _damaged()
        return boundary

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_to_header(data[start:end], b""),
            "on_header_value": lambda data, start, end: self._add_to_header(b"", data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": lambda data, start, end: self._write(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._end_all,
        }

    def _begin(self) -> None:
        self._headers, self._header, self._part = {}, (b"", b""), None

    def _add_to_header(self, name: bytes, value: bytes) -> None:
        self._header = (self._header[0] + name, self._header[1] + value)

    def _end_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = (b"", b"")

    def _end_headers(self) -> None:
        self._part = self.begin(self._headers)

    def _write(self, data: bytes) -> None:
        part = self._part
        if part is None:
            raise _damaged()
        if part.incoming is None:
            part.value += data
            if len(part.value) > LONGEST_VALUE:
                raise HTTPException(422, f"{part.name}: expected at most {LONGEST_VALUE} bytes, got more. Shorten it.")
            return
        if part.is_too_large or part.incoming.size + len(data) > self.settings.upload_bytes:
            # The rest of it is read past, for the sake of the photographs that follow.
            part.is_too_large = True
            part.incoming.discard()
            return
        part.incoming.write(data)

    def _end(self) -> None:
        part = self._part
        if part is not None and part.incoming is None:
            self.fields.setdefault(part.name, []).append(part.value.decode("utf-8", "replace"))
        self._part = None

    def _end_all(self) -> None:
        self.is_complete = True


def _damaged() -> HTTPException:
    return HTTPException(400, "request: expected a whole multipart request, got a damaged one. Send it again.")
