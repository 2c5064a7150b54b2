"""The columns of manifests and predictions, and the checks that a table passes before it is used.

A blank cell is unknown, never 0. Columns that are not listed here are kept as they came. Row numbers
in messages are those a spreadsheet shows: in a CSV the header is row 1; in Parquet and JSON lines
the first record is row 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.grades import EYES, GRADES, QUALITY_NAMES


@dataclass(frozen=True, slots=True)
class Column:
    """What a column may hold."""

    kind: str = "text"
    """text, hash (64 hexadecimal digits), whole (a whole number), number, or share (a number in [0, 1])."""
    allowed: tuple[str, ...] | tuple[int, ...] = ()
    """The only values it may hold beside blank; empty: any."""
    note: str = ""
    """What it says, in words."""


_GRADE = tuple(range(GRADES))
_STATUS = ("graded", "ungradable", "unreadable")
_SHARED: Final[dict[str, Column]] = {
    "image": Column(note="path of the photograph, relative to the table; never blank, never twice"),
    "sha256": Column("hash", note="SHA-256 of the file, 64 hexadecimal digits"),
    "source": Column(note="the collection it is from"),
    "patient": Column(note="any text that is the same for all photographs of one person"),
    "eye": Column(allowed=EYES),
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
    "quality": Column(allowed=QUALITY_NAMES),
    "split": Column(allowed=("train", "val", "test")),
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
    "sex": Column(allowed=("female", "male")),
    "age": Column("number", note="in years"),
    "eye_inferred": Column(allowed=EYES, note="read off the picture, not recorded"),
    "boxes": Column(note="path of a table of lesion boxes, relative to this table"),
    **{name: Column(note="path of a mask, relative to this table") for name in MASK_COLUMNS},
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
    "sop_uid": Column(note="DICOM's SOPInstanceUID"),
    "graded_at": Column(note="when, ISO 8601"),
    "status": Column(allowed=_STATUS),
    "reason": Column(note="why it could not be graded or read; blank where nothing is to be said"),
    "quality": Column(allowed=QUALITY_NAMES),
    **{
        f"q_{part}": Column("share", note="a part of the quality; 1 is best")
        for part in ("field_size", "sharpness", "exposure", "contrast", "vessels")
    },
    **{f"raw{k}": Column("number", note="the head's raw output") for k in range(GRADES)},
    **{f"cut{k}": Column("number", note=f"a second head's logit of grade > {k}") for k in range(GRADES - 1)},
    **{f"p{k}": Column("share", note=f"probability of grade {k}") for k in range(GRADES)},
    "p_referable": Column("share", note="probability of grade 2 or above"),
    "grade": Column("whole", _GRADE, "the answer"),
    "decision": Column(allowed=("refer", "rescreen", "cannot grade")),
    "grades_set": Column(note="the set of grades that cannot be excluded"),
    "patient_note": Column(note="what is to be known of the patient's answer: one eye only, an eye not known"),
    "fold": Column("whole", note="fold in which it was held out; blank: not out-of-fold"),
    "release": Column(note="what answered"),
}
"""Columns of predictions, in order. A foreign table needs `image` and one of grade, p_referable or p0 to p4."""

BLANK_NUMBERS: Final = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})
"""Words for "unknown" that other programs write into columns of numbers; in columns of text they are text."""

SHARE_SLACK: Final = 1e-6
"""How far outside [0, 1] a share may lie and be moved to its edge: single precision rounds so."""

PROBABILITY_SLACK: Final = 0.01
"""How far p0 to p4 may be from summing to 1: tables are rounded."""


def check_manifest(frame: pd.DataFrame, *, path: Path | str) -> pd.DataFrame:
    """A manifest with its columns typed, or refused.

    Args:
        frame: The table as read or built.
        path: Where it is from; messages name it, and its suffix says how rows are counted.

    Raises:
        BadTable: If `image` is missing, blank or repeated, or a value is not allowed in its column.
    """
    signs = {name: SIGN for name in map(str, frame.columns) if name.startswith(SIGN_PREFIX)}
    frame = typed(frame, {**MANIFEST_COLUMNS, **signs}, Path(path))
    _check_images(frame, Path(path))
    return frame


def check_predictions(frame: pd.DataFrame, *, path: Path | str) -> pd.DataFrame:
    """Predictions with their columns typed, or refused. Any system's table will do.

    Raises:
        BadTable: As `check_manifest`; also if there is neither a grade nor a score nor
            probabilities, or probabilities are given in part or do not sum to 1.
    """
    place = Path(path)
    frame = typed(frame, PREDICTION_COLUMNS, place)
    _check_images(frame, place)
    held = [name for name in PROBABILITIES if name in frame]
    if held and len(held) < GRADES:
        missing = ", ".join(name for name in PROBABILITIES if name not in frame)
        raise BadTable(f"{place}: expected all of p0 to p4 or none, got {', '.join(held)}. Add {missing}.")
    if not held and not {"grade", "p_referable"} & set(frame.columns):
        raise BadTable(
            f"{place}: expected a column grade, p_referable or p0 to p4, got {_listed(frame)}. "
            "Rename the column that holds the answer."
        )
    if held:
        _check_sums(frame, place)
    return frame


def _check_sums(frame: pd.DataFrame, path: Path) -> None:
    given = frame[list(PROBABILITIES)]
    partial = given.isna().any(axis=1) & given.notna().any(axis=1)
    off = (given.sum(axis=1) - 1).abs().gt(PROBABILITY_SLACK) & given.notna().all(axis=1)
    for wrong, got in ((partial, "a blank among them"), (off, None)):
        if wrong.any():
            at = int(wrong.to_numpy().argmax())
            came = got or f"a sum of {given.iloc[at].sum():.3f}"
            raise BadTable(
                f"{path}: row {row_number(path, at)}, columns p0 to p4: expected five shares that sum to 1, "
                f"got {came}. Correct the row, or leave all five blank."
            )


def _check_images(frame: pd.DataFrame, path: Path) -> None:
    if "image" not in frame:
        raise BadTable(
            f"{path}: expected a column image, got {_listed(frame)}. Name the column of the pictures' paths image."
        )
    blank = frame["image"].isna().to_numpy()
    if blank.any():
        raise BadTable(
            f"{path}: row {row_number(path, int(blank.argmax()))}, column image: expected the path of a picture, "
            "got a blank. Fill it in, or delete the row."
        )
    repeated = frame["image"].duplicated(keep=False).to_numpy()
    if repeated.any():
        name = frame["image"].iloc[int(repeated.argmax())]
        places = [row_number(path, at) for at in (frame["image"] == name).to_numpy().nonzero()[0].tolist()]
        raise BadTable(
            f"{path}: rows {', '.join(map(str, places[:5]))}, column image: expected every picture once, "
            f"got {name!r} {len(places)} times. Delete all but one."
        )


def typed(frame: pd.DataFrame, columns: Mapping[str, Column], path: Path) -> pd.DataFrame:
    """The frame with every known column in its type; a value that it cannot hold is refused by its row."""
    result = frame.copy()
    for name, column in columns.items():
        if name not in frame:
            continue
        read, dtype = _KINDS[column.kind]
        values = [None if _is_blank(value) else read(value, column) for value in frame[name].tolist()]
        for at, value in enumerate(values):
            if value is _WRONG:
                raise BadTable(
                    f"{path}: row {row_number(path, at)}, column {name}: expected {_expected(column)}, "
                    f"got {str(frame[name].iloc[at])!r}. Correct it, or leave it blank if it is not known."
                )
        result[name] = pd.Series(values, index=frame.index, dtype=dtype)
    return result


_WRONG: Final = object()


def _is_blank(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _read_text(value: object, column: Column) -> object:
    """Numbers in a column of text (a Parquet table's patient 7.0) become the text a person would write."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if not text.strip():
        return None
    if not column.allowed:
        return text
    return text.strip() if text.strip() in column.allowed else _WRONG


def _read_hash(value: object, column: Column) -> object:
    text = str(value).strip().lower()
    if not text:
        return None
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else _WRONG


def _read_number(value: object, column: Column) -> object:
    text = str(value).strip()
    if text.lower() in BLANK_NUMBERS:
        return None
    try:
        number = float(text.replace("_", "?"))  # Python reads 1_000 as a number; tables do not
    except ValueError:
        return _WRONG
    return number if math.isfinite(number) else _WRONG


def _read_share(value: object, column: Column) -> object:
    number = _read_number(value, column)
    if not isinstance(number, float):
        return number
    # max(0.0, -0.0) is 0.0, its first argument: other programs write -0.0, which would be shown as -0 %.
    return min(max(0.0, number), 1.0) if -SHARE_SLACK <= number <= 1 + SHARE_SLACK else _WRONG


def _read_whole(value: object, column: Column) -> object:
    number = _read_number(value, column)
    if not isinstance(number, float):
        return number
    if not number.is_integer() or (column.allowed and int(number) not in column.allowed):
        return _WRONG
    return int(number)


_KINDS: Final[dict[str, tuple[Callable[[object, Column], object], Any]]] = {
    "text": (_read_text, object),
    "hash": (_read_hash, object),
    "whole": (_read_whole, "Int64"),
    "number": (_read_number, "float64"),
    "share": (_read_share, "float64"),
}
"""How a kind's values are read, and pandas' type for them."""

_WORDS: Final = {
    "text": "text",
    "hash": "64 hexadecimal digits",
    "whole": "a whole number",
    "number": "a number",
    "share": "a number from 0 to 1",
}


def _expected(column: Column) -> str:
    return f"one of {', '.join(map(str, column.allowed))}" if column.allowed else _WORDS[column.kind]


def row_number(path: Path, at: int) -> int:
    """The number of a record as a person sees it; CSV counts the header."""
    return at + (2 if path.suffix.lower() == ".csv" else 1)


def _listed(frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
