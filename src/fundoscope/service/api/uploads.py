"""The form by which photographs are sent, multipart/form-data, and what its fields say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import HTTPException
from python_multipart.multipart import parse_options_header

from fundoscope.service.api.multipart import MultipartReader, Part
from fundoscope.service.work.intake import Submission

FIELDS: Final = ("patient", "eye", "taken")
"""What a sender may say of photographs: once for all of them, or once for each, in order."""

IGNORED_FIELDS: Final = ("csrf",)


@dataclass(slots=True)
class Upload(MultipartReader):
    """A form that arrives."""

    media_type: ClassVar[bytes] = b"multipart/form-data"
    media_words: ClassVar[str] = "expected multipart/form-data, got another type. Send photographs as files of a form."

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

    def begin(self, headers: Mapping[bytes, bytes]) -> Part:
        """Return the part that begins. Raises as `MultipartReader.begin`."""
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        if file_name is not None:
            return self.begin_file(name, file_name.decode("utf-8", "replace"))
        if name not in (*FIELDS, *IGNORED_FIELDS):
            raise HTTPException(
                422,
                f"{name[:40]!r}: expected a photograph or one of {', '.join(FIELDS)}, got another field. Leave it out.",
            )
        if sum(map(len, self.fields.values())) >= len(FIELDS) * self.settings.photographs_per_request + 1:
            raise HTTPException(422, "form: expected fewer fields, got too many. Send fewer photographs at a time.")
        return Part(name, None)
