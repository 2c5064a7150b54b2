"""What a licence lets others do, as far as its text says: enough to say what may become of a model trained under it.

A text is read by the words that licences and publishers use. What is not recognised is unknown, which is the most
cautious answer: nothing is concluded from silence. This is no legal advice.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final


class Terms(IntEnum):
    """Terms by how much they forbid; a model is bound by the strictest of all that it was made from."""

    OPEN = 0
    """May be used, changed and passed on by anybody, with attribution."""
    SHARE_ALIKE = 1
    """The same, but what is derived must be passed on under the same terms."""
    NON_COMMERCIAL = 2
    """Not for commercial use."""
    RESTRICTED = 3
    """For research or by agreement only, or not to be passed on."""
    UNKNOWN = 4
    """No terms are stated, or none that are recognised."""


_WORDS: Final = {
    Terms.RESTRICTED: (
        r"no (re)?distribution|agreement|credentialed|controlled access|on request|\bresearch\b|\bacademic\b"
        r"|educational|evaluation only|competition rules|all rights reserved|\bND\b|no-?derivatives"
    ),
    Terms.NON_COMMERCIAL: r"\bNC\b|non[- ]?commercial|(no|not for) commercial",
    Terms.SHARE_ALIKE: r"\bSA\b|share[- ]?alike|\b[AL]?GPL|\bODbL\b",
}
"""Words that forbid something, wherever they stand; strictest first."""

_OPEN: Final = (
    r"(CC[ -]BY([ -]\d(\.\d)?)?|CC0([ -]1\.0)?|MIT( License)?|Apache([ -]| License,? (Version )?)2\.0"
    r"|BSD(-[23]-Clause)?|ISC|Unlicense|public domain)"
)
"""A licence is open only if its name is all that is said: a condition behind it that is not understood counts."""


def terms_of(licence: str) -> Terms:
    """Return the strictest terms that a licence's text names.

    Args:
        licence: An SPDX identifier, or a sentence as publishers write them.

    Example:
        >>> terms_of("CC BY-NC-SA 4.0").name
        'NON_COMMERCIAL'
        >>> terms_of("as its page says").name
        'UNKNOWN'
    """
    for terms, words in _WORDS.items():
        if re.search(words, licence, re.IGNORECASE):
            return terms
    return Terms.OPEN if re.fullmatch(_OPEN, licence.strip()) else Terms.UNKNOWN
