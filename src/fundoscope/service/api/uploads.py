"""A submission as it arrives: multipart/form-data, written to the disk part by part and never held in memory whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fastapi import HTTPException, Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.files import Incoming
from fundoscope.service.work.intake import Submission

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELDS: Final = ("patient", "eye", "taken")
"""What a sender may say of photographs: once for all of them, or once for each, in order."""

IGNORED_FIELDS: Final = ("csrf",)
LONGEST_VALUE: Final = 1000
"""Bytes of a field."""

OVERHEAD_BYTES: Final = 16 * 1024
"""Of a request, for each photograph beside its bytes."""


def most_bytes(settings: ServiceSettings) -> int:
    """Return the most bytes that a submission may have."""
    return settings.photographs_per_request * (settings.upload_bytes + OVERHEAD_BYTES)


@dataclass(slots=True)
class _Part:
    """A part of the form: a field, or a photograph."""

    name: str
    file_name: str | None
    value: bytes = b""
    incoming: Incoming | None = None
    is_too_large: bool = False


@dataclass(slots=True)
class Upload:
    """The parts of a submission; `discard` removes what of it lies on the disk."""

    settings: ServiceSettings
    files: list[_Part] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)
    is_complete: bool = False
    _part: _Part | None = None
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _header: tuple[bytes, bytes] = (b"", b"")

    async def read(self, request: Request) -> None:
        """Read a request.

        Raises:
            HTTPException: If it is no form, or not one of at most so many photographs of at most so many bytes.
        """
        boundary = _boundary(request)
        parser = MultipartParser(boundary, self._callbacks())
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
            raise HTTPException(422, "photographs: expected at least one file, got none. Send them as files of a form.")

    def submissions(self) -> list[Submission]:
        """Return the photographs with what is said of them.

        Raises:
            HTTPException: If a field comes neither once nor once for each photograph.
        """
        values: dict[str, list[str | None]] = {}
        for name in FIELDS:
            given, count = self.fields.get(name, []), len(self.files)
            if len(given) not in (0, 1, count):
                raise HTTPException(
                    422, f"{name}: expected one value for all {count} photographs or one for each, got {len(given)}."
                )
            values[name] = [value or None for value in given] * (1 if len(given) == count else count) or [None] * count
        return [
            Submission(
                incoming=incoming,
                name=part.file_name or "",
                limit=self.settings.upload_bytes if part.is_too_large else None,
                patient=values["patient"][number],
                eye=values["eye"][number],
                taken=values["taken"][number],
            )
            for number, part in enumerate(self.files)
            if (incoming := part.incoming) is not None
        ]

    def discard(self) -> None:
        """Remove the photographs that were not kept."""
        for part in self.files:
            if part.incoming is not None:
                part.incoming.discard()

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
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        if file_name is None:
            if name not in (*FIELDS, *IGNORED_FIELDS):
                raise HTTPException(
                    422,
                    f"{name[:40]!r}: expected a photograph or one of {', '.join(FIELDS)}, got another field. Leave it "
                    "out.",
                )
            if sum(map(len, self.fields.values())) >= len(FIELDS) * self.settings.photographs_per_request + 1:
                raise HTTPException(422, "form: expected fewer fields, got too many. Send fewer photographs at a time.")
            self._part = _Part(name, None)
            return
        most = self.settings.photographs_per_request
        if len(self.files) >= most:
            raise HTTPException(413, f"photographs: expected at most {most}, got more. Send fewer at a time.")
        incoming = Incoming.begin(self.settings.incoming)
        self._part = _Part(name, file_name.decode("utf-8", "replace"), incoming=incoming)
        self.files.append(self._part)

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


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("Content-Type", ""))
    if kind != b"multipart/form-data":
        raise HTTPException(
            415, "request: expected multipart/form-data, got another type. Send photographs as files of a form."
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise _damaged()
    return boundary


def _damaged() -> HTTPException:
    return HTTPException(400, "request: expected a whole multipart form, got one that is damaged. Send it again.")
