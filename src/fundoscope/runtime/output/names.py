"""Names that must not go out with results: of files, which often name the patient, and on request of patients."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fundoscope.runtime.tasks.task import Row

IDENTIFYING: Final = ("source", "patient_raw", "taken", "study_uid", "series_uid", "sop_uid", "accession", "sha256")
"""Columns that say whose a photograph is, or lead to it, beside the patient's own."""

FELLOW: Final = re.compile(r"(Graded without the other eye: ).+?( could not be read| is not )")
"""Sentences on the other eye, which name its file (`reading.FELLOW_WORDS`)."""


def without_files(reason: str | None, paths: Sequence[Path]) -> str:
    """Return a reason without the names of files: that of the photograph stands before it, if at all."""
    text = reason or ""
    for path in paths:
        text = text.removeprefix(f"{path}: ")
    return FELLOW.sub(r"\1its photograph\2", text)


class Pseudonyms:
    """Made-up patients: the same for the same patient throughout one run, and random."""

    def __init__(self) -> None:
        self._names: dict[tuple[object, object], str] = {}

    def row(self, row: Row) -> dict[str, Any]:
        """Return a row of the predictions table with a made-up patient, and without dates, identifiers and hashes."""
        gone = dict.fromkeys(IDENTIFYING)
        if row["patient"] is None:
            return {**row, **gone}
        name = self._names.setdefault((row["source"], row["patient"]), f"ANON-{secrets.token_hex(8)}")
        return {**row, **gone, "patient": name}
