"""ICDR grades in words, and codes for photographs that nobody could grade."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadRequest, BadTable
from fundoscope.grades import GRADES
from fundoscope.tables.columns import BLANK_NUMBERS, row_number
from fundoscope.tables.notes import note

OPTION: Final = "--grade-map"

UNGRADABLE: Final = "ungradable"
"""Value of a code for a photograph that nobody could grade: its grade becomes blank and its quality reject."""

UNKNOWN: Final = "unknown"
"""Value of a code for a photograph that has no grade."""

REJECT: Final = "reject"

_STAGES: Final = ("mild", "moderate", "severe")
_WORDS: Final = {
    "no dr": 0, "nodr": 0, "no apparent dr": 0, "no retinopathy": 0, "no apparent retinopathy": 0,
    **{
        form.format(stage): grade
        for grade, stage in enumerate(_STAGES, start=1)
        for form in ("{}", "{} dr", "{} npdr", "npdr {}", "{} nonproliferative", "{} nonproliferative dr",
                     "{} nonproliferative retinopathy", "{} retinopathy")
    },
    "proliferative": 4, "proliferative dr": 4, "proliferate dr": 4, "proliferative retinopathy": 4, "pdr": 4,
}  # fmt: skip
"""The scale's own names and their usual abbreviations, as `_plain` writes them. Words of other scales (R0, NPDR,
normal, very severe) need a code."""

_NUMBERED: Final = re.compile(r"([0-4])\s*[-:.,(=]\s*(.+?)\s*\)?")


def read_grades(words: pd.Series, codes: Mapping[str, str], path: Path) -> tuple[pd.Series, pd.Series]:
    """Return grades, and for each row whether its code says that nobody could grade it.

    Numbers 0 to 4 are grades, as are the scale's own words; all else needs a code. A note says how words were read.

    Args:
        words: The column of grades as it is written.
        codes: Of each further word or number its grade, `UNGRADABLE` or `UNKNOWN`; capitals do not matter.
            They go first.
        path: Where the column is from, for messages.

    Raises:
        BadRequest: If a code's value is neither a grade nor one of these words.
        BadTable: If a word has no grade.
    """
    grade_of = {_plain(code): _value(code, value) for code, value in codes.items()}
    cells = [None if pd.isna(word) else str(word).strip() for word in words.tolist()]
    in_words = any(cell and cell.lower() not in BLANK_NUMBERS and not _is_number(_plain(cell)) for cell in cells)
    grades: list[int | str | None] = []
    readings: dict[str, int | str] = {}
    for at, cell in enumerate(cells):
        value = None if not cell else grade_of.get(_plain(cell), _known(cell))
        # Among words, None may mean no retinopathy as well as no grade.
        blank = not cell or (cell.lower() in BLANK_NUMBERS and not (in_words and cell.lower() == "none"))
        if value is None and not blank:
            raise BadTable(
                f"{path}: row {row_number(path, int(words.index[at]))}, column {words.name}: expected a grade from 0 "
                f"to {GRADES - 1} or one of its names, got {cell!r}. Say what it means: {OPTION} '{cell}=GRADE', with "
                f"a grade, {UNGRADABLE} or {UNKNOWN} after the sign."
            )
        if value is not None and cell and cell != str(value):
            readings[cell] = value
        grades.append(value)
    if spelled := {cell: value for cell, value in readings.items() if not _is_number(cell) or _plain(cell) in grade_of}:
        named = ", ".join(f"{cell} is {value}" for cell, value in spelled.items())
        note(f"{path}: column {words.name}: {named}.")
    return (
        pd.Series([None if isinstance(grade, str) else grade for grade in grades], index=words.index, dtype=object),
        pd.Series([grade == UNGRADABLE for grade in grades], index=words.index, dtype=bool),
    )


def grade_map(text: str) -> dict[str, str]:
    """Read WORD=GRADE,WORD=GRADE,...; the grade is 0 to 4, `UNGRADABLE` or `UNKNOWN`.

    Raises:
        BadRequest: If it is none.
    """
    codes: dict[str, str] = {}
    for part in text.split(","):
        word, sign, grade = (piece.strip() for piece in part.rpartition("="))
        if not sign or not word:
            raise BadRequest(f"{OPTION}: expected WORD=GRADE,WORD=GRADE,..., got {part.strip()!r}. Correct it.")
        if _plain(word) in map(_plain, codes):
            raise BadRequest(f"{OPTION}: expected {word} once, got it twice. Leave one out.")
        _value(word, grade)
        codes[word] = grade
    return codes


def _value(code: str, value: str) -> int | str:
    if value.lower() in (UNGRADABLE, UNKNOWN):
        return value.lower()
    if value not in {str(grade) for grade in range(GRADES)}:
        raise BadRequest(
            f"{OPTION}: expected a grade from 0 to {GRADES - 1}, {UNGRADABLE} or {UNKNOWN} for {code}, got {value!r}. "
            "Correct it."
        )
    return int(value)


def _known(cell: str) -> int | str | None:
    """Return the grade of a number or of the scale's own words; None of anything else."""
    plain = _plain(cell)
    if plain in ("ungradable", "ungradeable"):
        return UNGRADABLE
    if _is_number(plain):
        number = float(plain)
        return int(number) if number.is_integer() and 0 <= number < GRADES else None
    numbered = _NUMBERED.fullmatch(cell.strip())
    if numbered is not None:
        # 2 - Moderate: only if number and word agree.
        return int(numbered[1]) if _WORDS.get(_plain(numbered[2])) == int(numbered[1]) else None
    return _WORDS.get(plain)


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?", cell) is not None


def _plain(word: str) -> str:
    """Return a word in small letters, its signs as blanks and its numbers without decimals."""
    text = word.strip().lower()
    if _is_number(text):
        return re.sub(r"\.0*$", "", text)
    text = " ".join(re.sub(r"[-_\s]+", " ", text).split())
    return text.replace("non proliferative", "nonproliferative").replace("diabetic retinopathy", "dr")
