"""The columns of manifests and predictions: what each may hold. `checks` holds tables against them.

A blank cell is unknown, never 0. Columns that are not listed here are kept as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fundoscope.grades import DECISIONS, EYES, GRADES, QUALITY_NAMES
from fundoscope.tables.words import EYE_WORDS, SEX_WORDS


@dataclass(frozen=True, slots=True)
class Column:
    """What a column may hold."""

    kind: str = "text"
    """text, hash (64 hexadecimal digits), whole (a whole number), number, or share (a number in [0, 1])."""
    allowed: tuple[str, ...] | tuple[int, ...] = ()
    """The only values it may hold beside blank; empty: any."""
    note: str = ""
    """What it says, in words."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Other programs' words in small letters, each with the allowed value that it means."""

    @property
    def values(self) -> str:
        """The values that it may hold, in words."""
        return ", ".join(map(str, self.allowed)) or _KINDS[self.kind]

    @property
    def meaning(self) -> str:
        """What it says, and the other words that are read."""
        others = sorted(word for word in self.words if word not in self.allowed)
        return "; ".join(filter(None, (self.note, f"also read: {', '.join(others)}" if others else "")))


_KINDS: Final = {
    "text": "text",
    "hash": "64 hexadecimal digits",
    "whole": "whole number",
    "number": "number",
    "share": "number from 0 to 1",
}
"""The kinds of a column, in words."""

_GRADE = tuple(range(GRADES))
STORED_DIGITS: Final = 6
"""Decimals of every fraction in a table that is written: below them computers differ."""

_STATUS = ("graded", "ungradable", "unreadable")
_SHARED: Final[dict[str, Column]] = {
    "image": Column(note="path of the photograph, relative to the table; never blank, never twice"),
    "sha256": Column("hash", note="SHA-256 of the file"),
    "source": Column(note="the collection it is from"),
    "patient": Column(note="any text that is the same for all photographs of one person"),
    "eye": Column(allowed=EYES, words=EYE_WORDS, note="the patient's eye, not the side of the picture"),
}

LESION_MASKS: Final = {
    "mask_ma": "microaneurysms",
    "mask_he": "haemorrhages",
    "mask_ex": "hard exudates",
    "mask_se": "soft exudates",
}
"""Columns of a manifest that name masks of lesions, and what the lesions are called."""

DISC_MASK: Final = "mask_od"
"""Column of a manifest that names masks of the optic disc."""

MASK_COLUMNS: Final = (*LESION_MASKS, DISC_MASK)

MANIFEST_COLUMNS: Final[dict[str, Column]] = {
    **_SHARED,
    "visit": Column(note="any text that is the same for all photographs of one visit"),
    "taken": Column(note="when, ISO 8601"),
    "grade": Column("whole", _GRADE, "reference ICDR grade"),
    "dme": Column("whole", (0, 1, 2), "diabetic macular oedema: 0 none, 1 present, 2 referable"),
    "quality": Column(allowed=QUALITY_NAMES, note="quality of the photograph, by a reader"),
    "split": Column(allowed=("train", "val", "test"), note="part of the data"),
    "fold": Column("whole", note="number of the fold, from 0"),
    "duplicate_group": Column(note="the same text for photographs that repeat one another"),
    "eye_group": Column(note="the same text for photographs that show one eye, as the audit found"),
    "label": Column(note="one class, for other tasks"),
    "grade_second": Column("whole", _GRADE, "a second reader's or source's ICDR grade of the same photograph"),
    "grade_original": Column("whole", _GRADE, "the grade before a reader corrected it"),
    "grade_by": Column(note="who corrected the grade"),
    "grade_why": Column(note="why"),
    "modality": Column(allowed=("fundus", "oct"), note="the kind of picture; blank is fundus"),
    "camera": Column(note="make and model, or the source's name for it"),
    "site": Column(note="where it was taken"),
    "sex": Column(allowed=("female", "male"), words=SEX_WORDS, note="of the patient"),
    "age": Column("number", note="in years"),
    "eye_inferred": Column(allowed=EYES, words=EYE_WORDS, note="read off the picture, not recorded"),
    "boxes": Column(note="path of a table of lesion boxes, relative to this table"),
    **{
        name: Column(note=f"path of a mask of {kind}, relative to this table")
        for name, kind in {**LESION_MASKS, DISC_MASK: "the optic disc"}.items()
    },
}
"""Columns of a manifest, in order. Only `image` is needed."""

SIGN_PREFIX: Final = "sign_"
"""Columns that begin so are multi-label targets, named by the sign: 0 absent, 1 present, blank unknown."""

SIGN: Final = Column("whole", (0, 1), "a sign: 0 absent, 1 present")

PROBABILITIES: Final = tuple(f"p{k}" for k in range(GRADES))
"""The columns of the five probabilities."""

PREDICTION_COLUMNS: Final[dict[str, Column]] = {
    "image": _SHARED["image"],
    "sha256": _SHARED["sha256"],
    "source": _SHARED["source"],
    "patient": _SHARED["patient"],
    "patient_raw": Column(note="the patient's name as it is written, where `patient` differs from it"),
    "eye": _SHARED["eye"],
    "taken": Column(note="when, ISO 8601"),
    "study_uid": Column(note="DICOM's StudyInstanceUID"),
    "series_uid": Column(note="DICOM's SeriesInstanceUID"),
    "sop_uid": Column(note="DICOM's SOPInstanceUID"),
    "accession": Column(note="DICOM's AccessionNumber, the order that the study answers"),
    "position": Column(note="where the field lies on the retina, as DICOM says it: Macula centered, Disc centered..."),
    "graded_at": Column(note="when, ISO 8601"),
    "status": Column(allowed=_STATUS, note="what became of the photograph"),
    "reason": Column(note="why it could not be graded or read; blank where nothing is to be said"),
    "quality": Column(allowed=QUALITY_NAMES, note="quality of the photograph; reject cannot be graded"),
    **{
        f"q_{part}": Column("share", note="a part of the quality; 1 is best")
        for part in ("field_size", "sharpness", "exposure", "contrast", "vessels")
    },
    **{f"raw{k}": Column("number", note="the head's raw output") for k in range(GRADES)},
    **{f"cut{k}": Column("number", note=f"a second head's logit of grade > {k}") for k in range(GRADES - 1)},
    **{f"p{k}": Column("share", note=f"probability of grade {k}") for k in range(GRADES)},
    "p_referable": Column("share", note="probability of grade 2 or above"),
    "grade": Column("whole", _GRADE, "the answer"),
    "decision": Column(allowed=DECISIONS, note="the answer for the photograph, most urgent first"),
    "grades_set": Column(note="the set of grades that cannot be excluded"),
    "dust_map": Column(
        "hash", note="seal of the site's dust map that its specks were retouched by; blank: not retouched"
    ),
    "retouched": Column("whole", note="specks of the sensor that were retouched"),
    "patient_note": Column(note="what is to be known of the patient's answer: one eye only, an eye not known"),
    "fold": Column("whole", note="fold in which it was held out; blank: not out-of-fold"),
    "release": Column(note="what answered"),
}
"""Columns of predictions, in order. A foreign table needs `image` and one of grade, p_referable or p0 to p4."""

BLANK_NUMBERS: Final = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})
"""Words for "unknown" that other programs write into columns of numbers; in columns of text they are text."""

WITH_HEADER: Final = (".csv", ".tsv", ".xlsx")
"""Suffixes of tables whose first row is the header."""


def row_number(path: Path, at: int) -> int:
    """Return the number of a record as a spreadsheet shows it.

    In a CSV table or a workbook the header is row 1; in Parquet and JSON lines the first record is.
    """
    return at + (2 if path.suffix.lower() in WITH_HEADER else 1)
