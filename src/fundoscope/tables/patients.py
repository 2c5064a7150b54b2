"""Who a photograph is of, and which photographs must stay together whatever is done with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import pandas as pd

from fundoscope.tables.grouping import connected

PatientKey = tuple[str, str, str]
"""Kind of name ("patient" or "photograph"), source and name."""

PERSON_POOLS: Final = {"eyepacs": "eyepacs", "eyeq": "eyepacs", "rldr": "eyepacs"}
"""Sources that name the same persons alike: to the largest of them. `data.known` has the evidence for each."""

TOGETHER: Final = ("sha256", "duplicate_group", "eye_group")
"""Columns in which one text means one file, one picture or one eye, whatever the source and the patient's name."""


def patient_keys(frame: pd.DataFrame) -> list[PatientKey]:
    """Who each photograph is of: kind of name, source and name.

    Patients of two sources are two patients, even if they are named alike. Where the patient is
    blank, the photograph's own hash (else its path) stands for one.
    """
    rows = zip(*(texts(frame, name) for name in ("source", "patient", "sha256", "image")), strict=True)
    return [
        ("patient", source or "", patient) if patient is not None else ("photograph", "", sha256 or image or "")
        for source, patient, sha256, image in rows
    ]


def unit_keys(frame: pd.DataFrame, *, pools: Mapping[str, str] | None = None) -> list[PatientKey]:
    """The unit of each photograph: the smallest of the patient keys that must stay together with its own.

    Photographs stay together if they have one patient key, or one value in one of the columns `TOGETHER`, or are joined
    by a chain of such. A group's text means the same in every source. Being the smallest key, a unit's name does not
    depend on the order of the rows, and stays when photographs of the same patients come or go.

    Args:
        frame: A checked manifest; time and memory grow with its rows, near-linearly.
        pools: For sources that name the same persons alike (RLDR's patients are EyePACS'): source, to the name of the
            pool of people it draws from. In one pool a patient's name is one person.
    """
    keys = patient_keys(frame)
    root_of = _joined(_ties(frame, keys, pools or {}))
    names: dict[int, PatientKey] = {}
    for key in dict.fromkeys(keys):
        names[root_of[key]] = min(names.get(root_of[key], key), key)
    return [names[root_of[key]] for key in keys]


_Node = tuple[str, ...]


def _ties(
    frame: pd.DataFrame, keys: list[PatientKey], pools: Mapping[str, str]
) -> Iterator[tuple[PatientKey, list[_Node]]]:
    """Each row's patient key, and whatever else it is one with."""
    columns = (texts(frame, name) for name in TOGETHER)
    for key, *values in zip(keys, *columns, strict=True):
        ties: list[_Node] = [(name, value) for name, value in zip(TOGETHER, values, strict=True) if value is not None]
        kind, source, name = key
        if kind == "patient" and source in pools:
            ties.append(("person", pools[source], name))
        yield key, ties


def _joined(ties: Iterable[tuple[PatientKey, list[_Node]]]) -> dict[_Node, int]:
    """Each node's connected part, by a number."""
    number: dict[_Node, int] = {}
    pairs: list[tuple[int, int]] = []
    for key, others in ties:
        mine = number.setdefault(key, len(number))
        pairs.extend((mine, number.setdefault(other, len(number))) for other in others)
    return dict(zip(number, connected(len(number), pairs), strict=True))


def texts(frame: pd.DataFrame, name: str) -> list[str | None]:
    """A column's values as text, None where blank or where there is no such column."""
    values = frame[name].tolist() if name in frame else [None] * len(frame)
    return [None if pd.isna(value) else str(value) for value in values]
