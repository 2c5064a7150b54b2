"""Reference grades of a study from a table: one row for each photograph or eye; every row has to fit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fundoscope.errors import BadRequest
from fundoscope.grades import GRADES
from fundoscope.service.store.studies.sittings import NOT_STATED
from fundoscope.service.store.studies.study import CaseContent
from fundoscope.service.work.studies.cases import listing
from fundoscope.tables.words import EYE_WORDS

SEPARATORS: Final = ",;\t"
COLUMNS: Final = ("sha256", "image", "eye", "grade")


def read_references(text: str, contents: Sequence[CaseContent]) -> dict[tuple[str, str], int]:
    """Return the reference grades of a table.

    Args:
        text: CSV with the columns `grade`, `sha256` or `image` (the name of the file), and perhaps `eye`; separated by
            commas, semicolons or tabs. Other columns are not read.
        contents: The cases of the study.

    Returns:
        The grade by the case's identifier and the eye.

    Raises:
        BadRequest: If there is no such table, or rows do not fit; every one of them is named, up to a number.
    """
    rows = _rows(text)
    matcher = _Matcher(contents)
    for line, row in rows:
        matcher.add(line, row)
    if matcher.faults:
        raise BadRequest(
            f"references: expected rows that each fit one photograph of the study, got {listing(matcher.faults)}. "
            "Correct these rows, or leave them out."
        )
    return matcher.grades


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Return the rows of a table with their line numbers, as texts without blanks around them.

    Raises:
        BadRequest: If columns are missing, or a row has more cells than columns.
    """
    header = text.lstrip("\ufeff").lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff").lstrip()), delimiter=separator)
    names = [name.strip().lower() for name in next(reader, [])]
    if "grade" not in names or not {"sha256", "image"} & set(names):
        raise BadRequest(
            f"references: expected the columns grade and sha256 or image, got {', '.join(names) or 'none'}. Name them "
            "in the first line."
        )
    repeated = [name for name in COLUMNS if names.count(name) > 1]
    if repeated:
        raise BadRequest(f"references: expected one column {repeated[0]}, got more. Leave the others out.")
    # The list is made at once, so that a table that is none is refused before any row is looked at.
    try:
        return iter(
            [
                (reader.line_num, dict(zip(names, map(str.strip, cells), strict=False)))
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
        )
    except csv.Error as problem:
        raise BadRequest(
            f"references: expected a CSV table, got line {reader.line_num}: {problem}. Correct it."
        ) from None


@dataclass(slots=True)
class _Matcher:
    """Finds the eye that each row is of, and keeps its grade."""

    contents: Sequence[CaseContent]
    grades: dict[tuple[str, str], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _eyes: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)
    """Case and eye of each photograph, by its hash and by its name."""

    def __post_init__(self) -> None:
        for content in self.contents:
            for photograph in content.photographs:
                for key in (photograph["sha256"], f"image {photograph['name']}"):
                    self._eyes.setdefault(key, []).append((content.case.uid, photograph["eye"]))

    def add(self, line: int, row: Mapping[str, str]) -> None:
        """Keep the grade of a row, or note why it does not fit."""
        fault = self._fault(row)
        if fault:
            self.faults.append(f"line {line}: {fault}")

    def _fault(self, row: Mapping[str, str]) -> str:
        """Keep the grade of a row and return nothing, or return why it does not fit."""
        name = row.get("sha256", "").lower() or f"image {row.get('image', '')}"
        photographs = self._eyes.get(name, [])
        if len(photographs) != 1:
            return f"{name:.80} is {'no photograph' if not photographs else 'more than one photograph'} of the study"
        ((uid, photographed),) = photographs
        stated = EYE_WORDS.get(row.get("eye", "").lower(), "" if not row.get("eye") else None)
        if stated is None:
            return f"the eye is {row['eye']!r:.40}, not left or right"
        if stated and photographed is not None and stated != photographed:
            return f"the eye is {stated}, but the photograph is of the {photographed} eye"
        grade = row.get("grade", "")
        if grade not in [str(number) for number in range(GRADES)]:
            return f"the grade is {grade!r:.40}, not 0 to {GRADES - 1}"
        key = (uid, photographed or NOT_STATED)
        if self.grades.setdefault(key, int(grade)) != int(grade):
            return f"the grade is {grade}, but another row says {self.grades[key]} of the same eye"
        return ""
