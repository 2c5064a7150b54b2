"""Words of other programs that mean one thing only, and the manifest's for them."""

from __future__ import annotations

from typing import Final

EYE_WORDS: Final = {
    "left": "left", "os": "left", "l": "left", "le": "left", "og": "left", "left eye": "left",
    "right": "right", "od": "right", "r": "right", "re": "right", "right eye": "right",
}  # fmt: skip
"""Names of the eyes in small letters: English, Latin (oculus sinister, dexter) and French (OG). Numbers need a code."""

SEX_WORDS: Final = {"f": "female", "female": "female", "m": "male", "male": "male"}
"""Names of the sexes in small letters."""
