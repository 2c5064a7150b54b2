"""Patients' names as archives and tables write them: padded, in several spellings, or in place of one.

A placeholder such as ANONYMOUS stands in many people's photographs. Were it taken for a name, strangers would be
answered as one patient, and one's good photograph would excuse another's bad one.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = (
    "anon", "anonym", "anonymous", "anonymised", "anonymized", "anonymisiert", "anonyme", "anonymousid",
    "anonymouspatient", "anonpatient", "pseudonym", "unknown", "unknownpatient", "unknownid", "unbekannt", "inconnu",
    "desconocido", "unk", "none", "null", "nil", "nan", "na", "notavailable", "notapplicable", "notknown", "notset",
    "notspecified", "notgiven", "noid", "nopatientid", "noname", "missing", "blank", "empty", "undefined",
    "unidentified", "unspecified", "unnamed", "deidentified", "deid", "deidentifiedpatient", "removed", "redacted",
    "hidden", "withheld", "test", "testpatient", "patienttest", "testid", "demo", "demopatient", "dummy",
    "dummypatient", "phantom", "sample", "example", "default", "defaultid", "temp", "tmp", "patient", "patientid",
    "id", "tbd", "tba",
)  # fmt: skip

PLACEHOLDERS: Final = frozenset(_WORDS)
"""Words that stand where no name is known, without the signs between their letters."""

_SIGNS: Final = re.compile(r"[\W_]+")
_FILLING: Final = re.compile(r"0+|x{2,}|9{5,}")


def is_placeholder(name: str) -> bool:
    """Return whether a patient's name is a word that stands in its place, or only signs: no person's in any archive."""
    letters = _SIGNS.sub("", name).casefold()
    return not letters or letters in PLACEHOLDERS


def is_filling(name: str) -> bool:
    """Return whether a patient's name looks typed to fill the field: 0, 0000, xxx, 99999. A table may number so."""
    return _FILLING.fullmatch(_SIGNS.sub("", name).casefold()) is not None
