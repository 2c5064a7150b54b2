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
        r"no (re)?distribution|agreement|credentialed|controlled access|on request|for research|research"
        r"( and education)? only|research use|competition rules|all rights reserved|no commercial use and no"
    ),
    Terms.NON_COMMERCIAL: r"\bNC\b|-NC\b|non-?commercial",
    Terms.SHARE_ALIKE: r"\bSA\b|-SA\b|share-?alike|\bA?GPL",
    Terms.OPEN: r"\bCC[ -]?BY\b|\bCC0\b|\bMIT\b|\bApache\b|\bBSD\b|\bISC\b|public domain|\bODbL\b|\bUnlicense\b",
}
"""How terms are recognised, strictest first."""


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
    return next((terms for terms, words in _WORDS.items() if re.search(words, licence, re.IGNORECASE)), Terms.UNKNOWN)
