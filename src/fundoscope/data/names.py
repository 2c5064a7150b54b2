"""Patients and eyes that are written into the names of photographs, as EyePACS does (10_left.jpeg)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import pandas as pd

from fundoscope.errors import BadRequest, BadTable
from fundoscope.tables.words import EYE_WORDS

OPTION: Final = "--patient-from"
GROUPS: Final = ("patient", "eye")
"""Names of groups that an expression may have."""

LONGEST_READ: Final = 500
"""Letters of a name that is looked at; time grows with their square."""

SHOWN: Final = 3
"""Names that a message shows."""

_EYE: Final = r"(?P<eye>left|right|od|os|re|le|l|r)"
_CONVENTIONS: Final = (
    rf"(?i)^(?P<patient>.+?)[._ -]{_EYE}(?:[._ -]|$)",  # 10_left, P001_L_1, 123-OD
    rf"(?i)^{_EYE}[._ -](?P<patient>[^._ -]+)",  # OD_123
    r"^(?P<patient>.*[0-9])(?P<eye>OD|OS|RE|LE|L|R|od|os)(?:[._ -]|$)",  # RET002OD
    rf"(?i)(?P<patient>[^/]+)/{_EYE}(?:[._ -][^/]*)?$",  # 123/left
    rf"(?i)(?P<patient>[^/]+)/{_EYE}/[^/]+$",  # 123/OD/1
    rf"(?i)(?:^|/){_EYE}/(?P<patient>[^/]+)$",  # left/123
)
"""Ways in which names say patient and eye, the most usual first."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An expression that reads patients off names."""

    pattern: str
    pairs: int
    """Patients of whom both eyes are there."""
    matched: int
    """Names that it reads, of all."""
    example: tuple[str, str]
    """Names of two photographs of one patient."""


def patients_from_names(frame: pd.DataFrame, pattern: str, *, eyes: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a copy of a manifest with `patient`, and `eye` if the expression has such a group, read off the names.

    The expression is searched for in the file's name without its suffix; one that contains a `/` in the whole path,
    without the suffix.

    Args:
        frame: Rows with `image`; no patient is known of any.
        pattern: Regular expression with one group, or with a group named `patient` and, if need be, one named `eye`.
        eyes: What the group `eye` may find beside `EYE_WORDS`, and the eye that it is.

    Raises:
        BadRequest: If it is no such expression.
        BadTable: If a name does not match, an eye is neither left nor right, or patients are known already.
    """
    form, group = _compiled(pattern)
    for column in ("patient", *(["eye"] if "eye" in form.groupindex else [])):
        if column in frame and frame[column].notna().any():
            raise BadTable(
                f"{OPTION}: expected a manifest without values in the column {column}, got some. Leave {OPTION} out, "
                "or take its group away, or delete the column."
            )
    images = frame["image"].astype(str).tolist()
    matches = [form.search(_name(image, pattern)) for image in images]
    patients = [None if match is None else match[group] for match in matches]
    _refuse([image for image, patient in zip(images, patients, strict=True) if not patient], images, pattern)
    named = frame.assign(patient=pd.Series(patients, index=frame.index, dtype=object))
    if "eye" not in form.groupindex:
        return named
    codes = {**EYE_WORDS, **{code.lower(): eye for code, eye in (eyes or {}).items()}}
    words = [None if match is None or not match["eye"] else match["eye"] for match in matches]
    wrong = [word for word in words if word is not None and word.lower() not in codes]
    if wrong:
        raise BadTable(
            f"{OPTION}: expected a group eye that finds one of {', '.join(codes)}, got {wrong[0]!r}. Correct the "
            "expression, leave the group eye out, or say which eye it is: --code eye:CODE=left"
        )
    read = [None if word is None else codes[word.lower()] for word in words]
    return named.assign(eye=pd.Series(read, index=frame.index, dtype=object))


def suggested(images: Sequence[str]) -> Suggestion | None:
    """Return the expression that finds most pairs of eyes in names of photographs; None where they show none."""
    images = [image for image in images if len(image) <= LONGEST_READ]
    best: Suggestion | None = None
    for pattern in _CONVENTIONS:
        candidate = _tried(pattern, images)
        if candidate and (best is None or (candidate.matched, candidate.pairs) > (best.matched, best.pairs)):
            best = candidate
    return best if best is not None and 2 * best.matched >= len(images) else None


def _tried(pattern: str, images: Iterable[str]) -> Suggestion | None:
    form = re.compile(pattern)
    eyes: dict[str, dict[str, str]] = defaultdict(dict)
    matched = 0
    for image in images:
        match = form.search(_name(image, pattern))
        if match is not None:
            matched += 1
            eyes[match["patient"]].setdefault(EYE_WORDS[match["eye"].lower()], image)
    pairs = [names for names in eyes.values() if len(names) == 2]
    if not pairs:
        return None
    return Suggestion(pattern, len(pairs), matched, (pairs[0]["left"], pairs[0]["right"]))


def _compiled(pattern: str) -> tuple[re.Pattern[str], int | str]:
    """Return the expression and its group of the patient."""
    try:
        form = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as problem:
        raise BadRequest(f"{OPTION}: expected a regular expression, got {pattern!r}: {problem}. Correct it.") from None
    unknown = sorted(set(form.groupindex) - set(GROUPS))
    if "patient" in form.groupindex and not unknown:
        return form, "patient"
    if form.groups == 1 and not form.groupindex:
        return form, 1
    got = f"a group named {unknown[0]}" if unknown else f"{form.groups} groups, none named patient"
    raise BadRequest(
        f"{OPTION}: expected an expression with one group, or with groups named patient and eye, got {got} in "
        f"{pattern!r}. Write (?P<patient>...) around what names the patient, and (?:...) around what does not."
    )


def _name(image: str, pattern: str) -> str:
    """Return what an expression is searched for in."""
    path = PurePosixPath(image.replace("\\", "/"))
    return path.with_suffix("").as_posix() if "/" in pattern and path.name else path.stem


def _refuse(unread: Sequence[str], images: Sequence[str], pattern: str) -> None:
    if unread:
        more = ", ..." if len(unread) > SHOWN else ""
        raise BadTable(
            f"{OPTION}: expected every name to match {pattern!r}, {len(unread)} of {len(images)} do not: "
            f"{', '.join(unread[:SHOWN])}{more}. Extend the expression, or leave these photographs out."
        )
